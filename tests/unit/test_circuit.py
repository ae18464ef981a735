"""The circuit for a dead server: one tries, ever more seldom, and all who wait go on with the first answer."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drsyncer.retry import Schedule
from drsyncer.service.circuit import SCHEDULE, Circuit
from tests.unit.test_service_waiting import Clock

EXACT = Schedule(initial=1.0, factor=2.0, maximum=4.0, jitter=0.0)
SOON = Schedule(initial=0.02, factor=2.0, maximum=0.1, jitter=0.0)


def opened(clock: Clock) -> Circuit:
    circuit = Circuit(EXACT, clock=clock)
    for _ in range(3):
        circuit.failed()
    assert circuit.is_open
    return circuit


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    circuit = Circuit(EXACT)
    circuit.failed()
    circuit.failed()
    assert not circuit.is_open
    circuit.worked()
    circuit.failed()
    circuit.failed()
    assert not circuit.is_open
    circuit.failed()
    assert circuit.is_open


def test_one_who_does_not_wait_may_try_ever_more_seldom() -> None:
    clock = Clock()
    circuit = opened(clock)
    tries = []
    for _ in range(200):
        if circuit.allows():
            tries.append(clock.now - 1_000.0)
            circuit.failed()
        clock.now += 0.1
    assert [round(after - before, 1) for before, after in pairwise(tries)] == [2.0, 4.0, 4.0, 4.0, 4.0]
    circuit.worked()
    assert circuit.allows()
    assert not circuit.is_open


def test_what_was_under_way_when_it_opened_does_not_make_it_wait_longer() -> None:
    clock = Clock()
    circuit = opened(clock)
    for _ in range(200):
        circuit.failed()
    clock.now += 1.0
    assert circuit.allows()


def test_after_an_answer_the_back_off_begins_anew() -> None:
    clock = Clock()
    circuit = opened(clock)
    clock.now += 1.0
    circuit.failed()
    circuit.worked()
    for _ in range(3):
        circuit.failed()
    clock.now += 1.0
    assert circuit.allows()


def test_a_server_that_is_back_is_noticed_within_seconds() -> None:
    assert SCHEDULE.maximum * (1 + SCHEDULE.jitter) < 5.0


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_open_exactly_after_three_failures_or_more_since_the_last_answer(answers: list[bool]) -> None:
    circuit = Circuit(EXACT)
    row = 0
    for answered in answers:
        (circuit.worked if answered else circuit.failed)()
        row = 0 if answered else row + 1
        assert circuit.is_open == (row >= 3)


# Those who wait


class Crowd:
    """Many threads that wait for one server. `up` is whether it answers."""

    def __init__(self, circuit: Circuit, size: int) -> None:
        self.up = False
        self.probes: list[float] = []
        self.at_once = 0
        self.most_at_once = 0
        self.passed: list[float] = []
        self.stopped = threading.Event()
        self.bells = [threading.Event() for _ in range(size)]
        self._circuit = circuit
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._wait, args=(bell,)) for bell in self.bells]
        for thread in self.threads:
            thread.start()

    def _wait(self, bell: threading.Event) -> None:
        self._circuit.wait(bell, goes_on=lambda: not self.stopped.is_set(), probe=self._probe)
        with self._lock:
            self.passed.append(time.monotonic())

    def _probe(self) -> bool:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            self.probes.append(time.monotonic())
        time.sleep(0.005)
        with self._lock:
            self.at_once -= 1
        return self.up

    def end(self) -> None:
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


def crowd(size: int, *, spread: float = 0.0, schedule: Schedule = SOON) -> tuple[Circuit, Crowd]:
    circuit = Circuit(schedule, spread=spread)
    for _ in range(3):
        circuit.failed()
    return circuit, Crowd(circuit, size)


def test_one_of_a_hundred_probes_at_a_time_and_all_go_on_when_there_is_an_answer() -> None:
    circuit, many = crowd(100)
    time.sleep(0.5)
    assert 3 <= len(many.probes) <= 12
    assert many.most_at_once == 1
    assert many.passed == []
    many.up = True
    many.end()
    assert len(many.passed) == 100
    assert not circuit.is_open


def test_an_answer_that_somebody_else_got_lets_all_go_on() -> None:
    circuit, many = crowd(20, schedule=Schedule(initial=60.0, maximum=60.0))
    time.sleep(0.1)
    circuit.worked()
    many.end()
    assert many.probes == []


def test_those_who_waited_come_back_spread() -> None:
    _, many = crowd(100, spread=1.0)
    many.up = True
    many.end()
    assert max(many.passed) - min(many.passed) > 0.5


def test_who_is_told_to_end_ends_at_once_and_another_one_probes() -> None:
    circuit, many = crowd(3, schedule=Schedule(initial=0.3, maximum=0.3, jitter=0.0))
    ended = threading.Event()
    bell = threading.Event()
    one = threading.Thread(
        target=circuit.wait, args=(bell,), kwargs={"goes_on": lambda: not ended.is_set(), "probe": lambda: False}
    )
    one.start()
    ended.set()
    bell.set()
    one.join(5)
    assert not one.is_alive()
    many.up = True
    many.end()
    assert len(many.probes) == 1


def test_when_the_first_one_ends_the_next_one_takes_its_place() -> None:
    circuit = Circuit(SOON, spread=0.0)
    for _ in range(3):
        circuit.failed()
    ended = threading.Event()
    bell = threading.Event()
    asked = threading.Event()

    def probe() -> bool:
        asked.set()
        return False

    first = threading.Thread(
        target=circuit.wait, args=(bell,), kwargs={"goes_on": lambda: not ended.is_set(), "probe": probe}
    )
    first.start()
    assert asked.wait(5)
    many = Crowd(circuit, 2)
    time.sleep(0.1)
    assert many.probes == []
    ended.set()
    bell.set()
    first.join(5)
    many.up = True
    many.end()
    assert len(many.probes) == 1


def test_nobody_waits_while_it_is_closed() -> None:
    begun = time.monotonic()
    Circuit(spread=60.0).wait(threading.Event(), goes_on=lambda: True, probe=lambda: False)
    assert time.monotonic() - begun < 5.0
