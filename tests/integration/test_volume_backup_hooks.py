"""Hooks of the workload, run in its pods through a real API server, and the copies that drivers make.

Commands run as processes (tests/cluster/exec_server.py); with containers around them, in the end-to-end story.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drsyncer.cluster import connect
from drsyncer.cluster.exec import CommandTimedOut, execute
from drsyncer.errors import ExitCode, Forbidden, NotFound
from tests.cluster.control_plane import ControlPlane
from tests.cluster.exec_server import ExecServer
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.kubelet import PROGRAM, Kubelet, Running, Volumes, use
from tests.cluster.restic_servers import RestServer
from tests.cluster.snapshotter import DRIVER, Snapshotter
from tests.cluster.tools import find
from tests.integration.backups import ROOT, Backups, back_up_once, end_leases
from volumes.dispatching import Request
from volumes.selecting import Asked

MakeNamespace = Callable[..., str]

PRE, POST = "dr-syncer.io/pre-backup", "dr-syncer.io/post-backup"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ExecServer]:
    (tmp_path / "container").mkdir()
    with ExecServer(tmp_path / "container") as server:
        yield server


@pytest.fixture
def backups(source: ControlPlane, make_namespace: MakeNamespace, tmp_path: Path, node: ExecServer) -> Iterator[Backups]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    nodes = (f"node-{uuid.uuid4().hex[:6]}",)
    with (
        RestServer(tmp_path / "rest") as server,
        Kubelet(source, nodes, environment=environment, exec_port=node.port) as kubelet,
    ):
        made = Backups(source, tmp_path, server, kubelet, make_namespace(source, "dr-syncer"))
        made.init()
        yield made


def _shell(script: str, **more: str) -> str:
    return json.dumps({"command": ["/bin/sh", "-c", script], **more})


def _shop(backups: Backups, namespace: str, **annotations: str) -> None:
    """Make a claim with these annotations, one file, and a pod that uses it."""
    folder = backups.volumes.make(namespace, "data", annotations=annotations)
    (folder / "order").write_text("1 bicycle")
    use(backups.cluster, namespace, "data", node=backups.kubelet.nodes[0])


def test_a_command_runs_in_a_container_and_says_how_it_ended(
    backups: Backups, source: ControlPlane, make_namespace: MakeNamespace, node: ExecServer
) -> None:
    shop = make_namespace(source, "shop")
    _shop(backups, shop)
    cluster = connect(kubeconfig=str(source.kubeconfig))
    where = {"namespace": shop, "pod": "web", "container": "app"}

    done = execute(cluster, **where, command=["/bin/sh", "-c", "echo out; echo err >&2; exit 7"], timeout=30)

    assert (done.exit_code, sorted(done.output.split())) == (7, ["err", "out"])
    assert [command.where for command in node.commands] == [f"{shop}/web/app"]
    assert execute(cluster, **where, command=["true"], timeout=30).exit_code == 0
    with pytest.raises(CommandTimedOut, match="did not end within 1 s"):
        execute(cluster, **where, command=["sleep", "3"], timeout=1)
    with pytest.raises(NotFound, match="gone"):
        execute(cluster, **{**where, "pod": "gone"}, command=["true"], timeout=30)
    limited = connect(kubeconfig=str(source.kubeconfig_for("limited")))
    with pytest.raises(Forbidden, match="pods/exec"):
        execute(limited, **where, command=["true"], timeout=30)
    limited.close()
    cluster.close()


def test_hooks_run_before_and_after_the_volume_is_read(
    backups: Backups, source: ControlPlane, make_namespace: MakeNamespace, node: ExecServer
) -> None:
    shop = make_namespace(source, "shop")
    volume = backups.folder / "volumes" / shop / "data"
    _shop(backups, shop, **{PRE: _shell(f"echo frozen > {volume}/state"), POST: _shell(f"rm {volume}/state")})

    ran = backups.run(namespaces=[shop])

    assert ran.code == ExitCode.DONE, ran.data
    assert backups.restic("dump", backups.whole(shop, "data").id, "/state") == "frozen\n"
    assert not (volume / "state").exists()


def test_a_hook_that_fails_before_is_a_failed_backup_and_the_hook_after_runs_all_the_same(
    backups: Backups, source: ControlPlane, make_namespace: MakeNamespace, node: ExecServer
) -> None:
    shop = make_namespace(source, "shop")
    _shop(backups, shop, **{PRE: _shell("echo no lock >&2; exit 3"), POST: '["echo", "after"]'})

    ran = backups.run(namespaces=[shop])

    data = ran.volume("data")
    assert (ran.code, data["state"], data["reason"]) == (ExitCode.FAILED, "Failed", "Hook")
    assert "exit code 3: no lock" in data["message"]
    assert node.words()[-1] == "after"
    assert backups.kubelet.seen == []
    assert [reason for reason, _ in backups.events(shop, "data")] == ["BackupFailed"]


def test_a_hook_that_fails_after_leaves_a_whole_backup_and_is_told(
    backups: Backups, source: ControlPlane, make_namespace: MakeNamespace
) -> None:
    shop = make_namespace(source, "shop")
    _shop(backups, shop, **{PRE: _shell("exit 1", onError="continue"), POST: _shell("exit 4")})

    ran = backups.run(namespaces=[shop])

    data = ran.volume("data")
    assert (ran.code, data["state"], data["reason"]) == (ExitCode.PARTIAL, "Complete", "Hook")
    assert "post-backup hook in pod" in data["message"]
    assert backups.whole(shop, "data").files == 1
    assert [reason for reason, _ in backups.events(shop, "data")] == ["BackupHookFailed"]


def test_a_hook_after_runs_also_when_the_run_is_told_to_end(
    backups: Backups, make_namespace: MakeNamespace, node: ExecServer
) -> None:
    shop = make_namespace(backups.cluster, "shop")
    _shop(backups, shop, **{PRE: '["echo", "before"]', POST: '["echo", "after"]'})
    backups.kubelet.program = (sys.executable, "-c", "import time; time.sleep(600)")
    process = backups.start("--namespace", shop)
    backups.kubelet.wait_for(f"{shop}/data")

    process.send_signal(signal.SIGTERM)  # as a pod is that is evicted
    ran = backups.end(process)

    assert ran.code == ExitCode.INTERRUPTED, ran.stderr
    assert node.words() == ["before", "after"]
    assert backups.kubelet.running == {}


def _killed_between(backups: Backups, shop: str, node: ExecServer) -> Running:
    """Kill a run whose mover has the volume; return that mover, which would read for ever."""
    backups.kubelet.program = (sys.executable, "-c", "import time; time.sleep(600)")
    process = backups.start_killable(shop, backups.cluster.kubeconfig)
    mover = backups.kubelet.wait_for(f"{shop}/data")
    process.kill()
    process.communicate()
    assert node.words() == ["before"]
    backups.kubelet.program = PROGRAM
    return mover


def test_after_a_kill_the_next_run_lets_the_workload_go_before_anything_else(
    backups: Backups, make_namespace: MakeNamespace, node: ExecServer
) -> None:
    shop = make_namespace(backups.cluster, "shop")
    _shop(backups, shop, **{PRE: '["echo", "before"]', POST: '["echo", "after"]'})
    mover = _killed_between(backups, shop, node)
    (backups.volumes.make(shop, "more") / "order").write_text("2 bicycles")

    other = backups.run(claims=[(shop, "more")])  # not even about this volume

    assert (other.code, other.states(), node.words()) == (ExitCode.DONE, {"more": "Complete"}, ["before", "after"])
    assert any("killed between the hooks; the post-backup hook was run" in text for text in other.data["warnings"])
    assert mover.process.wait(60) is not None
    assert backups.record(shop, "data") is None
    backups.cluster.wait_for(lambda: backups.left(shop) == [], what="what was left to be gone")
    assert backups.run(claims=[(shop, "data")]).states() == {"data": "Complete"}
    assert node.words() == ["before", "after", "before", "after"]


def test_a_workload_that_cannot_be_let_go_is_told_until_it_is(
    backups: Backups, make_namespace: MakeNamespace, node: ExecServer
) -> None:
    shop = make_namespace(backups.cluster, "shop")
    thawed = backups.folder / "may-thaw"
    _shop(backups, shop, **{PRE: '["echo", "before"]', POST: _shell(f"test -e {thawed}")})
    _killed_between(backups, shop, node)
    (backups.volumes.make(shop, "more") / "order").write_text("2 bicycles")

    for _ in range(2):
        ran = backups.run(claims=[(shop, "more")])
        assert (ran.code, ran.volume("more")["state"] in ("Complete", "Unchanged")) == (ExitCode.PARTIAL, True)
        (held,) = ran.data["held"]
        assert f"{shop}/data" in held
        assert "exit code 1" in held
    assert "BackupHookFailed" in [reason for reason, _ in backups.events(shop, "data")]

    thawed.touch()
    ran = backups.run(namespaces=[shop])
    assert (ran.code, ran.data["held"], ran.states()["data"]) == (ExitCode.DONE, [], "Complete")
    assert backups.left(shop) == []


@pytest.fixture
def snapshotter(source: ControlPlane, make_namespace: MakeNamespace, backups: Backups) -> Iterator[Snapshotter]:
    """A driver that makes copies, for the claims of a new namespace."""
    volumes = Volumes(source, backups.folder / "volumes", driver=DRIVER, storage_class=f"csi-{uuid.uuid4().hex[:6]}")
    with Snapshotter(source, volumes, make_namespace(source, "shop")) as made:
        yield made


def test_a_copy_is_read_where_the_driver_makes_one_and_nothing_of_it_stays(
    backups: Backups, source: ControlPlane, snapshotter: Snapshotter, node: ExecServer
) -> None:
    """A volume that only one pod can mount, too; and the workload goes on as soon as there is a copy."""
    shop = snapshotter.namespace
    snapshotter.make_class("fast", default=True)
    folder = snapshotter.volumes.make(
        shop,
        "data",
        modes=["ReadWriteOncePod"],
        annotations={POST: _shell(f"rm {backups.folder}/volumes/{shop}/data/order")},
    )
    (folder / "order").write_text("1 bicycle")
    use(source, shop, "data", node=backups.kubelet.nodes[0])

    ran = backups.run(namespaces=[shop])

    assert ran.states() == {"data": "Complete"}, ran.data
    assert ran.volume("data")["copied"]
    assert snapshotter.made == ["data"]
    assert not (folder / "order").exists()
    assert backups.restic("dump", backups.whole(shop, "data").id, "/order") == "1 bicycle"
    assert backups.whole(shop, "data").start <= snapshotter.cut[0]
    source.wait_for(lambda: not snapshotter.snapshots() and not backups.left(shop), what="the copy to be gone")


def test_a_copy_that_a_killed_dispatcher_left_behind_does_not_hinder_the_next_one(
    backups: Backups, source: ControlPlane, snapshotter: Snapshotter, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    shop = snapshotter.namespace
    snapshotter.make_class("fast", default=True)
    (snapshotter.volumes.make(shop, "data") / "order").write_text("1 bicycle")
    proxy = fault_proxy(source)
    hanging = proxy.hang(60, method="POST", path=r"/persistentvolumeclaims", times=None)
    process = backups.start_killable(shop, proxy.kubeconfig)
    source.wait_for(lambda: hanging.hits, what="the claim of the copy to be about to be made", timeout=60)
    process.kill()
    process.communicate()
    end_leases(source)
    (left,) = snapshotter.snapshots()

    proxy = fault_proxy(source)
    process = backups.start_killable(shop, proxy.kubeconfig)
    source.wait_for(
        lambda: (
            process.poll() is not None
            or any("volumesnapshots" in one.path and one.status == 409 for one in proxy.requests)
        ),
        what="the next one to find the copy of the first",
        timeout=60,
    )
    # Its Job is gone. The garbage collector would do this; it looks for types that are new only twice a minute.
    if left["metadata"]["uid"] in {one["metadata"]["uid"] for one in snapshotter.snapshots()}:
        source.delete(f"/apis/snapshot.storage.k8s.io/v1/namespaces/{shop}/volumesnapshots/{left['metadata']['name']}")
    stdout, _ = process.communicate(timeout=120)

    assert process.returncode == ExitCode.DONE, stdout
    assert backups.restic("dump", backups.whole(shop, "data").id, "/order") == "1 bicycle"


def test_a_copy_that_cannot_be_made_is_a_failed_backup(backups: Backups, snapshotter: Snapshotter) -> None:
    shop = snapshotter.namespace
    snapshotter.make_class("fast")
    snapshotter.error = "the array is full"
    snapshotter.volumes.make(shop, "data")

    ran = backups.run(namespaces=[shop], startTimeout="1s")

    data = ran.volume("data")
    assert (data["state"], data["reason"]) == ("Failed", "Failed")
    assert "the array is full" in data["message"]


@pytest.mark.parametrize("storage_class", ["", "manual"], ids=["none", "one that is no StorageClass"])
def test_a_volume_that_somebody_made_by_hand_is_read_itself_since_nothing_would_make_one_of_its_copy(
    backups: Backups, snapshotter: Snapshotter, storage_class: str
) -> None:
    shop = snapshotter.namespace
    snapshotter.make_class("fast", default=True)
    by_hand = replace(snapshotter.volumes, storage_class=storage_class)
    (by_hand.make(shop, "data") / "order").write_text("1 bicycle")

    backups.section = {"copyMethod": "snapshot"}
    refused = backups.run(namespaces=[shop])
    backups.section = {}
    process = backups.start("--dry-run", "--namespace", shop)
    planned = backups.end(process)
    read = backups.run(namespaces=[shop])

    assert (refused.code, refused.volume("data")["choice"]) == (ExitCode.REFUSED, "refused")
    assert "nothing would make a volume of the copy" in refused.volume("data")["why"]
    for ran in (planned, read):
        assert not ran.volume("data")["copied"]
        assert "nothing would make a volume of the copy" in ran.volume("data")["noCopy"]
    assert read.states() == {"data": "Complete"}
    assert snapshotter.made == []


def without_right_to(backups: Backups, proxy: FaultProxy, path: str) -> dict[str, Any]:
    """Return the configuration of an exporter that may not read what is at `path`, a regular expression."""
    proxy.status(403, path=path, times=None)
    config = backups.config()
    config["exporter"]["kubeconfig"] = str(proxy.kubeconfig)
    return config


def test_who_may_not_read_persistent_volumes_is_told_that_no_copy_is_read(
    backups: Backups, source: ControlPlane, snapshotter: Snapshotter, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    snapshotter.make_class("fast", default=True)
    snapshotter.volumes.make(snapshotter.namespace, "data")
    config = without_right_to(backups, fault_proxy(source), r"^/api/v1/persistentvolumes")
    request = Request(Asked(frozenset([snapshotter.namespace])), dry_run=True)

    planned = back_up_once(config, backups.namespace, request)
    config["volumes"]["copyMethod"] = "snapshot"
    refused = back_up_once(config, backups.namespace, request)

    assert "cannot be read" in planned.volume("data")["noCopy"]
    (warning,) = planned.data["warnings"]
    assert warning.startswith("PersistentVolumes may not be read: ")
    assert (refused.code, "cannot be read" in refused.volume("data")["why"]) == (ExitCode.REFUSED, True)


def test_who_may_not_read_storage_classes_is_told_so_and_copies_are_tried(
    backups: Backups, source: ControlPlane, snapshotter: Snapshotter, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    snapshotter.make_class("fast", default=True)
    snapshotter.volumes.make(snapshotter.namespace, "data")
    config = without_right_to(backups, fault_proxy(source), r"^/apis/storage.k8s.io/v1/storageclasses")

    request = Request(Asked(frozenset([snapshotter.namespace])), dry_run=True)

    planned = back_up_once(config, backups.namespace, request)

    assert planned.volume("data")["copied"]
    (warning,) = planned.data["warnings"]
    assert warning.startswith("StorageClasses may not be read: ")


def test_without_volume_snapshots_a_copy_is_refused_and_auto_reads_the_volume(
    backups: Backups, source: ControlPlane, make_namespace: MakeNamespace
) -> None:
    shop = make_namespace(source, "shop")
    _shop(backups, shop)

    backups.section = {"copyMethod": "snapshot"}
    refused = backups.run(namespaces=[shop])
    backups.section = {"copyMethod": "auto"}
    read = backups.run(namespaces=[shop])

    assert refused.code == ExitCode.REFUSED
    assert "no VolumeSnapshots" in refused.volume("data")["why"]
    assert read.states() == {"data": "Complete"}
