"""When a run is due, in each mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drsyncer.service.cron import Cron
from drsyncer.service.rhythm import Rhythm

START = datetime(2026, 11, 26, 3, 7, tzinfo=UTC)


class Clock:
    """Both clocks, which go when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1_000)


def continuous(clock: Clock, interval: float = 30) -> Rhythm:
    return Rhythm(interval=interval, clock=clock.monotonic, now=clock.now)


def scheduled(clock: Clock, since: datetime | None = None) -> Rhythm:
    return Rhythm(cron=Cron("*/15 * * * *", "UTC"), since=since, clock=clock.monotonic, now=clock.now)


def manual(clock: Clock) -> Rhythm:
    return Rhythm(clock=clock.monotonic, now=clock.now)


def test_an_interval_begins_with_a_run_and_counts_from_its_begin() -> None:
    clock = Clock()
    rhythm = continuous(clock)
    assert rhythm.due()
    rhythm.begin()
    clock.seconds += 10
    assert rhythm.wait() == 20
    clock.seconds += 20
    assert rhythm.due()
    clock.seconds += 500  # a long run, or a machine that slept: one run, not many
    rhythm.begin()
    assert rhythm.wait() == 30


def test_a_schedule_acts_at_its_tick_and_not_before() -> None:
    clock = Clock()
    rhythm = scheduled(clock)
    clock.seconds += 8 * 60 - 1
    assert not rhythm.due()
    assert rhythm.wait() == 1
    clock.seconds += 1
    assert rhythm.due()
    rhythm.begin()
    assert not rhythm.due()
    assert rhythm.next_tick == START.replace(minute=30)


def test_missed_ticks_make_one_run() -> None:
    clock = Clock()
    rhythm = scheduled(clock, since=START - timedelta(hours=5))
    assert rhythm.due()
    rhythm.begin()
    clock.seconds += 3600  # the run took an hour
    assert rhythm.due()
    rhythm.begin()
    assert not rhythm.due()


def test_manual_is_due_when_woken_and_once() -> None:
    clock = Clock()
    rhythm = manual(clock)
    clock.seconds += 86_400
    assert not rhythm.due()
    for _ in range(2):
        rhythm.wake()
        rhythm.wake()
        assert rhythm.due()
        assert rhythm.begin()
        assert not rhythm.due()


def test_waking_during_a_run_makes_another_one() -> None:
    for rhythm in (continuous(Clock()), scheduled(Clock()), manual(Clock())):
        rhythm.begin()
        rhythm.wake()
        assert rhythm.due()
        assert rhythm.begin()
        assert not rhythm.due()


def test_a_run_that_did_not_come_about_is_still_due() -> None:
    for rhythm in (continuous(Clock()), scheduled(Clock()), manual(Clock())):
        rhythm.begin()
        rhythm.failed()
        assert rhythm.due()
        assert not rhythm.begin()  # nobody asked for it
        assert not rhythm.due()


@given(st.lists(st.tuples(st.floats(0, 2_000), st.booleans()), max_size=50))
def test_between_two_ticks_there_is_never_more_than_one_run(moves: list[tuple[float, bool]]) -> None:
    clock = Clock()
    rhythm = scheduled(clock)
    runs = []
    for seconds, look in moves:
        clock.seconds += seconds
        assert 0 <= rhythm.wait() <= 30
        if look and rhythm.due():
            rhythm.begin()
            runs.append(clock.now())
    quarters = [int(run.timestamp()) // 900 for run in runs]
    assert len(quarters) == len(set(quarters))
