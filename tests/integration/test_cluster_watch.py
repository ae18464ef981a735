"""Watching one type on a real API server: nothing lost, nothing doubled, and an end when it is asked for."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from drsyncer.cluster import Cluster, connect
from drsyncer.cluster.watch import Kind, Watch
from drsyncer.errors import ClusterError, Forbidden, Gone, NotFound
from drsyncer.manifest import ResourceType, metadata
from drsyncer.retry import Schedule
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.recovery import configmap

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
SCHEDULE = Schedule(initial=0.05, factor=2.0, maximum=2.0, jitter=0.0)
PATIENCE = 60.0  # seconds
WATCHES = r"/configmaps.*watch=true"


@dataclass
class Watching:
    """A watch in a thread of its own, and what it told."""

    watch: Watch
    told: queue.Queue[tuple[str, str]] = field(default_factory=queue.Queue)
    error: ClusterError | None = None

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            for event in self.watch.events():
                meta = metadata(msgspec.json.decode(event.object))
                if meta["name"] != "kube-root-ca.crt":
                    self.told.put((str(event.kind), meta["name"]))
        except ClusterError as error:
            self.error = error

    def next(self) -> tuple[str, str]:
        return self.told.get(timeout=PATIENCE)

    def ended(self) -> bool:
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


StartWatch = Callable[..., Watching]


@pytest.fixture
def start() -> Iterator[StartWatch]:
    """`start(kubeconfig, namespace)` lists and then watches the ConfigMaps of a namespace."""
    made: list[tuple[Cluster, Watching]] = []

    def begin(kubeconfig: Path, where: str) -> Watching:
        cluster = connect(kubeconfig=str(kubeconfig), connections=2)
        version = [page.resource_version for page in cluster.pages(CONFIGMAPS, namespace=where)][-1]
        watch = Watch(cluster, CONFIGMAPS, namespace=where, resource_version=version, schedule=SCHEDULE)
        made.append((cluster, Watching(watch)))
        return made[-1][1]

    yield begin
    for cluster, watching in made:
        watching.watch.stop()
        assert watching.ended()
        cluster.close()


def path(where: str, name: str) -> str:
    return f"/api/v1/namespaces/{where}/configmaps/{name}"


def test_every_change_after_the_list_is_told_in_order(
    source: ControlPlane, make_namespace: Callable[..., str], start: StartWatch
) -> None:
    where = make_namespace(source)
    source.apply([configmap(where, "before")])
    watching = start(source.kubeconfig, where)

    source.apply([configmap(where, "one", a="b")])
    source.apply([configmap(where, "one", a="c")])
    source.apply([configmap(where, "one", a="c")])  # nothing changes: nothing to tell
    source.delete(path(where, "one"))

    assert [watching.next() for _ in range(3)] == [
        (Kind.ADDED, "one"),
        (Kind.MODIFIED, "one"),
        (Kind.DELETED, "one"),
    ]
    assert watching.watch.connected


def test_what_happens_while_the_connection_is_away_is_told_once_it_is_back(
    source: ControlPlane,
    make_namespace: Callable[..., str],
    start: StartWatch,
    fault_proxy: Callable[[ControlPlane], FaultProxy],
) -> None:
    where, proxy = make_namespace(source), fault_proxy(source)
    cut = proxy.cut(path=WATCHES, after=10, times=2)
    failed = proxy.status(500, path=WATCHES, times=2)
    busy = proxy.status(429, path=WATCHES, times=1, headers={"Retry-After": "1"})
    names = [f"n{index}" for index in range(20)]
    begun = time.monotonic()
    watching = start(proxy.kubeconfig, where)
    for name in names:
        source.apply([configmap(where, name)])

    assert [watching.next() for _ in names] == [(Kind.ADDED, name) for name in names]
    assert (cut.hits, failed.hits, busy.hits) == (2, 2, 1)
    assert time.monotonic() - begun >= 1.0  # as long as the server asked to wait
    assert watching.told.empty()


def test_a_resource_version_that_is_too_old_asks_for_a_new_list(
    source: ControlPlane,
    make_namespace: Callable[..., str],
    start: StartWatch,
    fault_proxy: Callable[[ControlPlane], FaultProxy],
) -> None:
    # How an API server says it whose history no longer reaches back that far: inside an answer of 200.
    expired = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
    proxy = fault_proxy(source)
    told = proxy.status(200, path=WATCHES, body=json.dumps({"type": "ERROR", "object": expired}) + "\n")

    watching = start(proxy.kubeconfig, make_namespace(source))

    assert watching.ended()
    assert isinstance(watching.error, Gone)
    assert told.hits == 1


def test_a_410_in_place_of_an_answer_asks_for_a_new_list_too(
    source: ControlPlane,
    make_namespace: Callable[..., str],
    start: StartWatch,
    fault_proxy: Callable[[ControlPlane], FaultProxy],
) -> None:
    proxy = fault_proxy(source)
    proxy.status(410, path=WATCHES, reason="Expired")

    watching = start(proxy.kubeconfig, make_namespace(source))

    assert watching.ended()
    assert isinstance(watching.error, Gone)


@pytest.mark.parametrize(("code", "error"), [(403, Forbidden), (404, NotFound)])
def test_a_type_that_may_not_be_watched_any_more_ends_the_watch(
    code: int,
    error: type[ClusterError],
    source: ControlPlane,
    make_namespace: Callable[..., str],
    start: StartWatch,
    fault_proxy: Callable[[ControlPlane], FaultProxy],
) -> None:
    proxy = fault_proxy(source)
    proxy.status(code, path=WATCHES, times=None)

    watching = start(proxy.kubeconfig, make_namespace(source))

    assert watching.ended()
    assert isinstance(watching.error, error)


def test_a_watch_that_waits_for_changes_ends_at_once_when_asked_to(
    source: ControlPlane, make_namespace: Callable[..., str], start: StartWatch
) -> None:
    watching = start(source.kubeconfig, make_namespace(source))
    source.wait_for(lambda: watching.watch.connected, what="the watch to be open")

    begun = time.monotonic()
    watching.watch.stop()

    assert watching.ended()
    assert watching.error is None
    assert time.monotonic() - begun < 5
    assert list(watching.watch.events()) == []


def test_a_server_that_ends_every_watch_without_a_word_is_not_stormed(
    source: ControlPlane,
    make_namespace: Callable[..., str],
    start: StartWatch,
    fault_proxy: Callable[[ControlPlane], FaultProxy],
) -> None:
    proxy = fault_proxy(source)
    ended = proxy.status(200, path=WATCHES, times=None, body="")

    watching = start(proxy.kubeconfig, make_namespace(source))
    time.sleep(1.0)

    assert 2 <= ended.hits <= 6
    assert watching.error is None


def test_an_api_server_that_comes_back_is_watched_again_or_asks_for_a_new_list(
    fresh_cluster: Callable[..., ControlPlane], start: StartWatch
) -> None:
    cluster = fresh_cluster("restarted", controllers=False)
    watching = start(cluster.kubeconfig, "default")
    cluster.wait_for(lambda: watching.watch.connected, what="the watch to be open")

    cluster.stop_api()
    cluster.wait_for(lambda: watching.watch.failures >= 2, what="the watch to be tried again")
    cluster.start_api()
    cluster.apply([configmap("default", "after")])

    # Its memory of changes begins with its start, so it may not know what came before.
    cluster.wait_for(lambda: not watching.told.empty() or watching.error, what="an event, or the end of the watch")
    if watching.error:
        assert isinstance(watching.error, Gone)
    else:
        assert watching.next() == (Kind.ADDED, "after")
