"""Restores: what is touched, what comes back, what is compared, and what is said when it is not as it was."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from drsyncer.snapshot import State
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.integration.movers import (
    QUICKLY,
    VOLUME,
    WITHOUT_CAPABILITIES,
    Mover,
    assert_not_whole,
    portrait,
    slow,
    wait_until,
)
from tests.integration.restic_backends import backend, port_of, small_disk, thin_disk, through_port
from volumes.result import Reason

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which takes root")


def test_a_restore_takes_away_what_the_snapshot_has_not(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "old").mkdir()
    (target / "old" / "file").write_text("x")
    (target / "app.conf").write_text("something else")

    mover.restore(snapshot, target)

    assert portrait(target) == portrait(volume)


@pytest.mark.parametrize("what", ["unknown", "abbreviated", "of another claim", "of another host", "with another tree"])
def test_a_snapshot_that_is_not_the_one_leaves_the_volume_untouched(
    what: str, mover: Mover, volume: Path, target: Path
) -> None:
    (target / "precious").write_text("x")
    snapshot, theirs = mover.backup(volume).snapshot, VOLUME
    if what == "unknown":
        snapshot = msgspec.structs.replace(snapshot, id="0" * 64)
    elif what == "abbreviated":
        snapshot = msgspec.structs.replace(snapshot, id=snapshot.id[:8])
    elif what == "of another claim":
        theirs = msgspec.structs.replace(VOLUME, name="other")
    elif what == "of another host":
        theirs = msgspec.structs.replace(VOLUME, host="staging")
    else:
        snapshot = msgspec.structs.replace(snapshot, tree="0" * 64)

    done = mover.restore(snapshot, target, volume=theirs)

    assert not done.touched
    unknown = what in ("unknown", "abbreviated")
    assert_not_whole(done, State.FAILED, Reason.NO_SNAPSHOT if unknown else Reason.OTHER_SNAPSHOT, code=1)
    assert [file.name for file in target.iterdir()] == ["precious"]


def test_a_restore_makes_no_repository(tmp_path: Path, mover: Mover, volume: Path, target: Path) -> None:
    snapshot, id_ = mover.backup(volume).snapshot, mover.repository_id
    shutil.rmtree(mover.backend.folder)

    done = mover.restore(snapshot, target, repository_id=id_)

    assert_not_whole(done, State.FAILED, Reason.NO_REPOSITORY, code=1)
    assert not mover.backend.folder.exists()
    assert list(target.iterdir()) == []


def test_a_damaged_repository_is_said_with_what_could_not_be_restored(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    largest = max((mover.backend.folder / "data").rglob("*"), key=lambda file: file.is_file() and file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[1000:60_000] = os.urandom(59_000)
    largest.chmod(0o600)
    largest.write_bytes(content)

    done = mover.restore(snapshot, target)

    assert_not_whole(done, State.PARTIAL, Reason.DAMAGED, code=3)
    assert "deep/er/data.bin" in done.result.names


@needs_root
def test_a_volume_that_is_too_small_is_refused_before_anything_is_written(
    mover: Mover, volume: Path, tmp_path: Path
) -> None:
    (volume / "large").write_bytes(os.urandom(3_000_000))
    snapshot = mover.backup(volume).snapshot
    with small_disk(tmp_path / "small", megabytes=2) as target:
        done = mover.restore(snapshot, target)

        assert_not_whole(done, State.FAILED, Reason.TARGET_FULL, code=1)
        assert not done.touched
        assert list(target.iterdir()) == []


@needs_root
def test_a_volume_that_gets_full_in_the_middle_is_said_and_counts_as_touched(
    mover: Mover, volume: Path, tmp_path: Path
) -> None:
    snapshot = mover.backup(volume).snapshot
    with small_disk(tmp_path / "small", megabytes=50, names=20) as target:  # bytes enough, so nobody sees it coming
        done = mover.restore(snapshot, target)

        assert_not_whole(done, State.PARTIAL, Reason.TARGET_FULL, code=3)
        assert done.touched
        assert done.result.names


def test_a_backend_that_is_cut_off_in_the_middle_gives_no_whole_volume(
    tmp_path: Path, volume: Path, target: Path
) -> None:
    with backend("rest", tmp_path / "backend") as place, TcpFaultProxy(port_of(place)) as proxy:
        mover = Mover(tmp_path / "movers", place)
        mover.init()
        snapshot, id_ = mover.backup(volume).snapshot, mover.repository_id
        through = Mover(tmp_path / "movers", replace(place, repository=through_port(place, proxy.port)))
        proxy.cut(after=100_000, direction="down", times=None)

        done = through.restore(snapshot, target, repository_id=id_, options=QUICKLY)

        assert done.code != 0
        assert not done.state.whole
        assert done.reason is Reason.UNREACHABLE
        assert done.touched
        assert portrait(target) != portrait(volume)


@needs_root
def test_a_file_with_holes_fits_where_its_data_does(mover: Mover, volume: Path, tmp_path: Path) -> None:
    snapshot = mover.backup(volume).snapshot  # 5 MB, of which nearly all is a hole
    with small_disk(tmp_path / "small", megabytes=2) as target:
        done = mover.restore(snapshot, target)

        assert (done.code, done.state) == (0, State.COMPLETE), done.log
        assert portrait(target) == portrait(volume)


@pytest.mark.parametrize("path", ["deep/er", "deep/er/data.bin", "app.conf", "deep/link"])
def test_a_single_path_comes_back_and_nothing_else_changes(path: str, mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "mine").write_text("x")
    before = portrait(target)

    done = mover.restore(snapshot, target, path=path)

    assert (done.code, done.state) == (0, State.COMPLETE), done.log
    assert done.result.verified == "all"
    after, wanted = portrait(target), portrait(volume)
    inside = {name for name in wanted if name == f"/{path}".encode() or name.startswith(f"/{path}/".encode())}
    for name in inside:
        assert after[name][:5] == wanted[name][:5]
    assert {name: after[name] for name in before} == before
    # The folders above are as they were, too, but for their times.
    if path.startswith("deep/"):
        assert after[b"/deep"][:3] == wanted[b"/deep"][:3]


@pytest.mark.parametrize("path", ["nothing/here", "../outside", "link/x"])
def test_a_path_that_is_not_there_or_leads_out_is_refused(
    path: str, mover: Mover, volume: Path, target: Path, tmp_path: Path
) -> None:
    (volume / "link").mkdir()
    (volume / "link" / "x").write_text("x")
    snapshot = mover.backup(volume).snapshot
    (tmp_path / "elsewhere").mkdir()
    (target / "link").symlink_to(tmp_path / "elsewhere")

    done = mover.restore(snapshot, target, path=path)

    assert_not_whole(done, State.FAILED, Reason.NO_SNAPSHOT, code=1)
    assert not done.touched
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [file.name for file in target.iterdir()] == ["link"]


def test_without_hashes_in_the_manifest_restic_compares_the_content(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume, manifest="metadata").snapshot
    mover.restore(snapshot, target, verify="none")
    damaged = target / "deep" / "er" / "data.bin"
    about = damaged.stat()
    with damaged.open("r+b") as stream:
        stream.write(b"another content")
    os.utime(damaged, ns=(about.st_atime_ns, about.st_mtime_ns))

    taken = mover.restore(snapshot, target, verify="metadata")
    assert damaged.read_bytes().startswith(b"another content")  # it has the right time and size
    compared = mover.restore(snapshot, target, verify="all")

    assert (taken.code, taken.result.verified) == (0, "metadata")
    assert (compared.code, compared.result.verified, compared.result.warnings[1:]) == (0, "all", ())
    assert portrait(target) == portrait(volume)


@pytest.mark.parametrize("verify", ["metadata", "all"])
def test_a_restore_that_is_not_what_the_manifest_says_is_partial(
    verify: str, mover: Mover, volume: Path, target: Path
) -> None:
    snapshot = mover.backup(volume).snapshot
    (volume / "app.conf").chmod(0o600)
    (volume / "more").write_text("x")
    later = mover.backup(volume).snapshot
    # The manifest of another state than that of the data: as if restic had not given back what it read.
    forged = mover.forge_manifest(of=snapshot, like=later)

    done = mover.restore(msgspec.structs.replace(snapshot, manifest=forged), target, verify=verify)

    assert_not_whole(done, State.PARTIAL, Reason.DIFFERS, code=3)
    assert done.touched
    assert "app.conf: mode: expected 0600, found 0640" in done.result.names
    assert "more: missing" in done.result.names

    named = msgspec.structs.replace(snapshot, manifest=forged)
    alone, beside = (mover.restore(named, target, path=path, verify=verify) for path in ("app.conf", "deep/er"))
    assert_not_whole(alone, State.PARTIAL, Reason.DIFFERS, code=3)
    assert {name.partition(":")[0] for name in alone.result.names} == {"app.conf"}
    assert (beside.code, beside.result.verified) == (0, verify)


def test_a_restore_that_cannot_be_compared_is_not_called_complete(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    mover.restic("forget", snapshot.manifest)

    done = mover.restore(snapshot, target)
    unasked = mover.restore(snapshot, target, verify="none")

    assert_not_whole(done, State.PARTIAL, Reason.NO_SNAPSHOT, code=3)
    assert portrait(target) == portrait(volume)
    assert (unasked.code, unasked.state) == (0, State.COMPLETE)
    assert done.result.verified == unasked.result.verified == ""


def test_the_volumes_own_folder_gets_its_mode_and_owner_back(mover: Mover, volume: Path, target: Path) -> None:
    before = mover.backup(volume).snapshot
    # Nothing that restic keeps changes with these.
    volume.chmod(0o2771)
    os.setxattr(volume, "user.note", b"mine")
    if os.geteuid() == 0:
        os.chown(volume, 1234, 5678)

    after = mover.backup(volume, previous=before)
    mover.restore(after.snapshot, target)

    assert (after.snapshot.id, after.state) == (before.id, State.COMPLETE)
    found, wanted = target.stat(), volume.stat()
    assert (found.st_mode, found.st_uid, found.st_gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid)
    assert os.getxattr(target, "user.note") == b"mine"


@pytest.mark.parametrize(
    ("path", "there"),
    [("", ["deep", "file"]), ("deep", ["x"]), ("deep/x", ["deep/x"]), ("deep/y", []), ("new/y", [])],
)
def test_a_look_says_what_a_restore_would_take_away_and_changes_nothing(
    path: str, there: list[str], mover: Mover, volume: Path, target: Path
) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "deep").mkdir()
    (target / "deep" / "x").write_text("x")
    (target / "file").write_text("x")
    (target / "lost+found").mkdir()
    before = portrait(target)
    shutil.rmtree(mover.backend.folder)  # nobody asks it

    done = mover.restore(snapshot, target, path=path, look=True, repository_id="0" * 64)

    assert (done.state, done.reason) == ((State.FAILED, Reason.NOT_EMPTY) if there else (State.EMPTY, Reason.NONE))
    assert list(done.result.names) == there
    assert done.code == bool(there)
    assert not done.touched
    assert portrait(target) == before


def test_a_restore_that_expects_nothing_leaves_what_it_finds_alone(mover: Mover, volume: Path, target: Path) -> None:
    snapshot = mover.backup(volume).snapshot
    (target / "file").write_text("x")

    done = mover.restore(snapshot, target, empty=True)

    assert (done.state, done.reason, done.touched) == (State.FAILED, Reason.NOT_EMPTY, False)
    assert [file.name for file in target.iterdir()] == ["file"]
    (target / "file").unlink()
    assert mover.restore(snapshot, target, empty=True).state is State.COMPLETE


@needs_root
def test_all_that_a_partial_snapshot_has_comes_back_and_never_passes_for_whole(
    mover: Mover, volume: Path, target: Path
) -> None:
    (volume / "deep" / "private").write_text("x")
    (volume / "deep" / "private").chmod(0)
    made = mover.backup(volume, before=WITHOUT_CAPABILITIES)
    assert made.reason is Reason.UNREADABLE

    done = mover.restore(made.snapshot, target, verify="all")

    assert_not_whole(done, State.PARTIAL, Reason.NOT_WHOLE, code=3)
    lost = {f"/{name}".encode() for name in made.result.names}
    assert portrait(target) == {name: what for name, what in portrait(volume).items() if name not in lost}


def test_a_restore_that_was_killed_goes_on_where_it_was(mover: Mover, large: Path, target: Path) -> None:
    snapshot = mover.backup(large).snapshot
    with mover.running(mover.restore_task(snapshot, target, access=slow(mover))) as running:
        wait_until(lambda: any(target.iterdir()), what="restored file")
        running.kill()
    assert running.termination_log.read_bytes() == b""

    done = mover.restore(snapshot, target)

    assert (done.code, done.state) == (0, State.COMPLETE)
    assert portrait(target) == portrait(large)


@needs_root
def test_what_the_disk_did_not_take_is_not_restored(mover: Mover, volume: Path, tmp_path: Path) -> None:
    (volume / "large").write_bytes(os.urandom(60_000_000))
    snapshot = mover.backup(volume).snapshot

    with thin_disk(tmp_path / "thin", megabytes=200, holds=24) as target:
        done = mover.restore(snapshot, target)

    assert_not_whole(done, State.FAILED, Reason.FAILED, code=1)
    assert done.touched
    assert "Input/output error" in done.result.message


def test_a_file_that_lost_its_data_in_a_crash_gets_it_back(mover: Mover, volume: Path, target: Path) -> None:
    """Its size and time were on the disk, since the journal has them, and what was in it was not yet."""
    snapshot = mover.backup(volume).snapshot
    mover.restore(snapshot, target)
    file = target / "deep" / "er" / "data.bin"
    was = file.stat()
    file.write_bytes(bytes(was.st_size))
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))

    done = mover.restore(snapshot, target, verify="metadata", thorough=True)

    assert done.state is State.COMPLETE
    assert portrait(target) == portrait(volume)
