"""The deletion guard: too many by number, by share, or all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.guard import PERCENT_FLOOR, Guard

GUARD = Guard(max_deletions=50, max_percent=20)


@pytest.mark.parametrize(
    ("deletions", "existing", "objection"),
    [
        (0, 0, ""),
        (0, 100, ""),
        (1, 100, ""),
        (20, 100, ""),
        (21, 100, "21 of 100 objects (21 %) would be deleted; the limit is 20 %"),
        (50, 1000, ""),
        (51, 1000, "51 of 1000 objects would be deleted; the limit is 50"),
        # A share of a handful means nothing …
        (5, 6, ""),
        (6, 7, "6 of 7 objects (86 %) would be deleted; the limit is 20 %"),
        # … but all of it means everything.
        (1, 1, "1 of 1 objects (100 %) would be deleted; the limit is 20 %"),
        (5, 5, "5 of 5 objects (100 %) would be deleted; the limit is 20 %"),
    ],
)
def test_the_guard_objects_to_many_deletions(deletions: int, existing: int, objection: str) -> None:
    assert GUARD.objection(deletions=deletions, existing=existing) == objection


@pytest.mark.parametrize(
    ("deletions", "existing", "lately", "objection"),
    [
        (1, 950, 49, ""),
        (1, 950, 50, "1 of 950 objects would be deleted after 50 lately; the limit is 50"),
        (0, 950, 500, ""),
        (1, 81, 19, ""),
        (2, 81, 19, "2 of 81 objects after 19 lately (21 %) would be deleted; the limit is 20 %"),
    ],
)
def test_what_went_lately_counts_too(deletions: int, existing: int, lately: int, objection: str) -> None:
    assert GUARD.objection(deletions=deletions, existing=existing, lately=lately) == objection


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 2_000))
def test_no_series_of_small_commits_passes_what_one_big_commit_would_not(steps: list[int], existing: int) -> None:
    lately, left = 0, existing
    for step in steps:
        if step < left and not GUARD.objection(deletions=step, existing=left, lately=lately):
            lately, left = lately + step, left - step
    assert lately < existing
    assert not GUARD.objection(deletions=lately, existing=existing)


def test_a_guard_of_a_hundred_percent_still_objects_to_everything() -> None:
    assert Guard(1000, 100).objection(deletions=9, existing=10) == ""
    assert Guard(1000, 100).objection(deletions=10, existing=10) != ""


def test_a_guard_of_zero_objects_to_any_deletion() -> None:
    assert Guard(0, 100).objection(deletions=1, existing=1000) != ""
    assert Guard(0, 100).objection(deletions=0, existing=1000) == ""


@given(st.integers(1, 500), st.integers(0, 500), st.integers(0, 100), st.integers(0, 100))
def test_more_deletions_are_never_judged_milder(existing: int, deletions: int, limit: int, percent: int) -> None:
    deletions = min(deletions, existing)
    guard = Guard(limit, percent)
    if guard.objection(deletions=deletions, existing=existing) and deletions < existing:
        assert guard.objection(deletions=deletions + 1, existing=existing)


@given(st.integers(PERCENT_FLOOR + 1, 500), st.integers(1, 500))
def test_what_passes_is_within_both_limits(existing: int, deletions: int) -> None:
    deletions = min(deletions, existing)
    if not GUARD.objection(deletions=deletions, existing=existing):
        assert deletions <= GUARD.max_deletions
        assert deletions <= PERCENT_FLOOR or 100 * deletions <= GUARD.max_percent * existing
