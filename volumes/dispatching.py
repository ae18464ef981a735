"""`dr-syncer volumes backup`: from the claims of a cluster to their data in the restic repository."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from drsyncer import log
from drsyncer.cluster import Cluster
from drsyncer.cluster.lease import Timing
from drsyncer.errors import ClusterError, UsageError
from drsyncer.snapshot import Record, State
from drsyncer.wording import some
from volumes import supplies
from volumes.claims import Claim, Key, Volume
from volumes.copying import Copies, NoCopy, class_for
from volumes.endings import failure
from volumes.healing import Healed, heal, heal_one
from volumes.hooks import Hooks
from volumes.jobs import Dispatcher, Move
from volumes.leftovers import sweep
from volumes.looking import COMPARED, Found, look
from volumes.outcome import Backup, Outcome
from volumes.placing import CannotMount
from volumes.preparing import Preparing, Subject, placed
from volumes.recording import Recorder
from volumes.result import Reason, Result
from volumes.running import Movers, Way
from volumes.selecting import Asked, Choice, Chosen
from volumes.sharing import TIMING, InUse, Meeting, Watcher, shared
from volumes.task import BackupTask, Counts
from volumes.task import Volume as Source
from volumes.unlocking import Unlocking

if TYPE_CHECKING:
    from drsyncer.config.schema import Exporter
    from drsyncer.config.volumes import Volumes
    from drsyncer.progress import Progress

_logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What one run is asked for. `confirmed` are claims whose volume may be empty, or much smaller than it was.

    `adopt`: the repository may be another one than that of the last backups; they begin anew there.
    """

    asked: Asked
    confirmed: frozenset[Key] = frozenset()
    dry_run: bool = False
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """Where a run works: the source cluster, and a way to further connections to it; the namespace of its Leases.

    `timing` is that of its own Lease.
    """

    cluster: Cluster
    connect: Callable[[], Cluster]
    namespace: str
    timing: Timing = TIMING


def back_up(
    *, config: Volumes, exporter: Exporter, site: Site, request: Request, progress: Progress, interval: float = 1.0
) -> Outcome:
    """Back up the claims that are selected and return what became of each.

    `interval` are the seconds between two looks at the movers. Raises UsageError before anything is done, ClusterError
    when the cluster cannot be read. An interruption ends the movers first.
    """
    begun = time.monotonic()
    run = str(uuid.uuid4())
    supplies.check(config)
    files = supplies.files_of(config.restic.auth)
    healed = [] if request.dry_run else _healed(site.cluster, progress)
    with progress.task("Reading volumes"):
        found = look(site.cluster, config.select, request.asked, copies=config.copy_method != "direct")
    _check_confirmed(request, found)
    planning = _Planning(found, config, exporter.cluster, request, run)
    planned = [planning.plan(one) for one in found.chosen]
    unlocking = Unlocking(partial(supplies.restic_of, config), site.cluster, patience=config.restic.retry_lock)
    backups = [plan.backup for plan in planned]
    if not request.dry_run:
        _remember_refusals(backups, Recorder(site.cluster, run=run))
        try:
            results = _run(
                planned,
                planning,
                site=site,
                run=run,
                files=files,
                unlocking=unlocking,
                progress=progress,
                interval=interval,
            )
        except InUse as why:
            results = _kept_out(planned, why, Recorder(site.cluster, run=run))
        for index, result in results.items():
            backup = backups[index]
            unknown = found.unreadable.get(backup.chosen.claim.key, "")
            backups[index] = replace(backup, result=_unremembered(result, unknown) if unknown else result)
    return Outcome(
        cluster=exporter.cluster,
        run=run,
        dry_run=request.dry_run,
        backups=tuple(backups),
        warnings=(*found.warnings, *(str(one) for one in healed if not one.trouble)),
        held=tuple(str(one) for one in healed if one.trouble and one.claim not in _spotless(backups)),
        unlocked=tuple(map(str, unlocking.removed)),
        seconds=time.monotonic() - begun,
    )


@dataclass(frozen=True, slots=True)
class _Planned:
    backup: Backup
    move: Move | None = None
    subject: Subject | None = None


class _Planning:
    """Turns what was found into moves, for one run."""

    def __init__(self, found: Found, config: Volumes, host: str, request: Request, run: str) -> None:
        self._found = found
        self.config = config
        self.host = host
        self._request = request
        self._run = run

    def plan(self, one: Chosen) -> _Planned:
        """Return the move for a claim that is selected, or why there is none."""
        claim = one.claim
        before = self._found.records.get(claim.key)
        if one.choice is not Choice.SELECTED:
            return _Planned(Backup(one, before=before))
        users = self._found.users.get(claim.key, ())
        no_copy = ""
        try:
            subject = self._subject(claim)
            no_copy = subject.no_copy
            move = placed(Move(self.task(claim, before), claim.namespace, claim.name, uid=claim.uid), subject, users)
        except (CannotMount, NoCopy) as why:
            text = f"{why}; there can be no copy of it: {no_copy}" if no_copy else str(why)
            refused = replace(one, choice=Choice.REFUSED, check="placing", reason=text)
            return _Planned(Backup(refused, before=before))
        if subject.class_name:
            move = replace(move, mounts=move.name)
        copied, node = bool(subject.class_name), move.placement.node
        backup = Backup(one, before=before, node=node, copied=copied, no_copy=no_copy)
        return _Planned(backup, move, subject)

    def task(self, claim: Claim, before: Record | None) -> BackupTask:
        """Return what a mover of the claim is told, when `before` is remembered of it."""
        known = before if not self._request.adopt else None
        there = known.snapshot if known and not known.adopted else None
        previous = there if there and there.host == self.host else None
        whole = before.snapshot if before else None  # also where it is no parent: in a repository that was left behind
        return BackupTask(
            access=supplies.access_of(self.config.restic),
            volume=Source(host=self.host, namespace=claim.namespace, name=claim.name),
            run=self._run,
            repository_id=(known.adopted or known.repository) if known else "",
            previous=previous,
            counts=Counts(files=whole.files, bytes=whole.bytes) if whole else None,
            # Of one that is only ever partial: what the repository has is long to list, every night.
            tried=_was_compared(before),
            confirmed=claim.key in self._request.confirmed,
            shrink_percent=self.config.shrink_percent,
            read_concurrency=self.config.restic.read_concurrency,
            manifest=self.config.manifest,
        )

    def _subject(self, claim: Claim) -> Subject:
        """Return the claim with what of it is read. Raises NoCopy when that must be a copy and cannot be."""
        found, known = self._found, self._found.volumes.get(claim.volume)
        volume, wanted = known or Volume(), self.config.snapshot_class
        if self.config.copy_method == "direct":
            return Subject(claim, volume)
        try:
            class_ = class_for(claim, known, known=found.classes, provisioners=found.provisioners, wanted=wanted)
        except NoCopy as why:
            if self.config.copy_method == "snapshot":
                raise
            return Subject(claim, volume, no_copy=str(why))
        return Subject(claim, volume, class_)


def _run(
    planned: Sequence[_Planned],
    planning: _Planning,
    *,
    site: Site,
    run: str,
    files: Mapping[str, bytes],
    unlocking: Unlocking,
    progress: Progress,
    interval: float,
) -> dict[int, Result]:
    """Run the movers among all those who use the repository, and return the results by the plans' indexes."""
    config = planning.config
    moves = {index: plan.move for index, plan in enumerate(planned) if plan.move is not None}
    subjects = {plan.subject.claim.key: plan.subject for plan in planned if plan.subject is not None}
    recorder, watcher, stopping = Recorder(site.cluster, run=run), Watcher(site.cluster), threading.Event()
    copies = Copies(site.cluster, patience=config.mover.start_timeout, goes_on=lambda: not stopping.is_set())
    hooks = Hooks(site.cluster, goes_on=lambda: not stopping.is_set())
    preparing = Preparing(site.cluster, subjects, copies, hooks, task_of=planning.task)
    with progress.task("Backing up", total=len(moves)) as task:
        meeting = Meeting(
            site.cluster,
            site.connect,
            namespace=site.namespace,
            repository=planning.host,  # as who prunes calls it, who may have another address
            patience=config.restic.retry_lock,
            timing=site.timing,
            waits=lambda whom: task.advance(0, detail=f"waiting for {whom}"),
        )
        with shared(meeting, run) as presence:
            sweep(
                site.cluster,
                operation="backup",
                but=set(subjects),
                living=watcher.living,
                record=lambda namespace, name, uid, result: recorder.record(namespace, name, result, uid=uid),
            )
            way = Way(
                mover=config.mover,
                by=Dispatcher(run=run, presence=presence.name),
                credentials=files,
                living=watcher.living,
                record=lambda move, result: recorder.record(move.namespace, move.claim, result, uid=move.uid),
                locked=partial(unlocking.look, lambda: not stopping.is_set()),
                ready=preparing.ready,
                around=preparing.around,
                orphaned=lambda job: heal_one(site.cluster, hooks, job),
                done=lambda move, result: task.advance(detail=f"{move}: {result.state}"),
            )
            results = Movers(site.cluster, way, interval=interval, stopping=stopping).run(list(moves.values()))
    return dict(zip(moves, results, strict=True))


def _was_compared(record: Record | None) -> bool:
    """Whether a backup has been compared with what an earlier claim had left, and did not seem to have lost it."""
    attempt = record.attempt if record is not None and record.suspected is None else None
    return attempt is not None and attempt.state is State.PARTIAL


def _healed(cluster: Cluster, progress: Progress) -> list[Healed]:
    """Let go what earlier runs hold that were killed: before others are waited for, or anything can go wrong."""
    with progress.task("Looking for what earlier runs left"):
        return list(heal(cluster, Hooks(cluster), Watcher(cluster).living))


def _spotless(backups: Sequence[Backup]) -> set[Key]:
    """Return the claims whose hooks of this run have made up for whatever was before."""
    return {backup.chosen.claim.key for backup in backups if backup.spotless}


def _unremembered(result: Result, why: str) -> Result:
    """Return a result that says that its claim does not tell what was in the volume before."""
    return msgspec.structs.replace(result, warnings=(*result.warnings, f"it {COMPARED}: {why}"))


def _remember_refusals(backups: Sequence[Backup], recorder: Recorder) -> None:
    """Write down what cannot be backed up: a recovery point without the data of a volume must not look complete."""
    now = datetime.now(UTC)
    for backup in backups:
        if backup.chosen.choice is Choice.REFUSED:
            claim = backup.chosen.claim
            result = failure(Reason.NOT_STARTED, f"refused: {backup.chosen.reason}", start=now, end=now)
            _write_down(recorder, claim, result)


def _kept_out(planned: Sequence[_Planned], why: InUse, recorder: Recorder) -> dict[int, Result]:
    """Write down that no mover was run, since somebody was alone with the repository; return the results by index."""
    now = datetime.now(UTC)
    locked = Result(state=State.LOCKED, start=now, end=now, reason=Reason.LOCKED, message=why.with_hint)
    results = {index: locked for index, plan in enumerate(planned) if plan.move is not None}
    for index in results:
        _write_down(recorder, planned[index].backup.chosen.claim, locked)
    return results


def _write_down(recorder: Recorder, claim: Claim, result: Result) -> None:
    """Write down what became of a claim that no mover was run for."""
    try:
        recorder.record(claim.namespace, claim.name, result, uid=claim.uid)
    except ClusterError as error:
        _logger.warning("nothing is written down of a volume", claim=str(claim), why=str(error))


def _check_confirmed(request: Request, found: Found) -> None:
    """Raise UsageError for a confirmation that would have no effect: its writer means something else."""
    selected = {one.claim.key for one in found.chosen if one.choice is Choice.SELECTED}
    if idle := sorted(request.confirmed - selected):
        names = some(["/".join(key) for key in idle])
        raise UsageError(f"{names} is confirmed and not about to be backed up", hint="Try --dry-run: it says why.")
