"""Volumes as the importer's last stage, and `dr-syncer volumes restore` as a person runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drsyncer.restored import Progress
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet, use
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from tests.integration.movers import Backend, Mover, fill, portrait
from tests.integration.recovery import Recovery
from tests.integration.restores import DATA, SHOP, SLOWLY, Scene, data
from tests.integration.services import Service, Services, until

WHOLE, REFUSED = 'dr_syncer_volumes{state="whole"}', 'dr_syncer_volumes{state="refused"}'


@pytest.fixture
def scene(clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "scene"
    env = {"PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    with (
        RestServer(folder / "server") as server,
        Kubelet(clean_dr, ("node-1",), environment=env) as kubelet,
    ):
        backend = Backend(server.url("r"), server.root / "r", server.environment, server.ca_file)
        mover = Mover(folder / "movers", backend)
        mover.init()
        yield Scene(clean_dr, recovery, kubelet, mover, folder)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """The source's volume, with data."""
    (tmp_path / "origin").mkdir()
    return fill(tmp_path / "origin")


def follow(services: Services, scene: Scene, **restic: object) -> Service:
    """Start an importer whose volumes follow."""
    volumes = scene.config(restore={"verify": "none", "follow": True})["volumes"]
    volumes["restic"] |= restic
    return services.start("importer", scene.dr, volumes=volumes, interval="500ms")


def test_volumes_follow_each_import_and_wait_for_the_pods_that_use_them(
    scene: Scene, origin: Path, services: Services
) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))}, class_="")
    importer = follow(services, scene)

    until(lambda: scene.states()[0] is Progress.COMPLETE, "the volume to follow")
    assert portrait(volume) == portrait(origin)
    until(lambda: importer.metric(WHOLE) == 1, "the metric to tell it")
    restored = 'dr_syncer_volume_restores_total{result="restored"}'
    assert importer.metric(restored) == 1

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
    (origin / "large").write_bytes(os.urandom(3_000_000))
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))}, class_="")
    scene.restore(confirmed=True)
    (origin / "second").write_bytes(os.urandom(3_000_000))
    snapshot = scene.backup(origin)
    scene.point({DATA: scene.record(snapshot)}, class_="")
    first = follow(services, scene, downloadLimit=SLOWLY)

    mover = scene.kubelet.wait_for(str(DATA))
    until(lambda: scene.states()[0] is Progress.IN_PROGRESS, "the marker")
    assert first.end() == 0
    assert mover.process.poll() is None
    assert scene.states()[0] is Progress.IN_PROGRESS

    follow(services, scene)
    until(lambda: scene.states()[0] is Progress.COMPLETE, "the next one to see it to its end", patience=120)
    assert len(scene.kubelet.seen) == 2
    marker = scene.marker()
    assert marker is not None
    assert marker.snapshot == snapshot.id
    assert portrait(volume) == portrait(origin)


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

    for words, said in (
        (("--pvc", "shop/date"), "did you mean 'shop/data'?"),
        (("--pvc", "data"), "names no claim"),
        (("--path", "../etc"), "leads out of the volume"),
        (("--revision", "main", "--as-of", "2h"), "say two different things"),
        (("--to-pvc", "copy"), "takes one claim"),
    ):
        wrong = scene.cli(*words)
        assert (wrong.returncode, said in wrong.stderr) == (2, True), wrong.stderr

    password = scene.folder / "wrong"
    password.write_text("wrong")
    before = scene.marker()
    restic = scene.config()["volumes"]["restic"]
    restic["auth"]["passwordFile"] = str(password)
    failed = scene.cli("--again", restic=restic)
    assert failed.returncode == 1
    assert "WrongPassword" in data(scene.cli("--again", "-o", "json", restic=restic))["volumes"][0]["reason"]
    assert scene.marker() == before
