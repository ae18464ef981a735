"""What a backup is worth, and how a mover ends."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import Snapshot, State
from volumes import mover
from volumes.answers import BackupSummary
from volumes.backing_up import judge, names_of, shrunk
from volumes.describing import Described
from volumes.earlier import Earlier
from volumes.failure import NoRepository, RepositoryLocked, ResticError
from volumes.hearing import Complaint, Outcome
from volumes.manifest import Footer
from volumes.result import Reason, Result
from volumes.snapshotting import Made
from volumes.task import Access, BackupTask, Counts, Volume
from volumes.verdict import Verdict

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def snapshot(*, files: int = 100, size: int = 1000, tree: str = "before", state: State = State.COMPLETE) -> Snapshot:
    return Snapshot(id="1" * 64, tree=tree, host="prod", state=state, start=NOW, end=NOW, files=files, bytes=size)


def task(previous: Snapshot | None = None, **more: Any) -> BackupTask:
    volume = Volume(host="prod", namespace="shop", name="data")
    return BackupTask(access=Access(repository="/srv/r"), volume=volume, run="r", previous=previous, **more)


def now(files: int, size: int) -> BackupSummary:
    return BackupSummary(total_files_processed=files, total_bytes_processed=size)


@pytest.mark.parametrize(
    ("before", "files", "size", "percent", "suspicious"),
    [
        (None, 0, 0, 90, False),
        (snapshot(), 100, 1000, 90, False),
        (snapshot(), 10, 100, 90, False),  # exactly as much as is allowed
        (snapshot(), 9, 1000, 90, True),
        (snapshot(), 100, 99, 90, True),
        (snapshot(), 0, 0, 100, True),  # nothing left is always suspicious
        (snapshot(), 1, 1, 100, False),
        (snapshot(files=0, size=0), 0, 0, 90, False),
        (snapshot(), 1000, 100_000, 90, False),
        (snapshot(), 49, 1000, 50, True),
    ],
)
def test_a_volume_has_shrunk_suspiciously(
    before: Snapshot | None, files: int, size: int, percent: int, suspicious: bool
) -> None:
    assert bool(shrunk(task(before, shrink_percent=percent), now(files, size))) is suspicious


def test_a_shrink_is_measured_also_against_what_is_in_another_repository() -> None:
    adopting = task(counts=Counts(files=100, bytes=1000))

    assert shrunk(adopting, now(100, 1000)) == ""
    assert shrunk(adopting, now(1, 1000)) == "the volume has 1 files, and 100 in its last whole snapshot"
    assert verdict(adopting, now(1, 1)).message.endswith("--confirm shop/data --adopt`")


def test_the_numbers_are_said() -> None:
    assert shrunk(task(snapshot()), now(3, 20)) == "the volume has 3 files, and 100 in its last whole snapshot"


def described(*names: str) -> Described:
    """A manifest that is not sure of these."""
    return Described(Path("manifest.jsonl"), Footer(entries=9, files=9, bytes=9, unsure=len(names)), names)


def verdict(
    asked: BackupTask,
    summary: BackupSummary,
    *,
    is_unchanged: bool = False,
    is_empty: bool = False,
    outcome: Outcome | None = None,
    manifest: Described | None = None,
    earlier: Earlier | None = None,
) -> Verdict:
    made = Made(
        outcome=outcome or Outcome("back up"),
        summary=summary,
        described=manifest or described(),
        is_same=is_unchanged,
        is_unchanged=is_unchanged,
        is_empty=is_empty,
    )
    return judge(made, asked, earlier)


def test_states_of_a_snapshot_that_restic_made_to_the_end() -> None:
    whole = now(100, 1000)

    assert verdict(task(), whole).state is State.COMPLETE
    assert verdict(task(snapshot()), whole).state is State.COMPLETE
    assert verdict(task(snapshot()), whole, is_unchanged=True).state is State.UNCHANGED
    assert verdict(task(snapshot()), now(1, 1)).state is State.EMPTY
    assert verdict(task(snapshot(), confirmed=True), now(1, 1)).state is State.COMPLETE
    assert verdict(task(confirmed=True), now(0, 0), is_empty=True).state is State.EMPTY


def test_a_refusal_names_the_way_on() -> None:
    assert (
        "dr-syncer volumes backup --pvc shop/data --confirm shop/data" in verdict(task(snapshot()), now(1, 1)).message
    )


@pytest.mark.parametrize("status", [0, 3])
def test_what_could_not_be_read_makes_it_partial_whatever_the_exit_code(status: int) -> None:
    outcome = Outcome("back up", status=status, complaints=[Complaint("/data/k", "denied")], complaints_total=7)

    found = verdict(task(snapshot()), now(100, 1000), is_unchanged=True, outcome=outcome)

    assert (found.state, found.reason) == (State.PARTIAL, Reason.UNREADABLE)
    assert found.message == "7 paths could not be read: /data/k (denied)"


def test_an_incomplete_snapshot_without_a_word_is_partial() -> None:
    assert verdict(task(), now(1, 1), outcome=Outcome("back up", status=3)).state is State.PARTIAL


def test_what_changed_meanwhile_hides_no_loss() -> None:
    """A volume in which one file changes every night would else never be missed."""
    found = verdict(task(snapshot()), now(1, 1), manifest=described("a.log (changed)"))

    assert (found.state, found.reason) == (State.EMPTY, Reason.SHRUNK)
    assert found.loss == "the volume has 1 files, and 100 in its last whole snapshot"
    assert found.message.startswith(found.loss)
    assert "--confirm shop/data" in found.message
    assert "1 path changed while the backup ran" in found.message
    confirmed = verdict(task(snapshot(), confirmed=True), now(1, 1), manifest=described("a.log (changed)"))
    assert (confirmed.state, confirmed.reason, confirmed.loss) == (State.PARTIAL, Reason.CHANGED, "")


def test_what_could_not_be_read_hides_no_loss_and_is_not_called_one() -> None:
    outcome = Outcome("back up", status=3, complaints=[Complaint("/data/k", "denied")], complaints_total=1)

    found = verdict(task(snapshot()), now(1, 1), outcome=outcome)

    assert (found.state, found.reason) == (State.PARTIAL, Reason.UNREADABLE)
    assert found.loss == "the volume has 1 files, and 100 in its last whole snapshot"
    assert found.loss in found.message
    assert verdict(task(snapshot()), now(100, 1000), outcome=outcome).loss == ""


def test_what_changed_meanwhile_makes_it_partial_whatever_restic_says() -> None:
    found = verdict(task(snapshot()), now(100, 1000), is_unchanged=True, manifest=described("a.log (changed)"))

    assert (found.state, found.reason) == (State.PARTIAL, Reason.CHANGED)
    assert "1 path changed while the backup ran" in found.message
    assert "a.log (changed)" in found.message


def test_names_are_inside_the_volume_and_told_once() -> None:
    outcome = Outcome("back up", complaints=[Complaint("/data/a/k", "x"), Complaint("a/k", "x"), Complaint("b", "x")])

    names = names_of(outcome, described("b (unreadable)", "c (changed)"), Path("/data"))

    assert names == ("a/k", "b", "c (changed)")


def result(state: State, reason: Reason = Reason.NONE) -> Result:
    return Result(state=state, start=NOW, end=NOW, reason=reason)


@pytest.mark.parametrize(
    ("done", "code"),
    [
        (result(State.COMPLETE), ExitCode.DONE),
        (result(State.UNCHANGED), ExitCode.DONE),
        (result(State.EMPTY), ExitCode.DONE),  # confirmed
        (result(State.EMPTY, Reason.EMPTY), ExitCode.REFUSED),
        (result(State.EMPTY, Reason.SHRUNK), ExitCode.REFUSED),
        (result(State.PARTIAL, Reason.UNREADABLE), ExitCode.PARTIAL),
        (result(State.LOCKED, Reason.LOCKED), ExitCode.FAILED),
        (result(State.FAILED, Reason.DAMAGED), ExitCode.FAILED),
        (result(State.FAILED, Reason.INTERRUPTED), ExitCode.INTERRUPTED),
    ],
)
def test_only_what_is_whole_ends_with_zero(done: Result, code: ExitCode) -> None:
    assert mover.exit_code(done) is code


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (RepositoryLocked("restic: x"), State.LOCKED, Reason.LOCKED),
        (NoRepository("restic: x"), State.FAILED, Reason.NO_REPOSITORY),
        (ResticError("restic: x"), State.FAILED, Reason.FAILED),
    ],
)
def test_an_error_becomes_a_result(error: ResticError, state: State, reason: Reason) -> None:
    found = mover.failed(error, NOW)

    assert (found.state, found.reason, found.snapshot) == (state, reason, None)


def test_an_error_tells_the_next_step() -> None:
    assert mover.failed(ResticError("it broke.", hint="Mend it."), NOW).message == "it broke. Mend it."


def test_progress_is_told_now_and_then() -> None:
    told: list[dict[str, Any]] = []
    clock = [0.0]
    progress = mover.Progress(write=lambda message, **more: told.append(more), clock=lambda: clock[0], every=10.0)
    status = {"message_type": "status", "percent_done": 0.25, "bytes_done": 5, "current_files": ["secret name"]}

    progress(status)
    clock[0] = 10.0
    progress({"message_type": "summary"})
    progress(status)
    progress(status)

    assert told == [{"percent": 25.0, "bytes_done": 5}]
