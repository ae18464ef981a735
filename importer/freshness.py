"""How old what DR has is, and whether Git has something newer: several events decide about that."""

from __future__ import annotations

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
    the heartbeat, however old the commit is. `beat` and `recovery_point` are when that was, `due` is when the next
    heartbeat should come; None for not known.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.beat: datetime | None = None
        self.due: datetime | None = None
        self.recovery_point: datetime | None = None
        self._metrics = metrics
        self._sign: Heartbeat | None = None
        self._exported_at: datetime | None = None
        self._has: frozenset[str] = frozenset()  # the commits that mean what DR has
        self._newest = ""

    def looked(self, head: str, now: datetime, *, changed: bool) -> None:
        """Git answered where what is followed is."""
        self._newest = head
        self._metrics.set("last_look_timestamp_seconds", now.timestamp())
        if changed:
            self._metrics.set("behind", 1)

    def imported(self, why: Why, outcome: Outcome) -> None:
        """An import ended with this outcome."""
        if outcome.heartbeat:
            self._tell_beat(outcome.heartbeat)
        if outcome.exit_code is ExitCode.FAILED:  # DR went away in the middle: nobody knows how much of it is there
            return
        self._has = frozenset({outcome.revision, outcome.head}) - {""}
        self._exported_at = max(filter(None, (outcome.current_at, outcome.exported_at)), default=None)
        self._tell_age()
        if why not in _KEPT_UP or outcome.revision == self._newest:
            self._metrics.set("behind", 0)

    def beaten(self, sign: Heartbeat) -> None:
        """The exporter gave a sign of life."""
        self._sign = sign
        self._tell_beat(sign.time)
        self.due = sign.due
        self._metrics.set("heartbeat_due_timestamp_seconds", sign.due.timestamp() if sign.due else 0)
        self._metrics.set("heartbeat_incomplete", float(not sign.complete))
        self._tell_age()

    def _tell_beat(self, when: datetime) -> None:
        self.beat = when
        self._metrics.set("heartbeat_timestamp_seconds", when.timestamp())

    def _tell_age(self) -> None:
        sign = self._sign
        current = sign.time if sign is not None and sign.complete and sign.head in self._has else None
        self.recovery_point = max(filter(None, (self._exported_at, current)), default=None)
        if self.recovery_point is not None:
            self._metrics.set("recovery_point_timestamp_seconds", self.recovery_point.timestamp())
