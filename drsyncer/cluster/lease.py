"""Leader election by a Lease: of several replicas, one works.

The protocol is that of client-go's leaderelection (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): whoever
holds the Lease renews it; it is free when its holder has not renewed it for a whole duration, as seen by the clock of
whoever looks. No clocks of two machines are compared. A leader that cannot renew stops before anybody else may start.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from drsyncer.cluster import urls
from drsyncer.cluster.client import Cluster
from drsyncer.errors import Conflict, DrSyncerError, NotFound
from drsyncer.manifest import Manifest, ResourceType, metadata

LEASES = ResourceType("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)

# Seconds that a connection which fails is kept. A new one has the credentials and certificates of its moment: those of
# a kubeconfig and of a certificate authority are changed in the life of a service.
_KEPT = 10.0
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace() -> str:
    """Return the namespace of the pod that this is, "" outside of one."""
    try:
        return _POD_NAMESPACE.read_text().strip()
    except OSError:
        return ""


def identity() -> str:
    """Return a name for this process that no other one has: in a pod, it begins with the pod's."""
    return f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A crash is noticed after `duration` at the latest; a leader that could not renew for `deadline` stops.

    `deadline` must be shorter than `duration` by more than a request can take, and `renew` shorter still.
    """

    duration: float = 12.0
    deadline: float = 8.0
    renew: float = 2.0

    def __post_init__(self) -> None:
        if not self.renew < self.deadline < self.duration:
            raise ValueError("expected renew < deadline < duration")


@dataclass(frozen=True, slots=True)
class _Seen:
    """The Lease as last read: who holds it, and when (by our clock) it last changed."""

    resource_version: str = ""
    holder: str = ""
    at: float = 0.0
    transitions: int = 0
    manifest: Manifest = field(default_factory=dict)


class Election:
    """One candidate. `run` is for one thread; `leading` and `stop` are for any.

    `connect` gives a connection, which this class closes; it should try each request once and soon give up: the
    schedule of renewals is the retry.
    `on_change` is told each time leadership is won (true) or lost (false).
    """

    def __init__(
        self,
        connect: Callable[[], Cluster],
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        on_change: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._connection: Cluster | None = None
        self._connected = 0.0
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timing = timing or Timing()
        self._on_change = on_change
        self._clock = clock
        self._stopped = threading.Event()
        self._seen = _Seen()
        self._renewed = -1.0
        self._lead = False
        self.trouble = ""

    @property
    def holder(self) -> str:
        """Who holds the Lease, as far as is known; "" when nobody does."""
        return self._seen.holder

    def leading(self) -> bool:
        """Return whether this candidate may work now. It becomes false by itself when renewals stop to succeed."""
        return self._lead and self._clock() - self._renewed < self._timing.deadline

    def stop(self) -> None:
        """Let `run` return; it gives the Lease back first, so that the next one can start at once."""
        self._stopped.set()

    def run(self) -> None:
        """Stand for election, lead, stand again, until `stop`."""
        try:
            while not self._stopped.is_set():
                try:
                    won = self._try()
                    self.trouble = ""
                except DrSyncerError as error:  # not only the cluster's: a kubeconfig may be in the middle of a change
                    won = self.leading()
                    self.trouble = str(error)
                    self._hang_up(after=_KEPT)
                self._become(won)
                self._stopped.wait(self._timing.renew)
        finally:
            was = self._lead
            self._become(False)
            if was:
                self._release()
            self._hang_up()

    def _cluster(self) -> Cluster:
        if self._connection is None:
            self._connection, self._connected = self._connect(), self._clock()
        return self._connection

    def _hang_up(self, *, after: float = 0.0) -> None:
        """Close the connection if it is older than `after` seconds; the next request makes another one."""
        if self._connection is not None and self._clock() - self._connected >= after:
            self._connection.close()
            self._connection = None

    def _become(self, leads: bool) -> None:
        if leads != self._lead:
            self._lead = leads
            self._on_change(leads)

    def _try(self) -> bool:
        """Take the Lease or renew it; return whether it is ours."""
        begun = self._clock()  # what we renew is valid from before the request, not from its answer
        renewed = self._lead and self._attempt()  # a leader knows what the Lease says
        if not renewed:
            if not self._look():
                return False
            renewed = self._attempt()
        if renewed:
            self._renewed = begun
        return renewed

    def _attempt(self) -> bool:
        """Write our name into the Lease as it was last seen; return false when somebody was faster."""
        try:
            self._write(self._record(self._identity))
        except (Conflict, NotFound):
            return False
        return True

    def _look(self) -> bool:
        """Read the Lease, make it when there is none, and return whether we may have it."""
        try:
            found = self._cluster().read(LEASES, namespace=self._namespace, name=self._name)
        except NotFound:
            return self._create()
        before = self._seen
        self._note(found)
        if self._seen.resource_version == before.resource_version:
            self._seen = replace(self._seen, at=before.at)  # nobody renewed it
        lasts = float((found.get("spec") or {}).get("leaseDurationSeconds") or self._timing.duration)
        return self._seen.holder in ("", self._identity) or self._clock() - self._seen.at > lasts

    def _note(self, lease: Manifest) -> None:
        """Remember the Lease as it is now."""
        spec: dict[str, Any] = lease.get("spec") or {}
        self._seen = _Seen(
            resource_version=str(metadata(lease).get("resourceVersion", "")),
            holder=str(spec.get("holderIdentity") or ""),
            at=self._clock(),
            transitions=int(spec.get("leaseTransitions") or 0),
            manifest=lease,
        )

    def _create(self) -> bool:
        meta = {"name": self._name, "namespace": self._namespace}
        lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": {}}
        path = urls.path_of(LEASES, namespace=self._namespace)
        what = f"create lease {self._namespace}/{self._name}"
        try:
            answer = self._cluster().request("POST", path, what=what, body=msgspec.json.encode(lease))
        except Conflict:
            return False
        self._note(msgspec.json.decode(answer.body))
        return True

    def _record(self, holder: str) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = self._seen.manifest.get("spec") or {}
        mine = before.get("holderIdentity") == holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": round(self._timing.duration) if holder else 1,
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": self._seen.transitions + (0 if mine or not holder else 1),
        }
        return {**self._seen.manifest, "spec": spec}

    def _write(self, lease: Manifest) -> None:
        path = urls.path_of(LEASES, namespace=self._namespace, name=self._name)
        answer = self._cluster().request("PUT", path, what=f"renew lease {self._name}", body=msgspec.json.encode(lease))
        self._note(msgspec.json.decode(answer.body))

    def _release(self) -> None:
        """Give the Lease back. Should that fail, it runs out by itself."""
        try:
            self._write(self._record(""))
        except DrSyncerError as error:
            self.trouble = str(error)
