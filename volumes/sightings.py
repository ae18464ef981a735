"""What the API server says of mover Jobs: two requests for all of them every second, however many there are.

They are answered from the API server's cache (resourceVersion=0), which may be a little behind. So whoever reads here
that something ended, or does not see what it has just made, asks again with `look`, which is never behind.
"""

from __future__ import annotations

import threading
import time

import msgspec

from drsyncer import log, own
from drsyncer.cluster import Cluster, urls
from drsyncer.errors import ClusterError, Forbidden, NotFound, ServerFailed, Unauthorized
from drsyncer.json import items_of
from drsyncer.manifest import Manifest, ResourceType, metadata
from volumes.endings import Seen, name_of
from volumes.jobs import JOBS, OPERATION, PODS

_logger = log.get(__name__)
_OURS = f"{own.PART_OF}={own.OWN_NAME},{OPERATION}"
_PATIENCE = 60.0  # seconds between two lines of the log about the same trouble

Key = tuple[str, str]


class Sightings:
    """Follows the mover Jobs of a cluster, or of one `namespace`. `run` is for one thread, the rest for any.

    `trouble` is why nothing more can be seen: a right that is missing.
    """

    def __init__(self, cluster: Cluster, *, namespace: str = "", interval: float = 1.0) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._interval = interval
        self._seen: dict[Key, Seen] = {}
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._told = -_PATIENCE
        self.trouble: ClusterError | None = None

    def run(self) -> None:
        """Look again and again, until `stop`. What fails is tried again for ever, but for rights that are missing."""
        while not self._stopped.is_set():
            try:
                found = self._once()
            except (Forbidden, Unauthorized) as error:
                self._note(None, trouble=error)
                return
            except ClusterError as error:
                self._complain(error)
            else:
                self._note(found)
            self._stopped.wait(self._interval)

    def stop(self) -> None:
        """Let `run` return, and wake whoever waits."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def wake(self) -> None:
        """Let all who wait look at what they wait for."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, timeout: float) -> None:
        """Wait until there is something new, for `timeout` seconds at most."""
        with self._changed:
            if self.trouble is None and not self._stopped.is_set():
                self._changed.wait(timeout)

    def of(self, key: Key) -> Seen | None:
        """Return the Job of this namespace and name as last seen, None when it was not."""
        with self._changed:
            return self._seen.get(key)

    def look(self, key: Key) -> Seen:
        """Ask for one Job and its pods, now. A Job is gone only when its pods are. Raises ClusterError."""
        namespace, name = key
        try:
            job = self._cluster.read(JOBS, namespace=namespace, name=name)
        except NotFound:
            return Seen(None)
        selector = f"{_OURS},batch.kubernetes.io/job-name={name}"
        pods = self._list(PODS, namespace, selector, query={})
        uid = str(metadata(job).get("uid"))
        return Seen(job, tuple(pod for pod in pods if uid in _owners(pod)))

    def jobs(self) -> list[Manifest]:
        """Return every mover Job that there is, now. Raises ClusterError."""
        return self._list(JOBS, self._namespace, _OURS, query={})

    def _once(self) -> dict[Key, Seen]:
        cached = {"resourceVersion": "0"}
        jobs = self._list(JOBS, self._namespace, _OURS, query=cached)
        pods: dict[str, list[Manifest]] = {}
        for pod in self._list(PODS, self._namespace, _OURS, query=cached):
            for owner in _owners(pod):
                pods.setdefault(owner, []).append(pod)
        return {name_of(job): Seen(job, tuple(pods.get(str(metadata(job).get("uid")), ()))) for job in jobs}

    def _list(self, type_: ResourceType, namespace: str, selector: str, *, query: dict[str, str]) -> list[Manifest]:
        what = f"list {type_.key} of movers"
        path = urls.path_of(type_, namespace=namespace)
        answer = self._cluster.request("GET", path, what=what, query={"labelSelector": selector, **query})
        try:
            return [msgspec.json.decode(item) for item in items_of(answer.body).items]
        except ValueError as error:
            raise ServerFailed(f"{what}: the answer is no list: {error}") from error

    def _note(self, found: dict[Key, Seen] | None, *, trouble: ClusterError | None = None) -> None:
        with self._changed:
            if found is not None:
                self._seen = found
            self.trouble = trouble
            self._changed.notify_all()

    def _complain(self, error: ClusterError) -> None:
        if time.monotonic() - self._told >= _PATIENCE:
            self._told = time.monotonic()
            _logger.warning("movers cannot be followed; they go on by themselves", error=str(error))


def _owners(pod: Manifest) -> set[str]:
    references = metadata(pod).get("ownerReferences")
    return {str(one.get("uid")) for one in references} if isinstance(references, list) else set()
