"""Which mover may run next: so many at the same time, and so many on one node."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from volumes.jobs import Move


class Slots:
    """The moves that wait for their turn, in their order. For many threads.

    A move whose node is full lets those behind it go first. One whose node nobody knows yet is counted on it as soon
    as the scheduler has chosen one.
    """

    def __init__(self, moves: Sequence[Move], *, per_node: int) -> None:
        self._waiting = list(enumerate(moves))
        self._per_node = per_node
        self._where: dict[int, str] = {}  # of those that run: their node, "" while it is not known
        self._changed = threading.Condition()
        self._closed = False

    def take(self) -> tuple[int, Move] | None:
        """Wait for a move that may run, and return its index and itself; None when none will come any more."""
        with self._changed:
            while self._waiting and not self._closed:
                found = self._next()
                if found is not None:
                    self._waiting.remove(found)
                    self._where[found[0]] = found[1].placement.where
                    return found
                self._changed.wait()
            return None

    def placed(self, index: int, node: str) -> None:
        """Count a move that runs on the `node` that was chosen for it; "" says that none is chosen yet."""
        with self._changed:
            if node and self._where.get(index, node) != node:
                self._where[index] = node
                self._changed.notify_all()  # the node that it was counted on before may have room

    def done(self, index: int) -> None:
        """Make room: the move has ended."""
        with self._changed:
            self._where.pop(index, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Give out nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> tuple[int, Move] | None:
        busy = Counter(self._where.values())
        for index, move in self._waiting:
            node = move.placement.where
            if not node or busy[node] < self._per_node:
                return index, move
        return None
