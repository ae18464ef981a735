"""When to try again, and after how long. The schedule is data; the waiting is the caller's."""

from __future__ import annotations

import random
from dataclasses import dataclass

_ENOUGH = 100  # doublings


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exponential back-off with jitter.

    `initial` and `maximum` are seconds; `jitter` is the share of a delay that is random (0.2: ±20 %);
    `attempts` counts the first try too.
    """

    initial: float = 0.5
    factor: float = 2.0
    maximum: float = 30.0
    jitter: float = 0.2
    attempts: int = 8

    def delay(self, attempt: int, *, retry_after: float | None = None) -> float:
        """Return the seconds to wait after failed try number `attempt` (1 is the first).

        A server's Retry-After wins over our own reckoning, but is never shortened and is bounded
        by `maximum`, so that a mad answer cannot stop a recovery for an hour.
        """
        if retry_after is not None:
            return min(max(retry_after, 0.0), self.maximum)
        # What fails for a year has an exponent that no float holds.
        exact = min(self.initial * self.factor ** min(attempt - 1, _ENOUGH), self.maximum)
        # Spread, not secrecy: many clients must not come back at the same instant.
        return exact * (1 + random.uniform(-self.jitter, self.jitter))  # noqa: S311
