"""Kubernetes Events about claims in DR whose volumes are not what was wanted; what only repeats is told seldom.

A service tries again what fails, for days if need be. One Event for each try would push everything else out of what
people read. So the same of a claim is counted, and told with its count before the API server forgets the Event before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from drsyncer.cluster import Cluster
from volumes.recording import warn
from volumes.restore_outcome import EVENTS, Done

AGAIN: Final = 3000.0  # seconds; an API server keeps Events for an hour, if nobody told it otherwise


@dataclass(slots=True)
class _Trouble:
    """What is told of one claim. `at` is when it last was."""

    reason: str
    words: str
    first: datetime
    count: int = 0
    at: float | None = None


class Announcing:
    """Tells of the claims of one cluster, in one run or in all runs of a service. For many threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._troubles: dict[str, _Trouble] = {}
        self._lock = threading.Lock()

    def tell(self, cluster: Cluster, done: Done, *, run: str) -> None:
        """Write an Event about the claim of a volume that is not what was wanted, unless that was told just now.

        When the volume is as it was wanted, what comes next is news.
        """
        if (claim := done.step.claim) is None:
            return
        with self._lock:
            trouble = self._noted(claim.uid, done)
            if trouble is None or (trouble.at is not None and self._clock() - trouble.at < AGAIN):
                return
            trouble.at, count, before = self._clock(), trouble.count, trouble.at
        about = {"metadata": {"namespace": claim.key.namespace, "name": claim.key.name, "uid": claim.uid}}
        if not warn(cluster, about, trouble.reason, trouble.words, run=run, count=count, first=trouble.first):
            with self._lock:
                trouble.at = before

    def _noted(self, uid: str, done: Done) -> _Trouble | None:
        """Count what became of a claim's volume; return what there is to tell of it, None for nothing."""
        if (reason := EVENTS.get(done.ending)) is None:
            self._troubles.pop(uid, None)
            return None
        words = f"{done.reason}: {done.text}"
        trouble = self._troubles.get(uid)
        if trouble is None or (trouble.reason, trouble.words) != (reason, words):
            trouble = self._troubles[uid] = _Trouble(reason, words, datetime.now(UTC))
        trouble.count += 1
        return trouble
