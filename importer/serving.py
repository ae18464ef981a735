"""What `dr-syncer serve importer` runs: the worker, and what it tells as metrics and health."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Importer
from drsyncer.errors import DrSyncerError, ExitCode
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.git import Remote
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.service.frame import Worker
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from importer.freshness import Freshness
from importer.observing import Failure, Why
from importer.outcome import Outcome
from importer.plan import WRITES, Action
from importer.polling import Polling

_TURN = 60.0  # seconds within which the loop turns
_RUN = 3600.0  # seconds that one import may take: a whole large cluster, and namespaces that take long to go
_LOOP = "import"


def worker_of(
    *,
    config: Importer,
    remote: Remote,
    connect: Callable[[], Cluster],
    metrics: Metrics,
    health: Health,
    leading: Callable[[], bool],
) -> Worker:
    """Return what works in the mode that `config` says. Nothing is asked of cluster or remote yet."""
    observer = Measured(metrics, health)

    def asked() -> bool:
        observer.turned()
        return leading()

    return Polling(config=config, remote=remote, connect=connect, observer=observer, leading=asked)


class Measured:
    """An observer (see `importer.observing.Observer`) that counts and measures."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._freshness = Freshness(metrics)
        self._busy = threading.Event()
        self._begun = time.monotonic()

    def turned(self) -> None:
        """The loop, or something beside it, asks whether it may work."""
        if not self._busy.is_set():  # an import that hangs has others who ask
            self._health.turned(_LOOP, within=_TURN)

    def looked(self, head: str, *, changed: bool) -> None:
        self._freshness.looked(head, changed=changed)

    def beaten(self, beat: Heartbeat) -> None:
        self._freshness.beaten(beat)

    def import_started(self, why: Why) -> None:
        self._busy.set()
        self._begun = time.monotonic()
        self._health.turned(_LOOP, within=_RUN)

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        self._busy.clear()
        self._health.turned(_LOOP, within=_TURN)
        self._metrics.observe("run_duration_seconds", time.monotonic() - self._begun)
        self._metrics.set("last_run_timestamp_seconds", time.time())
        self._metrics.count("runs_total", result=_result(outcome, error))
        if outcome is not None:
            self._measure(why, outcome)

    def _measure(self, why: Why, outcome: Outcome) -> None:
        if outcome.exit_code is ExitCode.DONE:
            self._metrics.set("last_success_timestamp_seconds", time.time())
        self._freshness.imported(why, outcome)
        if outcome.exported_at and why is Why.COMMIT:
            self._metrics.observe("import_lag_seconds", max(0.0, time.time() - outcome.exported_at.timestamp()))
        found = Counter(result.action for result in outcome.results)
        for action in Action:
            self._metrics.set("objects", found[action], action=str(action))
            if action in WRITES and not outcome.planned_only:
                self._metrics.count("writes_total", found[action], action=str(action))

    def failure(self, kind: Failure, text: str) -> None:
        self._metrics.count("failures_total", reason=str(kind))

    def drift_found(self, drifted: Sequence[ObjectRef]) -> None:
        self._metrics.set("drifted_objects", len(drifted))


def _result(outcome: Outcome | None, error: DrSyncerError | None) -> str:
    if outcome is not None:
        return "done" if outcome.exit_code is ExitCode.DONE else "partial"
    if error is None:
        return "abandoned"
    return "refused" if error.exit_code is ExitCode.REFUSED else "failed"
