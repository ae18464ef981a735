"""The importer as a service: it follows Git, puts back what drifts, and tries again what failed, for a year.

One thread does everything, one thing at a time (`Polling.run`); what else happens is a flag that it looks at. What is
done when is decided in `_why`; what a failure means for the next time, in `_note_error` and `_note_outcome`:

| What fails | Tried again |
|---|---|
| the remote | after 1 s, then ever later, up to every 30 s; drift is corrected meanwhile |
| DR as a whole | one request after 1 s, then ever later, up to every 7 s; the import once that is answered |
| single objects, for what may pass | the import after 15 s, then ever later, up to `importer.drift.interval` |
| single objects, for what stays (an invalid manifest) | when Git changes, and with every look for drift |
| a recovery point that is refused | when Git changes; else after a minute, then ever later, up to every hour |
| the prune guard | when Git changes, or once a person has run an import; that is looked for as often |

What is unchanged costs an import next to nothing, so objects have no back-off each by itself: the import has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.config.schema import Importer
from drsyncer.errors import (
    Abandoned,
    ClusterError,
    ClusterUnreachable,
    DrSyncerError,
    ExitCode,
    GitError,
    RevisionNotFound,
)
from drsyncer.manifest import ObjectRef
from drsyncer.progress import Progress
from drsyncer.recovery import glance
from drsyncer.recovery.git import Clone, Remote
from drsyncer.service.cron import Cron
from drsyncer.service.rhythm import Rhythm
from drsyncer.wording import some
from importer.action import TooManyDeletions, import_recovery_point
from importer.basis import Overtaken, Request
from importer.following import refs_of
from importer.inventory import Inventory
from importer.lifeline import connected
from importer.mandate import Mandate
from importer.memory import peek, recall
from importer.observing import Failure, Nobody, Observer, Why
from importer.outcome import Outcome
from importer.signs import Signs
from importer.state import Condition, State, only, reached
from importer.troubles import Patience, Troubles

_TIDY = 3600.0  # seconds between two looks at whether the clone wants packing
_SLICE = 0.2  # seconds between two looks at what is due; nothing is asked of anybody then


class Polling:
    """One importer at work. `run` is for one thread; `wake` and `state` are for any.

    `connect` gives a connection for one run, which this class closes; it should retry for seconds, not for minutes:
    what goes on for longer is waited out here. `leading` says whether this replica may work now; `last_run`, when
    scheduled, up to when ticks are taken care of (None: now); it is asked when the work begins, and waits until `stop`
    at most.
    """

    def __init__(
        self,
        *,
        config: Importer,
        remote: Remote,
        connect: Callable[[], Cluster],
        observer: Observer | None = None,
        leading: Callable[[], bool] = lambda: True,
        patience: Patience | None = None,
        last_run: Callable[[threading.Event], datetime | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._remote = remote
        self._connect = connect
        self._observer = observer or Nobody()
        self._leading = leading
        self._patience = (patience or Patience()).bounded(objects=config.drift.interval)
        self._clock = clock
        self._log = log.get(__name__)
        self._troubles = Troubles(self._patience, self._observer, clock=clock)
        self._continuous = config.mode == "continuous"
        self._leaves_drift = self._continuous and config.drift.mode != "correct"
        self._rhythm = Rhythm(
            interval=config.interval if self._continuous else 0.0,
            cron=Cron(config.schedule, config.timezone) if config.mode == "scheduled" else None,
            clock=clock,
        )
        self._last_run = last_run
        self._refs = refs_of(config.revision)
        self._demanded = threading.Event()  # somebody wants an import, whatever Git says
        self._signs = Signs(remote, self._observer, goes_on=self._goes_on)
        self._woken, self._stop = threading.Event(), threading.Event()
        self._led, self._tidy_at = False, clock() + _TIDY
        self._forget()

    def _forget(self) -> None:
        """Know nothing, as at the start: another replica may have worked meanwhile."""
        self._seen: Mapping[str, str] | None = None
        self._handled: Mapping[str, str] | None = None
        self._asked = False
        self._condition = Condition.UNKNOWN
        self._may_pass = False
        self._guarded: Inventory | None = None
        self._objection = DrSyncerError("")
        self._last = self._head = ""  # the recovery point that DR has, and the head that was accepted with it
        self._drifted: tuple[ObjectRef, ...] = ()
        self._drift_at = self._clock() + self._config.drift.interval
        self._audit_at = self._clock() + self._config.audit_interval

    def wake(self) -> None:
        """Look at Git now; in the modes scheduled and manual, import what is found, changed or not."""
        self._rhythm.wake()
        self._woken.set()

    def ask(self) -> None:
        """Import what is followed now, changed or not, in every mode."""
        self._demanded.set()
        self.wake()

    @property
    def state(self) -> State:
        """How things are now."""
        return State(
            leading=self._led,
            condition=self._condition,
            seen=only(self._seen),
            imported=self._last,
            drifted=self._drifted,
            troubles=self._troubles.now(),
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then end within 10 seconds. Whatever may pass is waited out, and raises nothing."""
        self._stop = stop
        if self._config.mode == "scheduled":
            self._rhythm.go_on_from(self._last_run(stop))
        while not stop.is_set():
            leads = self._leading()
            if leads and not self._led:
                self._forget()
                if self._continuous:
                    self._rhythm.wake()
            self._led = leads
            if leads:
                self._turn()
            self._observer.pending(leads and self._owes())
            if self._woken.wait(_SLICE):
                self._woken.clear()

    # Deciding

    def _turn(self) -> None:
        """Do what is due, if anything is."""
        if self._rhythm.due() and (self._rhythm.woken or not self._troubles.waits(Failure.REMOTE)):
            self._look()
        if not self._troubles.waits(Failure.CLUSTER) and self._goes_on() and (why := self._why()) is not None:
            self._import(why)
        elif self._clock() >= self._tidy_at:
            self._tidy()
        self._signs.tell()

    def _owes(self) -> bool:
        """Return whether what is followed was not imported yet, or a run that is due was not made."""
        if self._continuous:
            return self._seen is not None and self._seen != self._handled
        return self._asked or self._rhythm.due()

    def _tidy(self) -> None:
        """Pack the clone when a year of fetches has littered it. Nothing waits for that, so it is done when idle."""
        self._tidy_at = self._clock() + _TIDY
        try:
            with Clone.open(self._remote, wait=1.0, goes_on=self._goes_on) as clone:
                clone.gc_if_due()
        except DrSyncerError as error:
            self._log.warning(f"packing the clone: {error}")

    def _why(self) -> Why | None:
        """Return what an import is due for, None for nothing."""
        if self._seen is not None and not self._troubles.waits(Failure.FETCH):
            if self._asked:
                return Why.ASKED
            if self._continuous and self._seen != self._handled:
                return Why.START if self._handled is None else Why.COMMIT
            if self._continuous and self._is_retry_due():
                return Why.RETRY
        if not self._continuous or not self._last or self._troubles.waits(Failure.DRIFT):
            return None
        if self._clock() >= self._audit_at:
            return Why.AUDIT
        return Why.DRIFT if self._clock() >= self._drift_at and self._config.drift.mode != "off" else None

    def _is_retry_due(self) -> bool:
        if self._condition is Condition.PARTIAL:
            return self._may_pass and not self._troubles.waits(Failure.BLOCKED)
        if self._condition is Condition.REFUSED:
            return not self._troubles.waits(Failure.REFUSED)
        return self._condition is Condition.GUARDED and not self._troubles.waits(Failure.GUARD) and self._overruled()

    def _overruled(self) -> bool:
        """Return whether an import ran since the prune guard said no: a person's, with --yes."""
        before = self._guarded
        assert before is not None
        try:
            with self._connected() as cluster:
                now = peek(cluster, before)
        except ClusterError as error:
            if self._goes_on():
                self._troubles.failed(Failure.CLUSTER, error)
            return False
        self._troubles.worked(Failure.CLUSTER)
        # The head, since our own looks for drift write the rest.
        if now is not None and now.head == before.head:
            self._troubles.failed(Failure.GUARD, self._objection)
            return False
        return True

    def _goes_on(self) -> bool:
        return not self._stop.is_set() and self._leading()

    # Looking

    def _look(self) -> None:
        """Ask the remote where what is followed is."""
        self._rhythm.begin()
        try:
            asked = (*self._refs, self._signs.ref) if self._refs else ()
            found = glance.look(self._remote, asked, goes_on=self._goes_on)
        except Abandoned:
            self._rhythm.failed()
            return
        except DrSyncerError as error:
            self._rhythm.failed()
            self._troubles.failed(Failure.REMOTE, error)
            return
        self._troubles.worked(Failure.REMOTE)
        self._signs.saw(found.pop(self._signs.ref, ""))
        if self._refs and not found:
            missing = f"{self._remote.shown} has no {' or '.join(self._refs)}"
            self._troubles.failed(Failure.REVISION, RevisionNotFound(missing, hint="Has the exporter run?"))
            self._seen = None
            return
        self._troubles.worked(Failure.REVISION)
        changed = found != self._seen
        if changed:
            self._troubles.again(Failure.BLOCKED, Failure.REFUSED, Failure.GUARD)
        self._seen = found
        self._asked = self._asked or not self._continuous
        if self._demanded.is_set():
            self._demanded.clear()
            self._asked = True
        self._observer.pending(self._owes())
        self._observer.looked(only(found), changed=changed)

    # Importing

    def _connected(self) -> AbstractContextManager[Cluster]:
        return connected(
            self._connect,
            stop=self._stop,
            leading=self._leading,
            doubtful=lambda: self._troubles.is_failing(Failure.CLUSTER),
            grace=self._patience.grace,
        )

    def _import(self, why: Why) -> None:
        request, seen, begun = self._request(why), self._seen, False
        outcome: Outcome | None = None
        failed: DrSyncerError | None = None
        try:
            with self._connected() as cluster:
                begun = True
                self._observer.import_started(why)
                outcome = import_recovery_point(
                    config=self._config,
                    remote=self._remote,
                    cluster=cluster,
                    request=request,
                    progress=Progress(silent=True),
                    mandate=Mandate(self._goes_on, self._leading),
                )
        except DrSyncerError as error:
            failed = error
        # Whatever failed after the end of the mandate failed for that.
        abandoned = not self._goes_on() or isinstance(failed, Abandoned)
        if begun:
            self._observer.import_ended(why, outcome, None if abandoned else failed)
        if abandoned:
            self._handled = None
        elif failed is not None:
            self._note_error(why, failed, seen)
        elif outcome is not None:
            self._note_outcome(why, outcome, seen)

    def _request(self, why: Why) -> Request:
        if why not in (Why.DRIFT, Why.AUDIT):
            return Request(leave_drift=self._leaves_drift)
        return Request(
            revision=self._last,
            fetch=not (self._troubles.is_failing(Failure.REMOTE) or self._troubles.is_failing(Failure.FETCH)),
            plan_only=why is Why.DRIFT and self._leaves_drift,
            audit=why is Why.AUDIT,
            leave_drift=self._leaves_drift,
            head=self._head,
        )

    def _note_error(self, why: Why, error: DrSyncerError, seen: Mapping[str, str] | None) -> None:
        """Remember what an import without an outcome means for the next one."""
        if isinstance(error, ClusterError):
            self._troubles.failed(Failure.CLUSTER, error)
            return
        self._troubles.worked(Failure.CLUSTER)
        if isinstance(error, Overtaken):
            self._log.info(f"{error}: what is followed is imported anew")
            self._handled = None
        elif why in (Why.DRIFT, Why.AUDIT):
            self._troubles.failed(Failure.DRIFT, error)
        elif isinstance(error, GitError) and not isinstance(error, RevisionNotFound):
            self._troubles.failed(Failure.FETCH, error)
        elif isinstance(error, TooManyDeletions):
            self._handled, self._asked = seen, False
            self._condition, self._guarded, self._objection = Condition.GUARDED, error.inventory, error
            # What DR has is known then, after a restart too.
            self._last, self._head = self._last or error.inventory.head, error.inventory.head
            self._troubles.worked(Failure.FETCH, Failure.REFUSED)
            self._troubles.failed(Failure.GUARD, error)
        else:
            self._handled, self._asked = seen, False
            self._condition = Condition.REFUSED
            self._troubles.worked(Failure.FETCH, Failure.GUARD)
            self._troubles.failed(Failure.REFUSED, error)
            if not self._last:
                self._recall()

    def _recall(self) -> None:
        """Find out what DR has, after a restart: it is kept up while what came after is refused."""
        config = self._config
        try:
            with self._connected() as cluster:
                found = recall(cluster, namespace=config.state_namespace, importer=config.name)
        except ClusterError as error:
            if self._goes_on():
                self._troubles.failed(Failure.CLUSTER, error)
        else:
            self._last = self._head = found.head if found else ""

    def _note_outcome(self, why: Why, outcome: Outcome, seen: Mapping[str, str] | None) -> None:
        """Remember what an import did, and what it left to do."""
        self._tell_drift(outcome)
        if outcome.exit_code is ExitCode.FAILED:
            error = next((result.error for result in outcome.results if result.unreachable), "no answer")
            self._troubles.failed(Failure.CLUSTER, ClusterUnreachable(error))
            return
        self._troubles.worked(Failure.CLUSTER, Failure.DRIFT)
        self._drift_at = self._clock() + self._config.drift.interval
        if why is Why.AUDIT:
            self._audit_at = self._clock() + self._config.audit_interval
        if outcome.planned_only:
            return
        if why is not Why.DRIFT or outcome.drifted:
            self._log.info("imported", revision=outcome.revision, why=str(why), **outcome.summary)
        self._last, self._head = outcome.revision, outcome.head
        if why not in (Why.DRIFT, Why.AUDIT):
            self._handled, self._asked = reached(seen, outcome), False
            self._seen = self._handled
            self._troubles.worked(Failure.FETCH, Failure.REFUSED, Failure.GUARD)
        elif self._condition in (Condition.REFUSED, Condition.GUARDED):
            if outcome.revision != only(self._seen):
                return  # what was refused came after
            self._troubles.worked(Failure.REFUSED, Failure.GUARD)
        self._judge(outcome)

    def _judge(self, outcome: Outcome) -> None:
        """Remember whether the import did all, and whether what it left out is worth another try."""
        self._may_pass = outcome.may_pass
        if outcome.exit_code is ExitCode.DONE:
            self._condition = Condition.DONE
            self._troubles.worked(Failure.BLOCKED)
            return
        self._condition = Condition.PARTIAL
        self._troubles.failed(Failure.BLOCKED, DrSyncerError(outcome.left_undone, hint="`dr-syncer import --plan`"))

    def _tell_drift(self, outcome: Outcome) -> None:
        self._observer.drift_found(outcome.drifted)
        if outcome.drifted and outcome.drifted != self._drifted:
            done = "left as it is (importer.drift.mode)" if self._leaves_drift else "put back"
            self._log.warning(f"other hands changed in DR: {some(outcome.drifted)}; {done}")
        self._drifted = outcome.drifted
