"""Bringing commits and heartbeats to a remote that may be away for hours."""

from __future__ import annotations

import time
from collections.abc import Callable

from drsyncer.errors import DrSyncerError, GitError, PushRejected
from drsyncer.recovery.git import Clone
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.repeats import Repeats
from exporter import committing
from exporter.observing import Observer

_SCHEDULE = Schedule(initial=1.0, factor=2.0, maximum=30.0, jitter=0.2)
REMOTE = "the recovery repository"
BEAT = "the heartbeat's ref"


class Publisher:
    """Pushes what the clone has. While the remote is away it is left alone, ever longer, up to half a minute."""

    def __init__(self, *, leading: Callable[[], bool], observer: Observer, repeats: Repeats) -> None:
        self._leading = leading
        self._observer = observer
        self._repeats = repeats
        self._backoff = Backoff(_SCHEDULE)
        self._error: GitError | None = None
        self._first_seen: float | None = None  # of what is committed and not pushed
        self.behind = False  # the remote lacks commits

    def fetch(self, clone: Clone) -> GitError | None:
        """Bring the clone up to date; return why that could not be done when there is something to build on."""
        if self.wait() > 0:
            return self._error
        error = committing.fetch(clone)
        if error is not None:
            self._failed(error)
        return error

    def wait(self) -> float:
        """Return the seconds for which the remote is to be left alone."""
        return self._backoff.wait(REMOTE)

    def committed(self, first_seen: float) -> None:
        """A commit was made whose first change was seen then (monotonic)."""
        self.behind = True
        self._first_seen = first_seen if self._first_seen is None else self._first_seen

    def push(self, clone: Clone, head: str, heartbeat: Heartbeat | None) -> tuple[DrSyncerError | None, str]:
        """Push what is there, unless the remote is left alone; return the error and the newest recovery point."""
        if self.wait() > 0:
            return self._error, head
        if not self._leading():
            return GitError("recovery.git: not pushed: another replica leads now"), head
        pushed = committing.push(clone, head, heartbeat)
        if pushed.error is not None:
            self._failed(pushed.error)
            self._observer.unpushed(len(clone.unpushed()))
            return pushed.error, head
        self._backoff.worked(REMOTE)
        self._repeats.worked(REMOTE)
        self._error = None
        for warning in pushed.warnings:
            self._repeats.failed(BEAT, warning)
        if pushed.beaten is not None:
            self._repeats.worked(BEAT)
            self._observer.beaten(pushed.beaten)
        self._observer.unpushed(0)
        if self._first_seen is not None:
            self._observer.pushed(time.monotonic() - self._first_seen)
        self._first_seen, self.behind = None, False
        return None, pushed.head

    def _failed(self, error: GitError) -> None:
        self._error = error
        self._backoff.failed(REMOTE)
        self._repeats.failed(REMOTE, f"{error} (commits are kept here and pushed later)")
        self._observer.failed("push" if isinstance(error, PushRejected) else "git")
