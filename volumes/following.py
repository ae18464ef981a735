"""The importer's last stage as a service: after each import, the volumes follow, as long as nothing runs on them.

One thread, one run at a time, beside the imports and never in their way. What was not done is tried again, ever later;
what a person must see to first is tried again as well, since nobody would tell us that it was.

Told to stop, it leaves its movers alone: they go on, and whoever leads next sees them to their end (`volumes.running`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from drsyncer import log
from drsyncer.errors import DrSyncerError
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.repeats import Repeats
from volumes.restore_outcome import Outcome

_logger = log.get(__name__)
_SLICE = 0.5  # seconds between two looks at what is due; nothing is asked of anybody then
_AGAIN = Schedule(initial=30.0, factor=2.0, maximum=1800.0, jitter=0.2)
_MOST_FAULTS = 3  # records that cannot be read, of those that are told
_WHAT = "restoring volumes"


class Observer(Protocol):
    """Told by the thread that works: it must not take long, and not raise."""

    def restoring(self, commit: str) -> None:
        """The volumes of a recovery point are looked at, and restored where they differ."""

    def restored(self, outcome: Outcome) -> None:
        """That ended."""

    def failed(self, text: str) -> None:
        """It could not be done at all."""

    def worked(self) -> None:
        """What had failed works again: all volumes are as the recovery point has them."""


class Follower:
    """Restores what the recovery point in DR names. `run` is for one thread, once; the rest for any.

    `restore` does one run for a commit; None: there is nothing to do there. It is given what says that it must end now,
    and then ends soon; it raises DrSyncerError.
    """

    def __init__(
        self,
        restore: Callable[[str, threading.Event], Outcome | None],
        *,
        leading: Callable[[], bool],
        observer: Observer,
        schedule: Schedule = _AGAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._restore = restore
        self._leading = leading
        self._observer = observer
        self._backoff = Backoff(schedule, clock=clock)
        self._repeats = Repeats(_logger, clock=clock)
        self._lock = threading.Lock()
        self._wanted = ""
        self._due = False
        self._failing = False
        self._stopped = threading.Event()

    def imported(self, commit: str, *, changed: bool) -> None:
        """DR has this recovery point now; `changed`: the import wrote something, so that a claim may be new."""
        with self._lock:
            if commit != self._wanted or changed:
                self._backoff.worked(_WHAT)
                self._due = True
            self._wanted = commit

    def stop(self) -> None:
        """Let `run` end soon, and start nothing any more."""
        self._stopped.set()

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopped.wait(_SLICE):
            if not self._leading():
                with self._lock:
                    self._wanted, self._due = "", False  # another replica works, and imports before it restores
                continue
            if (commit := self._next()) and not self._stopped.is_set():
                self._turn(commit)

    def _next(self) -> str:
        """Return the recovery point whose volumes are due, "" for none."""
        with self._lock:
            if not self._due or self._backoff.wait(_WHAT) > 0:
                return ""
            self._due = False
            return self._wanted

    def _turn(self, commit: str) -> None:
        self._observer.restoring(commit)
        try:
            outcome = self._restore(commit, self._stopped)
        except DrSyncerError as error:
            text = error.with_hint
        except Exception as error:  # the thread must not end in silence; the text of this may hold anything
            text = f"an error in the program ({type(error).__name__})"
            _logger.exception(_WHAT)
        else:
            self._ended(outcome)
            return
        if self._stopped.is_set() or not self._leading():
            self._again()  # it failed for that
        else:
            self._fail(text)

    def _ended(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self._work()
            return
        self._observer.restored(outcome)
        if not (outcome.may_do_more or outcome.faults):
            self._work()
        elif not self._stopped.is_set():
            counts = [f"{count} {ending}" for ending, count in sorted(outcome.summary.items())]
            self._fail(", ".join((*counts, *outcome.faults[:_MOST_FAULTS])))

    def _fail(self, text: str) -> None:
        self._failing = True
        self._backoff.failed(_WHAT)
        self._again()
        self._repeats.failed(_WHAT, f"{_WHAT}: {text}")
        self._observer.failed(text)

    def _again(self) -> None:
        with self._lock:
            self._due = self._due or bool(self._wanted)

    def _work(self) -> None:
        self._backoff.worked(_WHAT)
        self._repeats.worked(_WHAT)
        if self._failing:
            self._failing = False
            self._observer.worked()
