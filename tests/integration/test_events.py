"""Kubernetes Events: what a person on call sees with `kubectl get events`, once for each matter."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drsyncer.cluster import connect
from drsyncer.cluster.events import EventWriter
from drsyncer.retry import Schedule
from drsyncer.service.place import Place
from drsyncer.service.reasons import DELETIONS_HELD, REPOSITORY_UNAVAILABLE, Reason
from drsyncer.service.series import Ledger
from drsyncer.service.telling import Teller
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Services, until

IMPORTER = "dr-syncer-importer-dr"
EXPORTER = "dr-syncer-exporter-prod"
SOON = Schedule(initial=0.1, factor=2.0, maximum=0.5, jitter=0.0)
CANARY = "canary-2f9d1c"


class Seen:
    """The Events about what one service has in its cluster."""

    def __init__(self, cluster: ControlPlane, about: str, where: str = "dr-syncer") -> None:
        self._cluster = cluster
        self._about = about
        self._where = where

    def all(self) -> list[dict[str, Any]]:
        found = self._cluster.list(f"/api/v1/namespaces/{self._where}/events")
        return [event for event in found if event["involvedObject"]["name"] == self._about]

    def of(self, reason: str) -> list[dict[str, Any]]:
        return [event for event in self.all() if event["reason"] == reason]

    def says(self, reason: str) -> str:
        """Return the messages of one reason."""
        return "\n".join(event["message"] for event in self.of(reason))

    def wait(self, reason: str, *, patience: float = 40.0) -> None:
        until(lambda: self.of(reason), lambda: f"{reason}: {[one['reason'] for one in self.all()]}", patience=patience)


def secret(where: str, name: str, value: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": where}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": value}}


def test_an_importer_tells_what_is_blocked_who_changed_dr_and_what_it_refuses(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    held = [configmap("shop", f"held-{number}", value="git") for number in range(4)]
    others = [configmap("shop", f"other-{number}", value="git") for number in range(4)]
    clean_source.apply([namespace("shop"), *held, *others, secret("shop", "db", CANARY)])
    recovery.export(clean_source)
    mine = [configmap("shop", f"held-{number}", value="mine") for number in range(4)]
    clean_dr.apply([namespace("shop"), *mine, secret("shop", "db", "other")], field_manager="helm")
    seen = Seen(clean_dr, IMPORTER)

    service = services.start("importer", clean_dr, interval="1s", drift={"interval": "1s"})
    seen.wait("ObjectsBlocked")
    until(lambda: "4 objects: shop/configmaps/held-0, " in seen.says("ObjectsBlocked"), "the four of one cause")
    (event,) = [event for event in seen.of("ObjectsBlocked") if "held-0" in event["message"]]
    assert "and 1 more" in event["message"]
    assert "data.value belongs to helm" in event["message"]
    assert event["type"] == "Warning"
    assert event["reportingComponent"] == "dr-syncer"

    clean_dr.apply([configmap("shop", "other-1", value="by hand")], field_manager="anna")
    seen.wait("DriftCorrected")
    assert seen.says("DriftCorrected") == "1 object: shop/configmaps/other-1 changed by anna; put back"
    clean_dr.delete("/api/v1/namespaces/shop/configmaps/other-2", wait=False)
    until(lambda: "other-2 deleted by other hands; put back" in seen.says("DriftCorrected"), "the deleted one")

    away = Path(f"{recovery.remote}.away")
    recovery.remote.rename(away)
    seen.wait("RepositoryUnavailable")
    away.rename(recovery.remote)
    seen.wait("RepositoryAvailable")

    good = recovery.head()
    stranger = recovery.git("commit-tree", "-m", "rewritten", f"{good}^{{tree}}").strip()
    recovery.git("update-ref", "refs/heads/main", stranger)
    seen.wait("RevisionRefused")
    assert "was rewritten" in seen.says("RevisionRefused")
    recovery.git("update-ref", "refs/heads/main", good)
    seen.wait("RevisionAccepted")

    for path in (*(f"configmaps/held-{number}" for number in range(4)), "secrets/db"):
        clean_dr.delete(f"/api/v1/namespaces/shop/{path}", wait=False)
    seen.wait("ObjectsUnblocked", patience=60.0)
    said = clean_dr.kubectl("get", "events", "-n", "dr-syncer", "--field-selector", f"involvedObject.name={IMPORTER}")
    print(said.stdout)
    assert len(seen.all()) <= 12
    assert CANARY not in json.dumps(seen.all())
    assert service.end() == 0


def test_an_exporter_tells_of_its_cluster_its_guard_and_its_configuration_and_is_silent_otherwise(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    many = [configmap("shop", f"n{number}", a="b") for number in range(12)]
    clean_source.apply([namespace("dr-syncer"), namespace("shop"), *many])
    seen = Seen(clean_source, EXPORTER)
    service = services.start(
        "exporter", clean_source, server={"leaderElection": True}, quietPeriod="300ms", maxDelay="1s"
    )
    until(recovery.head, "the first export")
    seen.wait("LeadershipGained")

    for number in range(12):
        clean_source.delete(f"/api/v1/namespaces/shop/configmaps/n{number}", wait=False)
    seen.wait("DeletionsHeld")
    assert "confirms it" in seen.says("DeletionsHeld")
    clean_source.apply(many)
    seen.wait("DeletionsReleased")

    clean_source.stop_api()
    until(lambda: "does not answer" in service.log.read_text(), "the cluster's failure to be told")
    clean_source.start_api()
    seen.wait("ClusterUnavailable")
    seen.wait("ClusterAvailable")

    good = service.config.read_bytes()
    service.config.write_bytes(good.replace(b'"300ms"', b'"soon"'))
    seen.wait("ConfigurationFaulty")
    service.config.write_bytes(good.replace(b'"300ms"', b'"400ms"'))
    seen.wait("ConfigurationChanged")

    until(lambda: service.metric('dr_syncer_watches{state="connected"}') > 10, "the watches")
    before = seen.all()
    clean_source.apply([configmap("shop", "n1", a="c")])
    until(lambda: "a: c" in recovery.file("namespaces/shop/configmaps/n1.yaml"), "the change")
    time.sleep(2.0)
    assert seen.all() == before  # a commit is nothing to wake anybody for
    assert service.end() == 0


class Telling:
    """A teller that writes as one user. A context manager."""

    def __init__(self, kubeconfig: Path, where: str) -> None:
        self._kubeconfig = kubeconfig
        self._where = where
        self.teller = Teller(self._connect, Ledger(EXPORTER), schedule=SOON)

    def _connect(self) -> EventWriter:
        cluster = connect(kubeconfig=str(self._kubeconfig), schedule=Schedule(attempts=1), timeout=5.0)
        return EventWriter(cluster, Place(self._where, EXPORTER), instance="pod-1")

    def __enter__(self) -> Callable[[Reason, str], None]:
        self.teller.start()
        return self.teller.tell

    def __exit__(self, *_: object) -> None:
        self.teller.stop()
        assert not [one for one in threading.enumerate() if one.name == "events"]


def test_what_repeats_is_one_event_that_names_the_config_map_and_is_made_again_when_forgotten(
    source: ControlPlane, make_namespace: Callable[..., str]
) -> None:
    where = make_namespace(source)
    source.apply([configmap(where, EXPORTER)])
    seen = Seen(source, EXPORTER, where)
    with Telling(source.kubeconfig, where) as tell:
        tell(DELETIONS_HELD, "60 deletions")
        seen.wait("DeletionsHeld")
        tell(DELETIONS_HELD, "61 deletions")
        until(lambda: "61 deletions" in seen.says("DeletionsHeld"), "the second one")
        (event,) = seen.all()
        assert event["count"] == 2
        uid = source.get(f"/api/v1/namespaces/{where}/configmaps/{EXPORTER}")["metadata"]["uid"]
        assert event["involvedObject"]["uid"] == uid
        assert "DeletionsHeld" in source.kubectl("describe", "configmap", EXPORTER, "-n", where).stdout

        source.delete(f"/api/v1/namespaces/{where}/events/{event['metadata']['name']}")
        tell(DELETIONS_HELD, "62 deletions")
        seen.wait("DeletionsHeld")
        assert [(one["message"], one["count"]) for one in seen.all()] == [("62 deletions", 3)]
        source.delete(f"/api/v1/namespaces/{where}/configmaps/{EXPORTER}")
        tell(REPOSITORY_UNAVAILABLE, "no answer")  # told by the time that the teller has ended
    (event,) = seen.of("RepositoryUnavailable")
    assert "uid" not in event["involvedObject"]


def test_who_may_not_write_events_says_so_once_and_goes_on(
    source: ControlPlane, make_namespace: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    where = make_namespace(source)
    seen = Seen(source, EXPORTER, where)
    with (
        caplog.at_level(logging.WARNING, logger="dr-syncer"),
        Telling(source.kubeconfig_for("limited"), where) as tell,
    ):
        begun = time.monotonic()
        for number in range(500):
            tell(DELETIONS_HELD, f"{number} deletions")
        assert time.monotonic() - begun < 2.0
        until(lambda: caplog.records, "it to be told")
        time.sleep(2.0)
        (record,) = caplog.records
        assert "writing Kubernetes Events" in record.getMessage()
        assert "forbidden" in record.getMessage()

        assert [one.name for one in threading.enumerate() if one.name == "events"] == ["events"]
        source.grant("limited", cluster_role="cluster-admin", namespace=where)
        seen.wait("DeletionsHeld")
        assert [(one["message"], one["count"]) for one in seen.all()] == [("499 deletions", 500)]


def test_a_cluster_that_hangs_holds_up_neither_those_who_tell_nor_the_end(
    source: ControlPlane, make_namespace: Callable[..., str], fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    where, proxy = make_namespace(source), fault_proxy(source)
    hanging = proxy.hang(60, times=None)
    telling = Telling(proxy.kubeconfig, where)
    with telling as tell:
        begun = time.monotonic()
        tell(DELETIONS_HELD, "60 deletions")
        tell(REPOSITORY_UNAVAILABLE, "no answer")
        assert time.monotonic() - begun < 1.0
        until(lambda: hanging.hits, "a request to hang")
        begun = time.monotonic()
    assert time.monotonic() - begun < 8.0  # with what a busy machine takes
