"""Who reads beside another one neither runs away from it nor waits for it in vain."""

from __future__ import annotations

import threading
import time

from volumes.pacing import Pace

SECONDS = 30.0


class Reader:
    """Reads ten bytes at a time, in a thread of its own."""

    def __init__(self, pace: Pace, *, total: int) -> None:
        self.read = 0
        self._pace = pace
        self._total = total
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self.read < self._total:
            self._pace.passed(10)
            self.read += 10

    def ended(self) -> bool:
        self._thread.join(SECONDS)
        return not self._thread.is_alive()

    def waits_at(self, read: int) -> bool:
        deadline = time.monotonic() + SECONDS
        while self.read < read and time.monotonic() < deadline:
            time.sleep(0.001)
        self._thread.join(0.1)
        return self._thread.is_alive() and self.read == read


def test_nobody_waits_for_one_that_does_not_tell_how_far_it_is() -> None:
    assert Reader(Pace(ahead=0), total=1000).ended()


def test_a_reader_waits_where_it_is_far_enough_ahead_and_goes_on_when_the_other_does() -> None:
    pace = Pace(ahead=50)
    pace.reached(0)
    reader = Reader(pace, total=200)

    assert reader.waits_at(50)
    pace.reached(100)
    assert reader.waits_at(150)
    pace.reached(150)
    assert reader.ended()


def test_the_end_of_the_other_one_ends_the_waiting() -> None:
    pace = Pace(ahead=0)
    pace.reached(0)
    reader = Reader(pace, total=100)

    assert reader.waits_at(0)
    pace.end()
    assert reader.ended()
