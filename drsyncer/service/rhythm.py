"""When the next run is due: all the time, at the ticks of a schedule, or when somebody says so.

Whoever runs asks `wait`, says `begin` when it begins, and `failed` when the run could not do its work for a reason that
passes: then it is still due. One run at a time: what comes in while it runs makes the next one due, once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from drsyncer.service.cron import Cron

_LONGEST = 30.0  # seconds of one wait: a wall clock that was set is noticed then


def _now() -> datetime:
    return datetime.now(UTC)


class Rhythm:
    """The due times of one kind of work. `wake` is for any thread, the rest for the one that runs.

    `cron` None and `interval` 0: only when woken. A schedule starts at `since` (default: now): of the ticks that were
    missed after it, all together make one run. An interval starts with a run at once.
    """

    def __init__(
        self,
        *,
        interval: float = 0.0,
        cron: Cron | None = None,
        since: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._interval = interval
        self._cron = cron
        self._clock = clock
        self._now = now
        self._tick = cron.after(since or now()) if cron else None
        self._next = clock()
        self._woken = False
        self._owed = False
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Make a run due now."""
        with self._lock:
            self._woken = True

    def go_on_from(self, since: datetime | None) -> None:
        """Ticks up to `since` are taken care of; None: nothing is known, and those up to now are."""
        if self._cron is not None:
            self._tick = self._cron.after(since or self._now())

    def wait(self) -> float:
        """Return the seconds until a run is due, 0 when it is; ask again after them, they may be fewer than it takes.

        None is due for as long as it can be said: 30 seconds at most.
        """
        with self._lock:
            if self._woken or self._owed:
                return 0.0
        if self._tick is not None:
            left = (self._tick - self._now()).total_seconds()
        elif self._interval:
            left = self._next - self._clock()
        else:
            left = _LONGEST
        return min(max(left, 0.0), _LONGEST)

    def due(self) -> bool:
        """Return whether a run is due."""
        return self.wait() == 0.0

    @property
    def woken(self) -> bool:
        """Whether somebody asked for the run that is due."""
        return self._woken

    @property
    def next_tick(self) -> datetime | None:
        """When the schedule ticks next, for whoever shows it; None without one."""
        return self._tick

    def begin(self) -> bool:
        """A run begins: what was due is taken care of. Return whether somebody had asked for it."""
        with self._lock:
            woken, self._woken, self._owed = self._woken, False, False
        self._next = self._clock() + self._interval
        if self._cron is not None:
            self._tick = self._cron.after(self._now())
        return woken

    def failed(self) -> None:
        """The run that was begun did not come about: it is still due."""
        with self._lock:
            self._owed = True
