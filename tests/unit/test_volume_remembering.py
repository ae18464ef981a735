"""What is remembered of a volume: the newest whole snapshot, and why there is no newer one."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.snapshot import Attempt, Record, Snapshot, State, decode, encode
from tests.unit.movers import WHEN, snapshot
from volumes.endings import is_good
from volumes.remembering import record_of, remember
from volumes.result import Reason, Result

REPOSITORY = "c" * 64
LATER = WHEN + timedelta(days=1)


def _snapshot(minute: int, state: State) -> Snapshot:
    when = WHEN + timedelta(minutes=minute)
    return msgspec.structs.replace(snapshot(state), id=f"{minute:064x}", start=when, end=when + timedelta(seconds=30))


def result(minute: int, state: State, *, reason: Reason | None = None, made: bool | None = None) -> Result:
    """Return how a backup ended that began at this minute."""
    when = WHEN + timedelta(minutes=minute)
    made = state in (State.COMPLETE, State.UNCHANGED, State.PARTIAL) if made is None else made
    return Result(
        state=state,
        start=when,
        end=when + timedelta(seconds=30),
        repository=REPOSITORY,
        snapshot=_snapshot(minute, state) if made else None,
        reason=(Reason.NONE if state.whole else Reason.FAILED) if reason is None else reason,
        message="" if state.whole else "why",
    )


def test_a_whole_backup_is_the_snapshot_of_the_next_recovery_point() -> None:
    record = remember(None, result(1, State.COMPLETE), now=LATER)

    assert record.complete
    assert record.snapshot == _snapshot(1, State.COMPLETE)
    assert record.repository == REPOSITORY


@pytest.mark.parametrize("state", [State.PARTIAL, State.EMPTY, State.FAILED, State.LOCKED])
def test_what_is_not_whole_never_takes_the_place_of_what_was(state: State) -> None:
    before = remember(None, result(1, State.COMPLETE), now=LATER)

    record = remember(before, result(2, state), now=LATER)

    assert record.snapshot == before.snapshot
    assert not record.complete
    assert record.attempt is not None
    assert (record.attempt.state, record.attempt.message) == (state, "why")


def test_a_partial_snapshot_is_named_by_the_attempt() -> None:
    record = remember(None, result(1, State.PARTIAL), now=LATER)

    assert record.snapshot is None
    assert record.attempt is not None
    assert record.attempt.snapshot == f"{1:064x}"
    assert record.attempt.made == _snapshot(1, State.PARTIAL)
    assert decode(encode(record)) == record


def test_a_whole_backup_ends_the_trouble() -> None:
    before = remember(remember(None, result(1, State.COMPLETE), now=LATER), result(2, State.FAILED), now=LATER)

    assert remember(before, result(3, State.UNCHANGED), now=LATER).complete


def test_an_empty_volume_that_was_confirmed_is_whole() -> None:
    record = remember(None, result(1, State.EMPTY, reason=Reason.NONE, made=True), now=LATER)

    assert record.complete


LOST = result(2, State.EMPTY, reason=Reason.SHRUNK, made=True)
PARTLY_LOST = msgspec.structs.replace(result(2, State.PARTIAL, reason=Reason.UNREADABLE), loss="1 file, and 100 before")


@pytest.mark.parametrize("after", [State.FAILED, State.LOCKED, State.PARTIAL])
@pytest.mark.parametrize("loss", [LOST, PARTLY_LOST], ids=["empty", "partial"])
def test_a_loss_is_remembered_whatever_the_next_nights_end_with(loss: Result, after: State) -> None:
    """Else one night without a network would give the old snapshots of an emptied volume free."""
    record: Record | None = None
    for one in (result(1, State.COMPLETE), loss, result(3, after), result(4, State.FAILED)):
        record = remember(record, one, now=LATER)

    assert record is not None
    assert record.attempt is not None
    assert (record.attempt.state, record.attempt.start) == (State.FAILED, WHEN + timedelta(minutes=4))
    assert record.suspicion is not None
    assert (record.suspicion.start, record.suspicion.reason) == (loss.start, "Shrunk")
    assert record.suspicion.message == (loss.loss or loss.message)
    assert record.suspicion.snapshot == f"{2:064x}"


@pytest.mark.parametrize(
    "end",
    [result(4, State.COMPLETE), result(4, State.UNCHANGED), result(4, State.EMPTY, reason=Reason.NONE, made=True)],
)
def test_a_backup_that_is_whole_or_confirmed_ends_the_suspicion(end: Result) -> None:
    record: Record | None = None
    for one in (result(1, State.COMPLETE), LOST, result(3, State.FAILED), end):
        record = remember(record, one, now=LATER)

    assert record is not None
    assert record.complete
    assert record.suspected is None


def test_a_loss_that_a_program_without_suspicions_wrote_down_is_remembered_as_well() -> None:
    old = remember(remember(None, result(1, State.COMPLETE), now=LATER), LOST, now=LATER)
    old = decode(encode(old).replace(encode(old)[encode(old).index(',"suspicion"') : -1], ""))
    assert old.suspicion is None

    record = remember(old, result(3, State.FAILED), now=LATER)

    assert record.suspicion == old.suspected
    assert record.suspicion is not None
    assert (record.suspicion.start, record.suspicion.reason) == (LOST.start, "Shrunk")


def test_a_loss_that_is_written_down_late_is_no_less_a_loss() -> None:
    before = remember(remember(None, result(1, State.COMPLETE), now=LATER), result(3, State.FAILED), now=LATER)

    record = remember(before, LOST, now=LATER)

    assert record.attempt == before.attempt
    assert record.suspicion is not None
    assert record.suspicion.start == LOST.start


def test_a_loss_is_no_better_when_what_came_after_it_was_of_a_clock_that_was_wrong() -> None:
    ahead = Attempt(state=State.FAILED, start=LATER, end=LATER + timedelta(days=1), reason="Lost", message="why")
    before = remember(remember(None, result(1, State.COMPLETE), now=LATER), LOST, now=LATER)
    before = msgspec.structs.replace(before, attempt=ahead)
    late = msgspec.structs.replace(result(1, State.COMPLETE), end=WHEN + timedelta(minutes=1, seconds=1))

    record = remember(before, late, now=LATER)

    assert record.suspicion == before.suspicion
    assert record.attempt is not None
    assert (record.attempt.state, record.attempt.start) == (State.EMPTY, LOST.start)
    assert decode(encode(record)) == record


def test_another_repository_replaces_the_record_only_with_a_whole_snapshot() -> None:
    before = remember(None, result(1, State.COMPLETE), now=LATER)
    elsewhere = msgspec.structs.replace(result(2, State.PARTIAL), repository="d" * 64)
    whole = msgspec.structs.replace(result(3, State.COMPLETE), repository="d" * 64)

    assert remember(before, elsewhere, now=LATER).repository == REPOSITORY
    attempt = remember(before, elsewhere, now=LATER).attempt
    assert attempt is not None
    assert attempt.snapshot == ""  # it is not in the repository that the record is of
    assert remember(before, whole, now=LATER).repository == "d" * 64


ELSEWHERE = "d" * 64


def moved(one: Result) -> Result:
    """`one`, as it ended in another repository."""
    return msgspec.structs.replace(one, repository=ELSEWHERE)


def test_backups_go_on_in_the_repository_that_was_adopted_also_while_none_there_is_whole() -> None:
    record = remember(None, result(1, State.COMPLETE), now=LATER)
    for one in (moved(result(2, State.PARTIAL)), moved(result(3, State.FAILED))):
        record = remember(record, one, now=LATER)
        assert (record.repository, record.adopted, record.snapshot) == (
            REPOSITORY,
            ELSEWHERE,
            _snapshot(1, State.COMPLETE),
        )
        assert decode(encode(record)) == record

    whole = remember(record, moved(result(4, State.COMPLETE)), now=LATER)
    assert (whole.repository, whole.adopted) == (ELSEWHERE, None)
    back = remember(record, result(4, State.PARTIAL), now=LATER)
    assert (back.repository, back.adopted) == (REPOSITORY, None)


def test_a_backup_that_made_nothing_elsewhere_adopts_nothing() -> None:
    record = remember(None, result(1, State.COMPLETE), now=LATER)

    assert remember(record, moved(result(2, State.FAILED)), now=LATER).adopted is None


def test_where_nothing_was_whole_the_record_moves_with_the_first_snapshot_elsewhere() -> None:
    record: Record | None = None
    for one in (LOST, result(3, State.PARTIAL), moved(result(4, State.PARTIAL))):
        record = remember(record, one, now=LATER)

    assert record is not None
    assert record.attempt is not None
    assert record.suspicion is not None
    assert (record.repository, record.adopted) == (ELSEWHERE, None)
    assert record.attempt.made == _snapshot(4, State.PARTIAL)
    assert (record.suspicion.start, record.suspicion.snapshot) == (LOST.start, "")  # nobody looks for it there


def test_an_annotation_that_is_no_record_is_told() -> None:
    with pytest.raises(ValueError, match="is no record"):
        record_of({"metadata": {"annotations": {"dr-syncer.io/backup-result": "{}"}}})

    assert record_of({"metadata": {}}) is None


def test_what_another_claim_remembers_came_with_a_copy() -> None:
    made = remember(None, result(1, State.COMPLETE), now=LATER)

    def on(claim: str, *, by: str | None) -> Record | None:
        text = encode(msgspec.structs.replace(made, claim=by))
        return record_of({"metadata": {"uid": claim, "annotations": {"dr-syncer.io/backup-result": text}}})

    assert on("uid-1", by="uid-1") == msgspec.structs.replace(made, claim="uid-1")
    assert on("uid-2", by="uid-1") is None
    assert on("uid-2", by=None) == made  # of a program that wrote no claim


@pytest.mark.parametrize("state", [State.COMPLETE, State.UNCHANGED, State.FAILED, State.PARTIAL])
@pytest.mark.parametrize("clock", [State.COMPLETE, State.FAILED])
def test_what_a_clock_wrote_that_was_ahead_keeps_nothing_newer_away(clock: State, state: State) -> None:
    """Else all backups would go unnoticed until that time has come, those that fail, too."""
    ahead = remember(None, result(60 * 24 * 365, clock), now=LATER)

    record = remember(ahead, result(2, state), now=LATER)

    if state.whole:
        assert record == remember(None, result(2, state), now=LATER)
    else:
        assert record.snapshot == ahead.snapshot
        assert record.attempt is not None
        assert record.attempt.state is state


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(State)), min_size=1, max_size=8), st.randoms())
def test_the_order_of_writing_down_does_not_matter(ends: list[tuple[int, State]], order: object) -> None:
    """A result may be written down late, by the next run: the record is that of the newest all the same."""
    results = [result(minute, state) for minute, state in dict(ends).items()]
    shuffled = list(results)
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    record: Record | None = None
    for one in shuffled:
        record = remember(record, one, now=LATER)

    assert record is not None
    assert decode(encode(record)) == record
    whole = [one.snapshot for one in results if is_good(one)]
    newest = max(results, key=lambda one: one.end)
    assert record.snapshot == max(whole, key=lambda one: one.start, default=None)  # type: ignore[union-attr]
    if is_good(newest):
        assert record.complete
    else:
        assert record.attempt is not None
        assert record.attempt.end == newest.end
    lost = [one for one in results if one.state is State.EMPTY]
    since = record.snapshot.end if record.snapshot is not None else None
    lost = [one for one in lost if since is None or one.end > since]
    assert (record.suspicion.end if record.suspicion else None) == max((one.end for one in lost), default=None)
