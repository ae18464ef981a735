"""`dr-syncer volumes backup`: from the claims of a cluster to their data in the restic repository."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drsyncer.cluster import Cluster
from drsyncer.errors import UsageError
from drsyncer.snapshot import Record
from drsyncer.wording import some
from volumes import supplies
from volumes.claims import Claim, Key, Volume
from volumes.endings import failure
from volumes.jobs import Dispatcher, Move
from volumes.leftovers import sweep
from volumes.looking import Found, look
from volumes.outcome import Backup, Outcome
from volumes.placing import CannotMount, groups, place
from volumes.recording import Recorder
from volumes.result import Reason, Result
from volumes.running import Movers, Way
from volumes.selecting import Asked, Choice, Chosen
from volumes.sharing import Meeting, Watcher, shared
from volumes.task import BackupTask
from volumes.task import Volume as Source

if TYPE_CHECKING:
    from drsyncer.config.schema import Exporter
    from drsyncer.config.volumes import Volumes
    from drsyncer.progress import Progress


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
    """Where a run works: the source cluster, and a way to further connections to it; the namespace of its Leases."""

    cluster: Cluster
    connect: Callable[[], Cluster]
    namespace: str


def back_up(
    *, config: Volumes, exporter: Exporter, site: Site, request: Request, progress: Progress, interval: float = 2.0
) -> Outcome:
    """Back up the claims that are selected and return what became of each.

    `interval` are the seconds between two looks at the movers. Raises UsageError and Refused before anything is done,
    ClusterError when the cluster cannot be read. An interruption ends the movers first.
    """
    begun = time.monotonic()
    run = str(uuid.uuid4())
    supplies.check(config)
    files = supplies.files_of(config.restic.auth)
    with progress.task("Reading volumes"):
        found = look(site.cluster, config.select, request.asked)
    _check_confirmed(request, found)
    planned = [_planned(one, found, config, exporter.cluster, request, run) for one in found.chosen]
    backups = [plan.backup for plan in planned]
    if not request.dry_run:
        moves = {index: plan.move for index, plan in enumerate(planned) if plan.move is not None}
        _remember_refusals(backups, Recorder(site.cluster, run=run))
        results = _run(moves, config=config, site=site, run=run, files=files, progress=progress, interval=interval)
        for index, result in results.items():
            backups[index] = replace(backups[index], result=result)
    return Outcome(
        cluster=exporter.cluster,
        run=run,
        dry_run=request.dry_run,
        backups=tuple(backups),
        warnings=found.warnings,
        seconds=time.monotonic() - begun,
    )


@dataclass(frozen=True, slots=True)
class _Planned:
    backup: Backup
    move: Move | None = None


def _planned(one: Chosen, found: Found, config: Volumes, host: str, request: Request, run: str) -> _Planned:
    """Return the move for a claim that is selected, or why there is none."""
    claim = one.claim
    before = found.records.get(claim.key)
    if one.choice is not Choice.SELECTED:
        return _Planned(Backup(one, before=before))
    users = found.users.get(claim.key, ())
    try:
        placement = place(claim, users, found.volumes.get(claim.volume, Volume()))
    except CannotMount as why:
        return _Planned(Backup(replace(one, choice=Choice.REFUSED, check="placing", reason=str(why)), before=before))
    task = _task(claim, before, config, host, request, run)
    move = Move(task, claim.namespace, claim.name, groups=groups(users), placement=placement)
    return _Planned(Backup(one, before=before, node=placement.node), move)


def _task(claim: Claim, before: Record | None, config: Volumes, host: str, request: Request, run: str) -> BackupTask:
    known = before if not request.adopt else None
    previous = known.snapshot if known and known.snapshot and known.snapshot.host == host else None
    return BackupTask(
        access=supplies.access_of(config.restic),
        volume=Source(host=host, namespace=claim.namespace, name=claim.name),
        run=run,
        repository_id=known.repository if known else "",
        previous=previous,
        confirmed=claim.key in request.confirmed,
        shrink_percent=config.shrink_percent,
        read_concurrency=config.restic.read_concurrency,
        manifest=config.manifest,
    )


def _run(
    moves: Mapping[int, Move],
    *,
    config: Volumes,
    site: Site,
    run: str,
    files: Mapping[str, bytes],
    progress: Progress,
    interval: float,
) -> dict[int, Result]:
    """Run the movers among all those who use the repository, and return the results by the moves' keys."""
    recorder = Recorder(site.cluster, run=run)
    watcher = Watcher(site.cluster)
    with progress.task("Backing up", total=len(moves)) as task:
        meeting = Meeting(
            site.cluster,
            site.connect,
            namespace=site.namespace,
            repository=config.restic.repository,
            patience=config.restic.retry_lock,
            waits=lambda whom: task.advance(0, detail=f"waiting for {whom}"),
        )
        with shared(meeting, run) as presence:
            about = {(move.namespace, move.claim) for move in moves.values()}
            sweep(site.cluster, operation="backup", but=about, living=watcher.living, record=recorder.record)
            way = Way(
                mover=config.mover,
                by=Dispatcher(run=run, presence=presence.name),
                credentials=files,
                living=watcher.living,
                record=lambda move, result: recorder.record(move.namespace, move.claim, result),
                done=lambda move, result: task.advance(detail=f"{move}: {result.state}"),
            )
            results = Movers(site.cluster, way, interval=interval).run(list(moves.values()))
    return dict(zip(moves, results, strict=True))


def _remember_refusals(backups: Sequence[Backup], recorder: Recorder) -> None:
    """Write down what cannot be backed up: a recovery point without the data of a volume must not look complete."""
    now = datetime.now(UTC)
    for backup in backups:
        if backup.chosen.choice is Choice.REFUSED:
            claim = backup.chosen.claim
            result = failure(Reason.NOT_STARTED, f"refused: {backup.chosen.reason}", start=now, end=now)
            recorder.record(claim.namespace, claim.name, result)


def _check_confirmed(request: Request, found: Found) -> None:
    """Raise UsageError for a confirmation that would have no effect: its writer means something else."""
    selected = {one.claim.key for one in found.chosen if one.choice is Choice.SELECTED}
    if idle := sorted(request.confirmed - selected):
        names = some(["/".join(key) for key in idle])
        raise UsageError(f"{names} is confirmed and not about to be backed up", hint="Try --dry-run: it says why.")
