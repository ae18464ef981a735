"""`dr-syncer volumes backup` on a real control plane: Jobs, movers, restic and its repository are real, containers not.

See tests/cluster/kubelet.py for what stands in for nodes.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drsyncer import own
from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet, use
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import CLAIMS, ROOT, Backups

MakeNamespace = Callable[..., str]


@pytest.fixture
def backups(source: ControlPlane, make_namespace: MakeNamespace, tmp_path: Path) -> Iterator[Backups]:
    nodes = tuple(f"node-{uuid.uuid4().hex[:6]}-{number}" for number in (1, 2))
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    with RestServer(tmp_path / "rest") as server, Kubelet(source, nodes, environment=environment) as kubelet:
        made = Backups(source, tmp_path, server, kubelet, make_namespace(source, "dr-syncer"))
        made.init()
        yield made


@pytest.fixture
def shop(source: ControlPlane, make_namespace: MakeNamespace) -> str:
    return make_namespace(source, "shop")


def test_a_volume_is_backed_up_and_remembered(backups: Backups, shop: str, source: ControlPlane) -> None:
    (backups.volumes.make(shop, "data") / "order").write_text("1 bicycle")

    ran = backups.run(namespaces=[shop])

    assert ran.code == ExitCode.DONE, ran.data
    assert ran.states() == {"data": "Complete"}
    record = backups.record(shop, "data")
    assert record is not None
    assert record.claim == source.get(CLAIMS.format(shop, "data"))["metadata"]["uid"]
    assert record.complete
    assert record.snapshot is not None
    (listed,) = json.loads(backups.restic("snapshots", "--json", record.snapshot.id))
    assert (listed["hostname"], f"pvc={shop}/data" in listed["tags"]) == ("prod", True)
    assert backups.restic("dump", record.snapshot.id, "/order") == "1 bicycle"
    assert backups.left(shop) == []
    assert backups.leases() == []
    assert backups.events(shop, "data") == []


def test_the_next_backup_knows_what_was_there_before(backups: Backups, shop: str) -> None:
    folder = backups.volumes.make(shop, "data")
    (folder / "order").write_text("1 bicycle")
    (folder / "orders").write_text("100 bicycles" * 1000)
    backups.run(namespaces=[shop])
    first = backups.whole(shop, "data")

    unchanged = backups.run(namespaces=[shop])
    second = backups.whole(shop, "data")
    (folder / "orders").unlink()
    shrunk = backups.run(namespaces=[shop])
    third = backups.record(shop, "data")
    backups.repository = "away"
    failed = backups.run(namespaces=[shop])
    fourth = backups.record(shop, "data")
    backups.repository = "repo"
    confirmed = backups.run(claims=[(shop, "data")], confirmed=[(shop, "data")])

    assert unchanged.states() == {"data": "Unchanged"}
    assert (first.id == second.id, first.start < second.start) == (True, True)
    assert (shrunk.code, shrunk.states()) == (ExitCode.FAILED, {"data": "Empty"})
    assert third is not None
    assert third.snapshot == second
    assert third.attempt is not None
    assert (third.attempt.state, third.attempt.reason) == (State.EMPTY, "Shrunk")
    assert failed.states() == {"data": "Failed"}
    assert fourth is not None
    assert fourth.suspicion == third.suspicion is not None
    assert {reason for reason, _ in backups.events(shop, "data")} == {"BackupEmpty", "BackupFailed"}
    assert (confirmed.code, confirmed.states()) == (ExitCode.DONE, {"data": "Complete"})
    assert backups.whole(shop, "data").files == 1


def twenty_orders(backups: Backups, shop: str) -> Path:
    """Make a claim whose volume has twenty files; return its folder."""
    folder = backups.volumes.make(shop, "data")
    for number in range(20):
        (folder / f"order-{number}").write_text("1 bicycle")
    return folder


def all_but_one_deleted(folder: Path) -> None:
    for number in range(1, 20):
        (folder / f"order-{number}").unlink()


def test_a_loss_is_noticed_also_when_the_backups_move_to_another_repository(backups: Backups, shop: str) -> None:
    folder = twenty_orders(backups, shop)
    backups.run(namespaces=[shop])
    first = backups.whole(shop, "data")
    all_but_one_deleted(folder)
    backups.repository = "new"
    backups.init()

    forgotten = backups.run(namespaces=[shop])
    adopted = backups.end(backups.start("--adopt", "--namespace", shop))
    record = backups.record(shop, "data")
    next_night = backups.run(namespaces=[shop])
    first_way, way_on = (
        run.volume("data")["message"].partition("`dr-syncer volumes backup ")[2].rstrip("`").split()
        for run in (adopted, next_night)
    )
    confirmed = backups.end(backups.start(*way_on))
    after = backups.run(namespaces=[shop])

    assert (forgotten.volume("data")["state"], forgotten.volume("data")["reason"]) == ("Failed", "OtherRepository")
    assert (adopted.volume("data")["state"], adopted.volume("data")["reason"]) == ("Empty", "Shrunk")
    assert record is not None
    assert record.snapshot == first
    assert record.suspicion is not None
    assert first_way == ["--pvc", f"{shop}/data", "--confirm", f"{shop}/data", "--adopt"]
    # What a person decided is remembered, although nothing was whole there yet.
    assert (next_night.volume("data")["state"], next_night.volume("data")["reason"]) == ("Empty", "Shrunk")
    assert way_on == first_way[:-1]
    assert confirmed.states() == {"data": "Complete"}, confirmed.stderr
    assert after.states() == {"data": "Unchanged"}
    assert backups.whole(shop, "data").files == 1


def test_a_loss_is_noticed_also_when_the_cluster_has_another_name(backups: Backups, shop: str) -> None:
    folder = twenty_orders(backups, shop)
    backups.run(namespaces=[shop])
    all_but_one_deleted(folder)
    backups.name = "renamed"

    ran = backups.run(namespaces=[shop])

    assert (ran.volume("data")["state"], ran.volume("data")["reason"]) == ("Empty", "Shrunk")


def test_a_claim_that_was_made_anew_is_no_standby_for_the_one_before(backups: Backups, shop: str) -> None:
    folder = twenty_orders(backups, shop)
    backups.run(namespaces=[shop])
    first = backups.whole(shop, "data")
    claim = CLAIMS.format(shop, "data")
    brought = {own.BACKUP_RESULT: backups.cluster.get(claim)["metadata"]["annotations"][own.BACKUP_RESULT]}
    backups.cluster.delete(claim)
    folder.rename(folder.with_name("deleted"))
    (backups.volumes.make(shop, "data", annotations=brought) / "order-0").write_text("1 bicycle")

    ran = backups.run(namespaces=[shop])
    record = backups.record(shop, "data")
    next_night = backups.run(namespaces=[shop])
    confirmed = backups.run(claims=[(shop, "data")], confirmed=[(shop, "data")])

    for run in (ran, next_night):
        assert (run.volume("data")["state"], run.volume("data")["reason"]) == ("Empty", "Shrunk")
    earlier = f"the last whole snapshot of a claim of this name before ({first.id[:8]} of"
    assert f"the volume has 1 files, and 20 in {earlier}" in ran.volume("data")["message"]
    assert record is not None
    assert (record.snapshot, record.complete) == (None, False)
    assert record.suspicion is not None
    assert confirmed.states() == {"data": "Complete"}


def test_a_volume_whose_record_cannot_be_read_is_backed_up_and_said_not_to_be_compared_with_that(
    backups: Backups, shop: str
) -> None:
    (backups.volumes.make(shop, "data", annotations={"dr-syncer.io/backup-result": "{}"}) / "order").write_text("1")

    ran = backups.run(namespaces=[shop])
    again = backups.run(namespaces=[shop])

    assert ran.states() == {"data": "Complete"}
    (warning,) = ran.volume("data")["warnings"]
    assert "it is compared only with the newest whole snapshot that the restic repository has" in warning
    assert "is no record of a backup" in warning
    assert any("is compared only" in said for said in ran.data["warnings"])
    assert (again.volume("data")["warnings"], again.data["warnings"]) == ([], [])


def test_movers_go_where_the_volume_is_and_so_many_at_once(backups: Backups, shop: str, source: ControlPlane) -> None:
    near, far = backups.kubelet.nodes
    for number in range(4):
        (backups.volumes.make(shop, f"data-{number}") / "order").write_text("1 bicycle")
        use(source, shop, f"data-{number}", node=far, name=f"web-{number}")
    (backups.volumes.make(shop, "shared", modes=["ReadWriteMany"]) / "order").write_text("1 bicycle")

    ran = backups.run(namespaces=[shop], parallel=3, parallelPerNode=1)

    assert ran.code == ExitCode.DONE, ran.data
    assert set(ran.states().values()) == {"Complete"}
    placed = [pod["spec"]["nodeName"] for pod in backups.kubelet.seen]
    assert sorted(placed) == sorted([far] * 4 + [near])
    assert backups.kubelet.at_once <= 2


def test_a_mover_that_the_scheduler_placed_counts_on_its_node(
    backups: Backups, shop: str, source: ControlPlane
) -> None:
    node = backups.kubelet.nodes[0]
    backups.volumes.make(shop, "a-shared", modes=["ReadWriteMany"])
    backups.kubelet.holds = lambda claim: claim == f"{shop}/a-shared"  # it is on its node for as long as may be
    for number in (1, 2):
        (backups.volumes.make(shop, f"data-{number}") / "order").write_text("1 bicycle")
        use(source, shop, f"data-{number}", node=node, name=f"web-{number}")

    ran = backups.run(namespaces=[shop], parallel=2, parallelPerNode=1, startTimeout="20s")

    assert ran.states() == {"a-shared": "Failed", "data-1": "Complete", "data-2": "Complete"}, ran.data
    shared, first, second = (ran.volume(name) for name in ("a-shared", "data-1", "data-2"))
    assert first["end"] < shared["end"] <= second["start"]


def test_a_dry_run_says_what_would_happen_and_why_and_touches_nothing(
    backups: Backups, shop: str, source: ControlPlane
) -> None:
    backups.volumes.make(shop, "data", annotations={"dr-syncer.io/pre-backup": "sync"})
    backups.volumes.make(shop, "cache", annotations={"dr-syncer.io/backup": "false"})
    backups.volumes.make(shop, "single", modes=["ReadWriteOncePod"])
    use(source, shop, "single", node=backups.kubelet.nodes[0])
    source.audit.mark()

    ran = backups.end(backups.start("--namespace", shop, "--dry-run"))

    assert ran.code == ExitCode.PARTIAL
    choices = {volume["name"]: (volume["choice"], volume["check"]) for volume in ran.data["volumes"]}
    assert choices == {
        "cache": ("left out", "annotation"),
        "data": ("selected", "select"),
        "single": ("refused", "placing"),
    }
    why = ran.volume("single")["why"]
    assert "only a copy of it can be read" in why
    assert "there can be no copy of it: the cluster has no VolumeSnapshots" in why
    assert [said for said in ran.data["warnings"] if said.startswith(f"{shop}/data: annotation dr-syncer.io/pre-")]
    assert source.audit.writes() == []

    nowhere = backups.end(backups.start("--namespace", f"{shop}x", "--dry-run"))
    assert (nowhere.code, f"no PersistentVolumeClaim in namespace {shop}x" in nowhere.stderr) == (ExitCode.USAGE, True)
