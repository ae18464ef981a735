"""Exports at the ticks of a schedule, or when somebody asks for one: one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.config.schema import Exporter
from drsyncer.errors import DrSyncerError, GitError, Refused
from drsyncer.progress import Progress
from drsyncer.recovery.git import Clone, Remote
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.cron import Cron
from drsyncer.service.repeats import Repeats
from drsyncer.service.rhythm import Rhythm
from exporter.action import Request, export
from exporter.connections import Clusters
from exporter.observing import Observer
from exporter.troubles import sentence

_LOOK = 0.5  # seconds between two looks at whether to end and whether to lead
_AGAIN = Schedule(initial=5.0, factor=2.0, maximum=300.0, jitter=0.2)
_RUN = "the export"
_log = log.get(__name__)


class Timed:
    """The scheduled and the manual exporter. `run` is for one thread, `wake` for any.

    A tick that passed while nobody was at work is made up for once: the heartbeat in the recovery repository tells when
    the last export was. A run that failed is tried again, ever later, until the next one is due anyway.
    """

    def __init__(
        self,
        *,
        config: Exporter,
        remote: Remote,
        connect: Callable[[], Cluster],
        observer: Observer,
        leading: Callable[[], bool],
    ) -> None:
        self._config = config
        self._remote = remote
        self._clusters = Clusters(connect)
        self._observer = observer
        self._leading = leading
        self._repeats = Repeats(_log)
        self._backoff = Backoff(_AGAIN)
        self._bell = threading.Event()
        self._woken = threading.Event()

    def wake(self) -> None:
        """Export now."""
        self._woken.set()
        self._bell.set()

    def run(self, stop: threading.Event) -> None:
        """Export whenever it is due until `stop` is set. Raises nothing that may pass."""
        ender = threading.Thread(target=self._end_with, args=(stop,), name="export ends", daemon=True)
        ender.start()
        try:
            rhythm = Rhythm(cron=self._cron(), since=self._last_export())
            while not stop.is_set():
                self._observer.turned()
                if self._woken.is_set():
                    self._woken.clear()
                    rhythm.wake()
                if self._leading() and rhythm.due() and (rhythm.woken or not self._backoff.wait(_RUN)):
                    self._attempt(rhythm, stop)
                self._bell.wait(min(rhythm.wait(), _LOOK) or _LOOK)
                self._bell.clear()
        finally:
            stop.set()
            ender.join()
            self._clusters.close()

    def _cron(self) -> Cron | None:
        return Cron(self._config.schedule, self._config.timezone) if self._config.mode == "scheduled" else None

    def _last_export(self) -> datetime | None:
        """Return when the last export was, by the recovery repository; None when it cannot be told."""
        try:
            with Clone.open(self._remote) as clone:
                clone.fetch()
                beat = clone.heartbeat()
        except GitError as error:
            _log.warning(f"missed ticks cannot be made up for: {error}")
            return None
        return beat.time if beat else None

    def _attempt(self, rhythm: Rhythm, stop: threading.Event) -> None:
        rhythm.begin()
        self._observer.run_started()
        try:
            outcome = export(
                config=self._config,
                remote=self._remote,
                cluster=self._clusters.lists(),
                request=Request(due=cron.after(datetime.now(UTC)) if (cron := self._cron()) else None),
                progress=Progress(silent=True),
            )
        except Exception as error:  # noqa: BLE001 - a service goes on, and says what happened
            self._clusters.drop()
            self._observer.run_ended(None, error if isinstance(error, DrSyncerError) else None)
            if not stop.is_set():
                self._failed(rhythm, error)
            return
        self._backoff.worked(_RUN)
        self._repeats.worked(_RUN)
        self._observer.run_ended(outcome, None)

    def _failed(self, rhythm: Rhythm, error: Exception) -> None:
        self._repeats.failed(_RUN, f"{_RUN}: {sentence(error)}")
        self._observer.failed("guard" if isinstance(error, Refused) else "commit")
        self._backoff.failed(_RUN)
        if not isinstance(error, Refused):  # what a guard refuses waits for a person, not for time
            rhythm.failed()

    def _end_with(self, stop: threading.Event) -> None:
        stop.wait()
        self._clusters.abandon()
        self._bell.set()
