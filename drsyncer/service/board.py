"""Where a service tells how it is: one owner of its status, for all threads that have something to tell.

The replica that works writes the status to a ConfigMap in its cluster; the others read it there. Nobody waits for that:
those who tell something change a value in memory, and a thread of its own writes it, at most once a second, not at all
without a change, ever later when that fails. A second thread watches the ConfigMap for requests of runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from drsyncer.cluster import Cluster
from drsyncer.cluster.watch import Kind, Watch
from drsyncer.errors import (
    ClusterUnreachable,
    DrSyncerError,
    Forbidden,
    Gone,
    NotFound,
    ServerFailed,
    Throttled,
    Unauthorized,
)
from drsyncer.json import decode
from drsyncer.log import get
from drsyncer.retry import Schedule
from drsyncer.service import place as places
from drsyncer.service import status as statuses
from drsyncer.service.backoff import Backoff
from drsyncer.service.place import Notice, Place
from drsyncer.service.repeats import Repeats
from drsyncer.service.status import Request, Run, Running, State, Status, Trouble, said

_LOG = get(__name__)
_PACE = 1.0  # seconds between two writes
_ALIVE = 300.0  # seconds after which a status is written although nothing has changed: somebody works
_AGAIN = Schedule(initial=1.0, factor=2.0, maximum=60.0, jitter=0.2)
# A right or a namespace that is missing stays missing until a person comes: it is told once. An importer makes its
# namespace by itself, though, with its first import.
_LASTING = (Forbidden, NotFound)
_PATIENT = Schedule(initial=4.0, factor=2.0, maximum=600.0, jitter=0.2)
_TOLD_AT = 3  # failures
# A cluster that does not answer is told of by those who work with it.
_TOLD_BY_OTHERS = (ClusterUnreachable, ServerFailed, Throttled)
_ENDING = 3.0  # seconds that the last write may take
_WRITE, _WATCH = "the status", "the watch for requests"


class Board:
    """The status of one side. Safe to use from several threads; `start` and `stop` are for one.

    `connect` gives a connection of its own with each call; its requests should give up after seconds. `leading` says
    whether this replica may write. `place` None: nothing is kept in a cluster.
    """

    def __init__(
        self,
        first: Status,
        *,
        connect: Callable[[], Cluster],
        place: Place | None,
        leading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = self._now = self._before = first
        self._connect = connect
        self._place = place
        self._leading = leading
        self._clock = clock
        self._changed = threading.Condition()
        self._stopped = False
        self._term: Callable[[], None] | None = None  # while somebody works here: asks for a run
        self._known = False  # whether what the service before knew is known in this term
        self._written: Status | None = None
        self._notice = Notice()
        self._asked = self._carried = ""  # the request that the worker was told of, and that of the run under way
        self._due = 0.0
        self._repeats = Repeats(_LOG, listener=self.trouble)
        self._backoff = Backoff(_AGAIN, clock=clock)
        self._refusals = Backoff(_PATIENT, clock=clock)
        self._cluster: Cluster | None = None
        self._watching: Cluster | None = None
        self._watch: Watch | None = None
        self._threads: list[threading.Thread] = []

    # The service

    def start(self) -> None:
        """Begin to write and to watch."""
        if self._place is None:
            return
        for target, name in ((self._write_on, "status"), (self._watch_on, "status watch")):
            self._threads.append(threading.Thread(target=target, name=name, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """End the threads, within seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            watch, clusters = self._watch, (self._watching, self._cluster)
        if watch is not None:
            watch.stop()
        for cluster in clusters:
            if cluster is not None:
                cluster.abandon()
        for thread in self._threads:
            thread.join(_ENDING)

    def begin(self, ask: Callable[[], None], change: Callable[[Status], Status]) -> None:
        """Somebody begins to work here: `ask` lets him do a run, `change` says what is different from now on."""
        with self._changed:
            # What this replica told when it last worked may be old: what the ConfigMap holds comes first.
            self._before = self._now
            self._now = msgspec.structs.replace(change(self._first), state=State.WORKING)
            self._term, self._known, self._asked, self._carried = ask, False, "", ""
            self._backoff.worked(_WRITE)
            self._written, self._due = None, 0.0
            if self._place is None:
                self._resume(Notice())
            self._changed.notify_all()

    def finish(self) -> None:
        """Whoever worked here has ended: tell it, within seconds, before somebody else begins."""
        with self._changed:
            self._now = msgspec.structs.replace(self._now, state=State.ENDED, running=None)
            self._due = 0.0
            self._changed.notify_all()
            self._changed.wait_for(self._is_all_told, timeout=_ENDING)
            self._term = None

    # The work

    def change(self, change: Callable[[Status], Status]) -> None:
        """Tell something: `change` gives the status as it is now, from what it was; it must not take long."""
        with self._changed:
            before, self._now = self._now, change(self._now)
            if not statuses.same(before, self._now):
                self._changed.notify_all()

    def run_started(self, cause: str, *, whole: bool) -> None:
        """A run begins; `whole`: it is one of those that somebody can ask for."""
        with self._changed:
            self._carried = self._asked if whole else ""
            self._now = msgspec.structs.replace(self._now, running=Running(cause=cause, since=_utc()))

    def run_ended(self, run: Run) -> None:
        """It ended."""
        with self._changed:
            asked, self._carried = self._carried, ""
            request = self._now.request
            if request is not None and request.value == asked and run.result is not statuses.Result.ABANDONED:
                request = msgspec.structs.replace(request, run=run)
                self._asked = ""
            self._now = msgspec.structs.replace(self._now, running=None, request=request)
            self._changed.notify_all()

    def trouble(self, what: str, text: str | None) -> None:
        """`what` fails, as `text` says; None: it works."""
        with self._changed:
            troubles = {found.what: found for found in self._now.troubles}
            what = said(what)
            if text is None:
                if troubles.pop(what, None) is not None and what != _WRITE:
                    self._backoff.worked(_WRITE)  # it may have been the cluster
            elif what in troubles or len(troubles) < statuses.MOST_TROUBLES:
                since = troubles[what].since if what in troubles else _utc()
                troubles[what] = Trouble(what, said(text), since)
            if tuple(troubles.values()) == self._now.troubles:
                return
            self._now = msgspec.structs.replace(self._now, troubles=tuple(troubles.values()))
            self._changed.notify_all()

    # Whoever shows it

    def current(self) -> Status:
        """Return the status as it is now: this replica's own while it works, else the one that the leader wrote."""
        with self._changed:
            if self._term is None and self._notice.status is not None:
                return self._notice.status
            return msgspec.structs.replace(self._now, told=_utc())

    def is_elsewhere(self) -> bool:
        """Return whether `current` is what another replica told."""
        with self._changed:
            return self._term is None and self._notice.status is not None

    def settled(self, stop: threading.Event, turned: Callable[[], None] = lambda: None) -> datetime | None:
        """Return up to when the ticks of the schedule were taken care of before, None for not known.

        Waits for the cluster's answer until `stop`: while it is away, no run could be made up for. `turned` is told
        every moment that whoever waits lives.
        """
        with self._changed:
            while self._place is not None and not self._known and not stop.is_set() and not self._stopped:
                turned()
                self._changed.wait(0.2)
            return self._now.settled

    # Writing

    def _write_on(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (pause := self._wait()) > 0:
                    self._changed.wait(pause)
                if self._stopped:
                    self._hang_up()
                    return
                known, now = self._known, msgspec.structs.replace(self._now, told=_utc())
            try:
                if known:
                    self._write(now)
                else:
                    self._recall()
            except DrSyncerError as error:
                self._failed(error)
            except Exception:  # noqa: BLE001 - whatever it is, the work must go on
                _LOG.exception("an error in the program; the status is written later")
                self._backoff.failed(_WRITE)

    def _wait(self) -> float:
        """Return the seconds until there is something to do."""
        if not self._may_write():
            return 1.0
        pause = max(self._backoff.wait(_WRITE), self._refusals.wait(_WRITE), self._due - self._clock())
        if not self._known or not self._is_told():
            return pause
        return max(pause, self._due - _PACE + _ALIVE - self._clock())

    def _may_write(self) -> bool:
        return self._place is not None and self._term is not None and self._leading()

    def _is_all_told(self) -> bool:
        """Return whether there is nothing to wait for at the end."""
        return self._is_told() or not self._may_write() or self._wait() > _PACE

    def _is_told(self) -> bool:
        return self._written is not None and statuses.same(self._written, self._now)

    def _recall(self) -> None:
        """Find out what the service before knew, and whether somebody asked for a run meanwhile."""
        assert self._place is not None
        try:
            notice = places.read(self._connected(), self._place)
        except Forbidden as error:
            self._failed(error)
            notice = Notice()
        with self._changed:
            self._resume(notice)

    def _resume(self, notice: Notice) -> None:
        self._now = statuses.resumed(self._now, notice.status or self._before)
        self._known = True
        self._note(notice)
        self._changed.notify_all()

    def _write(self, now: Status) -> None:
        assert self._place is not None
        places.write(self._connected(), self._place, now)
        self._backoff.worked(_WRITE)
        self._refusals.worked(_WRITE)
        self._repeats.worked(_WRITE)
        self.trouble(_WRITE, None)
        with self._changed:
            self._written, self._due = now, self._clock() + _PACE
            self._changed.notify_all()

    def _failed(self, error: DrSyncerError) -> None:
        if self._stopped:
            return
        lasting = isinstance(error, _LASTING)
        (self._refusals if lasting else self._backoff).failed(_WRITE)
        text = f"{_WRITE} is not kept in {self._place}: {error}"
        if isinstance(error, _TOLD_BY_OTHERS) or (lasting and self._refusals.failures(_WRITE) != _TOLD_AT):
            self.trouble(_WRITE, text)
        else:
            self._repeats.failed(_WRITE, text)
        if isinstance(error, Unauthorized):
            self._hang_up()

    def _connected(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._connect()
        return self._cluster

    def _hang_up(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
        self._cluster = None

    # Watching

    def _watch_on(self) -> None:
        assert self._place is not None
        while not self._stopped:
            try:
                self._watch_once(self._place)
                pause = 0.0
            except DrSyncerError as error:
                lasting = isinstance(error, _LASTING)
                pause = (self._refusals if lasting else self._backoff).failed(_WATCH)
                told = isinstance(error, Gone) or (lasting and self._refusals.failures(_WATCH) != _TOLD_AT)
                if not self._stopped and not told:
                    self._repeats.failed(_WATCH, f"requests of runs are not seen: {error}")
            except Exception:  # noqa: BLE001 - whatever it is, the work must go on
                _LOG.exception("an error in the program; requests of runs are looked for later")
                pause = self._backoff.failed(_WATCH)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, timeout=pause)

    def _watch_once(self, place: Place) -> None:
        cluster = self._connect()
        watch = Watch(cluster, places.CONFIGMAPS, resource_version="", namespace=place.namespace, name=place.name)
        with self._changed:
            self._watching, self._watch = cluster, watch
            if self._stopped:
                return
        try:
            for event in watch.events():
                self._repeats.worked(_WATCH)
                self._backoff.worked(_WATCH)
                self._refusals.worked(_WATCH)
                notice = Notice() if event.kind is Kind.DELETED else places.notice_of(decode(event.object))
                with self._changed:
                    if event.kind is Kind.DELETED:
                        self._written = None
                        self._changed.notify_all()
                    self._note(notice)
        finally:
            cluster.close()

    def _note(self, notice: Notice) -> None:
        """Take in what the ConfigMap holds; a request that is news makes a run."""
        self._notice = notice
        if notice.verification is not None and self._known and notice.verification != self._now.verification:
            self._now = msgspec.structs.replace(self._now, verification=notice.verification)
            self._changed.notify_all()
        value, request = notice.requested, self._now.request
        if self._term is None or not self._known or not value or value == self._asked:
            return
        if request is not None and request.value == value and request.run is not None:
            return
        if request is None or request.value != value:
            self._now = msgspec.structs.replace(self._now, request=Request(value=value, seen=_utc()))
        self._asked = value
        _LOG.info("a run was asked for", by=said(value))
        self._term()
        self._changed.notify_all()


def _utc() -> datetime:
    return datetime.now(UTC)
