"""Reading a whole cluster: one paged LIST per type, several types at a time, nothing kept.

Pages go to one consumer through a short queue, so that memory holds a few pages whatever the
cluster's size. What could not be read is reported, never guessed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, ClusterUnreachable, Forbidden, Unauthorized
from drsyncer.manifest import ResourceType

_STOP_POLL = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class PageRead:
    """Some objects of `type_`. `fresh`: forget what this type gave before, the list started again."""

    type_: ResourceType
    fresh: bool
    items: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class TypeRead:
    """A type is through. `error` is "" when every object was seen.

    `namespaces` is None for the whole cluster, else the only namespaces that could be read.
    """

    type_: ResourceType
    resource_version: str
    error: str
    namespaces: frozenset[str] | None
    started: datetime
    finished: datetime

    def saw(self, namespace: str) -> bool:
        """Return whether every object of this type in `namespace` ("" for cluster-scoped ones) was seen."""
        if self.namespaces is None:
            return not self.error
        return namespace in self.namespaces


def read(
    cluster: Cluster,
    wanted: Sequence[tuple[ResourceType, ...]],
    *,
    workers: int,
    page_size: int,
    namespaces: Sequence[str] = (),
) -> Iterator[PageRead | TypeRead]:
    """Yield the pages of every wanted type, then its TypeRead; types interleave.

    `wanted` gives per type its versions, the best first. `namespaces` are the ones to fall back to
    when a type may not be listed in the whole cluster. Raises ClusterUnreachable and Unauthorized:
    then no type can be read; every other error belongs to its type.
    """
    inbox: queue.Queue[PageRead | TypeRead | ClusterError] = queue.Queue(maxsize=workers)
    stop = threading.Event()

    def put(news: PageRead | TypeRead | ClusterError) -> None:
        while not stop.is_set():
            try:
                return inbox.put(news, timeout=_STOP_POLL)
            except queue.Full:
                continue
        raise _Stopped

    def work(versions: tuple[ResourceType, ...]) -> None:
        try:
            for news in _read_type(cluster, versions, page_size=page_size, namespaces=namespaces):
                put(news)
        except (ClusterUnreachable, Unauthorized) as error:
            put(error)
        except _Stopped:
            return

    with cluster.workers(workers, name="read") as pool:
        try:
            for versions in wanted:
                pool.submit(work, versions)
            left = len(wanted)
            while left:
                news = inbox.get()
                if isinstance(news, ClusterError):
                    raise news
                left -= isinstance(news, TypeRead)
                yield news
        finally:
            stop.set()


class _Stopped(Exception):
    """The consumer went away."""


def _read_type(
    cluster: Cluster, versions: tuple[ResourceType, ...], *, page_size: int, namespaces: Sequence[str]
) -> Iterator[PageRead | TypeRead]:
    started = datetime.now(UTC)
    errors: list[str] = []
    for type_ in versions:
        resource_version, fresh = "", True
        try:
            for page in cluster.pages(type_, limit=page_size):
                yield PageRead(type_, fresh or page.first, page.items)
                resource_version, fresh = page.resource_version, False
        except (ClusterUnreachable, Unauthorized):
            raise
        except Forbidden as error:
            if type_.namespaced and namespaces:
                yield from _read_namespaces(cluster, type_, namespaces, page_size=page_size, started=started)
                return
            errors.append(str(error))
        except ClusterError as error:
            errors.append(str(error))
        else:
            yield TypeRead(type_, resource_version, "", None, started, datetime.now(UTC))
            return
    # Pages of a list that broke off may have been seen: this drops them.
    yield PageRead(versions[-1], True, [])
    yield TypeRead(versions[0], "", "; ".join(dict.fromkeys(errors)), frozenset(), started, datetime.now(UTC))


def _read_namespaces(
    cluster: Cluster, type_: ResourceType, namespaces: Sequence[str], *, page_size: int, started: datetime
) -> Iterator[PageRead | TypeRead]:
    """Read one type namespace by namespace, for credentials that see only some of them."""
    errors: list[str] = []
    versions: list[str] = []
    complete: set[str] = set()
    items: list[msgspec.Raw] = []
    for namespace in namespaces:
        found: list[msgspec.Raw] = []
        try:
            for page in cluster.pages(type_, namespace=namespace, limit=page_size):
                found = page.items if page.first else found + page.items
                version = page.resource_version
        except (ClusterUnreachable, Unauthorized):
            raise
        except ClusterError as error:
            errors.append(str(error))
        else:
            items += found
            versions.append(version)
            complete.add(namespace)
    yield PageRead(type_, True, items)
    reason = "; ".join(errors)
    if not errors:
        reason = "" if complete else "no namespace could be read"
    yield TypeRead(type_, ",".join(versions), reason, frozenset(complete), started, datetime.now(UTC))
