"""Volumes as the importer's last stage, and `dr-syncer volumes restore` as a person runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drsyncer.restored import Progress
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.kubelet import Kubelet, use
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.backups import Backups
from tests.integration.movers import Backend, Mover, fill, portrait
from tests.integration.recovery import Recovery, namespace
from tests.integration.restores import DATA, SHOP, SLOWLY, Scene, data, endings
from tests.integration.services import Service, Services, until
from volumes.restore_plan import Key

EXCLUDED = 'dr_syncer_volumes{state="excluded"}'
WHOLE, REFUSED = 'dr_syncer_volumes{state="whole"}', 'dr_syncer_volumes{state="refused"}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestServer]:
    with RestServer(tmp_path / "scene" / "server") as server:
        yield server


@pytest.fixture
def scene(
    clean_dr: ControlPlane,
    recovery: Recovery,
    server: RestServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    folder = tmp_path / "scene"
    monkeypatch.setenv("PATH", f"{find('restic').parent}:{os.environ['PATH']}")
    with Kubelet(clean_dr, ("node-1",)) as kubelet:
        backend = Backend(server.url("r"), server.root / "r", server.environment, server.ca_file)
        mover = Mover(folder / "movers", backend)
        mover.init()
        yield Scene(clean_dr, recovery, kubelet, mover, folder)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """The source's volume, with data."""
    (tmp_path / "origin").mkdir()
    return fill(tmp_path / "origin")


def follow(
    services: Services,
    scene: Scene,
    *,
    max_age: str = "30h",
    server: dict[str, object] | None = None,
    kubeconfig: str = "",
    **restic: object,
) -> Service:
    """Start an importer whose volumes follow."""
    volumes = scene.config(restore={"verify": "none", "follow": True}, maxAge=max_age)["volumes"]
    volumes["restic"] |= restic
    more = {"kubeconfig": kubeconfig} if kubeconfig else {}
    return services.start("importer", scene.dr, server=server, volumes=volumes, interval="500ms", **more)


def test_volumes_follow_each_import_and_wait_for_the_pods_that_use_them(
    scene: Scene, origin: Path, services: Services
) -> None:
    volume = scene.volume()
    alone = scene.volume("cache", annotations={"dr-syncer.io/restore": "false"})
    first = scene.backup(origin)
    scene.point({DATA: scene.record(first), Key(SHOP, "cache"): scene.record(first)}, class_="")
    importer = follow(services, scene)

    until(lambda: scene.states()[0] is Progress.COMPLETE, "the volume to follow")
    assert portrait(volume) == portrait(origin)
    until(lambda: importer.metric(WHOLE) == 1, "the metric to tell it")
    until(lambda: importer.metric(EXCLUDED) == 1, "the metric of what is left alone")
    until(lambda: "left alone, as configured" in importer.ask("/")[1], "the page to tell it")
    until(lambda: "2: 2 Complete" in importer.ask("/")[1], "the page to tell how the backups are")
    assert list(alone.iterdir()) == []
    restored = 'dr_syncer_volume_restores_total{result="restored"}'
    assert importer.metric(restored) == 1
    until(lambda: importer.metric("dr_syncer_restic_answered_timestamp_seconds") > 0, "restic to be asked")
    assert importer.metric("dr_syncer_volume_backup_timestamp_seconds") == pytest.approx(first.start.timestamp(), abs=1)
    assert importer.metric("dr_syncer_volumes_too_old") == 0
    assert importer.metric('dr_syncer_volume_backups{state="Complete"}') == 2

    use(scene.dr, SHOP, "data", node="node-1")
    (origin / "second").write_text("2")
    second = scene.backup(origin)
    scene.point({DATA: scene.record(second)}, class_="")
    until(lambda: importer.metric(REFUSED) == 1, "the refusal to be told")
    assert not (volume / "second").exists()
    assert "in use by pod web" in importer.ask("/")[1]
    events = lambda: {event["reason"] for event in scene.dr.list("/api/v1/events")}  # noqa: E731
    until(lambda: "VolumesNotRestored" in events(), "an Event")

    scene.dr.patch(f"/api/v1/namespaces/{SHOP}/pods/web/status", {"status": {"phase": "Succeeded"}})
    importer.process.send_signal(signal.SIGUSR1)
    (origin / "third").write_text("3")
    third = scene.backup(origin)
    scene.point({DATA: scene.record(third)}, class_="")
    until(lambda: (found := scene.marker()) is not None and found.snapshot == third.id, "the next one to be restored")
    until(lambda: "VolumesRestored" in events(), "an Event")
    until(lambda: scene.states()[0] is Progress.COMPLETE, "the end")
    assert portrait(volume) == portrait(origin)
    assert importer.end() == 0


def test_a_service_that_ends_leaves_its_mover_to_the_next_one(scene: Scene, origin: Path, services: Services) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))}, class_="")
    scene.restore(confirmed=True)
    (origin / "second").write_bytes(os.urandom(1_500_000))
    snapshot = scene.backup(origin)
    scene.point({DATA: scene.record(snapshot)}, class_="")
    first = follow(services, scene, downloadLimit=SLOWLY)

    mover = scene.kubelet.wait_for(str(DATA))
    until(lambda: scene.states()[0] is Progress.IN_PROGRESS, "the marker")
    assert first.end() == 0
    assert mover.process.poll() is None
    assert scene.states()[0] is Progress.IN_PROGRESS

    second = follow(services, scene, max_age="1s")
    until(lambda: scene.states()[0] is Progress.COMPLETE, "the next one to see it to its end", patience=120)
    assert len(scene.kubelet.seen) == 2
    marker = scene.marker()
    assert marker is not None
    assert marker.snapshot == snapshot.id
    until(lambda: second.metric("dr_syncer_volumes_too_old") == 1, "the age of the data to be told")
    assert "The newest whole backup of 1 volume is too old: volumes.maxAge is 1 second." in second.ask("/")[1]
    assert portrait(volume) == portrait(origin)


def test_a_service_that_does_not_lead_for_a_while_lets_go_of_its_mover_and_sees_it_to_its_end_afterwards(
    scene: Scene, origin: Path, services: Services, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    scene.dr.apply([namespace("dr-syncer")])  # for the election
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))}, class_="")
    scene.restore(confirmed=True)
    (origin / "second").write_text("2")
    scene.point({DATA: scene.record(scene.backup(origin))}, class_="")
    scene.kubelet.holds = lambda claim: claim == str(DATA)
    proxy = fault_proxy(scene.dr)
    importer = follow(services, scene, server={"leaderElection": True}, kubeconfig=str(proxy.kubeconfig))
    until(lambda: scene.states()[0] is Progress.IN_PROGRESS, "the marker")

    proxy.hang(3, path="/leases/dr-syncer-importer", times=None)
    until(lambda: importer.ask("/readyz") == (200, "standing by\n"), "it to lead no more", patience=60)
    proxy.clear()
    scene.kubelet.holds = lambda _: False

    until(lambda: scene.states()[0] is Progress.COMPLETE, "the end of the restore", patience=120)
    assert portrait(volume) == portrait(origin)
    assert len(scene.kubelet.seen) == 2  # the first one's and this one: nobody has begun anew
    assert importer.end() == 0


def test_the_command_says_what_it_would_do_and_what_it_did(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))}, class_="")

    plan = scene.cli("--plan")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert "1 restore (a plan: nothing was changed)" in plan.stdout
    assert max(map(len, plan.stdout.splitlines())) <= 80
    assert scene.marker() is None

    done = scene.cli("-o", "json", "--yes")
    found = data(done)
    assert (done.returncode, found["version"], found["summary"]) == (0, 1, {"restored": 1})
    (told,) = found["volumes"]
    assert (told["namespace"], told["name"], told["state"]) == ("shop", "data", "restored")
    assert portrait(volume) == portrait(origin)

    wrong = scene.cli("--pvc", "shop/date")
    assert (wrong.returncode, "did you mean 'shop/data'?" in wrong.stderr) == (2, True), wrong.stderr

    password = scene.folder / "wrong"
    password.write_text("wrong")
    before = scene.marker()
    restic = scene.config()["volumes"]["restic"]
    restic["auth"]["passwordFile"] = str(password)
    failed = scene.cli("--again", "-o", "json", restic=restic)
    assert (failed.returncode, data(failed)["volumes"][0]["reason"]) == (1, "WrongPassword")
    assert scene.marker() == before


def test_data_comes_from_one_cluster_to_the_other_with_the_objects_that_belong_to_it(
    clean_source: ControlPlane, scene: Scene, server: RestServer, tmp_path: Path
) -> None:
    clean_source.apply([namespace(SHOP)])
    with Kubelet(clean_source, ("node-1",)) as kubelet:
        backups = Backups(clean_source, tmp_path / "source", server, kubelet, "dr-syncer", repository="r")
        (tmp_path / "source").mkdir()
        origin = fill(backups.volumes.make(SHOP, "data"))
        assert backups.run().states() == {"data": "Complete"}
    exported = scene.recovery.export(clean_source)
    bound_to = clean_source.get(scene.path())["spec"]["volumeName"]
    volume = scene.available("data", where=SHOP, storage_class="", volume=bound_to)
    assert scene.recovery.import_into(scene.dr).exit_code == 0
    scene.dr.wait_for(
        lambda: scene.dr.get(scene.path())["status"].get("phase") == "Bound", what="the claim to be bound"
    )

    outcome = scene.restore(verify="all")

    assert endings(outcome) == {"shop/data": ("restored", "Unknown")}
    assert (outcome.revision, outcome.warnings) == (exported.commit, ())
    assert portrait(volume) == portrait(origin)
    marker = scene.marker()
    assert marker is not None
    assert (marker.state, marker.verified) == (Progress.COMPLETE, "all")
    # What is in a volume of DR is about DR: it is neither drift, nor is it exported from there.
    assert scene.recovery.import_into(scene.dr).drifted == ()
