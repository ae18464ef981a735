"""When to try again: the schedule as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.retry import Schedule

STEADY = Schedule(initial=0.5, factor=2.0, maximum=30.0, jitter=0.0, attempts=8)


def test_delays_grow_up_to_the_longest() -> None:
    assert [STEADY.delay(attempt) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_servers_own_wait_wins_even_when_it_is_shorter() -> None:
    assert STEADY.delay(1, retry_after=7.0) == 7.0
    assert STEADY.delay(7, retry_after=1.0) == 1.0
    assert STEADY.delay(7, retry_after=0.0) == 0.0


def test_a_mad_wait_is_bounded() -> None:
    assert STEADY.delay(1, retry_after=86_400.0) == STEADY.maximum
    assert STEADY.delay(1, retry_after=-5.0) == 0.0


def test_a_dead_server_costs_about_a_minute_by_default() -> None:
    schedule = Schedule(jitter=0.0)
    assert sum(schedule.delay(attempt) for attempt in range(1, schedule.attempts)) == pytest.approx(61.5)


@given(
    initial=st.floats(0.001, 10),
    factor=st.floats(1, 5),
    maximum=st.floats(10, 600),
    jitter=st.floats(0, 1),
    attempt=st.integers(1, 100),
)
def test_a_delay_stays_within_its_jitter(
    initial: float, factor: float, maximum: float, jitter: float, attempt: int
) -> None:
    exact = Schedule(initial, factor, maximum, 0.0).delay(attempt)
    found = Schedule(initial, factor, maximum, jitter).delay(attempt)

    assert exact <= maximum
    assert 0 <= exact * (1 - jitter) * 0.999 <= found <= exact * (1 + jitter) * 1.001


def test_clients_do_not_come_back_all_at_once() -> None:
    assert len({Schedule(jitter=0.2).delay(4) for _ in range(20)}) > 10
