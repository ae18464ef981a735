"""Running movers: a Job for each, so many at once, followed to their end, and nothing left behind.

A Job's name is the same for every run, so the API server itself sees to it that nobody else moves the same claim's data
meanwhile. A Job is deleted only after its result was written down (`record`); what a dispatcher that died left behind
is followed to its end and written down by the next one that comes to the same claim.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.config.volumes import Mover
from drsyncer.errors import ClusterError, DrSyncerError
from drsyncer.manifest import Manifest, metadata
from drsyncer.snapshot import State
from volumes import making
from volumes.endings import Seen, ending, failure, name_of, why_not_started
from volumes.jobs import Dispatcher, Move, claim_uid_of, presence_of, run_of
from volumes.making import NotLetIn, TakenByAnother
from volumes.result import Reason, Result
from volumes.sightings import Sightings
from volumes.slots import Slots
from volumes.unlocking import Finding

_logger = log.get(__name__)
_TICK: Final = 1.0  # seconds between two looks at the clock
# Seconds that a mover which is told to end has, beyond its pod's own grace, until nobody waits for it any more.
_LEAVING: Final = 90.0

Go = Callable[[], Result]
Around = Callable[[Move, Manifest, Go], Result]
Record = Callable[[Move, Result], None]


def plainly(_move: Move, _job: Manifest, go: Go) -> Result:
    """Run a mover with nothing before and nothing after it."""
    return go()


@dataclass(frozen=True, slots=True)
class Way:
    """How movers are run.

    `credentials` are the files of each mover's Secret beside the task; `living` says whether the dispatcher that has
    the Lease namespace/name still lives (it may take as long as a Lease lasts). `ready` looks at a move once more when
    its turn has come, which may be hours after it was planned, and raises NotReady when it cannot be. `around` is
    called with the suspended Job, which may own what is made for it, and with what runs the mover; whatever it returns
    is the result. `orphaned` is called with a Job whose dispatcher is dead, before anything else is done about it.
    `record` writes a result down, and raises DrSyncerError when it cannot: then the Job stays, for the next run to
    find. `locked` is asked when a mover found the repository locked until it gave up: what it says goes into the
    result, and when nothing stands in the way any more, the mover is run once more.
    """

    mover: Mover
    by: Dispatcher
    credentials: Mapping[str, bytes] = field(repr=False)
    living: Callable[[str], bool]
    record: Record
    locked: Callable[[], Finding] = lambda: Finding(again=False, words="")
    ready: Callable[[Move], Move] = lambda move: move
    around: Around = plainly
    orphaned: Callable[[Manifest], object] = lambda _: None
    done: Callable[[Move, Result], None] = lambda *_: None


class Movers:
    """Runs movers in one cluster. `run` is for one thread, `stop` for any; `stopping` is set once all is to end."""

    def __init__(
        self, cluster: Cluster, way: Way, *, interval: float = 1.0, stopping: threading.Event | None = None
    ) -> None:
        self._cluster = cluster
        self._way = way
        self._sightings = Sightings(cluster, interval=interval)
        self._stopping = stopping or threading.Event()
        self._fault: BaseException | None = None

    def stop(self) -> None:
        """End every mover; `run` returns when they are gone."""
        self._stopping.set()
        self._sightings.wake()

    def run(self, moves: Sequence[Move]) -> list[Result]:
        """Run a mover for each move and return their results, in the same order.

        An interruption (KeyboardInterrupt) ends them all, lets what is `around` them finish, and goes on. Raises
        ClusterError when the cluster does not let its Jobs be seen.
        """
        slots = Slots(moves, per_node=self._way.mover.parallel_per_node)
        results: dict[int, Result] = {}
        ended = [threading.Event() for _ in range(min(self._way.mover.parallel, len(moves)))]
        follower = threading.Thread(target=self._sightings.run, daemon=True)
        follower.start()
        begun: list[threading.Event] = []
        try:
            for end in ended:
                threading.Thread(target=self._work, args=(slots, results, end), daemon=True).start()
                begun.append(end)
            _wait_for(begun)
        except BaseException:
            self._stopping.set()
            slots.close()
            self._sightings.wake()
            _logger.warning("ending the movers", running=sum(not end.is_set() for end in begun))
            _wait_for(begun)
            if self._fault is not None:
                raise self._fault from None
            raise
        finally:
            self._sightings.stop()
            follower.join(_TICK * 5)  # a request that hangs is not waited for
        if self._fault is not None:
            raise self._fault
        return [results[index] if index in results else _interrupted(_now(), ran=False) for index in range(len(moves))]

    def _work(self, slots: Slots, results: dict[int, Result], end: threading.Event) -> None:
        """Run one move after the other, until none is left."""
        try:
            self._work_on(slots, results)
        finally:
            end.set()

    def _work_on(self, slots: Slots, results: dict[int, Result]) -> None:
        # Those that come first are spread; the later ones are, by the ends of the earlier ones. Not for secrecy.
        self._stopping.wait(random.uniform(0.0, self._way.mover.jitter))  # noqa: S311
        while not self._stopping.is_set() and (taken := slots.take()):
            index, move = taken
            begun = _now()
            try:
                result = self._one(move, partial(slots.placed, index))
            except DrSyncerError as error:
                result = failure(Reason.FAILED, error.with_hint, start=begun, end=_now())
                _logger.warning("nothing is written down of a mover", volume=str(move), why=str(error))
                self._give_up_without_sight(slots)
            except BaseException as error:  # noqa: BLE001 - a fault of the program: told by the thread that waits
                self._fault = self._fault or error
                self.stop()
                slots.close()
                return
            finally:
                slots.done(index)
            results[index] = result
            self._way.done(move, result)

    def _give_up_without_sight(self, slots: Slots) -> None:
        if self._sightings.trouble is not None:
            self._fault = self._sightings.trouble
            slots.close()

    def _one(self, move: Move, placed: Callable[[str], None]) -> Result:
        """Run one mover, and once more when it met a lock that does not stand in its way any more."""
        result, again = self._once(move, placed)
        return self._once(move, placed)[0] if again and not self._stopping.is_set() else result

    def _once(self, move: Move, placed: Callable[[str], None]) -> tuple[Result, bool]:
        """Run one mover, after what an earlier one left was seen to, and write its result down.

        Return it, and whether another try may end better.
        """
        begun = _now()
        try:
            self._settle(move)
            move = self._way.ready(move)
            placed(move.placement.where)
            job = self._made(move)
        except _NotNow as reason:
            result = failure(reason.reason, str(reason), start=begun, end=_now())
            if not reason.theirs:
                self._way.record(move, result)
            return result, False
        except DrSyncerError as error:
            result = failure(Reason.NOT_STARTED, error.with_hint, start=begun, end=_now())
            self._way.record(move, result)
            return result, False
        try:
            result = self._way.around(move, job, lambda: self._moved(move, job, placed))
        except _NotNow as reason:  # all that is there is theirs
            return failure(reason.reason, str(reason), start=begun, end=_now()), False
        except DrSyncerError as error:
            self._end(job)
            result = failure(Reason.FAILED, error.with_hint, start=begun, end=_now())
        except BaseException:
            self._end(job)  # whatever happened, no mover goes on that nobody follows
            raise
        self._put_away(move)
        again = False
        if result.state is State.LOCKED:
            found = self._way.locked()
            again, result = found.again, _with_words(result, found.words)
        self._way.record(move, result)
        making.remove(self._cluster, job)
        return result, again

    def _put_away(self, move: Move) -> None:
        """Take the credentials away as soon as nobody needs them. They go with the Job, at the latest."""
        try:
            making.remove_secret(self._cluster, move)
        except ClusterError as error:
            _logger.warning("the credentials of a mover stay as long as its Job", volume=str(move), why=str(error))

    # What is there already

    def _settle(self, move: Move) -> None:
        """See an earlier Job of the same name to its end. Raises _NotNow when it is somebody's who lives."""
        key = (move.namespace, move.name)
        seen = self._sightings.look(key)
        if seen.job is None:
            return
        if not metadata(seen.job).get("deletionTimestamp"):
            if self._way.living(presence_of(seen.job)):
                text = f"another run ({run_of(seen.job)}) is at work on this volume"
                raise _NotNow(Reason.NOT_STARTED, text, theirs=True)
            _logger.info("an earlier run left a mover behind", volume=str(move), run=run_of(seen.job))
            self._way.orphaned(seen.job)
            if not self._fresh(key, metadata(seen.job).get("uid")).suspended:
                result = self._followed(seen.job, _now(), placed=lambda _: None)
                self._way.record(replace(move, uid=claim_uid_of(seen.job)), result)
            self._put_away(move)
            making.remove(self._cluster, seen.job)
        if not self._gone(seen.job, patience=self._way.mover.start_timeout):
            text = "the pod of an earlier mover of this volume does not end; is its node alive?"
            raise _NotNow(Reason.NOT_STARTED, text)

    # Beginning

    def _made(self, move: Move) -> Manifest:
        """Make the suspended Job, as soon as the namespace has room for its pod."""
        until = time.monotonic() + self._way.mover.start_timeout
        while True:
            try:
                move, mover, capabilities = making.allowed(self._cluster, move, self._way.mover, self._way.by)
                return making.make_job(self._cluster, move, mover, self._way.by, capabilities)
            except TakenByAnother as other:
                raise _NotNow(Reason.NOT_STARTED, str(other), theirs=True) from None
            except NotLetIn as refusal:
                if not refusal.passes or time.monotonic() >= until:
                    raise _NotNow(Reason.NOT_STARTED, refusal.with_hint) from None
            if self._stopping.wait(_TICK * 5):
                raise _NotNow(Reason.INTERRUPTED, "interrupted before it began")

    def _moved(self, move: Move, job: Manifest, placed: Callable[[str], None]) -> Result:
        """Let the Job run and follow it to its end."""
        begun = _now()
        if self._stopping.is_set():
            return _interrupted(begun, ran=False)
        try:
            making.make_secret(self._cluster, move, self._way.credentials, self._way.by, owner=job)
        except TakenByAnother as other:
            raise _NotNow(Reason.NOT_STARTED, str(other), theirs=True) from None
        making.let_run(self._cluster, job)
        return self._followed(job, begun, placed=placed)

    # Following

    def _followed(self, job: Manifest, begun: datetime, *, placed: Callable[[str], None]) -> Result:
        """Wait for the end of a Job that may run, or end it when it takes too long or when all is to stop."""
        key, uid = name_of(job), metadata(job).get("uid")
        let_run, started = time.monotonic(), 0.0
        last = Seen(job)
        while True:
            if self._sightings.trouble is not None:
                raise self._sightings.trouble
            seen = self._sightings.of(key)
            if seen is None or metadata(seen.job or {}).get("uid") != uid:
                seen = None if time.monotonic() - let_run < _TICK * 5 else self._fresh(key, uid)
            if seen is not None:
                last = Seen(seen.job, seen.pods or last.pods)
                placed(last.node)
                started = started or (time.monotonic() if last.started else 0.0)
                if ending(last, since=begun, now=_now()) is not None:
                    # The cache may have the end of a Job and not yet the last words of its pod.
                    fresh = self._fresh(key, uid)
                    last = Seen(fresh.job, fresh.pods or last.pods)
                    if (result := ending(last, since=begun, now=_now())) is not None:
                        return result
            if (early := self._ended_early(last, job, begun, let_run=let_run, started=started)) is not None:
                return early
            self._sightings.wait(_TICK)

    def _ended_early(
        self, seen: Seen, job: Manifest, begun: datetime, *, let_run: float, started: float
    ) -> Result | None:
        """End a mover that must not go on, and return what became of it; None when it may."""
        mover, now = self._way.mover, time.monotonic()
        if self._stopping.is_set():
            return _interrupted(begun, ran=self._end(job) or bool(started))
        if seen.suspended and self._fresh(name_of(job), metadata(job).get("uid")).suspended:
            ran = self._end(job) or bool(started)
            return failure(Reason.LOST, "its Job was suspended by somebody else", start=begun, end=_now(), ran=ran)
        if started and now - started > mover.timeout:
            self._end(job)
            text = f"the mover ran for more than {mover.timeout:g} s and was ended; see volumes.mover.timeout"
            return failure(Reason.TIMED_OUT, text, start=begun, end=_now())
        if not started and now - let_run > mover.start_timeout:
            why = why_not_started(seen, making.events_of(self._cluster, job))
            # A restore that never began leaves a volume as it was: so what is seen now counts, not a moment ago.
            if self._fresh(name_of(job), metadata(job).get("uid")).started:
                return None
            text = f"the mover did not start within {mover.start_timeout:g} s: {why}"
            if self._end(job):
                return failure(Reason.LOST, f"{text}; it started as it was ended", start=begun, end=_now())
            return failure(Reason.NOT_STARTED, text, start=begun, end=_now())
        return None

    def _fresh(self, key: tuple[str, str], uid: object) -> Seen:
        """Return the Job as it is at this moment; another one of its name is not it."""
        seen = self._sightings.look(key)
        same = seen.job is not None and metadata(seen.job).get("uid") == uid
        return seen if same else Seen(None)

    # Ending

    def _end(self, job: Manifest) -> bool:
        """Delete a Job whose mover may still run, and wait until its pod is gone, but not for ever.

        Return whether the mover was seen to run meanwhile, or may run still.
        """
        started: list[bool] = []
        making.remove(self._cluster, job)
        if self._gone(job, patience=_LEAVING, told=lambda seen: started.append(seen.started)):
            return any(started)
        _logger.warning("a mover does not end; its pod is left to the cluster", job="/".join(name_of(job)))
        return True

    def _gone(self, job: Manifest, *, patience: float, told: Callable[[Seen], object] = lambda _: None) -> bool:
        """Wait until a Job is gone, and its pod; return whether it is. `told` is what is seen until then."""
        key, uid = name_of(job), metadata(job).get("uid")
        until = time.monotonic() + patience
        while (seen := self._fresh(key, uid)).job is not None:
            told(seen)
            if time.monotonic() >= until:
                return False
            time.sleep(_TICK / 2)
        return True


class NotReady(DrSyncerError):
    """A move cannot be made as things are now."""


class _NotNow(Exception):
    """Nothing was started, for this reason. `theirs`: another run is at it, and will write down how that ended."""

    def __init__(self, reason: Reason, message: str, *, theirs: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.theirs = theirs


def _wait_for(ends: Sequence[threading.Event]) -> None:
    """Wait for the ends of threads, in a way that a signal can interrupt.

    Not by Thread.join: before Python 3.13, a join that a signal interrupts takes a thread that runs for one that ended.
    """
    for end in ends:
        while not end.wait(_TICK):
            pass


def _with_words(result: Result, words: str) -> Result:
    said = ". ".join(part for part in (result.message.rstrip("."), words) if part)
    return msgspec.structs.replace(result, message=said)


def _interrupted(begun: datetime, *, ran: bool) -> Result:
    """Return the end of a mover that was told to stop. One that certainly never ran left its volume as it was."""
    result = failure(Reason.INTERRUPTED, "interrupted", start=begun, end=_now(), ran=ran)
    return msgspec.structs.replace(result, touched=ran)


def _now() -> datetime:
    return datetime.now(UTC)
