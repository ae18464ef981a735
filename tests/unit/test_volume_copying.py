"""How old the data is that was read from a copy of a volume."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from drsyncer.snapshot import State
from tests.unit.movers import WHEN, complete
from volumes.copying import taken_at
from volumes.endings import failure
from volumes.preparing import of_copy
from volumes.result import Reason

MINUTE = timedelta(minutes=1)


def test_a_copy_is_of_when_the_storage_made_it() -> None:
    assert taken_at("2026-03-01T02:01:00Z", begun=WHEN, now=WHEN + 9 * MINUTE) == WHEN + MINUTE


@pytest.mark.parametrize(
    "said", [None, "", "soon", "1970-01-01T00:00:00Z", "2026-03-01T01:59:00Z", "2026-03-02T00:00:00Z"]
)
def test_where_nobody_says_that_or_a_clock_is_wrong_it_is_as_old_as_the_question_for_it(said: str | None) -> None:
    assert taken_at(said, begun=WHEN, now=WHEN + 9 * MINUTE) == WHEN


def test_the_data_of_a_copy_is_as_old_as_the_copy_and_not_as_the_reading_of_it() -> None:
    read = complete()
    assert read.snapshot is not None

    found = of_copy(read, WHEN - MINUTE)

    assert found.snapshot == msgspec.structs.replace(read.snapshot, start=WHEN - MINUTE)
    assert (found.state, found.start) == (State.COMPLETE, read.start)
    assert of_copy(read, WHEN + MINUTE) == read  # no later than restic began, whatever the clocks say


def test_a_backup_without_a_snapshot_has_no_age() -> None:
    failed = failure(Reason.FAILED, "why", start=WHEN, end=WHEN)
    assert of_copy(failed, WHEN - MINUTE) == failed
