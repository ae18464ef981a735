"""What dispatcher, mover and exporter say to each other survives the way, and fits into it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.snapshot import Attempt, Record, Snapshot, State, decode, encode
from volumes import result as results
from volumes import task as tasks
from volumes.result import Reason, Result

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
SNAPSHOT = Snapshot(
    id="a" * 64,
    tree="b" * 64,
    manifest="c" * 64,
    host="prod",
    state=State.COMPLETE,
    start=NOW,
    end=NOW,
    files=3,
    bytes=9,
)
VOLUME = tasks.Volume(host="prod", namespace="shop", name="data")
ACCESS = tasks.Access(repository="rest:https://backup.example.com/")

anything = st.text(alphabet=st.characters(codec="utf-8"), max_size=3000)


@given(message=anything, names=st.lists(anything, max_size=60), warnings=st.lists(anything, max_size=40))
def test_an_answer_fits_into_a_termination_message_whatever_it_says(
    message: str, names: list[str], warnings: list[str]
) -> None:
    said = Result(
        state=State.PARTIAL,
        start=NOW,
        end=NOW,
        snapshot=SNAPSHOT,
        reason=Reason.UNREADABLE,
        message=message,
        names=tuple(names),
        loss=message,
        names_total=len(names),
        warnings=tuple(warnings),
    )

    data = results.encode(said)

    assert len(data) <= results.MOST_BYTES
    read = results.decode(data)
    assert (read.state, read.reason, read.snapshot, read.names_total) == (
        said.state,
        said.reason,
        SNAPSHOT,
        len(names),
    )


def test_an_answer_about_a_snapshot_that_somebody_made_up_comes_to_an_end() -> None:
    """A mover would else shorten it for ever, and its Job would run until its time is up."""
    made_up = msgspec.structs.replace(SNAPSHOT, host="h" * 5000)

    said = results.decode(results.encode(Result(state=State.FAILED, start=NOW, end=NOW, snapshot=made_up)))

    assert (said.state, said.snapshot) == (State.FAILED, None)


def test_a_record_with_a_name_that_no_cluster_has_is_none() -> None:
    made_up = Record(repository="d" * 64, snapshot=msgspec.structs.replace(SNAPSHOT, host="h" * 254))

    with pytest.raises(ValueError, match="no more than 253 characters"):
        decode(encode(made_up))


def test_a_short_answer_is_not_shortened() -> None:
    said = Result(state=State.PARTIAL, start=NOW, end=NOW, message="2 files", names=("a", "b"), names_total=2)

    assert results.decode(results.encode(said)) == said


@pytest.mark.parametrize(
    "task",
    [
        tasks.BackupTask(access=ACCESS, volume=VOLUME, run="r", previous=SNAPSHOT),
        tasks.RestoreTask(access=ACCESS, volume=VOLUME, repository_id="d" * 64, snapshot=SNAPSHOT, path="var/lib"),
    ],
    ids=["backup", "restore"],
)
def test_a_task_arrives_as_it_was_given(task: tasks.Task) -> None:
    assert tasks.decode(tasks.encode(task)) == task


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        tasks.decode(b'{"kind": "erase"}')


def test_a_recovery_point_is_complete_only_when_its_newest_attempt_was_whole() -> None:
    failed = Attempt(state=State.FAILED, start=NOW, end=NOW, reason="Unreachable", message="no answer")

    assert Record(repository="r", snapshot=SNAPSHOT).complete
    assert not Record(repository="r", snapshot=SNAPSHOT, attempt=failed).complete
    assert not Record(repository="r").complete


def test_a_record_of_a_later_version_is_read_without_what_it_added() -> None:
    data = msgspec.json.encode(Record(repository="r", snapshot=SNAPSHOT))

    read = msgspec.json.decode(data[:-1] + b',"colour":"red"}', type=Record)

    assert read == Record(repository="r", snapshot=SNAPSHOT)


def test_only_complete_and_unchanged_are_whole() -> None:
    assert {state for state in State if state.whole} == {State.COMPLETE, State.UNCHANGED}
