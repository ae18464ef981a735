"""What both services tell of their runs: to metrics, to health checks, and to the status."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from drsyncer.errors import Abandoned, DrSyncerError, ExitCode
from drsyncer.service import memory, status
from drsyncer.service.board import Board
from drsyncer.service.frame import Worker
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from drsyncer.service.status import Result, Run, Status

_RUN = 3600.0  # seconds that one run may take: a whole large cluster over a slow line, namespaces that take long to go
_TIDY = 60.0  # seconds between two times that memory is given back


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: with an exit code, or with an error (None: one in the program). `commit`: see `status.Run`.

    `quiet`: it was only a look that found nothing to do, and is no news.
    """

    exit_code: ExitCode | None = None
    error: DrSyncerError | None = None
    reason: str = ""
    commit: str = ""
    quiet: bool = False

    @property
    def result(self) -> Result:
        """The result in one word."""
        if self.exit_code is None:
            if isinstance(self.error, Abandoned):
                return Result.ABANDONED
            refused = self.error is not None and self.error.exit_code is ExitCode.REFUSED
            return Result.REFUSED if refused else Result.FAILED
        if self.exit_code is ExitCode.DONE:
            return Result.DONE
        return Result.FAILED if self.exit_code is ExitCode.FAILED else Result.PARTIAL


@dataclass(slots=True)
class Runs:
    """The runs of one loop, one at a time."""

    loop: str
    metrics: Metrics
    health: Health
    board: Board
    _busy: threading.Event = field(default_factory=threading.Event)
    _begun: float = 0.0
    _since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _cause: str = ""
    _tidied: float = field(default_factory=time.monotonic)

    def turned(self) -> None:
        """The loop turns, or something beside it asks whether it may work."""
        if not self._busy.is_set():  # a run that hangs has others who ask
            self.health.turned(self.loop)

    def noticed(self, leading: Callable[[], bool]) -> Callable[[], bool]:
        """Return `leading` for the loop to ask: whoever asks whether he may work is not stuck."""

        def asked() -> bool:
            self.turned()
            return leading()

        return asked

    def started(self, cause: str, *, whole: bool) -> None:
        """A run begins, for `cause`; `whole`: it is one of those that somebody can ask for."""
        self._busy.set()
        self._begun, self._since, self._cause = time.monotonic(), datetime.now(UTC), cause
        self.health.turned(self.loop, within=_RUN)
        self.board.run_started(cause, whole=whole)

    def ended(self, ended: Ended) -> None:
        """It ended."""
        self._busy.clear()
        self.health.turned(self.loop)
        self.metrics.observe("run_duration_seconds", time.monotonic() - self._begun)
        self.metrics.set("last_run_timestamp_seconds", time.time())
        self.metrics.count("runs_total", result=str(ended.result))
        if ended.result is Result.DONE:
            self.metrics.set("last_success_timestamp_seconds", time.time())
        run = self._run(ended)
        self.board.change(lambda now: _after(now, run, quiet=ended.quiet))
        self.board.run_ended(run)
        if time.monotonic() - self._tidied >= _TIDY:
            memory.give_back()
            self._tidied = time.monotonic()

    def _run(self, ended: Ended) -> Run:
        reason, hint = status.said(ended.reason), ""
        if ended.exit_code is None:
            reason, hint = status.reason(ended.error)
        code = ended.exit_code if ended.exit_code is not None else ExitCode.FAILED
        if ended.exit_code is None and ended.error is not None:
            code = ended.error.exit_code
        return Run(
            cause=self._cause,
            begun=self._since,
            ended=datetime.now(UTC),
            result=ended.result,
            exit_code=int(code),
            reason=reason,
            hint=hint,
            commit=ended.commit,
        )


def _after(now: Status, run: Run, *, quiet: bool) -> Status:
    """Return the status after a run."""
    if run.result is Result.ABANDONED:
        return now
    done = run.result is Result.DONE
    return msgspec.structs.replace(
        now,
        last_run=now.last_run if quiet else run,
        last_success=run.ended if done and not quiet else now.last_success,
        last_failure=now.last_failure if done else run,
        # What failed is still due; what was refused waits for a person, not for time.
        settled=now.settled if run.result is Result.FAILED or quiet else run.begun,
    )


class Posted:
    """A worker whose beginning and end are on the board. `change` says how the status begins."""

    def __init__(self, worker: Worker, board: Board, change: Callable[[Status], Status]) -> None:
        self._worker = worker
        self._board = board
        self._change = change

    def run(self, stop: threading.Event) -> None:
        """See `Worker`."""
        self._board.begin(self._worker.ask, self._change)
        try:
            self._worker.run(stop)
        finally:
            self._board.finish()

    def wake(self) -> None:
        """See `Worker`."""
        self._worker.wake()

    def ask(self) -> None:
        """See `Worker`."""
        self._worker.ask()
