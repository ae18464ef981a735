"""A mover as a process: data goes there and comes back, and whatever stops it leaves no lie and no secret."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.integration.movers import (
    Mover,
    assert_no_backup,
    assert_not_whole,
    portrait,
    slow,
    wait_until,
)
from tests.integration.restic_backends import backend
from volumes.result import MOST_BYTES, Reason


@pytest.mark.parametrize("kind", ["path", "sftp", "rest", "rest, append-only", "s3"])
def test_a_volume_goes_there_and_comes_back(kind: str, tmp_path: Path, volume: Path, target: Path) -> None:
    with backend(kind, tmp_path / "backend") as place:
        mover = Mover(tmp_path / "movers", place)
        mover.init()

        first = mover.backup(volume)
        second = mover.backup(volume, previous=first.snapshot, repository_id=first.result.repository)
        back = mover.restore(first.snapshot, target)

        assert (first.code, first.state) == (0, State.COMPLETE), first.log
        assert (second.code, second.state) == (0, State.UNCHANGED), second.log
        assert (second.snapshot.id, second.snapshot.manifest) == (first.snapshot.id, first.snapshot.manifest)
        assert second.snapshot.start > first.snapshot.end  # it is that snapshot's data still, seen now
        assert second.result.bytes_added < first.result.bytes_added
        assert (back.code, back.state) == (0, State.COMPLETE), back.log
        assert back.result.verified == "all"
        assert portrait(target) == portrait(volume)
        assert (target / "sparse").stat().st_blocks * 512 < 1_000_000  # its holes are holes
        assert mover.locks() == []
        for ran in (first, second, back):
            assert len(ran.left) <= MOST_BYTES
            for secret in place.secrets:
                assert secret not in ran.log
                assert secret.encode() not in ran.left


def test_a_result_says_what_was_made(mover: Mover, volume: Path) -> None:
    done = mover.backup(volume)

    (made,) = mover.snapshots()
    assert (done.snapshot.id, done.snapshot.tree) == (made["id"], made["tree"])
    assert made["hostname"] == done.snapshot.host == "prod"
    assert set(made["tags"]) == {"pvc=shop/uploads", "run=11111111-2222-3333-4444-555555555555"}
    assert done.snapshot.files == 7
    assert done.snapshot.bytes > 5_000_000
    assert done.snapshot.start <= done.snapshot.end
    (listed,) = mover.manifests()
    assert listed["id"] == done.snapshot.manifest
    assert {f"manifest-of={made['id']}", "state=Complete"} < set(listed["tags"])
    assert done.result.repository == mover.repository_id


def test_what_the_file_system_made_is_no_data_of_the_volume(mover: Mover, volume: Path, target: Path) -> None:
    for folder in (volume, target):
        (folder / "lost+found").mkdir()
        (folder / "lost+found" / "#12").write_text("a fragment")
    (volume / "deep" / "lost+found").mkdir()
    (volume / "deep" / "lost+found" / "mine").write_text("data")

    mover.restore(mover.backup(volume).snapshot, target)

    assert (target / "lost+found" / "#12").exists()
    assert (target / "deep" / "lost+found" / "mine").read_text() == "data"
    assert portrait(target).keys() == portrait(volume).keys()


def test_a_mover_that_is_told_to_stop_leaves_a_result_and_no_lock(mover: Mover, large: Path) -> None:
    with mover.running(mover.backup_task(large, access=slow(mover))) as running:
        wait_until(mover.locks, what="lock")
        running.signal(signal.SIGTERM)
        done = running.wait()

    assert_no_backup(done, State.FAILED, Reason.INTERRUPTED, code=ExitCode.INTERRUPTED)
    assert mover.locks() == []
    assert mover.snapshots() == []


def test_a_mover_that_is_killed_leaves_no_result_and_nothing_that_hinders_the_next_one(
    mover: Mover, large: Path, target: Path
) -> None:
    with mover.running(mover.backup_task(large, access=slow(mover))) as running:
        wait_until(mover.locks, what="lock")
        running.kill()

    assert running.termination_log.read_bytes() == b""
    assert mover.snapshots() == []
    done = mover.backup(large)
    assert (done.code, done.state) == (0, State.COMPLETE)
    mover.restore(done.snapshot, target)
    assert portrait(target) == portrait(large)


def test_a_restic_that_is_killed_is_a_failure_and_its_lock_goes(mover: Mover, large: Path) -> None:
    with mover.running(mover.backup_task(large, access=slow(mover))) as running:
        wait_until(mover.locks, what="lock")
        for pid in running.children():
            os.kill(pid, signal.SIGKILL)
        done = running.wait()

    assert_no_backup(done, State.FAILED, Reason.FAILED, code=1)
    assert "killed by signal 9" in done.result.message
    assert mover.locks() == []


def test_no_process_list_shows_a_secret_or_the_repository(tmp_path: Path, large: Path) -> None:
    with backend("rest", tmp_path / "backend") as place:
        mover = Mover(tmp_path / "movers", place)
        mover.init()
        with mover.running(mover.backup_task(large, access=slow(mover))) as running:
            wait_until(mover.locks, what="lock")
            seen = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (running.process.pid, *running.children())]

    assert len(seen) == 2
    for words in seen:
        for secret in (*place.secrets, place.repository):
            assert secret.encode() not in words


@pytest.mark.parametrize("content", [None, b"{", b'{"kind": "dance"}'])
def test_a_task_that_is_none_is_a_result_too(content: bytes | None, mover: Mover, volume: Path) -> None:
    with mover.running(mover.backup_task(volume)) as running:
        running.kill()
    file = running.folder / "secret" / "task.json"
    file.unlink() if content is None else file.write_bytes(content)

    done = running.again().wait()

    assert_not_whole(done, State.FAILED, Reason.FAILED, code=1)
    assert "task" in done.result.message


def test_a_result_that_cannot_be_written_is_no_success(mover: Mover, volume: Path, tmp_path: Path) -> None:
    done = mover.backup(volume, options=("--termination-log", str(tmp_path / "no" / "such" / "folder")))

    assert done.code == 1
    assert "the result can't be written" in done.log
