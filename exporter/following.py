"""The exporter's continuous work: everything once, then each change as it comes, for as long as somebody wants.

Three kinds of threads: one per watch, which compares each event with what Git has (`intake`) and notes what is to be
done (`agenda`); the one that called `run`, which does it; and one that hangs up on everything when the end has come.

What is kept in memory is a mark per file (`ledger`). All else is in Git, so that a restart needs nothing else: the full
export at the start finds what happened meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.cluster.watch import Event
from drsyncer.config.schema import Exporter
from drsyncer.errors import Abandoned, ClusterError, ClusterUnreachable, DrSyncerError, Gone, NotFound, Unauthorized
from drsyncer.manifest import ResourceType
from drsyncer.recovery.git import Remote
from drsyncer.service.circuit import Circuit
from drsyncer.service.quiet import Quiet
from drsyncer.service.repeats import Repeats
from exporter.agenda import Agenda
from exporter.connections import Clusters
from exporter.filing import NAMESPACES
from exporter.intake import Intake
from exporter.ledger import Ledger
from exporter.observing import Observer, Silent, Why
from exporter.publishing import Publisher
from exporter.reading import TypeRead
from exporter.recording import BEAT, NotLeading, Recorded, Recorder, Stale
from exporter.troubles import Troubles, sentence
from exporter.versions import CRDS
from exporter.watching import Ended, Watching

_LOOK = 0.5  # seconds between two looks at whether to end, to lead, and at the watches
_BEAT = BEAT.total_seconds()
_DISCOVERY = 300.0  # seconds after which the types are looked at although nothing told of a change
_UNWATCHABLE = 60.0  # seconds between two lists of a type that cannot be watched
_RECONNECT = 30.0  # seconds without any watch after which credentials and certificates are read anew
_LASTED = 10.0  # seconds after which a watch counts as one that worked
# Pieces of work, and what else can fail, as the log names them.
_FULL = "the full export"
_LISTS = "listing"
_COMMIT = "the commit"
_DISCOVER = "discovery"
_PUSH = "the heartbeat"
_RENEWAL = "reading the credentials anew"
WORK = (_FULL, _LISTS, _COMMIT, _DISCOVER, _PUSH, _RENEWAL)
_ASK_THE_CLUSTER = frozenset({_FULL, _LISTS, _DISCOVER})
GUARD = "the deletion guard"
_log = log.get(__name__)


class Following:
    """Follows one source cluster. `run` is for one thread, `wake` for any.

    `connect` opens a connection of its own with each call: one for the watches, which needs room for one connection per
    type, and one for everything else. Its requests should give up after seconds: trying again is done here.
    Nothing is committed or pushed unless `leading` says so right before.
    """

    def __init__(
        self,
        *,
        config: Exporter,
        remote: Remote,
        connect: Callable[[], Cluster],
        observer: Observer | None = None,
        leading: Callable[[], bool] = lambda: True,
    ) -> None:
        self._observer = observer or Silent()
        self._leading = leading
        self._given_up = threading.Event()
        self._repeats = Repeats(_log, listener=self._observer.trouble)
        self._troubles = Troubles(self._repeats, self._observer)
        self._ledger = Ledger()
        self._agenda = Agenda(Quiet(config.quiet_period, config.max_delay))
        self._recorder = Recorder(
            config=config,
            remote=remote,
            leading=leading,
            ledger=self._ledger,
            publisher=(publisher := Publisher(leading=leading, observer=self._observer, repeats=self._repeats)),
            incomplete=self._incomplete,
            goes_on=lambda: leading() and not self._given_up.is_set(),
        )
        self._publisher = publisher
        self._clusters = Clusters(connect)
        self._circuit = Circuit()
        self._watching: Watching | None = None
        self._intake: Intake | None = None
        self._followed: dict[str, tuple[ResourceType, ...]] = {}
        self._dropped: set[str] = set()  # types that are no longer served and whose files may still be there
        self._renew = threading.Event()  # the credentials are not accepted any more
        self._renew_at = 0.0
        self._lost: float | None = None  # since when no watch is connected
        self._beat_at = 0.0

    def wake(self) -> None:
        """Do a full export now."""
        self._troubles.hurry(_FULL)
        self._agenda.want_full()

    def ask(self) -> None:
        """Do a full export now."""
        self.wake()

    def run(self, stop: threading.Event) -> None:
        """Follow the cluster until `stop` is set; then return within seconds. Raises nothing that may pass."""
        done = threading.Event()
        ender = threading.Thread(target=self._end_with, args=(stop, done), name="following ends", daemon=True)
        ender.start()
        try:
            while not stop.is_set():
                self._observer.turned()
                if self._leading():
                    self._turn()
                left = self._agenda.wait()
                self._agenda.bell.wait(_LOOK if left is None or left == 0 else min(left, _LOOK))
                self._agenda.bell.clear()
        finally:
            done.set()
            self._given_up.set()
            if self._watching is not None and (stuck := self._watching.close()):
                _log.error("threads that watch did not end", threads=stuck)
            self._clusters.close()
            ender.join()

    def _end_with(self, stop: threading.Event, done: threading.Event) -> None:
        """Hang up on everything as soon as `stop` is set: whoever waits for an answer gets an error instead."""
        while not done.is_set():
            if stop.wait(_LOOK):
                self._given_up.set()
                self._clusters.abandon()
                self._agenda.bell.set()
                return

    # The loop

    def _turn(self) -> None:
        self._look_at_watches()
        if self._renew.is_set() and time.monotonic() >= self._renew_at:
            # Credentials that are refused again and again are asked for ever more seldom.
            self._renew_at = time.monotonic() + self._troubles.delay(_RENEWAL)
            if not self._attempt(_RENEWAL, self._reconnect):
                self._renew.set()
        if self._troubles.may(_FULL) and self._agenda.take_full():
            if not self._attempt(_FULL, lambda: self._run(Why.FULL, self._full)):
                self._agenda.want_full()
            return
        if self._intake is None:
            return
        discover = self._troubles.may(_DISCOVER) and self._agenda.take_discovery()
        if discover and not self._attempt(_DISCOVER, self._rediscover):
            self._agenda.want_discovery()
        keys = self._due_lists() if self._troubles.may(_LISTS) else []
        if keys and not self._attempt(_LISTS, lambda: self._run(Why.LIST, lambda: self._list(keys))):
            for key in keys:
                self._agenda.want_list(key)
        commit = self._troubles.may(_COMMIT) and self._agenda.take_changes()
        if commit and not self._attempt(_COMMIT, lambda: self._run(Why.CHANGE, self._commit)):
            self._agenda.changed()
        self._push_if_due()

    def _due_lists(self) -> list[str]:
        survey = self._recorder.survey
        return [key for key in self._agenda.take_lists() if survey is not None and key in survey.wanted]

    def _attempt(self, name: str, action: Callable[[], None]) -> bool:
        """Do one piece of work; return whether that went well. What went wrong is told, and tried again later."""
        asks = name in _ASK_THE_CLUSTER
        if not self._troubles.may(name) or (asks and not self._circuit.allows()):
            return False
        try:
            action()
        except (NotLeading, Abandoned):
            return False
        except Stale:
            self._compare_everything()
            return False
        except Exception as error:  # noqa: BLE001 - a service goes on, and says what happened
            if not self._given_up.is_set():
                self._troubles.failed(name, error)
                if isinstance(error, ClusterError):
                    self._clusters.drop()
                if isinstance(error, ClusterUnreachable):
                    self._circuit.failed()
                if isinstance(error, Unauthorized):
                    self._renew.set()
            return False
        if asks:
            self._circuit.worked()
        self._troubles.worked(name)
        return True

    def _run(self, why: Why, action: Callable[[], Recorded]) -> None:
        """Do a run: make a commit, tell the observer, and go on from there."""
        self._observer.run_started(why)
        try:
            recorded = action()
        except Exception as error:
            told = error if isinstance(error, DrSyncerError) else None
            if self._given_up.is_set() or isinstance(error, NotLeading | Stale):
                told = Abandoned("the run was abandoned: what it was for has changed")
            self._observer.run_ended(None, told)
            raise
        self._observer.run_ended(recorded.outcome, None)
        if recorded.outcome.push_error is None:
            self._beat_at = time.monotonic() + _BEAT
        held = recorded.outcome.held
        if held is not None:
            self._repeats.failed(GUARD, f"{held}: left in Git until `dr-syncer export --yes` confirms it")
            self._observer.failed("guard")
        for read in recorded.reads:
            self._follow(read)
        if recorded.stale:
            self._compare_everything()
        self._tell()

    def _compare_everything(self) -> None:
        _log.info("somebody else changed files of objects in the recovery repository: comparing everything")
        self._agenda.want_full()

    # The pieces of work

    def _full(self) -> Recorded:
        cluster = self._clusters.lists()
        cluster.uid()  # one that does not answer now must not cost the watches their places
        if self._watching is not None:
            self._watching.stop()
        self._followed, self._dropped = {}, set()
        recorded = self._recorder.full(cluster)
        survey = self._recorder.survey
        assert survey is not None
        self._troubles.types.clear()
        self._intake = Intake(
            survey=survey,
            sealing=self._recorder.sealing,
            blob_id=self._recorder.blob_id,
            ledger=self._ledger,
            agenda=self._agenda,
            broken=self._recorder.broken,
        )
        if self._watching is None:
            self._watching = self._watching_by(self._clusters.watches())
        self._discover_again()
        self._troubles.source_works()
        return recorded

    def _list(self, keys: list[str]) -> Recorded:
        assert self._watching is not None
        assert self._recorder.survey is not None
        if NAMESPACES in keys and self._recorder.survey.labels_matter:
            self._agenda.want_full()  # their labels decide about everything else
        if CRDS in keys:
            self._agenda.want_discovery()
        self._watching.stop(keys)
        for key in keys:
            self._ledger.forget(key)
        return self._recorder.lists(self._clusters.lists(), keys)

    def _commit(self) -> Recorded:
        assert self._watching is not None
        dropped = set(self._dropped)
        recorded = self._recorder.changes(dropped=dropped, positions=self._watching.positions())
        self._dropped -= dropped
        return recorded

    def _rediscover(self) -> None:
        """Follow the types that are new, or read in another version now, and let go of those that are gone."""
        survey, watching = self._recorder.survey, self._watching
        assert survey is not None
        assert watching is not None
        survey.cluster = self._clusters.lists()
        survey.rediscover()
        for key, versions in survey.wanted.items():
            if self._followed.get(key) != versions:
                self._agenda.want_list(key)
        for key in survey.gone(self._followed):
            watching.stop([key])
            self._agenda.forget(key)
            self._troubles.gone(key)
            del self._followed[key]
            self._dropped.add(key)
            self._agenda.changed()
        self._discover_again()

    def _discover_again(self) -> None:
        """Look at the types now and then, and sooner while something is not served as it should be."""
        if self._recorder.survey is not None and self._recorder.survey.failing:
            self._agenda.want_discovery(self._troubles.delay(_DISCOVER))
        else:
            self._troubles.lasted(_DISCOVER)
            self._agenda.want_discovery(_DISCOVERY)

    def _push_if_due(self) -> None:
        now = time.monotonic()
        lively = self._lost is None and not self._agenda.behind()
        beat = now >= self._beat_at and lively
        if not (beat or self._publisher.behind) or self._publisher.wait() > 0 or not self._troubles.may(_PUSH):
            return
        self._attempt(_PUSH, lambda: self._recorder.push(beat=lively))
        if beat:
            self._beat_at = now + _BEAT

    def _reconnect(self) -> None:
        """Read credentials and certificates anew; watches go on from where they are."""
        self._renew.clear()
        self._lost = time.monotonic() if self._lost is not None else None
        self._clusters.drop()
        if self._watching is None:
            return
        fresh = self._clusters.another()
        places, types = self._watching.positions(), self._watching.types()
        self._watching.close()
        self._clusters.replace_watches(fresh)
        self._watching = self._watching_by(fresh)
        for key, type_ in types.items():
            self._watching.start(type_, places[key])

    # What the watches tell

    def _watching_by(self, cluster: Cluster) -> Watching:
        return Watching(cluster, circuit=self._circuit, told=self._told, ended=self._ended)

    def _told(self, type_: ResourceType, event: Event) -> None:
        assert self._intake is not None
        self._intake.take(type_, event)

    def _ended(self, ended: Ended) -> None:
        """A watch cannot go on: its type is listed again, ever later when that happens again and again."""
        key, error = ended.type_.key, ended.error
        if isinstance(error, Unauthorized):
            self._troubles.source_failed(str(error))
            self._renew.set()
            self._agenda.bell.set()
            return
        if ended.lasted >= _LASTED:
            self._troubles.lasted(key)
        again, delay = self._troubles.again(key), self._troubles.delay(key)
        if isinstance(error, Gone):
            if again:
                self._troubles.types[key] = "is to be listed again"
            self._agenda.want_list(key, delay if again else 0.0)
            return
        if isinstance(error, NotFound):
            self._agenda.want_discovery(0.0 if not again else delay)
        self._troubles.incomplete(key, f"cannot be watched: {sentence(error)}")
        if not isinstance(error, DrSyncerError):
            _log.error("a watch ended by an error in the program", type=key, error=type(error).__name__)
        self._agenda.want_list(key, delay)

    def _follow(self, read: TypeRead) -> None:
        """Go on from a list: watch the type from there, or list it again later."""
        survey, watching, key = self._recorder.survey, self._watching, read.type_.key
        assert survey is not None
        assert watching is not None
        self._followed[key] = survey.wanted[key]
        if read.saw_everything:
            self._troubles.complete(key)
        elif survey.selected(read.type_):
            self._troubles.incomplete(key, read.why_incomplete)
        if read.error:
            self._agenda.want_list(key, self._troubles.delay(key))
        elif read.positions and "watch" in read.type_.verbs:
            watching.start(read.type_, read.positions)
        else:
            self._agenda.want_list(key, _UNWATCHABLE)

    def _look_at_watches(self) -> None:
        """Tell how the watches are; when all are lost, say so once, and read the credentials anew now and then."""
        if self._watching is None:
            return
        connected, total = self._watching.connected()
        self._observer.watches(connected, total)
        self._tell()
        if total and connected == total:
            self._troubles.lasted(_RENEWAL)
        if connected or not self._watching.failing():
            if self._lost is not None and connected:
                self._troubles.source_works()
                self._lost = None
            return
        now = time.monotonic()
        if self._lost is None:
            self._lost = now
            self._troubles.source_failed("the source cluster does not answer; changes are picked up once it does")
        elif now - self._lost >= _RECONNECT:
            self._renew.set()

    def _tell(self) -> None:
        if not self._ledger.held():  # confirmed, or what was gone is there again
            self._repeats.worked(GUARD)
        changes, oldest = self._ledger.waiting()
        self._observer.pending(changes, time.monotonic() - oldest if oldest is not None else 0.0)

    def _incomplete(self) -> dict[str, str]:
        """Return what is not as in the cluster, as far as it is known now, with the reasons."""
        survey, watching = self._recorder.survey, self._watching
        lost = watching.failing() if watching is not None else []
        found = dict.fromkeys(lost, "its watch is not connected")
        found |= dict.fromkeys(self._agenda.unread(), "is to be listed again") | self._troubles.types
        return dict(sorted((found | (survey.failing if survey else {}) | dict(self._recorder.broken)).items()))
