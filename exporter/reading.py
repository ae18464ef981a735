"""Reading a whole cluster: one paged LIST per type, several types at a time, nothing kept.

Pages go to one consumer through a short queue, so that memory holds a few pages whatever the
cluster's size. What could not be read is reported, never guessed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, ClusterUnreachable, Forbidden, Unauthorized
from drsyncer.manifest import ResourceType, metadata
from exporter.filing import NAMESPACES

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

    `namespaces` is None for the whole cluster, else the only namespaces that could be read. `positions` tells from
    where on it can be watched: namespace ("" for all of them) → resourceVersion.
    """

    type_: ResourceType
    resource_version: str
    error: str
    namespaces: frozenset[str] | None
    started: datetime
    finished: datetime
    positions: Mapping[str, str] = field(default_factory=dict)

    @property
    def saw_everything(self) -> bool:
        """Whether every object of this type that was asked for was seen."""
        return self.namespaces is None and not self.error

    @property
    def why_incomplete(self) -> str:
        """Why not everything was seen, or ""."""
        if self.error or self.namespaces is None:
            return self.error
        return "may be listed only in " + ", ".join(sorted(self.namespaces))

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
    confined: bool = False,
) -> Iterator[PageRead | TypeRead]:
    """Yield the pages of every wanted type, then its TypeRead; types interleave.

    `wanted` gives per type its versions, the best first. `namespaces` are the ones to fall back to
    when a type may not be listed in the whole cluster; `confined` says that nothing outside them is
    asked for, so that they are all there is. Raises ClusterUnreachable and Unauthorized: then no type
    can be read; every other error of the cluster belongs to its type.
    """
    inbox: queue.Queue[PageRead | TypeRead | BaseException] = queue.Queue(maxsize=workers)
    stop = threading.Event()

    def put(news: PageRead | TypeRead | BaseException) -> None:
        while not stop.is_set():
            try:
                return inbox.put(news, timeout=_STOP_POLL)
            except queue.Full:
                continue
        raise _Stopped

    def work(versions: tuple[ResourceType, ...]) -> None:
        try:
            for news in _read_type(cluster, versions, page_size=page_size, namespaces=namespaces, confined=confined):
                put(news)
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - the consumer raises it: it would wait for ever otherwise
            put(error)

    with cluster.workers(workers, name="read") as pool:
        try:
            for versions in wanted:
                pool.submit(work, versions)
            left = len(wanted)
            while left:
                news = inbox.get()
                if isinstance(news, BaseException):
                    raise news
                left -= isinstance(news, TypeRead)
                yield news
        finally:
            stop.set()


class _Stopped(Exception):
    """The consumer went away."""


def _read_type(
    cluster: Cluster,
    versions: tuple[ResourceType, ...],
    *,
    page_size: int,
    namespaces: Sequence[str],
    confined: bool,
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
            if namespaces and (type_.namespaced or type_.key == NAMESPACES):
                yield from _read_parts(
                    cluster, type_, namespaces, page_size=page_size, confined=confined, started=started
                )
                return
            errors.append(str(error))
        except ClusterError as error:
            errors.append(str(error))
        else:
            whole = {"": resource_version}
            yield TypeRead(type_, resource_version, "", None, started, datetime.now(UTC), whole)
            return
    # Pages of a list that broke off may have been seen: this drops them.
    yield PageRead(versions[-1], True, [])
    yield TypeRead(versions[0], "", "; ".join(dict.fromkeys(errors)), frozenset(), started, datetime.now(UTC))


def _read_parts(
    cluster: Cluster,
    type_: ResourceType,
    namespaces: Sequence[str],
    *,
    page_size: int,
    confined: bool,
    started: datetime,
) -> Iterator[PageRead | TypeRead]:
    """Read one type namespace by namespace, for credentials that see only some of them."""
    errors: list[str] = []
    versions: dict[str, str] = {}
    items: list[msgspec.Raw] = []
    for namespace in namespaces:
        try:
            found, version = _read_part(cluster, type_, namespace, page_size=page_size)
        except (ClusterUnreachable, Unauthorized):
            raise
        except ClusterError as error:
            errors.append(str(error))
        else:
            items += found
            versions[namespace] = version
    yield PageRead(type_, True, items)
    reason = "; ".join(errors)
    if not errors:
        reason = "" if versions else "no namespace could be read"
    where = None if confined and not reason else frozenset(versions)
    positions = versions if type_.namespaced else {}
    yield TypeRead(type_, ",".join(versions.values()), reason, where, started, datetime.now(UTC), positions)


def _read_part(
    cluster: Cluster, type_: ResourceType, namespace: str, *, page_size: int
) -> tuple[list[msgspec.Raw], str]:
    """Return the objects of one namespace, or that Namespace itself, and the resourceVersion."""
    if not type_.namespaced:
        found = cluster.read(type_, namespace="", name=namespace)
        return [msgspec.Raw(msgspec.json.encode(found))], str(metadata(found).get("resourceVersion", ""))
    items: list[msgspec.Raw] = []
    version = ""
    for page in cluster.pages(type_, namespace=namespace, limit=page_size):
        items = page.items if page.first else items + page.items
        version = page.resource_version
    return items, version
