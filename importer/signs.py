"""The exporter's signs of life, as they come to the recovery repository while nothing else changes there."""

from __future__ import annotations

from collections.abc import Callable

from drsyncer import log
from drsyncer.errors import Abandoned, DrSyncerError
from drsyncer.recovery import heartbeat
from drsyncer.recovery.git import Clone
from drsyncer.recovery.remote import Remote
from drsyncer.service.repeats import Repeats
from importer.observing import Observer

_WAIT = 1.0  # seconds for somebody else's use of the clone: the next sign is a minute away at most
_WHAT = "the exporter's heartbeat"


class Signs:
    """For one thread. A sign that cannot be read is told in the log, and the next one is tried."""

    def __init__(self, remote: Remote, observer: Observer, *, goes_on: Callable[[], bool]) -> None:
        self._remote = remote
        self._observer = observer
        self._goes_on = goes_on
        self._repeats = Repeats(log.get(__name__))
        self.ref = heartbeat.ref_of(remote.path)
        self._seen = self._read = ""

    def saw(self, commit: str) -> None:
        """The remote's heartbeat is at this commit; "" when it has none."""
        self._seen = commit or self._seen

    def tell(self) -> None:
        """Read the newest sign and tell the observer, unless that has been done."""
        if self._seen == self._read:
            return
        try:
            with Clone.open(self._remote, wait=_WAIT, goes_on=self._goes_on) as clone:
                beat = clone.heartbeat(at=self._seen)
                notices = clone.notices
        except Abandoned:
            return
        except DrSyncerError as error:
            self._repeats.failed(_WHAT, f"{_WHAT}: {error}")
        else:
            for notice in notices:
                self._repeats.failed(_WHAT, notice)
            if beat is not None:
                self._repeats.worked(_WHAT)
                self._observer.beaten(beat)
        self._read = self._seen
