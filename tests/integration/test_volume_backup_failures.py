"""Backups that go wrong: each has its state, its reason, an exit code and an Event, and none looks whole."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.kubelet import Kubelet
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import ROOT, Backups, Ran
from volumes.sharing import exclusive

MakeNamespace = Callable[..., str]

# A mover that works until it is ended, as one whose backend is slow. What it says then is not whole.
SLOW = (sys.executable, "-c", "import time; time.sleep(600)")
SILENT = (sys.executable, "-c", "pass")
EVICTION = "The node was low on resource: ephemeral-storage."


@pytest.fixture
def backups(source: ControlPlane, make_namespace: MakeNamespace, tmp_path: Path) -> Iterator[Backups]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    node = f"node-{uuid.uuid4().hex[:6]}"
    with RestServer(tmp_path / "rest") as server, Kubelet(source, (node,), environment=environment) as kubelet:
        yield Backups(source, tmp_path, server, kubelet, make_namespace(source, "dr-syncer"))


@pytest.fixture
def shop(source: ControlPlane, make_namespace: MakeNamespace, backups: Backups) -> str:
    """A namespace with one claim, `data`, that has one file."""
    namespace = make_namespace(source, "shop")
    (backups.volumes.make(namespace, "data") / "order").write_text("1 bicycle")
    return namespace


def _failed(ran: Ran, backups: Backups, shop: str, reason: str, words: str) -> None:
    """Check that a failure is told everywhere."""
    volume = ran.volume("data")
    assert (ran.code, volume["state"], volume["reason"]) == (ExitCode.FAILED, "Failed", reason), volume
    assert words in volume["message"]
    record = backups.record(shop, "data")
    assert record is not None
    assert (record.snapshot, record.complete) == (None, False)
    assert record.attempt is not None
    assert record.attempt.reason == reason
    ((event, message),) = backups.events(shop, "data")
    assert event == "BackupFailed"
    assert words in message
    assert backups.left(shop) == []


def _run(backups: Backups, shop: str, meanwhile: Callable[[], object], **mover: Any) -> Ran:
    """Run a backup, and do something as soon as its mover works."""
    process = backups.start("--namespace", shop, **mover)
    backups.kubelet.wait_for(f"{shop}/data")
    meanwhile()
    return backups.end(process)


def test_a_mover_that_is_killed_for_memory(backups: Backups, shop: str) -> None:
    backups.kubelet.program = SLOW

    ran = _run(backups, shop, lambda: backups.kubelet.kill(f"{shop}/data", reason="OOMKilled"))

    _failed(ran, backups, shop, "Lost", "OOMKilled")


def test_a_mover_that_is_evicted(backups: Backups, shop: str) -> None:
    backups.kubelet.program = SLOW

    ran = _run(backups, shop, lambda: backups.kubelet.evict(f"{shop}/data", EVICTION))

    _failed(ran, backups, shop, "Lost", EVICTION)


def test_a_mover_that_goes_away_with_its_node(backups: Backups, shop: str) -> None:
    backups.kubelet.program = SLOW

    ran = _run(backups, shop, lambda: backups.kubelet.lose(f"{shop}/data"))

    _failed(ran, backups, shop, "Lost", "its pod was deleted")


def test_a_mover_without_a_word(backups: Backups, shop: str) -> None:
    backups.kubelet.program = SILENT

    ran = backups.run(namespaces=[shop])

    _failed(ran, backups, shop, "Lost", "without a result")


def test_a_mover_that_takes_too_long(backups: Backups, shop: str) -> None:
    backups.kubelet.program = SLOW

    ran = backups.run(namespaces=[shop], timeout="1s")

    _failed(ran, backups, shop, "TimedOut", "volumes.mover.timeout")
    assert backups.kubelet.running == {}


def test_a_mover_that_never_starts(backups: Backups, shop: str) -> None:
    backups.kubelet.holds = lambda _: True
    backups.kubelet.waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image example.com/no"}

    ran = backups.run(namespaces=[shop], startTimeout="1s")

    _failed(ran, backups, shop, "NotStarted", "Back-off pulling image example.com/no")


def test_a_quota_that_leaves_no_room(backups: Backups, shop: str, source: ControlPlane) -> None:
    source.limit(shop, "small", hard={"pods": "0"})

    ran = backups.run(namespaces=[shop], startTimeout="1s")

    _failed(ran, backups, shop, "NotStarted", "exceeded quota: small")


def test_a_namespace_that_lets_no_root_in(backups: Backups, shop: str, source: ControlPlane) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    source.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shop, "labels": labels}}])

    refused = backups.run(namespaces=[shop])

    _failed(refused, backups, shop, "NotStarted", "enforces Pod Security level restricted")
    assert "volumes.mover.user" in refused.volume("data")["message"]

    backups.init()

    assert backups.run(namespaces=[shop], user=1000).states() == {"data": "Complete"}


def test_a_namespace_of_the_baseline_level_is_backed_up(backups: Backups, shop: str, source: ControlPlane) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    source.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shop, "labels": labels}}])
    backups.init()

    assert backups.run(namespaces=[shop]).states() == {"data": "Complete"}


def test_resources_are_made_to_fit_the_namespaces_limits(backups: Backups, shop: str, source: ControlPlane) -> None:
    limit = {"type": "Container", "max": {"memory": "128Mi"}, "min": {"cpu": "200m"}, "default": {"cpu": "200m"}}
    meta = {"metadata": {"name": "small", "namespace": shop}, "spec": {"limits": [limit]}}
    source.apply([{"apiVersion": "v1", "kind": "LimitRange", **meta}])
    backups.init()

    ran = backups.run(namespaces=[shop])

    assert ran.states() == {"data": "Complete"}, ran.volume("data")
    (pod,) = backups.kubelet.seen
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "200m", "memory": "128Mi"}


def test_a_namespace_whose_pods_may_not_look_at_those_of_others(
    backups: Backups, shop: str, source: ControlPlane, make_namespace: MakeNamespace
) -> None:
    """There a mover has no wish for a node without other movers. It is no more than a wish."""
    source.limit(shop, "alone", hard={"pods": "0"}, scopes=["CrossNamespacePodAffinity"])
    elsewhere = make_namespace(source, "elsewhere")
    (backups.volumes.make(elsewhere, "data") / "order").write_text("1 bicycle")
    backups.init()

    ran = backups.run(namespaces=[shop, elsewhere])

    assert {volume["state"] for volume in ran.data["volumes"]} == {"Complete"}, ran.data
    wishes = {pod["metadata"]["namespace"]: "affinity" in pod["spec"] for pod in backups.kubelet.seen}
    assert wishes == {shop: False, elsewhere: True}


def test_a_repository_that_is_not_there(backups: Backups, shop: str) -> None:
    _failed(backups.run(namespaces=[shop]), backups, shop, "NoRepository", "repository")


def test_a_repository_that_somebody_else_must_have_alone(backups: Backups, shop: str) -> None:
    """A verification or a prune that takes longer than a backup waits."""
    backups.init()
    first = backups.run(namespaces=[shop])
    whole = backups.whole(shop, "data")
    backups.section["restic"] = {**backups.config()["volumes"]["restic"], "retryLock": "1s"}

    with exclusive(backups.meeting()) as alone:
        ran = backups.run(namespaces=[shop])

    assert (first.code, ran.code, ran.states()) == (ExitCode.DONE, ExitCode.FAILED, {"data": "Locked"})
    message = ran.volume("data")["message"]
    assert alone.name in message
    record = backups.record(shop, "data")
    assert record is not None
    assert (record.complete, record.snapshot) == (False, whole)
    assert record.attempt is not None
    assert (record.attempt.state, record.attempt.reason) == (State.LOCKED, "Locked")
    assert backups.events(shop, "data") == [("BackupLocked", f"Locked: {message}")]
    assert len(backups.kubelet.seen) == 1


def test_an_api_server_that_takes_no_jobs(
    backups: Backups, shop: str, source: ControlPlane, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    proxy = fault_proxy(source)
    proxy.status(500, method="POST", path="/jobs", reason="the webhook is down", times=None)

    ran = backups.end(backups.start_killable(shop, proxy.kubeconfig))

    _failed(ran, backups, shop, "NotStarted", "create")


def test_a_failure_of_one_leaves_the_others_alone(backups: Backups, shop: str) -> None:
    backups.init()
    (backups.volumes.make(shop, "more") / "order").write_text("2 bicycles")
    backups.kubelet.holds = lambda claim: claim.endswith("/more")

    ran = backups.run(namespaces=[shop], startTimeout="3s")

    assert (ran.code, ran.states()) == (ExitCode.PARTIAL, {"data": "Complete", "more": "Failed"})
    assert backups.whole(shop, "data").files == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_movers_and_leaves_nothing(
    backups: Backups, shop: str, number: signal.Signals
) -> None:
    backups.kubelet.program = SLOW
    process = backups.start("--namespace", shop)
    backups.kubelet.wait_for(f"{shop}/data")
    begun = time.monotonic()

    process.send_signal(number)
    ran = backups.end(process)

    assert ran.code == ExitCode.INTERRUPTED, ran.stderr
    assert time.monotonic() - begun < 30
    assert backups.kubelet.running == {}
    assert backups.left(shop) == []
    assert backups.leases() == []
    record = backups.record(shop, "data")
    assert record is not None, ran.stderr
    assert record.attempt is not None
    assert record.attempt.reason == "Interrupted"
