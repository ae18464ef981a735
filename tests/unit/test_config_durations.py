"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("0s", 0),
        ("1m500ms", 60.5),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "1s1m", "5S", "1d", "1.5ms", "1m1m", "٣s", "5s\n", ".5s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500ms, 30s, 5m or 1h30m"):
        durations.parse(text)


@given(st.integers(min_value=0, max_value=10**10).map(lambda milliseconds: milliseconds / 1000))
def test_what_is_shown_is_read_back_as_the_same(seconds: float) -> None:
    assert durations.parse(durations.text(seconds)) == seconds


def test_the_text_is_short() -> None:
    assert [durations.text(seconds) for seconds in (0, 0.5, 60, 90.5, 5400)] == [
        "0s",
        "500ms",
        "1m",
        "1m30s500ms",
        "1h30m",
    ]
    with pytest.raises(ValueError, match="not negative"):
        durations.text(-1)


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("1d12h", 129_600), ("1.5d", 129_600), ("12h", 43_200), ("1d1s", 86_401)]
)
def test_what_may_be_days_is_written_in_days(text: str, seconds: float) -> None:
    assert durations.parse_long(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "1d5", "12h1d", "1d 1h", "-1d", "1D", "1w", "1d1d", "٣d"])
def test_what_is_no_span_of_days_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30m, 12h, 7d or 1d12h"):
        durations.parse_long(text)


@given(st.integers(min_value=0, max_value=10**11).map(lambda milliseconds: milliseconds / 1000))
def test_a_span_of_days_that_is_shown_is_read_back_as_the_same(seconds: float) -> None:
    assert durations.parse_long(durations.text_long(seconds)) == seconds


def test_the_text_of_days_is_short() -> None:
    assert [durations.text_long(seconds) for seconds in (0, 3600, 86_400, 129_600)] == ["0s", "1h", "1d", "1d12h"]
