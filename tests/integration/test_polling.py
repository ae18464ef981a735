"""The importer as a service: it follows Git by itself, and nothing that passes stops it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from importer.observing import Failure, Why
from importer.state import Condition
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.following import Service
from tests.integration.recovery import Recovery, configmap, namespace
from tests.unit.signers import allowed, needs_ssh_keygen, signer

APP = "/api/v1/namespaces/shop/configmaps/app"
MakeProxy = Callable[[ControlPlane], FaultProxy]


def file_of(name: str, value: str) -> dict[str, str]:
    """Return the file of ConfigMap shop/`name`, as another exporter would write it."""
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n  value: '{value}'\n"
    return {f"namespaces/shop/configmaps/{name}.yaml": text}


def value_of(dr: ControlPlane, name: str = "app") -> str:
    found = dr.find("v1", "ConfigMap", name, "shop")
    return str(found["data"]["value"]) if found else ""


def set_by_hand(dr: ControlPlane, value: str) -> None:
    dr.patch(APP, {"data": {"value": value}})


@pytest.fixture
def shop(clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery) -> Recovery:
    """Exported once: shop/app holds `1`, and there are ten more."""
    others = [configmap("shop", f"other-{index}", value="x") for index in range(10)]
    clean_source.apply([namespace("shop"), configmap("shop", "app", value="1"), *others])
    recovery.export(clean_source)
    return recovery


# Following


def test_a_commit_is_applied_within_the_interval(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig) as service:
        service.settled(shop.head())
        for value in "234":
            commit = shop.commit(file_of("app", value))
            assert service.settled(commit) < 1 + 2
            assert value_of(dr) == value
        assert service.told.whys() == [Why.START, Why.COMMIT, Why.COMMIT, Why.COMMIT]
        assert service.polling.state.condition is Condition.DONE
        assert service.polling.state.troubles == ()
        service.wait(lambda: not service.told.due[-1], what="nothing to be due")
        assert True in service.told.due


def test_a_sign_of_life_is_noticed_without_a_commit_or_a_request_to_dr(
    shop: Recovery, source: ControlPlane, dr: ControlPlane
) -> None:
    with Service(shop, dr.kubeconfig) as service:
        service.settled(shop.head())
        service.wait(lambda: service.told.beats, what="the exporter's sign of life")
        first = service.told.beats[-1]
        assert first.head == shop.head()
        dr.audit.mark()

        shop.export(source)  # nothing changed
        service.wait(lambda: service.told.beats[-1].time > first.time, what="the next one")

        assert service.told.beats[-1].head == shop.head()
        assert dr.audit.requests() == []


def test_waking_it_applies_a_commit_at_once(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig, interval="1h") as service:
        service.settled(shop.head())
        commit = shop.commit(file_of("app", "2"))
        time.sleep(1.5)
        assert value_of(dr) == "1"
        service.polling.wake()
        assert service.settled(commit) < 2
        assert value_of(dr) == "2"


def test_without_news_nothing_is_fetched_and_dr_is_not_asked(
    shop: Recovery, dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(dr)
    with Service(shop, proxy.kubeconfig) as service:
        service.settled(shop.head())
        service.wait(lambda: service.told.beats, what="the exporter's sign of life")
        proxy.clear()
        clone = sorted((path, path.stat().st_mtime_ns) for path in (shop.folder / "cache").rglob("*"))
        looks = len(service.told.looks)
        service.wait(lambda: len(service.told.looks) >= looks + 4, what="some more looks")
        service.polling.wake()
        time.sleep(1)
        assert proxy.requests == []
        assert sorted((path, path.stat().st_mtime_ns) for path in (shop.folder / "cache").rglob("*")) == clone
        assert not any(changed for _, _, changed in service.told.looks[1:])


def test_a_restart_writes_nothing_when_nothing_changed(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig) as service:
        service.settled(shop.head())
    dr.audit.mark()
    with Service(shop, dr.kubeconfig) as service:
        service.settled(shop.head())
    assert dr.audit.writes() == []


def test_manual_does_nothing_until_it_is_told_to_twice(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig, mode="manual") as service:
        time.sleep(1.5)
        assert service.told.looks == []
        service.polling.wake()
        service.settled(shop.head())
        commit = shop.commit(file_of("app", "2"))
        time.sleep(1.5)
        assert value_of(dr) == "1"
        service.polling.wake()
        service.settled(commit)
        service.polling.wake()
        service.wait(lambda: len(service.told.outcomes) == 3, what="the third import")
        assert service.told.whys() == [Why.ASKED] * 3


def test_a_schedule_makes_up_for_missed_ticks_once_and_then_waits(shop: Recovery, dr: ControlPlane) -> None:
    yearly = {"mode": "scheduled", "schedule": "0 0 1 1 *"}
    with Service(shop, dr.kubeconfig, **yearly) as service:
        time.sleep(1.5)
        assert (service.told.looks, service.connections) == ([], 0)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with Service(shop, dr.kubeconfig, last_run=long_ago, drift={"interval": "1s"}, **yearly) as service:
        service.settled(shop.head())
        shop.commit(file_of("app", "2"))
        time.sleep(2.5)
        assert service.told.whys() == [Why.ASKED]
        assert value_of(dr) == "1"


def test_a_scheduled_import_is_made_up_for_when_what_it_needs_is_back(shop: Recovery, dr: ControlPlane) -> None:
    away = shop.remote.with_name("away")
    shutil.move(shop.remote, away)
    with Service(shop, dr.kubeconfig, mode="manual") as service:
        service.polling.wake()
        service.wait(lambda: service.polling.state.troubles, what="the trouble")
        shutil.move(away, shop.remote)
        service.settled(shop.head())
        time.sleep(1)
        assert service.told.whys() == [Why.ASKED]


# Drift


def test_drift_is_put_back_at_its_interval(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig, interval="1h", drift={"interval": "2s"}) as service:
        service.settled(shop.head())
        set_by_hand(dr, "by hand")
        dr.delete("/api/v1/namespaces/shop/configmaps/other-1", wait=False)
        assert service.wait(lambda: value_of(dr) == "1" and value_of(dr, "other-1"), what="the repair") < 2 + 3
        service.wait(lambda: any(service.told.drift), what="the report")
        assert [ref.name for ref in next(filter(None, service.told.drift))] == ["app", "other-1"]
        dr.audit.mark()
        done = len(service.told.outcomes)
        service.wait(lambda: len(service.told.outcomes) >= done + 2, what="two more looks")
        assert service.told.drift[-1] == ()
        assert dr.audit.writes() == []


def test_drift_that_is_only_reported_stays_until_git_changes_the_object(shop: Recovery, dr: ControlPlane) -> None:
    drift = {"interval": "1s", "mode": "report"}
    with Service(shop, dr.kubeconfig, drift=drift) as service:
        service.settled(shop.head())
        set_by_hand(dr, "by hand")
        dr.audit.mark()
        service.wait(lambda: [ref.name for ref in service.polling.state.drifted] == ["app"], what="the report")
        done = len(service.told.outcomes)
        service.wait(lambda: len(service.told.outcomes) >= done + 2, what="two more looks")
        assert dr.audit.writes() == []

        service.settled(shop.commit(file_of("other-2", "2")))
        assert (value_of(dr), value_of(dr, "other-2")) == ("by hand", "2")
    with Service(shop, dr.kubeconfig, drift=drift) as service:
        service.settled(shop.head())
        assert value_of(dr) == "by hand"
        service.settled(shop.commit(file_of("app", "3")))
        assert value_of(dr) == "3"
        service.wait(lambda: service.polling.state.drifted == (), what="no drift")
    set_by_hand(dr, "by hand")
    shop.import_into(dr)
    assert value_of(dr) == "3"


def test_an_audit_asks_for_every_object_and_changes_none(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig, auditInterval="2s", drift={"mode": "off"}) as service:
        service.settled(shop.head())
        before = dr.settle()
        dr.audit.mark()
        service.wait(lambda: Why.AUDIT in service.told.whys(), what="the audit")
        service.wait(lambda: len(service.told.outcomes) == 2, what="its end")
    asked = {event.name for event in dr.audit.writes() if event.namespace == "shop"}
    assert {"app", "other-1"} <= asked
    after = dr.settle()
    inventory = "dr-syncer/configmaps/dr-syncer-prod"  # says that a run was at work, so that two notice each other
    assert {**after, inventory: ""} == {**before, inventory: ""}
    assert service.told.outcomes[-1].drifted == ()


# What is not imported


@needs_ssh_keygen
def test_a_refused_commit_is_tried_ever_more_seldom_while_the_last_good_one_is_kept_up(
    shop: Recovery, dr: ControlPlane, tmp_path: Path, source: ControlPlane
) -> None:
    exporter = signer(tmp_path, "exporter@prod")
    signers = allowed(tmp_path, exporter.line())
    shop.repository |= {"signing": {"keyFile": str(exporter.file)}, "verify": {"allowedSignersFile": str(signers)}}
    source.apply([configmap("shop", "app", value="2")])
    good = shop.export(source).commit
    with Service(shop, dr.kubeconfig, drift={"interval": "2s"}) as service:
        service.settled(good)
        bad = shop.commit(file_of("app", "evil"))
        service.wait(lambda: service.polling.state.condition is Condition.REFUSED, what="the refusal")
        begun = time.monotonic()
        set_by_hand(dr, "by hand")
        service.wait(lambda: value_of(dr) == "2", what="the repair by the last good commit")
        time.sleep(max(0.0, 7 - (time.monotonic() - begun)))

        tries = [at for at, kind, _ in service.told.failures if kind is Failure.REFUSED]
        assert 3 <= len(tries) <= 5  # at once, after 1, 2 and 4 seconds
        (trouble,) = service.polling.state.troubles
        assert "is not signed" in trouble.text
        assert (service.polling.state.seen, service.polling.state.imported) == (bad, good)
        assert value_of(dr) == "2"
    with Service(shop, dr.kubeconfig, drift={"interval": "1s"}) as service:
        service.wait(lambda: service.polling.state.imported == good, what="the last good one, after a restart")
        set_by_hand(dr, "by hand")
        service.wait(lambda: value_of(dr) == "2", what="the repair after a restart")
        assert service.polling.state.condition is Condition.REFUSED


def test_what_the_prune_guard_holds_back_waits_for_a_person(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig, drift={"interval": "1s"}) as service:
        good = shop.head()
        service.settled(good)
        gone = {f"namespaces/shop/configmaps/other-{index}.yaml": None for index in range(8)}
        bad = shop.commit({**gone, **file_of("app", "2")})
        service.wait(lambda: service.polling.state.condition is Condition.GUARDED, what="the guard")
        started = service.told.whys().count(Why.COMMIT)
        time.sleep(4)
        assert service.told.whys().count(Why.COMMIT) == started
        assert Why.RETRY not in service.told.whys()
        assert (value_of(dr), value_of(dr, "other-1")) == ("1", "x")
        assert [trouble.failure for trouble in service.polling.state.troubles] == [Failure.GUARD]

        assert shop.import_into(dr, confirmed=True).revision == bad
        service.wait(lambda: service.polling.state.condition is Condition.DONE, what="the person's import")
        time.sleep(2.5)
        assert (value_of(dr), value_of(dr, "other-1")) == ("2", "")
        assert service.polling.state.troubles == ()


def test_a_blocked_object_is_tried_again_and_an_invalid_file_is_not(
    shop: Recovery, dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(dr)
    refused = proxy.status(403, method="PATCH", path="/configmaps/app", times=3)
    with Service(shop, proxy.kubeconfig) as service:
        service.wait(lambda: service.polling.state.condition is Condition.PARTIAL, what="a part")
        service.wait(lambda: service.polling.state.condition is Condition.DONE, what="all of it")
        assert refused.hits == 3
        assert service.told.whys()[:3] == [Why.START, Why.RETRY, Why.RETRY]

        shop.commit({"namespaces/shop/configmaps/bad.yaml": "kind: ConfigMap\n", **file_of("app", "2")})
        service.wait(lambda: service.polling.state.condition is Condition.PARTIAL, what="a part")
        assert value_of(dr) == "2"
        tries = len(service.told.started)
        time.sleep(3)
        assert len(service.told.started) == tries
        service.settled(shop.commit({"namespaces/shop/configmaps/bad.yaml": None}))
        service.wait(lambda: service.polling.state.condition is Condition.DONE, what="all of it")


# What goes away and comes back


def test_drift_is_corrected_while_the_remote_is_away_and_news_are_seen_when_it_is_back(
    shop: Recovery, dr: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    away = shop.remote.with_name("away")
    with Service(shop, dr.kubeconfig, drift={"interval": "2s"}) as service:
        service.settled(shop.head())
        commit = shop.commit(file_of("app", "2"))
        service.settled(commit)
        shutil.move(shop.remote, away)
        service.wait(lambda: service.polling.state.troubles, what="the trouble")
        set_by_hand(dr, "by hand")
        service.wait(lambda: value_of(dr) == "2", what="the repair")
        time.sleep(3)
        assert {trouble.failure for trouble in service.polling.state.troubles} == {Failure.REMOTE}

        shutil.move(away, shop.remote)
        service.settled(shop.commit(file_of("app", "3")))
        assert value_of(dr) == "3"
        service.wait(lambda: service.polling.state.troubles == (), what="no trouble")
    said = [record.getMessage() for record in caplog.records if "recovery repository" in record.getMessage()]
    assert len(said) == 2, said
    assert "works again" in said[1]


def test_a_dead_api_server_is_asked_seldom_and_found_again_soon(
    shop: Recovery, fresh_cluster: Callable[..., ControlPlane], caplog: pytest.LogCaptureFixture
) -> None:
    dr = fresh_cluster("dead")
    with Service(shop, dr.kubeconfig, drift={"interval": "1s"}) as service:
        service.settled(shop.head())
        dr.stop_api()
        service.wait(lambda: service.polling.state.troubles, what="the trouble")
        before = service.connections
        time.sleep(6)
        assert 3 <= service.connections - before <= 9  # one a second at most, and one at a time
        assert {trouble.failure for trouble in service.polling.state.troubles} == {Failure.CLUSTER}
        dr.start_api()
        done = len(service.told.outcomes)
        assert service.wait(lambda: len(service.told.outcomes) > done, what="an import") < 10
        service.wait(lambda: service.polling.state.troubles == (), what="no trouble")
    said = [record.getMessage() for record in caplog.records if "the DR cluster" in record.getMessage()]
    assert len(said) == 2, said


# The end of a run


@pytest.fixture
def large(shop: Recovery, clean_source: ControlPlane) -> Recovery:
    clean_source.apply([configmap("shop", f"many-{index}", value="y") for index in range(300)])
    shop.export(clean_source)
    return shop


def state_of(dr: ControlPlane) -> dict[str, Any]:
    """What an import is answerable for in shop."""
    found = {}
    for manifest in dr.list("/api/v1/namespaces/shop/configmaps"):
        meta = manifest["metadata"]
        if meta["name"] != "kube-root-ca.crt":
            found[meta["name"]] = (manifest["data"], meta["labels"])
    return found


def test_a_stop_in_the_middle_leaves_what_the_next_import_makes_whole(
    large: Recovery, dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    large.import_into(dr)
    wanted = state_of(dr)
    dr.reset()
    proxy = fault_proxy(dr)
    proxy.delay(0.2, method="PATCH", path="/configmaps/many-", times=None)
    with Service(large, proxy.kubeconfig, workers=4) as service:
        service.wait(lambda: len(state_of(dr)) > 40, what="the middle")
        assert service.stop() < 5
        stopped = state_of(dr)
        assert 40 < len(stopped) < len(wanted)
        assert service.told.outcomes == []
    dr.audit.mark()

    outcome = large.import_into(dr)

    assert (outcome.exit_code, outcome.warnings) == (ExitCode.DONE, ())
    assert state_of(dr) == wanted
    again = {event.name for event in dr.audit.writes()} & stopped.keys()
    assert again == set()  # the stopped run had written down what it did
    dr.audit.mark()
    assert large.import_into(dr).exit_code is ExitCode.DONE
    assert dr.audit.writes() == []


@pytest.mark.parametrize("where", ["an object", "a list", "discovery"])
def test_a_stop_does_not_wait_for_a_server_that_hangs(
    where: str, shop: Recovery, dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    method, path = {
        "an object": ("PATCH", "/configmaps/app"),
        "a list": ("GET", "/configmaps"),
        "discovery": ("GET", "/apis$"),
    }[where]
    proxy = fault_proxy(dr)
    hanging = proxy.hang(60, method=method, path=path, times=None)
    with Service(shop, proxy.kubeconfig) as service:
        service.wait(lambda: hanging.hits, what="the middle")
        assert service.stop() < 10
    assert shop.import_into(dr).exit_code is ExitCode.DONE
    assert value_of(dr) == "1"


def test_losing_leadership_in_the_middle_stops_writes(
    large: Recovery, dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(dr)
    proxy.delay(0.2, method="PATCH", path="/configmaps/many-", times=None)
    with Service(large, proxy.kubeconfig, workers=4) as service:
        service.wait(lambda: len(state_of(dr)) > 40, what="the middle")
        service.leads = False
        time.sleep(0.7)  # what was under way is in the audit log by then
        dr.audit.mark()
        time.sleep(1.5)
        assert dr.audit.writes() == []
        assert len(state_of(dr)) < 200
        assert service.told.outcomes == []
        assert not service.polling.state.leading

        proxy.clear()
        service.leads = True
        service.settled(large.head(), timeout=60)
        assert service.told.outcomes[-1].exit_code is ExitCode.DONE
        assert len(state_of(dr)) == 311


def test_who_does_not_lead_asks_nobody(shop: Recovery, dr: ControlPlane) -> None:
    with Service(shop, dr.kubeconfig, leads=False) as service:
        service.polling.wake()
        time.sleep(1.5)
        assert (service.told.looks, service.connections) == ([], 0)
        service.leads = True
        service.settled(shop.head())


def test_no_thread_is_left_behind(shop: Recovery, dr: ControlPlane) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with Service(shop, dr.kubeconfig, drift={"interval": "1s"}) as service:
        service.wait(lambda: len(service.told.outcomes) >= 3, what="three imports")
    assert {thread.name for thread in threading.enumerate()} <= before
