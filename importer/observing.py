"""What the importer's service tells about itself while it works: to metrics, Events and the status page."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from drsyncer.errors import DrSyncerError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.heartbeat import Heartbeat
from importer.outcome import Outcome


class Why(StrEnum):
    """What an import is made for."""

    START = "start"  # this replica has just begun to work: what DR has is not known
    COMMIT = "commit"  # what is followed moved
    ASKED = "asked"  # a schedule, or a person
    RETRY = "retry"  # the last one left something out, or was refused
    DRIFT = "drift"  # DR is compared with the recovery point that it has
    AUDIT = "audit"  # the same, and nothing that is remembered is trusted


class Failure(StrEnum):
    """What kind of thing failed: the label of a metric, so a closed list."""

    REMOTE = "remote"  # Git cannot be asked
    FETCH = "fetch"  # it can be asked, and the recovery point cannot be had, or the local clone is not usable
    CLUSTER = "cluster"  # DR does not answer, or lets nobody in
    REVISION = "revision"  # the remote does not have what is followed
    REFUSED = "refused"  # a signature, a rewritten branch, another cluster, a file or setting that is wrong
    GUARD = "guard"  # too many deletions
    BLOCKED = "blocked"  # an import that left something out
    DRIFT = "drift"  # the comparison of DR with what it has


class Observer(Protocol):
    """Told by the thread that works, at the moment: it must not take long, and not raise."""

    def looked(self, head: str, *, changed: bool) -> None:
        """The remote was asked; `head` is the commit of what is followed, "" for none or several."""

    def beaten(self, beat: Heartbeat) -> None:
        """The exporter's newest sign of life, each time that it is another one."""

    def import_started(self, why: Why) -> None:
        """An import begins."""

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        """It ended; `outcome` or `error` says how. Neither of them: it was abandoned."""

    def failure(self, kind: Failure, text: str) -> None:
        """Something failed; it is told each time, also when the log is silent about it."""

    def recovered(self, kind: Failure) -> None:
        """What had failed works again."""

    def pending(self, due: bool) -> None:
        """Whether what is followed was not imported yet, or a run is due that was not made: told with every turn."""

    def drift_found(self, drifted: Sequence[ObjectRef]) -> None:
        """Other hands had changed these in DR, at the last look; none is told, too."""


class Nobody:
    """Nobody is told."""

    def looked(self, head: str, *, changed: bool) -> None:
        pass

    def beaten(self, beat: Heartbeat) -> None:
        pass

    def import_started(self, why: Why) -> None:
        pass

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        pass

    def failure(self, kind: Failure, text: str) -> None:
        pass

    def recovered(self, kind: Failure) -> None:
        pass

    def pending(self, due: bool) -> None:
        pass

    def drift_found(self, drifted: Sequence[ObjectRef]) -> None:
        pass


class Several:
    """An observer that passes everything on to others, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def looked(self, head: str, *, changed: bool) -> None:
        for one in self._observers:
            one.looked(head, changed=changed)

    def beaten(self, beat: Heartbeat) -> None:
        for one in self._observers:
            one.beaten(beat)

    def import_started(self, why: Why) -> None:
        for one in self._observers:
            one.import_started(why)

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        for one in self._observers:
            one.import_ended(why, outcome, error)

    def failure(self, kind: Failure, text: str) -> None:
        for one in self._observers:
            one.failure(kind, text)

    def recovered(self, kind: Failure) -> None:
        for one in self._observers:
            one.recovered(kind)

    def pending(self, due: bool) -> None:
        for one in self._observers:
            one.pending(due)

    def drift_found(self, drifted: Sequence[ObjectRef]) -> None:
        for one in self._observers:
            one.drift_found(drifted)
