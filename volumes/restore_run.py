"""Restores carried out: the marker, the mover, the marker again.

In this order, for each volume:

1. A claim that is to be made is made; one that nothing is known of is looked into by a mover that writes nothing.
2. A Job is made, suspended. Its name is the lock on the claim: only one restore gets any further.
3. The claim and the pods are looked at once more, and judged by the plan again.
4. The marker says in-progress. Only then may the mover run.
5. The marker says what the mover said. Whoever dies before that leaves in-progress behind; the next run begins anew.

What remains: between the last look at the pods (3) and the mover's start, somebody may start a pod on the volume. A
volume that only one node may mount is then the scheduler's and the kubelet's to keep apart, which they do by node, not
by pod. Standby holds replicas at 0, so it takes a person or another controller to do that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.config.volumes import Mover
from drsyncer.errors import Conflict, DrSyncerError
from drsyncer.json import encode
from drsyncer.manifest import Manifest, metadata
from drsyncer.restored import Marker, Progress
from drsyncer.snapshot import State
from transforms.settings import namespace_map
from volumes import marking
from volumes.announcing import Announcing
from volumes.endings import Seen, failure
from volumes.jobs import JOBS, Dispatcher, Move
from volumes.restore_look import CLAIMS, look, look_at
from volumes.restore_outcome import Done, Ending, undone
from volumes.restore_plan import Aim, Claim, Key, Step, Wanted, plan
from volumes.restore_why import Action, Why
from volumes.result import Reason, Result
from volumes.running import Go, Movers, Way
from volumes.task import Access, RestoreTask, Volume

_logger = log.get(__name__)
_NO_MAP: Final = namespace_map({})
Place = tuple[str, str]  # namespace and claim of a move


@dataclass(frozen=True, slots=True)
class Errand:
    """What all restores of a run have in common. `manifests` are the claims to make, by the name that they get."""

    commit: str
    access: Access
    mover: Mover
    by: Dispatcher
    living: Callable[[str], bool]
    aim: Aim = field(default_factory=Aim)
    verify: str = "metadata"
    credentials: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    manifests: Mapping[Key, Manifest] = field(default_factory=dict)
    told: Callable[[Done], None] = lambda _: None  # of each volume, by the thread that restored it
    announcing: Announcing = field(default_factory=Announcing)


class Unbound(DrSyncerError):
    """No volume was made for a claim, within the time that a mover may take to start."""


class Restores:
    """The restores of one run. `run` is for one thread, once.

    Whoever wants it to end at once and leave its movers alone gives the cluster up (`Cluster.abandon`); an interruption
    ends them first.
    """

    def __init__(self, cluster: Cluster, errand: Errand, *, interval: float = 2.0) -> None:
        self._cluster = cluster
        self._errand = errand
        self._interval = interval
        self._steps: dict[Place, Step] = {}
        self._judged: dict[Place, Step] = {}  # what the second look made of a step
        self._marked: dict[Place, tuple[Claim, Marker]] = {}  # the claim as it was, and what we wrote on it
        self._lock = threading.Lock()

    def run(self, steps: Sequence[Step]) -> tuple[Done, ...]:
        """Carry out `steps`; return what became of each, in their order.

        What fails for one volume never stops the others. Raises ClusterError when the cluster does not let Jobs be
        seen.
        """
        done: dict[Key, Done] = {}

        def end(found: Done) -> None:
            done[found.step.source] = found
            self._tell(found)

        ready: list[Step] = []
        for step in steps:
            prepared = self._prepared(step)
            if isinstance(prepared, Done):
                end(prepared)
            else:
                ready.append(prepared)
        looks = [step for step in ready if step.look]
        for step, result in zip(looks, self._moved(looks, look=True), strict=True):
            if (found := self._unfit(step, result)) is not None:
                end(found)
        ready = [step for step in ready if step.source not in done]
        # Each of these is told when it ends, not when all have ended.
        results = self._moved(ready, look=False)
        done |= {step.source: self._ended(step, result) for step, result in zip(ready, results, strict=True)}
        return tuple(done[step.source] for step in steps)

    # Before the movers

    def _prepared(self, step: Step) -> Step | Done:
        """Return the step as it is ready for its mover, or its ending when it needs none."""
        self._note_use(step)
        try:
            if step.why is Why.SAME_DATA:
                self._renew(step)
            if step.action is not Action.RESTORE:
                return undone(step)
            return self._make(step) if step.makes else step
        except DrSyncerError as error:
            return undone(step, Ending.FAILED, reason=str(Reason.FAILED), text=error.with_hint)

    def _note_use(self, step: Step) -> None:
        """Note on the marker that a pod runs on the volume: when it has ended, something else may be in it."""
        if not step.taken:
            return
        assert step.claim is not None
        assert step.claim.marker is not None
        before = step.claim.marker
        try:
            marking.swap(self._cluster, step.claim, before, msgspec.structs.replace(before, used=_now()))
        except DrSyncerError as error:
            _logger.warning("that a pod runs on a volume could not be noted", volume=str(step.target), why=str(error))

    def _renew(self, step: Step) -> None:
        """Let the marker of a volume that has the same data name the snapshot of this recovery point."""
        assert step.claim is not None
        assert step.claim.marker is not None
        assert step.snapshot is not None
        now = msgspec.structs.replace(step.claim.marker, snapshot=step.snapshot.id, commit=self._errand.commit)
        marking.swap(self._cluster, step.claim, step.claim.marker, now)

    def _make(self, step: Step) -> Step:
        """Make the claim that a step is for."""
        key = step.target
        body = encode(self._errand.manifests[key])
        try:
            self._cluster.create(CLAIMS, body, namespace=key.namespace, name=key.name)
        except Conflict as error:
            error.hint = "Somebody made it in this moment: run it again."
            raise
        return replace(step, claim=self._bound(key))

    def _bound(self, key: Key) -> Claim:
        """Wait until a claim that was made has its volume, or waits for its first pod."""
        until = time.monotonic() + self._errand.mover.start_timeout
        while True:
            claim = look_at(self._cluster, key)
            if claim is None:
                raise marking.Overtaken(f"{key}: the claim that was made for the restore is gone again")
            if claim.phase == "Bound" or claim.waits:
                return claim
            if time.monotonic() >= until:
                raise Unbound(
                    f"{key}: the claim that was made for the restore has no volume yet",
                    hint="`kubectl describe` it; once it is bound, run it again.",
                )
            time.sleep(self._interval / 4)

    # Movers

    def _moved(self, steps: Sequence[Step], *, look: bool) -> list[Result]:
        """Run a mover for each step and return their results, in the same order."""
        if not steps:
            return []
        moves = [self._move(step, look=look) for step in steps]
        self._steps = {(move.namespace, move.claim): step for move, step in zip(moves, steps, strict=True)}
        way = Way(
            mover=self._errand.mover,
            by=self._errand.by,
            credentials=self._errand.credentials,
            living=self._errand.living,
            record=self._record,
            around=self._around_look if look else self._around,
            done=lambda move, result: None if look else self._tell(self._ended(self._steps[_place(move)], result)),
        )
        return Movers(self._cluster, way, interval=self._interval).run(moves)

    def _move(self, step: Step, *, look: bool) -> Move:
        record, snapshot = step.record, step.snapshot
        assert record is not None
        assert snapshot is not None
        task = RestoreTask(
            access=self._errand.access,
            volume=Volume(host=snapshot.host, namespace=step.source.namespace, name=step.source.name),
            repository_id=record.repository,
            snapshot=snapshot,
            path=step.path,
            verify=self._errand.verify,
            look=look,
            empty=not look and self._must_be_empty(step),
            thorough=not _is_known(step),
        )
        return Move(task=task, namespace=step.target.namespace, claim=step.target.name, read_only=look)

    def _must_be_empty(self, step: Step) -> bool:
        """Whether the mover that restores must find nothing in the volume.

        What was found empty may have waited for its turn for hours, and a claim that has no volume yet may get one that
        somebody used before.
        """
        return (_is_new(step) or _is_unlooked(step)) and not self._errand.aim.confirmed

    def _around_look(self, move: Move, _job: Manifest, go: Go) -> Result:
        """Look into a volume that no pod uses: a file that is written meanwhile would not be seen."""
        return self._second_thoughts(move) or go()

    def _around(self, move: Move, job: Manifest, go: Go) -> Result:
        """Run a mover between two markers. The lock is ours, and the mover's pod does not exist yet."""
        if (early := self._second_thoughts(move)) is not None:
            return early
        now = self._judged[_place(move)]
        assert now.claim is not None
        assert isinstance(move.task, RestoreTask)
        begun = self._marker(now, unlooked=move.task.empty)
        marking.swap(self._cluster, now.claim, now.claim.marker, begun)
        with self._lock:
            self._marked[_place(move)] = now.claim, begun
        try:
            return marking.of_what_began(begun, go())
        except DrSyncerError as error:
            if not self._never_ran(job):
                raise
            return failure(Reason.NOT_STARTED, error.with_hint, start=begun.started, end=_now())

    def _never_ran(self, job: Manifest) -> bool:
        """Return whether a Job that failed is suspended still."""
        try:
            return Seen(
                self._cluster.read(JOBS, namespace=metadata(job)["namespace"], name=metadata(job)["name"])
            ).suspended
        except DrSyncerError:
            return False

    def _second_thoughts(self, move: Move) -> Result | None:
        """Judge the volume once more, as it is now; return why it is not to be restored any more, None when it is."""
        step = self._steps[_place(move)]
        assert isinstance(move.task, RestoreTask)
        # Where to was decided. What was found empty is looked into again by its mover, what we made holds nothing.
        aim = replace(
            self._errand.aim,
            namespace=step.target.namespace,
            name=step.target.name,
            confirmed=self._errand.aim.confirmed or step.look or step.makes,
        )
        wanted = Wanted(step.source, step.record, step.requested, named=step.named)
        (now,) = plan([wanted], look(self._cluster, [step.target]), _NO_MAP, aim)
        if now.action is Action.RESTORE:
            if now.claim is None or step.claim is None or now.claim.uid != step.claim.uid:
                now = replace(now, why=Why.MISSING, text="the claim was deleted, or made anew, meanwhile")
            elif now.look:
                now = replace(now, why=Why.BUSY, text="somebody else got its volume made meanwhile: run it again")
            elif _is_new(step) and not self._errand.aim.confirmed and _is_marked(now):
                # Its mover would take what is ours for somebody else's, and `marking.take_up` there was no marker.
                now = replace(now, why=Why.BUSY, text="somebody restored into it meanwhile: run it again")
            elif (_is_known(step) and not _is_known(now)) or (self._must_be_empty(now) and not move.task.empty):
                now = replace(now, why=Why.BUSY, text="it was used, or restored into, meanwhile: run it again")
        with self._lock:
            self._judged[_place(move)] = now
        moment = _now()
        if now.action is Action.RESTORE:
            return None
        if now.action is Action.UNCHANGED:
            return Result(state=State.COMPLETE, start=moment, end=moment, snapshot=step.snapshot, message=now.text)
        reason = Reason.TARGET_IN_USE if now.why in (Why.IN_USE, Why.BUSY) else Reason.NOT_STARTED
        return failure(reason, now.text, start=moment, end=moment)

    def _marker(self, step: Step, *, unlooked: bool) -> Marker:
        snapshot, record, claim = step.snapshot, step.record, step.claim
        assert snapshot is not None
        assert record is not None
        assert claim is not None
        return Marker(
            claim=claim.uid,
            source=str(step.source),
            host=snapshot.host,
            repository=record.repository,
            snapshot=snapshot.id,
            tree=snapshot.tree,
            folder=snapshot.folder,
            commit=self._errand.commit,
            run=self._errand.by.run,
            state=Progress.IN_PROGRESS,
            started=_now(),
            path=step.path,
            partial=snapshot.state is State.PARTIAL,
            unlooked=unlooked,
            reason=str(Why.RESUMED) if _is_unlooked(step) else "",
            # A whole restore was compared, where there is something to compare with; else it would not be whole.
            verified=self._errand.verify if snapshot.manifest else "none",
        )

    # After the movers

    def _record(self, move: Move, result: Result) -> None:
        """Let the marker say what a mover said: ours, or one that a dispatcher which died had left behind."""
        assert isinstance(move.task, RestoreTask)
        with self._lock:
            marked = self._marked.pop(_place(move), None)
        if marked is not None:
            before, begun = marked
            is_as_before = marking.untouched(result) and not before.unreadable
            after = before.marker if is_as_before else marking.finished(begun, result)
            marking.swap(self._cluster, before, begun, after)
            return
        if not move.task.look:
            marking.take_up(self._cluster, Key(move.namespace, move.claim), result)

    def _unfit(self, step: Step, result: Result) -> Done | None:
        """Return the ending of a volume that a mover looked into, None when there is nothing in it."""
        if result.state is State.EMPTY:
            return None
        if result.state.whole and self._judged[step.target.namespace, step.target.name].action is Action.RESTORE:
            text = "the mover did not look, and says that it is done: its image is of another version"
            return Done(step, Ending.FAILED, str(Reason.FAILED), text, result)
        return self._ended(step, result)

    def _tell(self, done: Done) -> None:
        self._errand.told(done)
        self._errand.announcing.tell(self._cluster, done, run=self._errand.by.run)

    def _ended(self, step: Step, result: Result) -> Done:
        """Return the ending that a result means."""
        judged = self._judged.get((step.target.namespace, step.target.name))
        if judged is not None and judged.action is not Action.RESTORE:
            return undone(judged)
        step = replace(step, claim=judged.claim if judged else step.claim)
        if result.reason is Reason.NOT_EMPTY and marking.untouched(result):
            return Done(step, Ending.REFUSED, str(Reason.NOT_EMPTY), _in_the_way(step, result), result)
        if result.state.whole:
            return Done(step, Ending.RESTORED, str(step.why), result.message or step.text, result)
        ending = Ending.PARTIAL if result.state is State.PARTIAL else Ending.FAILED
        text = result.message or str(result.reason)
        if marking.untouched(result):
            text = f"{text.rstrip('.')}; the volume is as it was before"
        return Done(step, ending, str(result.reason or Reason.FAILED), text, result)


def _is_known(step: Step) -> bool:
    """Whether a whole restore came last to the volume, so that restic may tell by time and size what is there.

    Anything else may have left files with both and other content: a node that crashed, a program, a person.
    """
    marker = step.claim.marker if step.claim else None
    return step.why is Why.OTHER_SNAPSHOT and marker is not None and not marker.path


def _is_new(step: Step) -> bool:
    """Whether nothing of ours is known to be in the volume."""
    return step.look or step.why is Why.EMPTY


def _is_unlooked(step: Step) -> bool:
    """Whether a restore into a new one was broken off, and nobody knows that its mover had looked."""
    marker = step.claim.marker if step.claim else None
    return marker is not None and marker.half and marker.unlooked


def _is_marked(step: Step) -> bool:
    """Whether something was ever restored into the claim, also where nobody can tell what."""
    claim = step.claim
    return claim is not None and (claim.marker is not None or bool(claim.unreadable))


def _in_the_way(step: Step, result: Result) -> str:
    """Return what a mover found where nothing of DR-Syncer's was."""
    if step.path:
        return f"{step.path!r:.200} is there already, and DR-Syncer did not put it there; --yes replaces it"
    names = ", ".join(f"{name!r:.80}" for name in result.names[:3])
    more = " and more" if max(result.names_total, len(result.names)) > 3 else ""
    return f"something is in the volume that DR-Syncer did not put there: {names}{more}; --yes replaces it"


def _place(move: Move) -> Place:
    return move.namespace, move.claim


def _now() -> datetime:
    return datetime.now(UTC)
