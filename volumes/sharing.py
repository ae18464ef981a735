"""Who works with a restic repository at the moment: many may add to it, one alone may prune it.

restic's own locks protect the data; this keeps a backup from waiting in vain for a prune, and a prune from ending at
backups that take all night. It also shows who lives: each run has a Lease of its own, which it renews, and the Jobs
that it makes name it. The protocol of one Lease is `drsyncer.cluster.lease`'s: no clocks of two machines are compared.

Whoever comes announces himself first and looks at the others afterwards. The API server puts the writes in an order, so
of two that come at the same moment at least one sees the other:

    shared      announces itself; when somebody is alone, withdraws, waits, and begins again
    exclusive   announces itself, alone among its kind; then waits until those who share have gone
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster, urls
from drsyncer.cluster.lease import LEASES, Election, Timing, identity
from drsyncer.errors import ClusterError, Conflict, DrSyncerError, NotFound, Refused
from drsyncer.json import encode, items_of
from drsyncer.manifest import Manifest, ResourceType, labels, metadata

# A dispatcher that is cut off from its API server for shorter than this goes on as if nothing had been.
TIMING: Final = Timing(duration=30.0, deadline=24.0, renew=5.0)
_NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
_PAUSE = 0.5  # seconds between two looks at a Lease of somebody else


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where those meet who use the same repository.

    `connect` gives a connection of its own to the cluster, for a thread that renews. `repository` is the same for all
    who use the same one: of backups and of who prunes, the source cluster's name, since pruning may well have another
    address and other credentials. `patience` are the seconds for which others are waited for.
    """

    cluster: Cluster
    connect: Callable[[], Cluster]
    namespace: str
    repository: str
    patience: float
    timing: Timing = TIMING
    waits: Callable[[str], object] = field(default=lambda _: None)  # told once whom it waits for

    @property
    def name(self) -> str:
        """The Lease of the one who is alone, and how the names of all others begin."""
        return f"{own.OWN_NAME}-restic-{hashlib.sha256(self.repository.encode()).hexdigest()[:10]}"


class InUse(Refused):
    """Somebody who must be alone with the repository did not go in time; the text names him."""


class Presence:
    """A Lease that is held. `name` is namespace/name; `holding` is for any thread."""

    def __init__(self, meeting: Meeting, name: str) -> None:
        self._meeting = meeting
        self._lease = name
        self.name = f"{meeting.namespace}/{name}"
        self._election = Election(
            meeting.connect, namespace=meeting.namespace, name=name, identity=identity(), timing=meeting.timing
        )
        self._thread = threading.Thread(target=self._election.run, daemon=True)

    def holding(self) -> bool:
        """Return whether everybody sees that this run lives."""
        return self._election.leading()

    def start(self, *, patience: float) -> str:
        """Take the Lease; return "" when it is held, else who has it or what went wrong, after `patience` seconds."""
        _make(self._meeting.cluster, self._meeting.namespace, self._lease)
        self._thread.start()
        until = time.monotonic() + max(patience, self._meeting.timing.duration)
        while not self._election.leading():
            if time.monotonic() >= until:
                return self._election.trouble or self._election.holder or "nobody"
            time.sleep(0.05)
        return ""

    def stop(self, *, delete: bool) -> None:
        """Give the Lease back, and take it away where nobody else will ever want it."""
        self._election.stop()
        if self._thread.is_alive():
            self._thread.join(self._meeting.timing.duration)
        if delete:
            cluster = self._meeting.cluster
            with contextlib.suppress(ClusterError):  # it has no holder, or runs out; the next prune takes it away
                _delete(cluster, cluster.read(LEASES, namespace=self._meeting.namespace, name=self._lease))


@contextlib.contextmanager
def shared(meeting: Meeting, run: str) -> Iterator[Presence]:
    """Use the repository together with others. Raises InUse when somebody is alone with it for too long."""
    watcher = Watcher(meeting.cluster)
    until = time.monotonic() + meeting.patience
    told = False
    while True:
        presence = Presence(meeting, f"{meeting.name}-{run[:13]}")
        try:
            if trouble := presence.start(patience=0.0):
                raise DrSyncerError(f"the Lease {presence.name} cannot be held: {trouble}")
            holder = watcher.holder(meeting.namespace, meeting.name)
            if not holder:
                yield presence
                return
        finally:
            presence.stop(delete=True)
        if time.monotonic() >= until:
            raise InUse(
                f"the restic repository is in use by somebody who must be alone with it, {holder} (Lease "
                f"{meeting.namespace}/{meeting.name}), since before {meeting.patience:g} s",
                hint="A verification or a prune is under way: try again when it is done. If that happens often, let "
                "them run at other times, or raise `volumes.restic.retryLock`.",
            )
        if not told:
            meeting.waits(holder)
            told = True
        while watcher.holder(meeting.namespace, meeting.name) and time.monotonic() < until:
            time.sleep(_PAUSE)


@contextlib.contextmanager
def exclusive(meeting: Meeting) -> Iterator[Presence]:
    """Use the repository alone. Raises Refused when others do not go in time."""
    presence = Presence(meeting, meeting.name)
    watcher = Watcher(meeting.cluster)
    try:
        if other := presence.start(patience=meeting.patience):
            raise Refused(
                f"the restic repository is in use by somebody who is alone with it: {other} (Lease {presence.name})",
                hint="Try again when that is done.",
            )
        until = time.monotonic() + meeting.patience
        told = False
        while sharing := _living_guests(meeting, watcher):
            if time.monotonic() >= until:
                raise Refused(
                    f"the restic repository is in use: {', '.join(sharing)}",
                    hint="Backups or restores are under way; try again when they are done.",
                )
            if not told:
                meeting.waits(", ".join(sharing))
                told = True
            time.sleep(_PAUSE)
        yield presence
    finally:
        presence.stop(delete=False)


class Watcher:
    """Tells the living from the dead by their Leases. For many threads: each Lease is waited for once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._dead: set[str] = set()
        self._lock = threading.Lock()

    def living(self, name: str) -> bool:
        """Return whether the holder of the Lease `name` (namespace/name) renews it. It may take as long as that lasts.

        A Lease of ours whose holder is dead is taken away. Raises ClusterError when the cluster does not say.
        """
        namespace, _, lease = name.partition("/")
        with self._lock:
            if name in self._dead or not (namespace and lease):
                return False
            holder, found = self.watch(namespace, lease)
            if holder:
                return True
            self._dead.add(name)  # no other run will ever have this name
            if found is not None and labels(found).get(own.PART_OF) == own.OWN_NAME:
                _delete(self._cluster, found)
            return False

    def holder(self, namespace: str, lease: str) -> str:
        """Return who holds a Lease and lives, "" when nobody does."""
        return self.watch(namespace, lease)[0]

    def watch(self, namespace: str, lease: str) -> tuple[str, Manifest | None]:
        """Return who holds a Lease and lives, and the Lease as it was all the time when that is nobody."""
        first = self._read(namespace, lease)
        spec = (first or {}).get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if first is None or not holder:
            return "", first
        version = metadata(first).get("resourceVersion")
        until = time.monotonic() + float(spec.get("leaseDurationSeconds") or TIMING.duration)
        while time.monotonic() < until:
            time.sleep(_PAUSE)
            found = self._read(namespace, lease)
            if found is None or not ((found.get("spec") or {}).get("holderIdentity")):
                return "", found
            if metadata(found).get("resourceVersion") != version:
                return holder, found
        return "", first

    def _read(self, namespace: str, lease: str) -> Manifest | None:
        try:
            return self._cluster.read(LEASES, namespace=namespace, name=lease)
        except NotFound:
            return None


def _living_guests(meeting: Meeting, watcher: Watcher) -> list[str]:
    """Return the Leases of those who share the repository and live; those of the dead are taken away."""
    path = urls.path_of(LEASES, namespace=meeting.namespace)
    answer = meeting.cluster.request("GET", path, what=f"list leases in {meeting.namespace}")
    names = [metadata(msgspec.json.decode(item)).get("name", "") for item in items_of(answer.body).items]
    guests = []
    for name in names:
        if not name.startswith(f"{meeting.name}-"):
            continue
        holder, lease = watcher.watch(meeting.namespace, name)
        if holder:
            guests.append(name)
        elif lease is not None:
            _delete(meeting.cluster, lease)
    return guests


def _make(cluster: Cluster, namespace: str, name: str) -> None:
    """Make the Lease, held by nobody, and its namespace where there is none. Raises ClusterError."""
    meta = {"name": name, "namespace": namespace, "labels": {own.PART_OF: own.OWN_NAME}}
    lease = encode({"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": {}})
    with contextlib.suppress(Conflict):
        try:
            cluster.create(LEASES, lease, namespace=namespace, name=name)
        except NotFound:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            cluster.create(_NAMESPACES, encode(body), namespace="", name=namespace)
            cluster.create(LEASES, lease, namespace=namespace, name=name)


def _delete(cluster: Cluster, lease: Manifest) -> None:
    """Take a Lease away that nobody held when it was as it is here; one that was renewed since stays."""
    meta = metadata(lease)
    preconditions = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    with contextlib.suppress(NotFound, Conflict):
        cluster.request(
            "DELETE",
            urls.path_of(LEASES, namespace=meta["namespace"], name=meta["name"]),
            what=f"delete lease {meta['namespace']}/{meta['name']}",
            body=encode({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}),
        )
