"""How old what DR has is, and whether Git has something newer: gauges that several events decide about."""

from __future__ import annotations

import time
from datetime import datetime

from drsyncer.errors import ExitCode
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.service.metrics import Metrics
from importer.observing import Why
from importer.outcome import Outcome

_KEPT_UP = frozenset({Why.DRIFT, Why.AUDIT})  # imports of what DR has already


class Freshness:
    """Told by the thread that works.

    As long as the heartbeat names the commit that DR has, and the source was read in full, what DR has is as young as
    the heartbeat, however old the commit is.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._beat: Heartbeat | None = None
        self._exported_at: datetime | None = None
        self._has: frozenset[str] = frozenset()  # the commits that mean what DR has
        self._newest = ""

    def looked(self, head: str, *, changed: bool) -> None:
        """Git answered where what is followed is."""
        self._newest = head
        self._metrics.set("last_look_timestamp_seconds", time.time())
        if changed:
            self._metrics.set("behind", 1)

    def imported(self, why: Why, outcome: Outcome) -> None:
        """An import ended with this outcome."""
        if outcome.heartbeat:
            self._metrics.set("heartbeat_timestamp_seconds", outcome.heartbeat.timestamp())
        if outcome.exit_code is ExitCode.FAILED:  # DR went away in the middle: nobody knows how much of it is there
            return
        self._has = frozenset({outcome.revision, outcome.head}) - {""}
        self._exported_at = outcome.exported_at
        self._tell_age()
        if why not in _KEPT_UP or outcome.revision == self._newest:
            self._metrics.set("behind", 0)

    def beaten(self, beat: Heartbeat) -> None:
        """The exporter gave a sign of life."""
        self._beat = beat
        self._metrics.set("heartbeat_timestamp_seconds", beat.time.timestamp())
        self._metrics.set("heartbeat_due_timestamp_seconds", beat.due.timestamp() if beat.due else 0)
        self._metrics.set("heartbeat_incomplete", float(not beat.complete))
        self._tell_age()

    def _tell_age(self) -> None:
        beat = self._beat
        current = beat.time if beat is not None and beat.complete and beat.head in self._has else None
        known = max(filter(None, (self._exported_at, current)), default=None)
        if known is not None:
            self._metrics.set("recovery_point_timestamp_seconds", known.timestamp())
