"""Whether the loops of a service still turn.

Unhealthy is a service that is stuck: it should be restarted. A remote or an API server that does not answer makes
nobody unhealthy; no restart would mend it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Health:
    """Loops say regularly that they turn. Safe to use from several threads.

    One that has said nothing for `stuck_after` seconds is stuck, unless it asked for more.
    """

    def __init__(self, *, stuck_after: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stuck_after = stuck_after
        self._clock = clock
        self._loops: dict[str, tuple[float, float]] = {}  # when it last turned, and for how long that holds
        self._lock = threading.Lock()

    def turned(self, loop: str, *, within: float = 0.0) -> None:
        """`loop` turns, and will again soon, or `within` so many seconds at the latest."""
        with self._lock:
            self._loops[loop] = (self._clock(), within or self._stuck_after)

    def ended(self, loop: str) -> None:
        """`loop` has ended as it should."""
        with self._lock:
            self._loops.pop(loop, None)

    def stuck(self) -> dict[str, float]:
        """Return the loops that should have turned long ago: name → seconds since they did."""
        now = self._clock()
        with self._lock:
            return {loop: now - at for loop, (at, within) in self._loops.items() if now - at > within}
