"""The one place that writes a service's Kubernetes Events: in the background, and never in anybody's way.

What is told waits in a ledger of bounded size (`drsyncer.service.series`). A cluster that does not take Events disturbs
nobody: the log says so once, and they are tried again ever more seldom. With nothing to tell, nothing happens here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from drsyncer.errors import ClusterUnreachable, DrSyncerError, Invalid, NotFound, ServerFailed, Throttled, Unauthorized
from drsyncer.log import get
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.reasons import CLUSTER_AVAILABLE, CLUSTER_UNAVAILABLE, Reason
from drsyncer.service.series import Draft, Ledger

_LOG = get(__name__)
_SCHEDULE = Schedule(initial=2.0, factor=2.0, maximum=300.0, jitter=0.2)
_PARTING = 2.0  # seconds that the last Events have when the service ends
_WHAT = "writing Kubernetes Events"


class Writer(Protocol):
    """Writes single Events to a cluster; see `drsyncer.cluster.events`."""

    def write(self, draft: Draft) -> None:
        """Raises NotFound when the draft exists no more, and whatever else a cluster answers."""
        ...

    def abandon(self) -> None: ...

    def close(self) -> None: ...


class Teller:
    """`tell` is a `drsyncer.service.reasons.Tell`. `connect` gives a new connection whenever one failed."""

    def __init__(self, connect: Callable[[], Writer], ledger: Ledger, *, schedule: Schedule = _SCHEDULE) -> None:
        self._connect = connect
        self._ledger = ledger
        self._backoff = Backoff(schedule)
        self._said = ""  # what the log knows of the failure that goes on
        self._writer: Writer | None = None
        self._bell = threading.Event()
        self._stopping = False
        self._given_up = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Write in the background from now on."""
        self._thread.start()

    def tell(self, reason: Reason, message: str, subject: str = "") -> None:
        """Tell what happened; see `drsyncer.service.reasons.Tell`."""
        with self._lock:
            if self._given_up:
                return
            self._ledger.note(reason, message, subject)
        if reason is CLUSTER_UNAVAILABLE:
            self._backoff.failed(_WHAT)  # it is dead, and has others who probe it
        elif reason is CLUSTER_AVAILABLE:
            self._backoff.worked(_WHAT)
        self._bell.set()

    def stop(self) -> None:
        """Write what can be written within seconds, and end."""
        self._stopping = True
        self._bell.set()
        self._thread.join(_PARTING)
        with self._lock:
            self._given_up = True
            writer = self._writer
        if writer is not None:
            writer.abandon()
        self._bell.set()
        self._thread.join(_PARTING)

    def _run(self) -> None:
        while not self._given_up:
            pause = self._backoff.wait(_WHAT)
            with self._lock:
                draft = self._ledger.due() if not pause else None
                wait = self._ledger.wait()
            if draft is not None:
                self._attempt(draft)
                continue
            if self._stopping:
                break
            self._bell.wait(None if wait is None else max(wait, pause))
            self._bell.clear()
        if self._writer is not None:
            self._writer.close()

    def _attempt(self, draft: Draft) -> None:
        try:
            if self._writer is None:
                self._writer = self._connect()
            self._writer.write(draft)
        except NotFound as error:
            # A PATCH of what the API server has forgotten meanwhile; or the namespace is not there.
            if draft.exists:
                with self._lock:
                    self._ledger.gone(draft)
            else:
                self._failed(error)
        except Invalid as error:  # no second try would help
            self._say(f"{_WHAT}: {error}", error)
            self._written(draft)
        except Exception as error:  # noqa: BLE001 - the main job goes on whatever happens here
            self._failed(error)
        else:
            self._backoff.worked(_WHAT)
            self._written(draft)
            if self._said:
                self._said = ""
                _LOG.warning(f"{_WHAT} works again")

    def _written(self, draft: Draft) -> None:
        with self._lock:
            self._ledger.written(draft)
            lost, self._ledger.lost = self._ledger.lost, 0
        if lost:
            _LOG.warning("Kubernetes Events were forgotten: there were too many", count=lost)

    def _failed(self, error: Exception) -> None:
        self._backoff.failed(_WHAT)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        if isinstance(error, ClusterUnreachable | ServerFailed | Throttled | Unauthorized) or self._given_up:
            _LOG.debug(f"{_WHAT}: {error}")  # the main job says that its cluster does not answer
        elif isinstance(error, DrSyncerError):
            self._say(f"{_WHAT}: {error}; everything else goes on", error)
        else:
            self._say(f"{_WHAT}: an error in the program ({type(error).__name__})", error)

    def _say(self, text: str, error: Exception) -> None:
        """Tell each kind of failure once."""
        if self._said != type(error).__name__:
            self._said = type(error).__name__
            _LOG.warning(text)
