"""What a continuous export tells of itself while it works: for metrics, the status page and health checks."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from drsyncer.errors import DrSyncerError
from exporter.outcome import Outcome


class Why(StrEnum):
    """What a run is made for."""

    FULL = "full"  # everything is compared: at the start, when somebody asks, when what is known is not enough
    LIST = "list"  # some types are listed again
    CHANGE = "change"  # something changed
    DUE = "due"  # a tick of the schedule
    ASKED = "asked"  # a person


class Observer(Protocol):
    """Is told what happens, by several threads. It must return at once and must not raise."""

    def turned(self) -> None:
        """The loop is alive: told every few seconds at least, except while one run is under way."""

    def run_started(self, why: Why) -> None:
        """A run begins."""

    def run_ended(self, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        """It ended: with an outcome, or with an error and nothing committed (Abandoned: it was told to stop)."""

    def pending(self, changes: int, oldest: float) -> None:
        """So many changes are not committed yet, the oldest of them for so many seconds."""

    def pushed(self, lag: float) -> None:
        """Commits have reached the remote, `lag` seconds after their first change was seen."""

    def unpushed(self, commits: int) -> None:
        """The remote lacks so many commits."""

    def beaten(self, when: datetime) -> None:
        """A heartbeat of that time has reached the remote."""

    def watches(self, connected: int, total: int) -> None:
        """So many watches are connected, of so many."""

    def trouble(self, what: str, text: str | None) -> None:
        """`what` fails now, as `text` says; None: it works again. Told each time, also when the log is silent."""

    def failed(self, kind: str) -> None:
        """Something failed; `kind` is one of few words: cluster, type, git, push, guard, commit, internal."""


class Silent:
    """An observer that takes no notice."""

    def turned(self) -> None: ...

    def run_started(self, why: Why) -> None: ...

    def run_ended(self, outcome: Outcome | None, error: DrSyncerError | None) -> None: ...

    def pending(self, changes: int, oldest: float) -> None: ...

    def pushed(self, lag: float) -> None: ...

    def unpushed(self, commits: int) -> None: ...

    def beaten(self, when: datetime) -> None: ...

    def watches(self, connected: int, total: int) -> None: ...

    def trouble(self, what: str, text: str | None) -> None: ...

    def failed(self, kind: str) -> None: ...


class Several:
    """An observer that passes everything on to others, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def turned(self) -> None:
        for one in self._observers:
            one.turned()

    def run_started(self, why: Why) -> None:
        for one in self._observers:
            one.run_started(why)

    def run_ended(self, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        for one in self._observers:
            one.run_ended(outcome, error)

    def pending(self, changes: int, oldest: float) -> None:
        for one in self._observers:
            one.pending(changes, oldest)

    def pushed(self, lag: float) -> None:
        for one in self._observers:
            one.pushed(lag)

    def unpushed(self, commits: int) -> None:
        for one in self._observers:
            one.unpushed(commits)

    def beaten(self, when: datetime) -> None:
        for one in self._observers:
            one.beaten(when)

    def watches(self, connected: int, total: int) -> None:
        for one in self._observers:
            one.watches(connected, total)

    def failed(self, kind: str) -> None:
        for one in self._observers:
            one.failed(kind)

    def trouble(self, what: str, text: str | None) -> None:
        for one in self._observers:
            one.trouble(what, text)
