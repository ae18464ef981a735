"""Restores of volumes in a real DR cluster, by real movers, out of a real restic repository.

"Equal" is what a walk of its own sees: content, mode, owner, times, links. See `movers.portrait`.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from drsyncer import own
from drsyncer.cluster import connect
from drsyncer.errors import ExitCode, Refused, RevisionNotFound, UsageError
from drsyncer.restored import Progress, encode
from drsyncer.snapshot import Attempt, State
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.kubelet import Kubelet, use
from tests.cluster.tools import find
from tests.integration.backups import end_leases
from tests.integration.movers import Backend, Mover, fill, portrait
from tests.integration.recovery import Recovery
from tests.integration.restores import DATA, SHOP, Scene, endings
from tests.unit.movers import BY, mover, restore
from tests.unit.test_volume_failures_told import MARKER
from tests.unit.volume_records import NIGHT
from tests.unit.volume_records import snapshot as made_up
from volumes import making, marking
from volumes.announcing import Announcing
from volumes.restore_look import look_at
from volumes.restore_plan import Key
from volumes.result import Reason, Result

# A mover that writes at once, and does not come to its end.
HALF = """
import json, pathlib, sys, time
root = json.loads(pathlib.Path(sys.argv[2], "task.json").read_text())["root"]
pathlib.Path(root, "half").touch()
time.sleep(60)
"""


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to be copied: making one takes restic seconds."""
    folder = tmp_path_factory.mktemp("repository")
    Mover(folder / "movers", Backend(repository=str(folder / "r"), folder=folder / "r")).init()
    return folder / "r"


@pytest.fixture
def scene(clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path, empty_repository: Path) -> Iterator[Scene]:
    folder = tmp_path / "scene"
    folder.mkdir()
    backend = Backend(repository=str(folder / "repository"), folder=folder / "repository")
    shutil.copytree(empty_repository, backend.folder)
    env = {"PATH": f"{find('restic').parent}:{os.environ['PATH']}"}
    with Kubelet(clean_dr, ("node-1", "node-2"), environment=env) as kubelet:
        yield Scene(clean_dr, recovery, kubelet, Mover(folder / "movers", backend), folder)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """The source's volume, with data."""
    (tmp_path / "origin").mkdir()
    return fill(tmp_path / "origin")


def exported(time: str) -> str:
    """Return the message of a commit that was exported at that time."""
    return f"prod: something changed\n\nDR-Syncer-Exported-At: {time}"


def test_a_volume_comes_back_as_it_was_and_a_second_restore_moves_nothing(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    snapshot = scene.backup(origin)
    commit = scene.point({DATA: scene.record(snapshot)})

    outcome = scene.restore(confirmed=True)

    assert endings(outcome) == {"shop/data": ("restored", "Confirmed")}
    assert outcome.exit_code is ExitCode.DONE
    assert portrait(volume) == portrait(origin)
    marker = scene.marker()
    assert marker is not None
    assert (marker.state, marker.snapshot, marker.commit) == (Progress.COMPLETE, snapshot.id, commit)
    assert scene.tidy()

    started = len(scene.kubelet.seen)
    assert endings(scene.restore()) == {"shop/data": ("unchanged", "SameSnapshot")}

    again = scene.backup(origin)
    assert (again.tree, again.id != snapshot.id) == (snapshot.tree, True)
    scene.point({DATA: scene.record(again)})
    assert endings(scene.restore()) == {"shop/data": ("unchanged", "SameData")}
    renewed = scene.marker()
    assert renewed is not None
    assert (renewed.snapshot, renewed.ended) == (again.id, marker.ended)
    assert len(scene.kubelet.seen) == started


def test_a_claim_that_nothing_is_known_of_is_restored_only_when_it_is_empty(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    (volume / "somebody's").write_text("data")
    (volume / "lost+found").mkdir()

    refused = scene.restore()

    assert endings(refused) == {"shop/data": ("refused", "NotEmpty")}
    assert refused.exit_code is ExitCode.REFUSED
    assert "somebody" in refused.volumes[0].text
    assert sorted(file.name for file in volume.iterdir()) == ["lost+found", "somebody's"]
    assert scene.marker() is None

    (volume / "somebody's").unlink()
    assert endings(scene.restore()) == {"shop/data": ("restored", "Unknown")}
    assert portrait(volume).items() >= portrait(origin).items()


def test_what_comes_into_an_empty_volume_between_the_look_and_the_restore_stays(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})

    def somebody_writes(_claim: str) -> bool:
        if scene.kubelet.seen:  # the mover that looked has begun, and this one is to restore
            (volume / "somebody's").write_text("data")
        return False

    scene.kubelet.holds = somebody_writes
    refused = scene.restore()

    assert len(scene.kubelet.seen) == 2
    assert endings(refused) == {"shop/data": ("refused", "NotEmpty")}
    assert (volume / "somebody's").read_text() == "data"
    assert [file.name for file in volume.iterdir()] == ["somebody's"]
    assert scene.marker() is None


def test_what_somebody_restored_into_an_empty_volume_since_the_look_is_not_called_strange_and_stays_half_restored(
    scene: Scene, origin: Path
) -> None:
    volume = scene.volume()
    made = scene.backup(origin)
    scene.point({DATA: scene.record(made)})
    left = msgspec.structs.replace(MARKER, snapshot="e" * 64, state=Progress.PARTIAL, reason="Differs", message="why")

    def somebody_restores(_claim: str) -> bool:
        if scene.kubelet.seen:  # the mover that looked has begun, and this one is to restore
            (volume / "half").touch()
            return False
        cluster = scene.cluster()
        if (claim := look_at(cluster, DATA)) is not None:
            marking.swap(cluster, claim, claim.marker, msgspec.structs.replace(left, claim=claim.uid))
        cluster.close()
        return False

    scene.kubelet.holds = somebody_restores
    refused = scene.restore()

    assert endings(refused) == {"shop/data": ("refused", "Busy")}
    assert "somebody restored into it meanwhile" in refused.volumes[0].text
    assert len(scene.kubelet.seen) == 1
    assert scene.states() == (Progress.PARTIAL, "Differs")
    assert endings(scene.restore()) == {"shop/data": ("restored", "Resumed")}
    assert portrait(volume) == portrait(origin)


@pytest.mark.parametrize(
    ("reason", "touched", "left"),
    [
        (Reason.NOT_EMPTY, False, None),  # there was no marker before, and the next restore must look again
        (Reason.NO_SNAPSHOT, False, Progress.IN_PROGRESS),
        (Reason.NOT_EMPTY, True, Progress.PARTIAL),
        (Reason.UNREACHABLE, True, Progress.PARTIAL),
    ],
)
def test_what_a_mover_said_whose_dispatcher_died_is_on_the_marker(
    scene: Scene, reason: Reason, touched: bool, left: Progress | None
) -> None:
    scene.volume()
    with_marker = look_at(cluster := scene.cluster(), DATA)
    assert with_marker is not None
    made = made_up()
    begun = msgspec.structs.replace(MARKER, claim=with_marker.uid, snapshot=made.id)
    marking.swap(cluster, with_marker, None, begun)
    said = Result(
        state=State.FAILED, start=NIGHT, end=NIGHT, snapshot=made, reason=reason, message="why", touched=touched
    )

    marking.take_up(cluster, DATA, said)

    cluster.close()
    assert scene.states()[0] == left


def test_what_a_partial_backup_got_comes_back_when_somebody_asks_for_it_and_counts_as_half_restored(
    scene: Scene, origin: Path
) -> None:
    volume = scene.volume()
    whole, got = scene.backup(origin), msgspec.structs.replace(scene.backup(origin), state=State.PARTIAL)
    attempt = Attempt(
        state=State.PARTIAL, start=got.start, end=got.end, reason="Changed", message="one path changed", made=got
    )
    scene.point({DATA: scene.record(None, attempt=attempt)})

    with pytest.raises(Refused, match="no recovery point is complete"):
        scene.restore(claims=(DATA,))

    outcome = scene.restore(claims=(DATA,), partial=True)

    assert endings(outcome) == {"shop/data": ("partial", "NotWhole")}
    assert "its snapshot is not whole: one path changed" in outcome.volumes[0].step.note
    assert outcome.exit_code is ExitCode.PARTIAL
    assert portrait(volume).items() >= portrait(origin).items()
    assert scene.states() == (Progress.PARTIAL, "NotWhole")

    for name in ("app.conf", "deep/er/data.bin"):
        (volume / name).write_text("broken")
        picked = scene.restore(claims=(DATA,), partial=True, path=name)
        assert endings(picked) == {"shop/data": ("partial", "NotWhole")}
        assert (volume / name).read_bytes() == (origin / name).read_bytes()
        assert scene.states() == (Progress.PARTIAL, "NotWhole")

    scene.point({DATA: scene.record(whole)})
    beside = scene.restore(claims=(DATA,), path="app.conf")
    assert endings(beside) == {"shop/data": ("refused", "HalfRestored")}
    with pytest.raises(UsageError, match="names no partial snapshot of shop/data"):
        scene.restore(claims=(DATA,), partial=True)
    assert endings(scene.restore()) == {"shop/data": ("refused", "NotWhole")}
    assert scene.states() == (Progress.PARTIAL, "NotWhole")
    assert endings(scene.restore(claims=(DATA,))) == {"shop/data": ("restored", "Resumed")}


def test_movers_of_a_restore_bear_the_taints_of_dr_and_keep_to_its_nodes(scene: Scene, origin: Path) -> None:
    scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    where = {"tolerations": [{"key": "dedicated", "value": "dr"}], "nodeSelector": {"example.com/pool": "storage"}}

    assert endings(scene.restore(mover=where)) == {"shop/data": ("restored", "Unknown")}

    looked, restored = (pod["spec"] for pod in scene.kubelet.seen)
    for spec in (looked, restored):
        assert {"key": "dedicated", "operator": "Equal", "value": "dr"} in spec["tolerations"]
        assert spec["nodeSelector"] == {"example.com/pool": "storage"}


def test_what_somebody_excludes_is_left_alone_unless_it_is_named(scene: Scene, origin: Path) -> None:
    cache, scratch = Key(SHOP, "cache"), Key(SHOP, "scratch")
    annotated = {"dr-syncer.io/restore": "false"}
    roots = [scene.volume("cache"), scene.volume("scratch", annotations=annotated)]
    scene.volume()
    record = scene.record(scene.backup(origin))
    scene.point({DATA: record, cache: scene.record(scene.backup(origin, cache)), scratch: record})
    rules = {"restore": {"verify": "none", "select": {"exclude": [{"names": ["cache"]}, {"names": ["cahce"]}]}}}

    outcome = scene.restore(section=rules)

    alone = ("excluded", "Excluded")
    assert endings(outcome) == {"shop/data": ("restored", "Unknown"), "shop/cache": alone, "shop/scratch": alone}
    assert outcome.exit_code is ExitCode.DONE
    assert "exclude[0]" in next(done.text for done in outcome.volumes if done.step.source == cache)
    assert any("exclude[1]" in warning and "matches no volume" in warning for warning in outcome.warnings)
    assert [list(root.iterdir()) for root in roots] == [[], []]
    assert scene.states(cache) == scene.states(scratch) == (None, "")

    mark = {"metadata": {"annotations": annotated}}
    late = scene.restore(again=True, section=rules, between=lambda: scene.dr.patch(scene.path(), mark))
    assert endings(late)["shop/data"] == alone

    named = scene.restore(section=rules, claims=(cache,))
    assert endings(named) == {"shop/cache": ("restored", "Unknown")}
    assert portrait(roots[0]) == portrait(origin)


def test_a_volume_that_a_pod_uses_is_refused_also_when_the_pod_came_after_the_plan(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    use(scene.dr, SHOP, "data", node="node-1")

    outcome = scene.restore(confirmed=True)
    assert endings(outcome) == {"shop/data": ("refused", "InUse")}
    assert "web (Running on node-1)" in outcome.volumes[0].text

    web = f"/api/v1/namespaces/{SHOP}/pods/web/status"
    scene.dr.patch(web, {"status": {"phase": "Succeeded"}})  # one that has ended uses nothing
    late = scene.restore(confirmed=True, between=lambda: use(scene.dr, SHOP, "data", node="node-1", name="late"))
    assert endings(late) == {"shop/data": ("refused", "InUse")}
    assert late.exit_code is ExitCode.REFUSED
    assert [event[:2] for event in scene.events()] == [("RestoreRefused", "InUse")] * 2
    assert list(volume.iterdir()) == []
    assert scene.marker() is None
    assert scene.kubelet.seen == []


def blank(volume: Path, origin: Path, name: str) -> None:
    """Give a file its size and time, and no data: a crash can leave it so, and who looks at both takes it for right."""
    was = (origin / name).stat()
    (volume / name).write_bytes(bytes(was.st_size))
    os.utime(volume / name, ns=(was.st_atime_ns, was.st_mtime_ns))


def test_a_volume_that_a_pod_has_run_on_since_does_not_pass_for_restored(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    scene.restore(confirmed=True)
    use(scene.dr, SHOP, "data", node="node-1")
    assert endings(scene.restore(plan_only=True)) == {"shop/data": ("refused", "InUse")}
    planned = scene.marker()
    assert planned is not None
    assert planned.used is None  # a plan writes nothing
    assert endings(scene.restore()) == {"shop/data": ("refused", "InUse")}
    blank(volume, origin, "app.conf")
    scene.dr.patch(f"/api/v1/namespaces/{SHOP}/pods/web/status", {"status": {"phase": "Succeeded"}})

    assert endings(scene.restore()) == {"shop/data": ("restored", "Used")}
    assert portrait(volume) == portrait(origin)
    assert endings(scene.restore()) == {"shop/data": ("unchanged", "SameSnapshot")}


def test_a_killed_mover_leaves_a_volume_that_counts_as_half_and_the_next_run_makes_it_whole(
    scene: Scene, origin: Path
) -> None:
    (origin / "large").write_bytes(os.urandom(3_000_000))
    volume = scene.volume()
    snapshot = scene.backup(origin)
    scene.point({DATA: scene.record(snapshot)})
    seen: list[Progress | None] = []

    def kill() -> None:
        scene.kubelet.wait_for(str(DATA))
        scene.dr.wait_for(lambda: any(volume.iterdir()), what="the restore to write", timeout=60)
        seen.append(scene.states()[0])
        scene.kubelet.kill(str(DATA), reason="OOMKilled")

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = scene.restore(confirmed=True, slowly=True)
    killer.join()

    assert endings(outcome) == {"shop/data": ("failed", "Lost")}
    assert outcome.exit_code is ExitCode.FAILED
    assert seen == [Progress.IN_PROGRESS]
    assert scene.states() == (Progress.PARTIAL, "Lost")
    assert [event[:2] for event in scene.events()] == [("RestoreFailed", "Lost")]

    blank(volume, origin, "app.conf")  # as when the node went, too
    again = scene.restore()  # what is in it is ours: nobody needs to confirm that
    assert endings(again) == {"shop/data": ("restored", "Resumed")}
    assert portrait(volume) == portrait(origin)
    assert scene.states() == (Progress.COMPLETE, "")


def test_a_mover_that_starts_as_it_is_given_up_leaves_a_volume_that_does_not_count_as_it_was_before(
    scene: Scene, origin: Path, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    scene.restore()
    scene.kubelet.program = (sys.executable, "-c", HALF)
    scene.kubelet.holds = lambda _: True
    proxy = fault_proxy(scene.dr)
    late = proxy.delay(5.0, method="DELETE", path="/jobs/")
    scene.cluster = lambda: connect(kubeconfig=str(proxy.kubeconfig), connections=20)  # type: ignore[method-assign]

    def start() -> None:
        scene.dr.wait_for(lambda: late.hits, what="the mover to be given up", timeout=60)
        scene.kubelet.holds = lambda _: False

    starter = threading.Thread(target=start)
    starter.start()
    outcome = scene.restore(again=True, mover={"startTimeout": "2s"})
    starter.join()

    assert (volume / "half").exists()
    assert endings(outcome) == {"shop/data": ("failed", "Lost")}
    assert scene.states() == (Progress.PARTIAL, "Lost")


def test_a_snapshot_that_is_not_the_volumes_own_leaves_volume_and_marker_alone(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    mine, other = scene.backup(origin), scene.backup(origin, Key("shop", "other"))
    scene.point({DATA: scene.record(mine)})
    scene.restore(confirmed=True)
    before, marker = portrait(volume), scene.marker()
    change = msgspec.structs.replace
    wrong = [
        ("NoSnapshot", scene.record(change(mine, id="f" * 64, tree="e" * 64))),
        ("OtherSnapshot", scene.record(other)),  # of another claim
        ("OtherSnapshot", scene.record(change(mine, host="staging"))),
        ("OtherSnapshot", scene.record(change(mine, tree="e" * 64))),
        ("OtherRepository", scene.record(mine, repository="9" * 64)),
    ]
    for reason, named in wrong:
        scene.point({DATA: named})
        outcome = scene.restore(again=True)
        assert endings(outcome) == {"shop/data": ("failed", reason)}
        assert outcome.exit_code is ExitCode.FAILED
        assert "the volume is as it was before" in outcome.volumes[0].text
        assert scene.events()[-1][:2] == ("RestoreFailed", reason)

    assert portrait(volume) == before
    assert scene.marker() == marker


def test_a_damaged_repository_never_gives_a_volume_that_counts_as_whole(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    snapshot = scene.backup(origin)
    scene.point({DATA: scene.record(snapshot)})
    for pack in (scene.mover.backend.folder / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 100_000:
            pack.chmod(0o600)
            content = bytearray(pack.read_bytes())
            content[1000:2000] = bytes(1000)
            pack.write_bytes(content)

    outcome = scene.restore(confirmed=True)

    assert outcome.volumes[0].ending in ("partial", "failed")
    assert outcome.exit_code in (ExitCode.PARTIAL, ExitCode.FAILED)
    assert scene.states()[0] is Progress.PARTIAL
    assert portrait(volume) != portrait(origin)


def test_a_claim_that_is_too_small_is_not_touched(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    snapshot = msgspec.structs.replace(scene.backup(origin), bytes=2 << 30)
    scene.point({DATA: scene.record(snapshot)}, size="3Gi")
    outcome = scene.restore(confirmed=True)
    assert endings(outcome) == {"shop/data": ("refused", "TooSmall")}
    assert outcome.exit_code is ExitCode.REFUSED
    assert [event[:2] for event in scene.events()] == [("RestoreRefused", "TooSmall")]
    assert list(volume.iterdir()) == []


def test_a_path_is_restored_and_nothing_beside_it(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    scene.restore(confirmed=True)
    (volume / "app.conf").write_text("broken\n")
    (volume / "deep" / "er" / "data.bin").write_text("changed since")
    (volume / "new").write_text("since then")

    outcome = scene.restore(path="app.conf")

    assert endings(outcome) == {"shop/data": ("restored", "Path")}
    assert (volume / "app.conf").read_text() == "colour = blue\n"
    assert (volume / "deep" / "er" / "data.bin").read_text() == "changed since"
    assert (volume / "new").read_text() == "since then"
    marker = scene.marker()
    assert marker is not None
    assert (marker.path, marker.state) == ("app.conf", Progress.COMPLETE)
    assert endings(scene.restore()) == {"shop/data": ("restored", "OtherSnapshot")}
    assert portrait(volume) == portrait(origin)


def test_the_newest_complete_recovery_point_is_taken_and_any_other_by_its_time(scene: Scene, origin: Path) -> None:
    volume = scene.volume()
    first = scene.backup(origin)
    scene.point({DATA: scene.record(first)}, message=exported("2026-05-01T10:00:00Z"))
    (origin / "second").write_text("2")
    second = scene.backup(origin)
    middle = scene.point({DATA: scene.record(second)}, message=exported("2026-05-01T11:00:00Z"))
    failed = Attempt(state=State.FAILED, start=second.end, end=second.end, reason="Locked", message="locked")
    newest = scene.point({DATA: scene.record(second, attempt=failed)}, message=exported("2026-05-01T12:00:00Z"))

    outcome = scene.restore(confirmed=True)
    assert outcome.revision == middle
    assert f"the newest of all, {newest[:12]}" in " ".join(outcome.warnings)
    assert (volume / "second").exists()

    older = scene.restore(as_of="2026-05-01T10:59Z")
    assert endings(older) == {"shop/data": ("restored", "OtherSnapshot")}
    assert not (volume / "second").exists()

    named = scene.restore(revision=newest)
    assert endings(named) == {"shop/data": ("restored", "OtherSnapshot")}
    assert "was Failed, so this is the data of" in named.volumes[0].step.note
    with pytest.raises(RevisionNotFound, match="as old as"):
        scene.restore(as_of="2001-01-01")


def test_another_claim_is_made_where_somebody_says_so(scene: Scene, origin: Path) -> None:
    scene.point({DATA: scene.record(scene.backup(origin))})
    copy = scene.available("copy", where="elsewhere", storage_class="none")

    outcome = scene.restore(claims=(DATA,), to_namespace="elsewhere", to_claim="copy")

    assert endings(outcome) == {"shop/data": ("restored", "Empty")}
    assert portrait(copy) == portrait(origin)
    made = scene.dr.get(scene.path(Key("elsewhere", "copy")))
    assert made["spec"]["resources"]["requests"]["storage"] == "1Gi"
    assert scene.states(Key("elsewhere", "copy"))[0] is Progress.COMPLETE
    assert endings(scene.restore(claims=(DATA,))) == {"shop/data": ("left out", "Missing")}


def test_a_claim_that_gets_a_volume_with_something_in_it_is_left_alone_until_somebody_confirms_it(
    scene: Scene, origin: Path
) -> None:
    scene.point({DATA: scene.record(scene.backup(origin))})
    kept = scene.available("copy", where="elsewhere", storage_class="none")
    (kept / "theirs").write_text("1 bicycle")
    there = {"claims": (DATA,), "to_namespace": "elsewhere", "to_claim": "copy"}

    assert endings(scene.restore(**there)) == {"shop/data": ("refused", "NotEmpty")}
    assert (kept / "theirs").read_text() == "1 bicycle"
    assert scene.marker(Key("elsewhere", "copy")) is None

    assert endings(scene.restore(**there, confirmed=True)) == {"shop/data": ("restored", "Confirmed")}
    assert portrait(kept) == portrait(origin)


def test_a_run_that_was_taken_for_dead_takes_no_secret_of_the_one_after_it_away(scene: Scene) -> None:
    scene.volume()
    cluster, move = scene.cluster(), restore("data", namespace=SHOP)
    mine = making.make_job(cluster, move, mover(), BY, ())
    making.remove(cluster, mine)
    scene.dr.wait_for(
        lambda: not scene.dr.exists(f"/apis/batch/v1/namespaces/{SHOP}/jobs/{move.name}"), what="the Job to be gone"
    )
    theirs = making.make_job(cluster, move, mover(), BY, ())
    making.make_secret(cluster, move, {"password": b"theirs"}, BY, owner=theirs)

    with pytest.raises(making.TakenByAnother, match="took this one for dead"):
        making.make_secret(cluster, move, {"password": b"mine"}, BY, owner=mine)

    (kept,) = scene.dr.get(f"/api/v1/namespaces/{SHOP}/secrets/{move.name}")["metadata"]["ownerReferences"]
    assert kept["uid"] == theirs["metadata"]["uid"]
    making.remove(cluster, theirs)
    cluster.close()


@pytest.mark.parametrize("state", [Progress.IN_PROGRESS, Progress.PARTIAL])
def test_a_restore_that_was_broken_off_before_its_mover_had_looked_is_resumed_where_nothing_is(
    scene: Scene, origin: Path, state: Progress
) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    assert endings(scene.restore()) == {"shop/data": ("restored", "Unknown")}
    done = scene.marker()
    assert done is not None
    assert not done.unlooked
    begun = msgspec.structs.replace(done, state=state, ended=None, unlooked=True)
    scene.dr.kubectl("annotate", "--overwrite", "-n", SHOP, "pvc", "data", f"{own.RESTORED}={encode(begun)}")

    assert endings(scene.restore()) == {"shop/data": ("refused", "NotEmpty")}
    left = scene.marker()
    assert left is not None
    assert (left.half, left.unlooked) == (True, True)

    for path in volume.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert endings(scene.restore()) == {"shop/data": ("restored", "Resumed")}
    assert portrait(volume) == portrait(origin)
    assert scene.states()[0] is Progress.COMPLETE


def test_what_a_service_fails_at_again_and_again_is_told_seldom_and_counted(scene: Scene, origin: Path) -> None:
    scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})
    use(scene.dr, SHOP, "data", node="node-1")
    hours = [0.0]
    announcing = Announcing(clock=lambda: hours[0] * 3600)

    def counts() -> list[int]:
        claim = scene.dr.get(scene.path())["metadata"]["uid"]  # another test's had the same name
        found = scene.dr.list(f"/api/v1/namespaces/{SHOP}/events?fieldSelector=involvedObject.uid={claim}")
        return sorted(one["count"] for one in found if one["reason"] == "RestoreRefused")

    for _ in range(3):
        assert endings(scene.restore(announcing=announcing)) == {"shop/data": ("refused", "InUse")}
    assert counts() == [1]
    hours[0] = 1.0  # the API server would have forgotten it
    scene.restore(announcing=announcing)
    assert counts() == [1, 4]

    scene.dr.patch(f"/api/v1/namespaces/{SHOP}/pods/web/status", {"status": {"phase": "Succeeded"}})
    assert endings(scene.restore(announcing=announcing))["shop/data"][0] == "restored"
    scene.dr.patch(f"/api/v1/namespaces/{SHOP}/pods/web/status", {"status": {"phase": "Running"}})
    (origin / "second").write_text("2")
    scene.point({DATA: scene.record(scene.backup(origin))})
    assert endings(scene.restore(announcing=announcing)) == {"shop/data": ("refused", "InUse")}
    assert counts() == [1, 1, 4]


def test_what_a_killed_restore_left_goes_with_the_next_one_of_whatever_volume(
    scene: Scene, origin: Path, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    other = Key(SHOP, "other")
    scene.volume("other")
    kept = scene.record(scene.backup(origin, other))
    scene.point({other: kept})
    assert set(endings(scene.restore())) == {"shop/other"}
    scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin)), other: kept})
    proxy = fault_proxy(scene.dr)
    hanging = proxy.hang(60, method="PATCH", path="/jobs/", times=None)  # it is about to let the Job run
    process = scene.start_killable(proxy.kubeconfig)
    scene.dr.wait_for(lambda: hanging.hits, what="the Job and its Secret", timeout=60)
    assert scene.secrets() != []

    unchanged = {"shop/other": ("unchanged", "SameSnapshot")}
    assert endings(scene.restore(claims=(other,))) == unchanged
    assert scene.secrets() != []  # whoever made them lives
    process.kill()
    process.communicate()
    end_leases(scene.dr)
    assert endings(scene.restore(claims=(other,))) == unchanged

    assert scene.tidy()
    assert scene.states()[0] is Progress.IN_PROGRESS  # nobody takes it for whole
    assert endings(scene.restore())["shop/data"][0] == "restored"


# The steps of a restore, by the request that it is about to send when it is killed; so many like it went before.
# What the marker says then: whoever starts a workload goes by it, and so does the next restore.
KILLED = [
    ("PATCH", "/persistentvolumeclaims/", 0, None),
    ("POST", "/secrets", 0, Progress.IN_PROGRESS),
    ("PATCH", "/persistentvolumeclaims/", 1, Progress.IN_PROGRESS),
    ("DELETE", "/jobs/", 0, Progress.COMPLETE),
]


def test_a_restore_that_is_killed_at_any_step_leaves_no_volume_that_passes_for_whole_and_is_made_up_for(
    scene: Scene, origin: Path, fault_proxy: Callable[[ControlPlane], FaultProxy]
) -> None:
    volume = scene.volume()
    scene.point({DATA: scene.record(scene.backup(origin))})

    for method, path, before, marker in KILLED:
        proxy = fault_proxy(scene.dr)
        hanging = proxy.hang(60, method=method, path=path, skip=before, times=None)
        process = scene.start_killable(proxy.kubeconfig)
        scene.dr.wait_for(lambda hanging=hanging: hanging.hits, what=f"{method} {path}", timeout=60)
        process.kill()
        process.communicate()
        end_leases(scene.dr)
        assert scene.states()[0] is marker, (method, path)

    assert portrait(volume) == portrait(origin)
    assert endings(scene.restore()) == {"shop/data": ("unchanged", "SameSnapshot")}
    secrets = scene.dr.list(f"/api/v1/namespaces/{SHOP}/secrets")
    assert [one for one in secrets if one["metadata"]["name"].startswith("dr-syncer")] == []
