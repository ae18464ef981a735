"""Reading beside somebody else, about as far as they are, so that the disk is read once.

restic takes longer over a file than a hash does. A reader that ran ahead of it would have everything read from the disk
twice, once for itself and once, when it is long out of memory again, for restic: half the speed, where the disk or the
network behind it is what limits a backup.
"""

from __future__ import annotations

import threading
from typing import Final

AHEAD: Final = 64 << 20  # bytes; about as many as are sure to be in memory still, also in a small pod


class Pace:
    """How far two readers of the same files are. The one that is told of waits for the other, and is never waited for.

    Until `reached` is called for the first time, nobody waits: who does not tell is not followed.
    """

    def __init__(self, *, ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._changed = threading.Condition()
        self._read = 0
        self._limit: int | None = None
        self._over = False

    def reached(self, total: int) -> None:
        """Tell how many bytes the other one has gone through by now."""
        with self._changed:
            self._limit = total + self._ahead
            self._changed.notify_all()

    def end(self) -> None:
        """Tell that the other one is through, or that it does not matter any more: nobody waits from now on."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def passed(self, count: int) -> None:
        """Go on by so many bytes, once the other one is near enough."""
        self._read += count
        if self._over or self._limit is None or self._read <= self._limit:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._limit is None or self._read <= self._limit)
