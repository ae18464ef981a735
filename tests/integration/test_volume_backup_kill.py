"""A dispatcher that dies at each step that writes, and two at once: nothing is lost, doubled or left behind."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.kubelet import MERGE, PROGRAM, Kubelet
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import CLAIMS, ROOT, Backups

MakeNamespace = Callable[..., str]
MakeProxy = Callable[[ControlPlane], FaultProxy]

# The steps of a dispatcher, by the request that it is about to send when it dies.
STEPS = {
    "before the secret": ("POST", "/secrets"),
    "before the start": ("PATCH", "/jobs/"),
    "before the credentials go": ("DELETE", "/secrets/"),
    "before the record": ("PATCH", "/persistentvolumeclaims/"),
    "before the end": ("DELETE", "/jobs/"),
}
WAITING = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def backups(source: ControlPlane, make_namespace: MakeNamespace, tmp_path: Path) -> Iterator[Backups]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    node = f"node-{uuid.uuid4().hex[:6]}"
    with RestServer(tmp_path / "rest") as server, Kubelet(source, (node,), environment=environment) as kubelet:
        made = Backups(source, tmp_path, server, kubelet, make_namespace(source, "dr-syncer"))
        made.init()
        yield made


@pytest.fixture
def shop(source: ControlPlane, make_namespace: MakeNamespace, backups: Backups) -> str:
    """A namespace with one claim, `data`, that has one file."""
    namespace = make_namespace(source, "shop")
    (backups.volumes.make(namespace, "data") / "order").write_text("1 bicycle")
    return namespace


def _snapshots(backups: Backups) -> list[str]:
    """Return the ids of the snapshots of data, oldest first; those of manifests are others."""
    found = json.loads(backups.restic("snapshots", "--json"))
    return [one["id"] for one in found if not any(tag.startswith("manifest-of=") for tag in one["tags"])]


@pytest.mark.parametrize("step", STEPS)
def test_a_dispatcher_killed_at_any_step_is_made_up_for_by_the_next(
    step: str, backups: Backups, shop: str, source: ControlPlane, fault_proxy: MakeProxy
) -> None:
    method, path = STEPS[step]
    proxy = fault_proxy(source)
    hanging = proxy.hang(60, method=method, path=path, times=None)
    process = backups.start_killable(shop, proxy.kubeconfig)
    source.wait_for(lambda: hanging.hits, what=step, timeout=60)
    process.kill()
    process.communicate()
    made_before = _snapshots(backups)

    ran = backups.run(namespaces=[shop])

    assert ran.code == ExitCode.DONE, ran.data
    # Nothing differs from what the first one's mover has read, if it has: so there is one snapshot in the end.
    assert [backups.whole(shop, "data").id] == _snapshots(backups)
    assert made_before in ([], _snapshots(backups))
    # What the first one's mover had found out was written down: the second one's knew of it.
    assert ran.states() == {"data": "Unchanged" if made_before else "Complete"}
    assert backups.left(shop) == []
    source.wait_for(lambda: backups.leases() == [], what="the Leases to be given back")


def test_a_mover_goes_on_without_its_dispatcher_and_the_next_one_waits_for_it(
    backups: Backups, shop: str, source: ControlPlane
) -> None:
    # A mover that begins when it is told to.
    gate = backups.folder / "gate"
    backups.kubelet.program = (sys.executable, "-c", WAITING, str(gate), *PROGRAM)
    process = backups.start_killable(shop, source.kubeconfig)
    backups.kubelet.wait_for(f"{shop}/data")
    process.kill()
    process.communicate()
    gate.touch()

    ran = backups.run(namespaces=[shop])

    assert ran.code == ExitCode.DONE, ran.data
    assert ran.states() == {"data": "Unchanged"}
    assert len(_snapshots(backups)) == 1
    assert len(backups.kubelet.seen) == 2
    assert backups.left(shop) == []


def _kill_before_the_record(backups: Backups, shop: str, source: ControlPlane, fault_proxy: MakeProxy) -> None:
    """Kill a dispatcher that has a mover's result, and has not written it down yet."""
    proxy = fault_proxy(source)
    hanging = proxy.hang(60, method="PATCH", path="/persistentvolumeclaims/", times=None)
    process = backups.start_killable(shop, proxy.kubeconfig)
    source.wait_for(lambda: hanging.hits, what="a result", timeout=60)
    process.kill()
    process.communicate()


def test_what_is_left_of_a_claim_that_is_not_asked_for_is_cleared_up_too(
    backups: Backups, shop: str, source: ControlPlane, fault_proxy: MakeProxy
) -> None:
    _kill_before_the_record(backups, shop, source, fault_proxy)
    (backups.volumes.make(shop, "more") / "order").write_text("2 bicycles")

    ran = backups.run(claims=[(shop, "more")])

    assert ran.states() == {"more": "Complete"}
    assert backups.whole(shop, "data").files == 1
    assert backups.left(shop) == []


@pytest.mark.parametrize("asked", ["data", "more"])
def test_what_was_read_of_a_claim_that_is_gone_is_not_said_of_a_new_one(
    asked: str, backups: Backups, shop: str, source: ControlPlane, fault_proxy: MakeProxy
) -> None:
    _kill_before_the_record(backups, shop, source, fault_proxy)
    path = CLAIMS.format(shop, "data")
    source.delete(path, wait=False)
    source.patch(path, {"metadata": {"finalizers": None}}, content_type=MERGE)  # as once nobody uses it any more
    source.wait_for(lambda: not source.exists(path), what="the claim to be gone")
    shutil.rmtree(backups.volumes.folder / shop / "data")
    backups.volumes.make(shop, "data")
    (backups.volumes.make(shop, "more") / "order").write_text("2 bicycles")

    backups.run(claims=[(shop, asked)])

    record = backups.record(shop, "data")
    assert record is None or record.snapshot is None
    assert backups.left(shop) == []


def test_two_dispatchers_at_once_never_move_the_same_volume(backups: Backups, shop: str, source: ControlPlane) -> None:
    (backups.volumes.make(shop, "more") / "order").write_text("2 bicycles")
    backups.kubelet.holds = lambda claim: claim.endswith("/data")
    first = backups.start_killable(shop, source.kubeconfig)
    jobs = f"/apis/batch/v1/namespaces/{shop}/jobs"
    source.wait_for(
        lambda: any("data" in job["metadata"]["name"] for job in source.list(jobs)), what="a Job", timeout=60
    )

    second = backups.run(namespaces=[shop])

    data = second.volume("data")
    assert (data["state"], data["reason"]) == ("Failed", "NotStarted")
    assert "another run" in data["message"]
    # The first one's is under way: what becomes of it is not the second one's to write down.
    assert backups.record(shop, "data") is None
    backups.kubelet.holds = lambda _: False
    stdout, _ = first.communicate(timeout=60)
    assert first.returncode in (ExitCode.DONE, ExitCode.PARTIAL), stdout
    assert backups.whole(shop, "data").files == 1
    assert backups.left(shop) == []
