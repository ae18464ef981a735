"""Many ask one server, and the server is dead: one of them tries it, ever more seldom, and all others wait for that.

Left to themselves, hundreds of watches would each try every few seconds, for as long as the server is away, and all of
them at the very moment when it is back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from drsyncer.retry import Schedule

# So long at most until a server that is back is noticed.
SCHEDULE = Schedule(initial=0.5, factor=2.0, maximum=4.0, jitter=0.2)
_THRESHOLD = 3
_SPREAD = 2.0  # seconds over which those who waited come back


class Circuit:
    """For one target. It opens when `threshold` requests in a row, whoever's, went without an answer.

    While it is open, those in `wait` stay there: the one who has been there for longest probes when the back-off says
    so. At the first answer all go on, spread over `spread` seconds. Safe to use from several threads.
    """

    def __init__(
        self,
        schedule: Schedule = SCHEDULE,
        *,
        threshold: int = _THRESHOLD,
        spread: float = _SPREAD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedule = schedule
        self._threshold = threshold
        self._spread = spread
        self._clock = clock
        self._failures = 0
        self._open = False
        self._probes = 0  # failed ones since it opened, and one more
        self._until = 0.0
        self._queue: dict[threading.Event, None] = {}
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the target counts as dead."""
        return self._open

    def failed(self) -> None:
        """A request went without an answer."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._threshold:
                self._open = True
                # Requests that were under way when it opened tell nothing new.
                if self._clock() >= self._until:
                    self._back_off()

    def worked(self) -> None:
        """The target answered, whatever it said."""
        with self._lock:
            self._failures = self._probes = 0
            self._until = 0.0
            self._open = False
            for bell in self._queue:
                bell.set()

    def allows(self) -> bool:
        """Return whether one who does not want to wait may ask now; whoever may tells how that went.

        While it is open that is so only if nobody waits, who would probe, and the back-off is over.
        """
        with self._lock:
            return not self._open or (not self._queue and self._clock() >= self._until)

    def wait(self, bell: threading.Event, *, goes_on: Callable[[], bool], probe: Callable[[], bool]) -> None:
        """Return when the target may be asked: at once, or after it has answered again.

        `probe` asks it one cheap question and says whether there was an answer. `bell` is the caller's own; whoever
        makes `goes_on` false rings it, and this returns.
        """
        with self._lock:
            if not self._open:
                return
            self._queue[bell] = None
        try:
            while goes_on() and (pause := self._turn(bell, probe)) != 0:
                bell.wait(pause)
                bell.clear()
        finally:
            with self._lock:
                del self._queue[bell]
                if self._open and self._queue:
                    next(iter(self._queue)).set()  # it probes from now on
        if goes_on():
            bell.wait(random.uniform(0, self._spread))  # noqa: S311 - spread, not secrecy
            bell.clear()

    def _turn(self, bell: threading.Event, probe: Callable[[], bool]) -> float | None:
        """Probe if it is `bell`'s turn; return the seconds to wait for, None for as long as it takes, 0 for no more."""
        with self._lock:
            if not self._open:
                return 0.0
            if next(iter(self._queue)) is not bell:
                return None
            left = self._until - self._clock()
        if left > 0:
            return left
        if probe():
            self.worked()
            return 0.0
        with self._lock:
            return max(self._back_off(), 0.001)

    def _back_off(self) -> float:
        """One more try was in vain: return the seconds to the next one."""
        self._probes += 1
        pause = self._schedule.delay(self._probes)
        self._until = self._clock() + pause
        return pause
