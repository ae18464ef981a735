"""Changes gather until there was quiet for a while, but not for ever."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Quiet:
    """Decides when what has gathered is due. Times are seconds of one monotonic clock.

    Due is what saw no further change for `period`, or has waited for `longest` since its first change.
    """

    period: float
    longest: float
    _first: float | None = None
    _last: float = 0.0

    def note(self, now: float) -> None:
        """Something changed."""
        if self._first is None:
            self._first = now
        self._last = now

    def wait(self, now: float) -> float | None:
        """Return the seconds until what has gathered is due (0 when it is), None when nothing has."""
        if self._first is None:
            return None
        return max(0.0, min(self._last + self.period, self._first + self.longest) - now)

    def due(self, now: float) -> bool:
        """Return whether something has gathered and is due."""
        return self.wait(now) == 0.0

    def clear(self) -> None:
        """What had gathered is taken care of."""
        self._first = None
