"""Kubernetes Events: repeats become counts, changes are told soon, and no reason is told without end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.service.reasons import (
    CLUSTER_AVAILABLE,
    CLUSTER_UNAVAILABLE,
    DRIFT_CORRECTED,
    OBJECTS_BLOCKED,
    REASONS,
    REPOSITORY_AVAILABLE,
    REPOSITORY_UNAVAILABLE,
)
from drsyncer.service.series import Draft, Ledger
from tests.unit.test_service_waiting import Clock


class Told:
    """A ledger, and a writer that writes at once whatever is due."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger("dr-syncer-importer-prod", clock=self.clock, now=self._now)
        self.writes: list[Draft] = []

    def _now(self) -> datetime:
        return datetime(2026, 11, 26, 3, tzinfo=UTC) + timedelta(seconds=self.clock.now - 1_000.0)

    def write(self) -> list[Draft]:
        """Write what is due; return that."""
        before = len(self.writes)
        while (draft := self.ledger.due()) is not None:
            self.writes.append(draft)
            self.ledger.written(draft)
        return self.writes[before:]

    def events(self) -> dict[str, Draft]:
        """Return the Events as the API server would have them."""
        return {draft.name: draft for draft in self.writes}


def test_what_happens_is_written_at_once_and_then_nothing_waits() -> None:
    told = Told()
    assert told.ledger.due() is None
    assert told.ledger.wait() is None
    told.ledger.note(REPOSITORY_UNAVAILABLE, "no answer")
    assert told.ledger.wait() == 0.0
    (draft,) = told.write()
    assert (draft.reason, draft.message, draft.count, draft.exists) == (REPOSITORY_UNAVAILABLE, "no answer", 1, False)
    assert draft.name.startswith("dr-syncer-importer-prod.")
    assert told.ledger.wait() is None


def test_what_repeats_raises_the_count_of_one_event_ever_more_seldom() -> None:
    told = Told()
    moments = []
    for second in range(3_600):
        if second % 10 == 0:
            told.ledger.note(REPOSITORY_UNAVAILABLE, "no answer")
        if told.write():
            moments.append(second)
        told.clock.now += 1.0
    assert moments == [0, 60, 180, 420, 900, 1860]
    (event,) = told.events().values()
    assert event.count == 1860 // 10 + 1
    assert event.last - event.first == timedelta(seconds=1860)


def test_a_changed_message_is_told_at_once_in_the_same_event() -> None:
    told = Told()
    for number in range(3):
        told.ledger.note(OBJECTS_BLOCKED, f"{number} objects", "quota")
        assert [draft.message for draft in told.write()] == [f"{number} objects"]
    (event,) = told.events().values()
    assert event.count == 3


def test_matters_of_one_reason_are_events_of_their_own() -> None:
    told = Told()
    told.ledger.note(OBJECTS_BLOCKED, "a", "quota")
    told.ledger.note(OBJECTS_BLOCKED, "b", "webhook")
    told.write()
    assert len(told.events()) == 2


def test_what_fails_again_after_it_worked_is_news() -> None:
    told = Told()
    for _ in range(3):
        told.ledger.note(REPOSITORY_UNAVAILABLE, "no answer")
        told.ledger.note(REPOSITORY_AVAILABLE, "works again")
        assert [draft.reason for draft in told.write()] == [REPOSITORY_UNAVAILABLE, REPOSITORY_AVAILABLE]
        told.clock.now += 1.0
    assert [event.count for event in told.events().values()] == [3, 3]


def test_what_flaps_for_hours_is_not_told_for_hours() -> None:
    told = Told()
    for _ in range(3_600):
        told.ledger.note(CLUSTER_UNAVAILABLE, "no answer")
        told.ledger.note(CLUSTER_AVAILABLE, "answers")
        told.write()
        told.clock.now += 1.0
    assert len(told.writes) <= 2 * (10 + 60 + 1)
    assert max(draft.count for draft in told.writes) > 3_500  # nothing was dropped


def test_after_an_hour_of_silence_it_is_a_new_event() -> None:
    told = Told()
    told.ledger.note(DRIFT_CORRECTED, "one", "anna")
    told.write()
    told.clock.now += 3_601.0
    told.ledger.note(DRIFT_CORRECTED, "one", "anna")
    (draft,) = told.write()
    assert draft.count == 1
    assert not draft.exists
    assert len(told.events()) == 2


def test_an_event_that_the_server_forgot_is_made_again_with_its_count() -> None:
    told = Told()
    told.ledger.note(DRIFT_CORRECTED, "one")
    told.write()
    told.ledger.note(DRIFT_CORRECTED, "two")
    draft = told.ledger.due()
    assert draft is not None
    assert draft.exists
    told.ledger.gone(draft)
    (again,) = told.write()
    assert (again.exists, again.count, again.name) == (False, 2, draft.name)


def test_what_happens_while_it_is_being_written_is_not_lost() -> None:
    told = Told()
    told.ledger.note(DRIFT_CORRECTED, "one")
    draft = told.ledger.due()
    assert draft is not None
    told.ledger.note(DRIFT_CORRECTED, "two")
    told.ledger.written(draft)
    assert [(later.message, later.count) for later in told.write()] == [("two", 2)]


def test_memory_is_bounded_and_what_was_forgotten_is_counted() -> None:
    told = Told()
    for number in range(1_000):
        told.ledger.note(OBJECTS_BLOCKED, "x", f"cause {number}")
    assert told.ledger.lost == 800
    told.write()
    assert len(told.writes) == 10


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("two\nlines\tand \x1b[31mcolour\x00", "two lines and [31mcolour"),
        ("ü" * 2_000, "ü" * 510 + "…"),
        ("x" * 1_024, "x" * 1_024),
        ("half a \ud800 character", "half a character"),
    ],
)
def test_a_message_is_one_line_that_fits(message: str, written: str) -> None:
    told = Told()
    told.ledger.note(DRIFT_CORRECTED, message)
    assert [draft.message for draft in told.write()] == [written]


@given(st.text(max_size=3_000))
def test_every_message_fits_and_is_printable(message: str) -> None:
    told = Told()
    told.ledger.note(DRIFT_CORRECTED, message or "-")
    for draft in told.write():
        assert len(draft.message.encode()) <= 1_024
        assert draft.message.isprintable()


def test_events_that_begin_in_the_same_moment_have_names_of_their_own() -> None:
    told = Told()
    told.ledger.note(OBJECTS_BLOCKED, "a", "first")
    told.write()
    told.clock.now += 100_000.0
    for subject in ("second", "first", "third"):  # the first one's episode is long over: it begins anew
        told.ledger.note(OBJECTS_BLOCKED, "a", subject)
    assert len({draft.name for draft in told.write()}) == 3


NOTES = st.tuples(
    st.sampled_from(REASONS), st.sampled_from(["a", "b"]), st.sampled_from(["", "x"]), st.floats(0.0, 400.0)
)


@given(st.lists(NOTES, max_size=60))
def test_in_the_end_each_event_says_the_last_that_happened_and_how_often(
    notes: list[tuple[object, str, str, float]],
) -> None:
    told = Told()
    newest: dict[tuple[str, str], str] = {}
    for reason, message, subject, pause in notes:
        told.ledger.note(reason, message, subject)  # type: ignore[arg-type]
        newest[reason.name, subject] = message  # type: ignore[attr-defined]
        told.write()
        told.clock.now += pause
    for _ in range(10_000):
        wait = told.ledger.wait()
        if wait is None:
            break
        told.clock.now += max(wait, 0.001)
        told.write()
    assert told.ledger.wait() is None
    assert {draft.key: draft.message for draft in told.writes} == newest
    assert sum(draft.count for draft in told.events().values()) == len(notes)


def test_every_end_ends_something_and_no_name_comes_twice() -> None:
    names = [reason.name for reason in REASONS]
    assert len(names) == len(set(names))
    assert all(reason.ends in names for reason in REASONS if reason.ends)
    assert all(name.isalpha() and name[0].isupper() for name in names)


def test_the_manual_has_every_reason_with_its_meaning() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "run-as-a-service.md").read_text()
    for reason in REASONS:
        kind = "Warning" if reason.warning else "Normal"
        assert f"| `{reason.name}` | {kind} | {reason.side or 'both'} | {reason.help} |" in page
