"""What a run of backups does about the lock that its movers met: one of a dead pod must not stop them for days.

A verification or a prune that was killed leaves an exclusive lock, and the next one may be a week away. Which locks
there are is asked only when a mover has waited for one in vain: each question to restic costs the opening of the
repository.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.errors import DrSyncerError
from volumes.locks import Held, all_ripe, remove_dead
from volumes.restic import Restic

_logger = log.get(__name__)
_A_LITTLE: Final = 1.0  # seconds; restic counts for itself
_PAUSE: Final = 0.5  # seconds between two looks at whether to go on
_LATER: Final = "A later run removes a lock whose pod is dead and that nobody has refreshed for half an hour"
_NEVER: Final = "No run removes one that is no pod's of DR-Syncer: once its owner is certainly dead, `restic unlock`"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of the locks after a mover met one. `again`: nothing that a backup waits for is left of them."""

    again: bool
    words: str


class Unlocking:
    """For one run, and many threads: one looks at a time, and those behind find what it has done."""

    def __init__(
        self,
        restic_of: Callable[[Callable[[], bool]], contextlib.AbstractContextManager[Restic]],
        cluster: Cluster,
        *,
        patience: float,
    ) -> None:
        """`restic_of` gives restic, which stops as soon as what it is given says no.

        `patience` are the seconds for which a mover waits for a lock, and so are these for one to be old enough.
        """
        self._restic_of = restic_of
        self._cluster = cluster
        self._patience = patience
        self._turn = threading.Lock()
        self._removed: list[Held] = []
        self._in_vain = False  # whether one has waited, and a lock was held afterwards all the same

    @property
    def removed(self) -> tuple[Held, ...]:
        """The locks of dead pods that were removed in this run."""
        return tuple(self._removed)

    def look(self, goes_on: Callable[[], bool]) -> Finding:
        """Remove the locks when the owners of all of them are dead; return what stands in the way of a backup.

        Once somebody has waited in vain, nobody waits any more: who lives would be waited for by one mover after the
        other.
        """
        with self._turn:
            try:
                with self._restic_of(goes_on) as restic:
                    removed, held = remove_dead(restic, self._cluster, now=datetime.now(UTC))
                    if not self._in_vain and self._ripened(held, goes_on):
                        self._in_vain = True  # also when the next look fails
                        removed, held = remove_dead(restic, self._cluster, now=datetime.now(UTC))
                        self._in_vain = any(one.lock.exclusive for one in held)
            except (DrSyncerError, OSError) as error:
                _logger.warning("the restic repository is locked, and stays so", why=str(error))
                why = error.with_hint if isinstance(error, DrSyncerError) else str(error)
                return Finding(again=False, words=f"It stays, since {why}")
            for one in removed:
                _logger.warning("removed a lock, since its pod is dead", lock=str(one))
            self._removed += removed
        return judge(removed, held)

    def _ripened(self, held: list[Held], goes_on: Callable[[], bool]) -> bool:
        """Wait until locks are old enough to go that a backup waits for; return whether they are.

        A pod may have been killed just before the backup began. Who lives had time to refresh his lock meanwhile.
        """
        ripe = all_ripe(held)
        if ripe is None or not any(one.lock.exclusive for one in held):
            return False
        left = (ripe - datetime.now(UTC)).total_seconds() + _A_LITTLE
        if left > self._patience:
            return False
        _logger.warning("waiting for a lock of a dead pod to be old enough", lock=str(held[0]), seconds=round(left))
        until = time.monotonic() + left
        while goes_on() and time.monotonic() < until:
            time.sleep(_PAUSE)
        return goes_on()


def judge(removed: list[Held], held: list[Held]) -> Finding:
    """Return what the locks that are gone, and those that are held, mean for a backup: it waits for exclusive ones."""
    if stay := [one for one in held if one.lock.exclusive]:
        # All go together, or none does.
        until = _LATER if all(one.ours for one in held) else _NEVER
        return Finding(again=False, words=f"It stays: {'; '.join(map(str, stay))}. {until}")
    if removed:
        gone = "; ".join(map(str, removed))
        return Finding(again=True, words=f"It was removed, since its pod is dead: {gone}")
    return Finding(again=True, words="It is gone meanwhile")
