"""What a continuous or scheduled export tells as Kubernetes Events."""

from __future__ import annotations

import threading

from drsyncer.service.reasons import (
    CLUSTER_AVAILABLE,
    CLUSTER_UNAVAILABLE,
    DELETIONS_HELD,
    DELETIONS_RELEASED,
    EXPORT_FAILING,
    EXPORT_WORKS,
    REPOSITORY_AVAILABLE,
    REPOSITORY_UNAVAILABLE,
    TYPES_COMPLETE,
    TYPES_INCOMPLETE,
    Reason,
    Tell,
)
from drsyncer.wording import some
from exporter.following import GUARD, WORK
from exporter.observing import Silent
from exporter.publishing import BEAT, REMOTE
from exporter.timed import RUN
from exporter.troubles import SOURCE

_OF: dict[str, tuple[Reason, Reason]] = {
    SOURCE: (CLUSTER_UNAVAILABLE, CLUSTER_AVAILABLE),
    REMOTE: (REPOSITORY_UNAVAILABLE, REPOSITORY_AVAILABLE),
    GUARD: (DELETIONS_HELD, DELETIONS_RELEASED),
    **dict.fromkeys((*WORK, RUN, BEAT), (EXPORT_FAILING, EXPORT_WORKS)),
}


class Noticed(Silent):
    """An observer (see `exporter.observing.Observer`) that tells what fails and when that is over, and nothing else."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._types: dict[str, str] = {}  # those that are incomplete, and why
        self._lock = threading.Lock()

    def trouble(self, what: str, text: str | None) -> None:
        """Tell that `what` fails, or that it works again; whatever names no piece of work is a type."""
        if text is None:
            self._over(what)
        elif what in _OF:
            reason = _OF[what][0]
            self._tell(reason, text, what if reason is EXPORT_FAILING else "")
        else:
            self._incomplete(what, text)

    def _incomplete(self, type_: str, text: str) -> None:
        with self._lock:
            self._types[type_] = text
            named = sorted(self._types)
            first = self._types[named[0]]
        # The same words for the same types, whichever of them failed just now: else each would be news.
        self._tell(TYPES_INCOMPLETE, f"{some(named)} incomplete: {first}")

    def _over(self, key: str) -> None:
        if key in _OF:
            reason = _OF[key][1]
            if reason is DELETIONS_RELEASED:
                self._tell(reason, "no deletion is held back any more: confirmed, or not due any more")
            else:
                self._tell(reason, f"{key} works again", key if reason is EXPORT_WORKS else "")
            return
        with self._lock:
            self._types.pop(key, None)
            if self._types:
                return
        self._tell(TYPES_COMPLETE, "all types are read in full")
