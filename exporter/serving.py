"""What `dr-syncer serve exporter` runs: the worker for the configured mode, and what it tells as metrics and health."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Exporter
from drsyncer.errors import DrSyncerError, ExitCode
from drsyncer.log import get
from drsyncer.recovery.git import Remote
from drsyncer.recovery.message import Verb
from drsyncer.service.frame import Worker
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from drsyncer.service.reasons import Tell
from exporter.following import Following
from exporter.noticing import Noticed
from exporter.observing import Several, Silent
from exporter.outcome import Outcome
from exporter.timed import Timed

_RUN = 3600.0  # seconds that one run may take: a whole large cluster over a slow line
_LOOP = "export"
_log = get(__name__)


def worker_of(
    *,
    config: Exporter,
    remote: Remote,
    connect: Callable[[], Cluster],
    metrics: Metrics,
    health: Health,
    tell: Tell,
    leading: Callable[[], bool],
) -> Worker:
    """Return what works in the mode that `config` says. Nothing is asked of cluster or remote yet."""
    measured = Measured(metrics, health)
    observer = Several(measured, Noticed(tell))

    def asked() -> bool:
        measured.turned()
        return leading()

    def dialled() -> Cluster:
        cluster = connect()
        cluster.may_write = leading
        return cluster

    kind = Following if config.mode == "continuous" else Timed
    return kind(config=config, remote=remote, connect=dialled, observer=observer, leading=asked)


class Measured(Silent):
    """An observer (see `exporter.observing.Observer`) that counts and measures."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._busy = threading.Event()
        self._begun = time.monotonic()

    def turned(self) -> None:
        """The loop, or whatever waits for the remote, asks whether it may go on."""
        if self._busy.is_set():
            return  # a run has its own time
        self._health.turned(_LOOP)

    def run_started(self) -> None:
        self._busy.set()
        self._begun = time.monotonic()
        self._health.turned(_LOOP, within=_RUN)

    def run_ended(self, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        self._busy.clear()
        self._health.turned(_LOOP)
        self._metrics.observe("run_duration_seconds", time.monotonic() - self._begun)
        self._metrics.set("last_run_timestamp_seconds", time.time())
        if outcome is None:
            self._metrics.count("runs_total", result="refused" if _refused(error) else "failed")
            return
        done = outcome.exit_code is ExitCode.DONE
        self._metrics.count("runs_total", result="done" if done else "partial")
        if done:
            self._metrics.set("last_success_timestamp_seconds", time.time())
        self._metrics.set("incomplete_types", len(outcome.incomplete))
        self._count_changes(outcome)

    def _count_changes(self, outcome: Outcome) -> None:
        verbs = Counter(str(change.verb) for change in outcome.changes)
        for verb in Verb:
            self._metrics.count("changes_total", verbs[str(verb)], verb=str(verb))
        kept = sum(change.verb is not Verb.DELETED for change in outcome.changes)
        self._metrics.set("exported_objects", outcome.unchanged + kept)
        if outcome.commit:
            self._metrics.count("commits_total")
            told = ", ".join(f"{count} {verb}" for verb, count in sorted(verbs.items()))
            _log.info(f"committed {outcome.commit[:12]}: {told}")

    def pending(self, changes: int, oldest: float) -> None:
        self._metrics.set("pending", changes)

    def pushed(self, lag: float) -> None:
        self._metrics.observe("export_lag_seconds", lag)

    def unpushed(self, commits: int) -> None:
        self._metrics.set("unpushed_commits", commits)

    def beaten(self, when: datetime) -> None:
        self._metrics.set("heartbeat_timestamp_seconds", when.timestamp())

    def watches(self, connected: int, total: int) -> None:
        self._metrics.set("watches", connected, state="connected")
        self._metrics.set("watches", total - connected, state="lost")

    def failed(self, kind: str) -> None:
        self._metrics.count("failures_total", reason=kind)


def _refused(error: DrSyncerError | None) -> bool:
    return error is not None and error.exit_code is ExitCode.REFUSED
