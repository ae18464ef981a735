"""How long to leave alone what keeps failing: per object, per remote, per cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from drsyncer.retry import Schedule


@dataclass(slots=True)
class _Failing:
    failures: int
    until: float


class Backoff:
    """Exponential back-off with jitter for each key, forgotten at its first success. Safe for several threads."""

    def __init__(self, schedule: Schedule, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._schedule = schedule
        self._clock = clock
        self._failing: dict[Hashable, _Failing] = {}
        self._lock = threading.Lock()

    def failed(self, key: Hashable, *, retry_after: float | None = None) -> float:
        """Note a failure; return the seconds to leave `key` alone."""
        with self._lock:
            failures = self._failing[key].failures + 1 if key in self._failing else 1
            delay = self._schedule.delay(failures, retry_after=retry_after)
            self._failing[key] = _Failing(failures, self._clock() + delay)
            return delay

    def worked(self, key: Hashable) -> None:
        """Forget that `key` ever failed."""
        with self._lock:
            self._failing.pop(key, None)

    def wait(self, key: Hashable) -> float:
        """Return the seconds until `key` may be tried again, 0 when it may be now."""
        with self._lock:
            found = self._failing.get(key)
            return max(0.0, found.until - self._clock()) if found else 0.0

    def failures(self, key: Hashable) -> int:
        """Return how often in a row `key` failed."""
        with self._lock:
            return self._failing[key].failures if key in self._failing else 0
