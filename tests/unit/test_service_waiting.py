"""When the services work, and how long they wait: ticks, quiet, back-off, and the log of what keeps failing."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import log
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.cron import Cron
from drsyncer.service.quiet import Quiet
from drsyncer.service.repeats import Repeats


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Ticks


@pytest.mark.parametrize(
    ("expression", "zone", "after", "tick"),
    [
        ("*/15 * * * *", "UTC", "2026-11-26 03:07", "2026-11-26 03:15"),
        ("*/15 * * * *", "UTC", "2026-11-26 03:15", "2026-11-26 03:30"),
        ("0 3 * * *", "Europe/Berlin", "2026-11-26 00:00", "2026-11-26 02:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-07-01 00:00", "2026-07-01 01:00"),
        ("0 0 29 2 *", "UTC", "2026-11-26 00:00", "2028-02-29 00:00"),
        # The night when clocks go forward: there is no 02:30.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00"),
        # The night when clocks go back: 02:30 comes twice, the run once.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),
    ],
)
def test_the_next_tick_is_reckoned_in_its_time_zone(expression: str, zone: str, after: str, tick: str) -> None:
    assert Cron(expression, zone).after(utc(after)) == utc(tick)


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("* * * *", "UTC", "five fields"),
        ("* * * * * *", "UTC", "five fields"),
        ("61 * * * *", "UTC", "cron expression"),
        ("0 0 30 2 *", "UTC", "cron expression|never comes"),
        ("@daily", "UTC", "five fields"),
        ("0 0 * * *", "Mars/Olympus", "time zone"),
        ("0 0 * * *", "../../etc/passwd", "time zone"),
    ],
)
def test_what_never_ticks_is_refused_with_what_was_expected(expression: str, zone: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Cron(expression, zone)


def test_missed_ticks_are_counted_and_never_for_long() -> None:
    cron = Cron("*/15 * * * *", "UTC")
    start = utc("2026-11-26 03:00")

    assert cron.missed(start, start + timedelta(minutes=14)) == 0
    assert cron.missed(start, start + timedelta(minutes=15)) == 1
    assert cron.missed(start, start + timedelta(hours=2)) == 8
    assert cron.missed(start, start + timedelta(days=365)) == 1_000


# Quiet


def test_changes_wait_for_quiet_but_not_for_ever() -> None:
    quiet = Quiet(period=2.0, longest=15.0)
    assert quiet.wait(0.0) is None

    quiet.note(10.0)
    assert quiet.wait(10.0) == 2.0
    quiet.note(11.5)
    assert (quiet.wait(11.5), quiet.due(13.4), quiet.due(13.5)) == (2.0, False, True)

    for moment in range(12, 25):
        quiet.note(float(moment))
    assert (quiet.due(24.9), quiet.due(25.0)) == (False, True)

    quiet.clear()
    assert not quiet.due(99.0)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.1, 10), st.floats(0.1, 30))
def test_nothing_waits_longer_than_the_longest_delay(moments: list[float], period: float, longest: float) -> None:
    quiet = Quiet(period, longest)
    for moment in sorted(moments):
        quiet.note(moment)

    assert quiet.due(min(moments) + longest + 0.001)


# Back-off


def test_each_key_backs_off_by_itself_and_starts_anew_after_a_success() -> None:
    clock = Clock()
    backoff = Backoff(Schedule(initial=1.0, factor=2.0, maximum=10.0, jitter=0.0), clock=clock)

    assert [backoff.failed("a") for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert (backoff.wait("a"), backoff.wait("b"), backoff.failures("a")) == (10.0, 0.0, 5)
    clock.now += 9
    assert backoff.wait("a") == 1.0
    backoff.worked("a")
    assert (backoff.wait("a"), backoff.failed("a")) == (0.0, 1.0)
    assert backoff.failed("b", retry_after=7.0) == 7.0


def test_what_fails_for_a_year_still_has_a_delay() -> None:
    assert Schedule(jitter=0.0, maximum=30.0).delay(10_000_000) == 30.0


# The log of what keeps failing


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_a_failure_that_goes_on_is_told_at_widening_intervals(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    repeats = Repeats(log.get("test"), clock=clock)

    for _ in range(24 * 3_600 // 5):
        repeats.failed("git", "git: no answer")
        clock.now += 5

    told = [record.getMessage() for record in lines.records]
    assert set(told) == {"git: no answer"}
    assert 25 <= len(told) <= 32  # a day: six in the first hour or so, then hourly


def test_news_and_the_end_of_a_failure_are_told_at_once(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    repeats = Repeats(log.get("test"), clock=clock)

    repeats.worked("git")
    repeats.failed("git", "git: no answer")
    repeats.failed("git", "git: token expired")
    repeats.failed("api", "api: no answer")
    clock.now += 90
    repeats.worked("git")
    repeats.worked("git")

    assert [record.getMessage() for record in lines.records] == [
        "git: no answer",
        "git: token expired",
        "api: no answer",
        "git works again",
    ]


def test_a_listener_hears_of_every_failure_and_of_its_end_once() -> None:
    heard: list[tuple[str, str | None]] = []
    repeats = Repeats(log.get("test"), listener=lambda key, text: heard.append((key, text)), clock=Clock())

    repeats.worked("git")
    repeats.failed("git", "no answer")
    repeats.failed("git", "no answer")
    repeats.worked("git")
    repeats.worked("git")

    assert heard == [("git", "no answer"), ("git", "no answer"), ("git", None)]


def test_ever_new_failures_do_not_fill_the_memory() -> None:
    repeats = Repeats(log.get("test"), clock=Clock())

    for index in range(3_000):
        repeats.failed(f"object-{index}", "no")

    assert len(repeats._troubles) <= 1_000
