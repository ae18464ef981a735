"""Exports at the ticks of a schedule, or when somebody asks for one: one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.config.schema import Exporter
from drsyncer.errors import Abandoned, DrSyncerError, GitError, Refused
from drsyncer.progress import Progress
from drsyncer.recovery.git import Clone, Remote
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.cron import Cron
from drsyncer.service.repeats import Repeats
from drsyncer.service.rhythm import Rhythm
from exporter.action import Request, export
from exporter.connections import Clusters
from exporter.observing import Observer, Why
from exporter.troubles import sentence

_LOOK = 0.5  # seconds between two looks at whether to end and whether to lead
_AGAIN = Schedule(initial=5.0, factor=2.0, maximum=300.0, jitter=0.2)
RUN = "the export"
_log = log.get(__name__)


class Timed:
    """The scheduled and the manual exporter. `run` is for one thread, `wake` for any.

    A tick that passed while nobody was at work is made up for once: `last_run` tells when ticks were last taken care
    of, else the heartbeat in the recovery repository when the last export was. A run that failed is tried again, ever
    later, until the next one is due anyway.
    """

    def __init__(
        self,
        *,
        config: Exporter,
        remote: Remote,
        connect: Callable[[], Cluster],
        observer: Observer,
        leading: Callable[[], bool],
        last_run: Callable[[threading.Event], datetime | None] = lambda _: None,
    ) -> None:
        self._config = config
        self._remote = remote
        self._clusters = Clusters(connect)
        self._observer = observer
        self._leading = leading
        self._last_run = last_run
        self._repeats = Repeats(_log, listener=observer.trouble)
        self._backoff = Backoff(_AGAIN)
        self._bell = threading.Event()
        self._woken = threading.Event()

    def wake(self) -> None:
        """Export now."""
        self._woken.set()
        self._bell.set()

    def ask(self) -> None:
        """Export now."""
        self.wake()

    def run(self, stop: threading.Event) -> None:
        """Export whenever it is due until `stop` is set. Raises nothing that may pass."""
        ender = threading.Thread(target=self._end_with, args=(stop,), name="export ends", daemon=True)
        ender.start()
        try:
            rhythm = Rhythm(cron=self._cron(), since=self._last_export(stop))
            while not stop.is_set():
                self._observer.turned()
                if self._woken.is_set():
                    self._woken.clear()
                    rhythm.wake()
                if self._leading() and rhythm.due() and (rhythm.woken or not self._backoff.wait(RUN)):
                    self._attempt(rhythm, stop)
                self._bell.wait(min(rhythm.wait(), _LOOK) or _LOOK)
                self._bell.clear()
        finally:
            stop.set()
            ender.join()
            self._clusters.close()

    def _cron(self) -> Cron | None:
        return Cron(self._config.schedule, self._config.timezone) if self._config.mode == "scheduled" else None

    def _last_export(self, stop: threading.Event) -> datetime | None:
        """Return up to when ticks are taken care of; None when it cannot be told."""
        if self._config.mode != "scheduled":
            return None
        known = self._last_run(stop)
        if known is not None or stop.is_set():
            return known
        try:
            with Clone.open(self._remote) as clone:
                clone.fetch()
                beat = clone.heartbeat()
        except GitError as error:
            _log.warning(f"missed ticks cannot be made up for: {error}")
            return None
        return beat.time if beat else None

    def _attempt(self, rhythm: Rhythm, stop: threading.Event) -> None:
        self._observer.run_started(Why.ASKED if rhythm.begin() else Why.DUE)
        try:
            outcome = export(
                config=self._config,
                remote=self._remote,
                cluster=self._clusters.lists(),
                request=Request(due=cron.after(datetime.now(UTC)) if (cron := self._cron()) else None, foreseen=True),
                progress=Progress(silent=True),
                goes_on=lambda: self._leading() and not stop.is_set(),
            )
        except Exception as error:  # noqa: BLE001 - a service goes on, and says what happened
            self._clusters.drop()
            told = error if isinstance(error, DrSyncerError) else None
            self._observer.run_ended(None, Abandoned("the export was abandoned") if stop.is_set() else told)
            if not stop.is_set() and not isinstance(error, Abandoned):
                self._failed(rhythm, error)
            return
        self._backoff.worked(RUN)
        self._repeats.worked(RUN)
        self._observer.unpushed(outcome.unpushed)
        if outcome.beaten is not None:
            self._observer.beaten(outcome.beaten)
        self._observer.run_ended(outcome, None)

    def _failed(self, rhythm: Rhythm, error: Exception) -> None:
        self._repeats.failed(RUN, f"{RUN}: {sentence(error)}")
        self._observer.failed("guard" if isinstance(error, Refused) else "commit")
        self._backoff.failed(RUN)
        if not isinstance(error, Refused):  # what a guard refuses waits for a person, not for time
            rhythm.failed()

    def _end_with(self, stop: threading.Event) -> None:
        stop.wait()
        self._clusters.abandon()
        self._bell.set()
