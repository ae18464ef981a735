"""A restore of volumes, put together from recovery point, namespace map and movers, for the command and the service."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.sides import ELECTION, dr_of, remote_of
from cli.volumes_sides import section_of
from drsyncer import log
from drsyncer.errors import ClusterError, Refused, UsageError
from drsyncer.progress import Progress
from drsyncer.recovery.audit import when
from drsyncer.recovery.git import Clone
from importer import following
from importer import revision as revisions
from importer.inventory import ACTIVE, Inventory
from importer.memory import recall
from importer.rules import settings_of
from volumes import marking, points
from volumes.announcing import Announcing
from volumes.jobs import Dispatcher
from volumes.leftovers import sweep
from volumes.restore_look import look
from volumes.restore_outcome import Done, Outcome, undone
from volumes.restore_plan import Aim, Key, Step, plan, target_of
from volumes.restore_run import Errand, Restores
from volumes.restore_selecting import Selecting, odd_wish
from volumes.restore_wanted import partial, path_of, to_make, wanted
from volumes.restore_why import Action
from volumes.sharing import TIMING, Meeting, Watcher, shared
from volumes.supplies import access_of, check, files_of

if TYPE_CHECKING:
    from cli.context import Context
    from drsyncer.cluster import Cluster
    from drsyncer.cluster.lease import Timing
    from drsyncer.config.schema import Config, Importer
    from drsyncer.manifest import Manifest
    from volumes.points import Point
    from volumes.result import Result

_logger = log.get(__name__)


class ActiveCluster(Refused):
    """A failover made DR the primary: its volumes are not to be written over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as the command line says it; `fetch`: whether the remote is asked."""

    revision: str = ""
    as_of: str = ""
    namespaces: tuple[str, ...] = ()
    claims: tuple[Key, ...] = ()
    to_namespace: str = ""
    to_claim: str = ""
    path: str = ""
    verify: str = ""  # "": as configured
    again: bool = False
    plan_only: bool = False
    confirmed: bool = False
    partial: bool = False
    fetch: bool = True

    @property
    def aim(self) -> Aim:
        """The same for the plan."""
        return Aim(
            namespace=self.to_namespace,
            name=self.to_claim,
            path=self.path,
            confirmed=self.confirmed,
            again=self.again,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it takes to carry it out. `manifests` are the claims to make."""

    point: Point
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    manifests: dict[Key, Manifest] = field(default_factory=dict)


def planned(config: Config, clone: Clone, cluster: Cluster, asked: Asked, progress: Progress) -> Planned:
    """Return what a restore would do; nothing is changed.

    Raises Refused for a recovery point that an import would refuse, too; UsageError for names that it does not hold;
    GitError, ClusterError.
    """
    section = config.importer
    assert section is not None
    volumes = section_of(config)
    selecting = Selecting(volumes.restore.select)
    with progress.task("Reading the recovery point", total=None):
        choice = _chosen(clone, section, cluster, asked)
        point = choice.point
        found = wanted(
            clone,
            point,
            selecting,
            select=volumes.select,
            namespaces=asked.namespaces,
            volumes=asked.claims,
        )
        if asked.partial:
            found = list(map(partial, found))
    names = settings_of(section.transforms, standby=None).namespace_map
    with progress.task("Looking at the DR cluster", total=None):
        standing = look(cluster, [target_of(one.source, names, asked.aim) for one in found])
        steps = plan(found, standing, names, asked.aim)
    missing = [step for step in steps if step.makes]
    manifests = _manifests(config, clone, cluster, point, missing, progress) if missing else {}
    warnings = [one for step in steps if step.claim for one in odd_wish(str(step.target), step.claim.wish)]
    if not (asked.namespaces or asked.claims):
        warnings += selecting.unused()
    return Planned(point, steps, (*choice.warnings, *warnings), manifests)


def past(text: str, *, now: datetime) -> datetime:
    """Return the moment that --as-of names. Raises UsageError for what is none, or has not come yet."""
    moment = when(text, now=now, flag="--as-of")
    if moment > now:
        raise UsageError(
            f"--as-of {text}: {points.moment(moment)} has not come yet; now it is {points.moment(now)}",
            hint="A time without a zone is UTC. The newest recovery point: leave --as-of out.",
        )
    return moment


def _chosen(clone: Clone, section: Importer, cluster: Cluster, asked: Asked) -> points.Choice:
    """Return the recovery point, as far as an import would accept it."""
    chosen = following.choose(clone, section.revision, asked.revision, fetch=asked.fetch)
    as_of = past(asked.as_of, now=datetime.now(UTC)) if asked.as_of else None
    choice = points.choose(
        clone,
        head=chosen.commit,
        revision=chosen.commit if asked.revision else "",
        as_of=as_of,
        needs_complete=not asked.partial,  # a complete one names nothing partial
    )
    source = choice.point.source
    there = recall(cluster, namespace=section.state_namespace, importer=section.name or source.cluster)
    inventory = there or Inventory(section.name or source.cluster, section.state_namespace)
    revisions.check_clusters(source, inventory, cluster.uid(), adopt=False)
    following.accept(clone, chosen, section.revision, inventory, anew=False)
    if inventory.state == ACTIVE and not (asked.confirmed or asked.aim.elsewhere):
        raise ActiveCluster(
            f"{section.cluster} is active: what is in its volumes is newer than any recovery point",
            hint="Restore into another claim (--to-namespace, --to-pvc), or give --yes if it may be lost.",
        )
    warnings = [*clone.notices, *revisions.rewritten(clone), *chosen.warnings, *choice.warnings]
    if inventory.revision and inventory.revision != choice.point.commit:
        warnings.append(
            f"DR has the objects of recovery point {inventory.revision[:12]}; those that belong to this data come with "
            f"`dr-syncer import --revision {choice.point.commit[:12]}`"
        )
    return replace(choice, warnings=tuple(warnings))


def _manifests(
    config: Config, clone: Clone, cluster: Cluster, point: Point, steps: Sequence[Step], progress: Progress
) -> dict[Key, Manifest]:
    """Return the claims that are to be made, as an import would make the source's. Raises Refused when it would not."""
    from drsyncer.json import decode
    from importer.basis import Request
    from importer.preparation import prepare
    from importer.wishes import Wishes

    section = config.importer
    assert section is not None
    paths = {path_of(step.source): step for step in steps}
    only = tuple(sorted({step.source.namespace for step in steps}))
    request = Request(revision=point.commit, only=only, plan_only=True, fetch=False)
    prepared = prepare(config=section, clone=clone, cluster=cluster, request=request, progress=progress)
    seen = Wishes()
    prepared.point.read(sorted(paths), seen)
    made = {paths[wish.path].target: to_make(decode(wish.data), paths[wish.path].target) for wish in seen.wishes}
    for path, step in paths.items():
        if step.target not in made:
            problem = next((one.reason for one in seen.problems if one.path == path), "importer.select leaves it out")
            raise Refused(
                f"the claim {step.target} cannot be made from that of {step.source} in Git: {problem}",
                hint="Create it by hand, and restore into it.",
            )
    return made


def shown(config: Config, found: Planned, volumes: Sequence[Done], *, planned_only: bool, seconds: float) -> Outcome:
    """Return the outcome of a restore or of its plan."""
    assert config.importer is not None
    return Outcome(
        cluster=config.importer.cluster,
        source=found.point.source.cluster,
        revision=found.point.commit,
        time=found.point.time,
        planned_only=planned_only,
        volumes=tuple(volumes),
        faults=tuple(found.point.records.faults.values()),
        warnings=found.warnings,
        seconds=seconds,
    )


def carried_out(
    config: Config,
    cluster: Cluster,
    found: Planned,
    asked: Asked,
    *,
    connect: Callable[[], Cluster],
    told: Callable[[Done], None] = lambda _: None,
    announcing: Announcing | None = None,
    interval: float = 2.0,
    timing: Timing = TIMING,
) -> tuple[Done, ...]:
    """Carry out a plan; return what became of each volume. `interval`: seconds between two looks at the movers.

    `timing` is that of the Lease by which others see that this run lives. `announcing` knows what earlier runs told.

    Raises Refused when somebody is alone with the restic repository; DrSyncerError for credentials that cannot be
    read; ClusterError.
    """
    assert config.importer is not None
    assert config.volumes is not None
    volumes = config.volumes
    announcing = announcing or Announcing()
    run, living = str(uuid.uuid4()), Watcher(cluster).living
    _clear_up(cluster, found.steps, living)
    if all(step.idle for step in found.steps):
        done = tuple(map(undone, found.steps))
        for one in done:
            told(one)
            announcing.tell(cluster, one, run=run)
        return done
    access, credentials = access_of(volumes.restic), files_of(volumes.restic.auth)
    meeting = Meeting(
        cluster=cluster,
        connect=connect,
        namespace=config.importer.state_namespace,
        repository=volumes.restic.repository,
        patience=volumes.restic.retry_lock,
        timing=timing,
    )
    with shared(meeting, run) as presence:
        errand = Errand(
            commit=found.point.commit,
            access=access,
            mover=volumes.mover,
            by=Dispatcher(run, presence.name),
            living=living,
            aim=asked.aim,
            verify=asked.verify or volumes.restore.verify,
            credentials=credentials,
            manifests=found.manifests,
            told=told,
            announcing=announcing,
        )
        return Restores(cluster, errand, interval=interval).run(found.steps)


def _clear_up(cluster: Cluster, steps: Sequence[Step], living: Callable[[str], bool]) -> None:
    """Clear up after runs that died, of claims that this one does not restore: their Secrets hold credentials."""

    def record(namespace: str, name: str, uid: str, result: Result) -> None:
        marking.take_up(cluster, Key(namespace, name), result, uid=uid)

    moved = {(step.target.namespace, step.target.name) for step in steps if step.action is Action.RESTORE}
    try:
        sweep(cluster, operation="restore", but=moved, living=living, record=record)
    except ClusterError as error:  # those who may not see Jobs cannot restore either, and say so
        _logger.warning("what earlier runs left is not looked for", why=str(error))


def restore_volumes(ctx: Context, asked: Asked) -> Outcome:
    """Restore what was asked for, or plan it, for the command line."""
    begun = time.monotonic()
    config, section = ctx.load_importer()
    check(section_of(config))  # also of a plan: one that could not be carried out is none
    cluster, progress = dr_of(section), ctx.progress
    with Clone.open(remote_of(config.repository)) as clone:
        found = planned(config, clone, cluster, asked, progress)
    if asked.plan_only:
        done: tuple[Done, ...] = tuple(map(undone, found.steps))
    else:
        with progress.task("Restoring volumes", total=len(found.steps)) as task:
            done = carried_out(
                config,
                cluster,
                found,
                asked,
                connect=lambda: dr_of(section, ELECTION),
                told=lambda _: task.advance(1),
            )
    return shown(config, found, done, planned_only=asked.plan_only, seconds=time.monotonic() - begun)
