"""The continuous export on bad days: it waits, it goes on, and in the end Git is as the cluster is."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.integration.follower import STOPS_WITHIN, Follower
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.test_following import APP, CORE, is_settled

BACK = 10.0  # seconds in which what came back is followed again
MakeProxy = Callable[[ControlPlane], FaultProxy]
WATCHES = r"watch=true"
CONFIGMAP_LISTS = r"/api/v1/configmaps\?(?!.*watch=true)"
EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}


@pytest.fixture
def shop(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), configmap("shop", "goes", a="b")])
    clean_source.settle()
    return clean_source


def lists(proxy: FaultProxy) -> list[str]:
    """Return the LISTs that were asked for."""
    return [seen.path for seen in proxy.requests if "limit=" in seen.path and "watch=true" not in seen.path]


def hides(path: Path) -> Path:
    return path.with_name(f"{path.name}.away")


def test_a_history_that_is_gone_lists_only_that_type_and_finds_what_was_deleted(
    shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(shop)
    proxy.cut(path=r"/api/v1/configmaps.*watch=true", after=10)
    gone = proxy.status(
        200,
        path=r"/api/v1/configmaps.*watch=true",
        body=json.dumps({"type": "ERROR", "object": EXPIRED}) + "\n",
    )
    with Follower(recovery, shop, kubeconfig=proxy.kubeconfig) as follower:
        follower.wait_for(lambda: follower.told.total, what="the first export")
        before = len(lists(proxy))
        shop.delete(f"{CORE}/configmaps/goes")  # the first event is what the connection breaks at
        follower.wait_for(lambda: gone.hits, what="the watch to be too old")
        follower.wait_for(lambda: "namespaces/shop/configmaps/goes.yaml" not in recovery.paths(), what="the deletion")
        follower.ready()
        assert {path.partition("?")[0] for path in lists(proxy)[before:]} == {"/api/v1/configmaps"}
    is_settled(shop, recovery)


def test_connections_that_break_all_the_time_lose_nothing(
    shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(shop)
    cut = proxy.cut(path=WATCHES, after=700, times=40)
    with Follower(recovery, shop, kubeconfig=proxy.kubeconfig) as follower:
        follower.wait_for(lambda: follower.told.total, what="the first export")
        for number in range(60):
            shop.apply([configmap("shop", f"n{number % 9}", a=str(number))])
            if number % 5 == 4:
                shop.delete(f"{CORE}/configmaps/n{number % 9}")
        shop.apply([configmap("shop", "app", a="the end")])
        follower.wait_for(lambda: "a: the end" in recovery.file(APP), what="the last change")
        follower.wait_for(lambda: follower.told.waiting == 0, what="nothing to wait")
        assert cut.hits > 0
    is_settled(shop, recovery)


def test_a_type_that_is_refused_for_a_while_is_incomplete_keeps_its_files_and_comes_back(
    shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(shop)
    with Follower(recovery, shop, kubeconfig=proxy.kubeconfig) as follower:
        follower.ready()
        proxy.status(403, path=r"/api/v1/configmaps", reason="Forbidden", times=None)
        follower.following.wake()
        follower.wait_for(lambda: "configmaps" in follower.told.outcomes[-1].incomplete, what="it to be refused")
        shop.delete(f"{CORE}/configmaps/goes")
        shop.apply([namespace("more")])
        follower.wait_for(lambda: "cluster/namespaces/more.yaml" in recovery.paths(), what="other types to go on")
        assert "namespaces/shop/configmaps/goes.yaml" in recovery.paths()
        assert "DR-Syncer-Incomplete: configmaps" in recovery.git("log", "-1", "--format=%B", "main")

        proxy.clear()
        follower.wait_for(lambda: "namespaces/shop/configmaps/goes.yaml" not in recovery.paths(), what="the deletion")
        follower.ready()
    is_settled(shop, recovery)


def test_a_busy_server_is_given_time(shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy) -> None:
    proxy = fault_proxy(shop)
    busy = proxy.status(429, times=30, headers={"Retry-After": "1"}, path=WATCHES)
    with Follower(recovery, shop, kubeconfig=proxy.kubeconfig) as follower:
        follower.ready()
        assert busy.hits == 30
        shop.apply([configmap("shop", "app", a="c")])
        follower.commits(2)


def test_credentials_that_are_refused_are_read_anew_without_a_storm_and_without_a_heartbeat(
    shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.following._BEAT", 1.0)
    proxy = fault_proxy(shop)
    refused = proxy.status(401, path=WATCHES, reason="Unauthorized", times=None)
    with Follower(recovery, shop, kubeconfig=proxy.kubeconfig) as follower:
        follower.wait_for(lambda: follower.told.total and refused.hits >= follower.told.total, what="the refusals")
        turns = follower.told.turns
        follower.wait_for(lambda: follower.told.turns >= turns + 16, what="some seconds")
        assert refused.hits <= 6 * follower.told.total
        assert len(follower.told.beats) == 1  # of the full export
        proxy.clear()
        follower.ready()
        shop.apply([configmap("shop", "app", a="c")])
        follower.commits(2)
        assert lists(proxy) == []  # the watches went on from where they were


def test_an_api_server_that_is_dead_is_tried_ever_more_seldom_said_once_and_followed_again_when_it_is_back(
    fresh_cluster: Callable[..., ControlPlane],
    tcp_fault_proxy: Callable[[int], TcpFaultProxy],
    recovery: Recovery,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.following._BEAT", 1.0)
    cluster = fresh_cluster("away", controllers=False)
    cluster.apply([namespace("shop"), configmap("shop", "app", a="b")])
    proxy = tcp_fault_proxy(cluster.port)  # each try is a connection to it
    by_proxy = cluster.kubeconfig_for("admin", server=f"https://127.0.0.1:{proxy.port}")
    with (
        caplog.at_level(logging.WARNING, logger="dr-syncer"),
        Follower(recovery, cluster, kubeconfig=by_proxy) as follower,
    ):
        follower.ready()
        before = proxy.connections
        cluster.stop_api()
        follower.wait_for(lambda: "cluster" in follower.told.failures, what="it to be noticed")
        turns = follower.told.turns
        follower.wait_for(lambda: follower.told.turns >= turns + 4, what="a push that was under way to end")
        beats = len(follower.told.beats)
        noticed = proxy.connections
        follower.wait_for(lambda: follower.told.turns >= turns + 20, what="ten seconds or so")
        later = proxy.connections
        follower.wait_for(lambda: follower.told.turns >= turns + 40, what="ten more")
        tries = (noticed - before, later - noticed, proxy.connections - later)
        print(f"{follower.told.total} watches; tried at once, in ten seconds, in ten more: {tries}")
        assert tries[0] <= follower.told.total / 2  # the first ones speak for all
        assert 1 <= tries[1] <= 8
        assert 1 <= tries[2] <= 5
        assert len(follower.told.beats) == beats  # nobody knows the cluster's state
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 1, said

        cluster.start_api()
        begun = time.monotonic()
        cluster.apply([configmap("shop", "app", a="c")])
        follower.wait_for(lambda: "a: c" in recovery.file(APP), what="the change")
        follower.ready()
        print(f"all watches are back after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < BACK
    is_settled(cluster, recovery)


def test_an_api_server_that_is_not_there_yet_is_waited_for(
    fresh_cluster: Callable[..., ControlPlane], recovery: Recovery
) -> None:
    cluster = fresh_cluster("late", controllers=False)
    cluster.apply([namespace("shop"), configmap("shop", "app", a="b")])
    cluster.stop_api()
    with Follower(recovery, cluster) as follower:
        follower.wait_for(lambda: follower.told.errors, what="a first try")
        cluster.start_api()
        follower.ready()
    is_settled(cluster, recovery)


def test_a_remote_that_is_away_gets_all_in_one_push_later(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop) as follower:
        follower.ready()
        recovery.remote.rename(hides(recovery.remote))
        for number in range(3):
            shop.apply([configmap("shop", "app", a=f"try {number}")])
            follower.wait_for(lambda n=number: len(follower.told.outcomes) >= n + 2, what="a commit here")
        assert follower.told.lacking > 0
        assert follower.told.waiting == 0
        pushes = len(follower.told.lags)
        hides(recovery.remote).rename(recovery.remote)
        follower.wait_for(lambda: "a: try 2" in recovery.file(APP), what="the push", timeout=60)
        follower.wait_for(lambda: len(follower.told.lags) == pushes + 1, what="it to be told")
        assert follower.count() == 4
    is_settled(shop, recovery)


def test_somebody_elses_commit_in_between_stays(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop) as follower:
        follower.ready()
        theirs = recovery.commit({"README.md": "hello\n"})
        shop.apply([configmap("shop", "app", a="c")])
        follower.wait_for(lambda: "a: c" in recovery.file(APP), what="the change")
        assert recovery.git("rev-parse", "main^").strip() == theirs
        recovery.commit({"namespaces/shop/configmaps/goes.yaml": "nonsense\n"})
        shop.apply([configmap("shop", "app", a="d")])
        follower.wait_for(
            lambda: "nonsense" not in recovery.file("namespaces/shop/configmaps/goes.yaml"), what="our file to be ours"
        )
        follower.wait_for(lambda: "a: d" in recovery.file(APP), what="the change")
    is_settled(shop, recovery)


def test_a_push_that_a_hook_refuses_is_tried_again(shop: ControlPlane, recovery: Recovery) -> None:
    hook = recovery.remote / "hooks" / "pre-receive"
    with Follower(recovery, shop) as follower:
        follower.ready()
        hook.write_text("#!/bin/sh\necho closed for the night >&2\nexit 1\n")
        hook.chmod(0o755)
        shop.apply([configmap("shop", "app", a="c")])
        follower.wait_for(lambda: "push" in follower.told.failures, what="the refusal")
        hook.unlink()
        follower.commits(2)
        assert "a: c" in recovery.file(APP)


@pytest.mark.parametrize("what", ["idle", "listing", "watching", "pushing"])
def test_it_stops_soon_whatever_it_is_doing(
    what: str,
    shop: ControlPlane,
    recovery: Recovery,
    fault_proxy: MakeProxy,
) -> None:
    proxy = fault_proxy(shop)
    hanging = {"listing": CONFIGMAP_LISTS, "watching": WATCHES}
    fault = proxy.hang(60, path=hanging[what], times=None) if what in hanging else None
    follower = Follower(recovery, shop, kubeconfig=proxy.kubeconfig)
    with follower:
        if fault is not None:
            follower.wait_for(lambda: fault.hits, what="it to hang")
        else:
            follower.ready()
        if what == "pushing":
            hook = recovery.remote / "hooks" / "pre-receive"
            hook.write_text("#!/bin/sh\nexec sleep 30\n")
            hook.chmod(0o755)
            shop.apply([configmap("shop", "app", a="c")])
            turns = follower.told.turns
            follower.wait_for(lambda: follower.told.turns > turns, what="it to notice")
        assert follower.stop() < STOPS_WITHIN


def test_more_than_memory_may_hold_is_listed_instead(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop, quietPeriod="3s", maxDelay="9s") as follower:
        follower.ready()
        follower.following._ledger.most_bytes = 20_000
        for number in range(20):
            shop.apply([configmap("shop", f"n{number}", a="x" * 5_000)])
        follower.wait_for(lambda: "namespaces/shop/configmaps/n19.yaml" in recovery.paths(), what="all of it")
        follower.wait_for(lambda: follower.told.waiting == 0, what="nothing to wait")
    is_settled(shop, recovery)
