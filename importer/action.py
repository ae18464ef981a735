"""One import: the DR cluster brought to a recovery point, or the plan of it."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.schema import Importer, Revision
from drsyncer.errors import GitError, Refused, RevisionNotFound, UsageError
from drsyncer.guard import Guard
from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.progress import Progress
from drsyncer.recovery import identity, layout, message
from drsyncer.recovery.git import Clone, Remote, TreeFile
from drsyncer.recovery.identity import Identity
from drsyncer.wording import some
from importer import preflight
from importer.apply import Applier, Options, Result
from importer.inventory import Inventory, kind_of
from importer.live import View, look
from importer.memory import Memory
from importer.outcome import Outcome
from importer.plan import NAMESPACES, Action, Policy, Situation, Step, plan
from importer.records import Record
from importer.rules import Rules, rules_of
from importer.staging import Staging, occupants
from importer.wishes import MAX_FILE, Carried, RecoveryPoint, Wishes
from transforms.select import Selection

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Request:
    """One run. `revision` "" means the configured one; `only` limits it to namespaces as Git names them.

    `confirmed` lets the prune guard pass; `adopt` accepts that the recovery repository now holds another cluster.
    """

    revision: str = ""
    only: tuple[str, ...] = ()
    plan_only: bool = False
    confirmed: bool = False
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and all that it takes to carry it out or to show it."""

    point: RecoveryPoint
    identity: Identity
    commit: str
    exported_at: datetime | None
    heartbeat: datetime | None
    memory: Memory
    inventory: Inventory
    records: Mapping[str, Record]
    rules: Rules
    discovery: Discovery
    view: View
    wishes: Wishes
    carried: Sequence[Carried]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]


def import_recovery_point(
    *, config: Importer, remote: Remote, cluster: Cluster, request: Request, progress: Progress
) -> Outcome:
    """Bring the DR cluster to a recovery point; return what became of every object.

    Raises Refused when a guard says no (nothing is changed then), GitError when the recovery point
    cannot be had, ClusterError when the DR cluster cannot be read.
    """
    begun = time.monotonic()
    with Clone.open(remote) as clone:
        prepared = prepare(config=config, clone=clone, cluster=cluster, request=request, progress=progress)
    if request.plan_only:
        results = tuple(Result(step, step.action, step.reason, notes=_notes(step)) for step in prepared.steps)
    else:
        if not request.confirmed:
            _guard(config, prepared)
        results = _carry_out(config, cluster, prepared, request, progress)
    return Outcome(
        cluster=config.cluster,
        source=prepared.identity.cluster,
        revision=prepared.commit,
        exported_at=prepared.exported_at,
        heartbeat=prepared.heartbeat,
        planned_only=request.plan_only,
        standby=prepared.rules.standby,
        results=results,
        left_out=dict(prepared.wishes.left_out),
        unknown=dict(prepared.view.unknown),
        warnings=prepared.warnings,
        seconds=time.monotonic() - begun,
    )


def prepare(*, config: Importer, clone: Clone, cluster: Cluster, request: Request, progress: Progress) -> Prepared:
    """Read the recovery point and the DR cluster and return the plan; nothing is changed."""
    commit, warnings = _resolve(clone, request.revision or _configured(config.revision))
    files = clone.files(commit)
    source = _identity(clone, commit, files)
    memory = Memory(cluster, namespace=config.state_namespace, importer=config.name or source.cluster)
    inventory, records = memory.load()
    _check_clusters(source, inventory, cluster.uid(), adopt=request.adopt)
    rules = rules_of(config, inventory)
    _check_scope(request.only, files, inventory, rules)
    discovery = cluster.discover()
    with progress.task("Reading the recovery point", total=None) as task:
        point = RecoveryPoint(
            clone=clone, files=files, rules=rules, discovery=discovery, only=request.only, advance=task.advance
        )
        carried, wishes, unread = point.sort(records)
        point.read(unread, wishes)
    with progress.task("Looking at the DR cluster", total=None) as task:
        view = _look(config, cluster, inventory, discovery, carried, wishes, records, request)
        stale = [found.path for found in carried if _is_stale(found, view)]
        carried = [found for found in carried if found.path not in set(stale)]
        point.read(stale, wishes)
        situation = _situation(config, cluster, inventory, carried, wishes, view, records, point, request)
    steps = plan(situation, Policy(inventory.id, config.adopt, config.conflicts, config.prune.enabled))
    exported = message.parse(next(iter(clone.history(commit, limit=1))).message)
    beat = clone.heartbeat()
    return Prepared(
        point=point,
        identity=source,
        commit=commit,
        exported_at=exported.exported_at if exported else None,
        heartbeat=beat.time if beat and beat.cluster == source.uid else None,
        memory=memory,
        inventory=inventory,
        records=records,
        rules=rules,
        discovery=discovery,
        view=view,
        wishes=wishes,
        carried=carried,
        steps=steps,
        warnings=(
            *clone.notices,
            *_rewritten(clone),
            *warnings,
            *point.strays(),
            *preflight.missing_classes(cluster, wishes.wishes),
            *(f"{rule} matched nothing" for rule in _unused(rules, wishes, carried)),
        ),
    )


def _configured(revision: Revision) -> str:
    """Return the configured revision as git names it: a tag may be called like a branch."""
    if revision.branch:
        return f"refs/heads/{revision.branch}"
    return f"refs/tags/{revision.tag}" if revision.tag else revision.commit


def _resolve(clone: Clone, revision: str) -> tuple[str, list[str]]:
    """Return the commit of `revision`. A commit that is here already needs no remote; a branch does."""
    try:
        exported = clone.fetch()
    except GitError as error:
        if not _COMMIT.fullmatch(revision):
            error.hint = (
                f"{error.hint} A commit that was fetched before can be imported without the remote: "
                "--revision with its full id."
            ).strip()
            raise
        return clone.resolve(revision), [f"the remote was not asked: {error}"]
    try:
        return clone.resolve(revision), []
    except RevisionNotFound as error:
        if exported is None:
            error.hint = "The recovery repository has no such branch yet: run `dr-syncer export` first."
        raise


def _rewritten(clone: Clone) -> list[str]:
    """Return a warning when the branch lost commits since the last look: recovery points are never taken back."""
    if clone.rewritten is None:
        return []
    before, now = clone.rewritten
    return [
        f"the branch was rewritten: it was at {before[:12]} and now is {f'at {now[:12]}' if now else 'gone'}; "
        "find out who did it before you rely on this recovery point"
    ]


def _identity(clone: Clone, commit: str, files: Mapping[str, TreeFile]) -> Identity:
    file = files.get(identity.FILE)
    if file is None or not file.regular:
        raise Refused(
            f"recovery point {commit[:12]} holds no {identity.FILE}: it is not an export of DR-Syncer",
            hint="Check repository.url, repository.branch and repository.path.",
        )
    ((_, data),) = clone.read([file.blob_id], max_size=MAX_FILE)
    return identity.read(data or b"")


def _check_clusters(source: Identity, inventory: Inventory, dr_uid: str, *, adopt: bool) -> None:
    """Refuse to import a cluster into itself, or another cluster than before."""
    if source.uid == dr_uid:
        raise Refused(
            f"this cluster is {source.cluster} itself, the one that the recovery point was exported from",
            hint="Name the DR cluster with --kubeconfig and --context.",
        )
    if inventory.source_uid:
        identity.check_same(Identity(inventory.source, inventory.source_uid), source, adopt=adopt)


def _check_scope(only: Collection[str], files: Mapping[str, TreeFile], inventory: Inventory, rules: Rules) -> None:
    """Refuse a namespace that neither the recovery point nor an earlier import knows: nothing would happen."""
    if not only:
        return
    places = [place for path in files if (place := layout.place_of(path)) is not None]
    known = {place.namespace or place.stem for place in places if place.namespace or place.type == NAMESPACES}
    for name in only:
        if name in known or rules.settings.namespace_map.target(name) in inventory.namespaces:
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1)
        raise UsageError(
            f"the recovery point holds no namespace {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint="Write it as Git has it, not as it is mapped to.",
        )


def _look(
    config: Importer,
    cluster: Cluster,
    inventory: Inventory,
    discovery: Discovery,
    carried: Sequence[Carried],
    wishes: Wishes,
    records: Mapping[str, Record],
    request: Request,
) -> View:
    types: dict[str, tuple[ResourceType, ...]] = {found.ref.type: found.types for found in carried}
    for wish in wishes.wishes:
        served = discovery.served.get(wish.ref.type, ())
        if served:
            # The wish's own version first: another one may need a conversion that nobody answers.
            types[wish.ref.type] = (wish.type, *(type_ for type_ in served if type_ != wish.type))
    for key, served in discovery.served.items():
        if key not in types and kind_of(served[0]) in inventory.types and (served[0].namespaced or not request.only):
            types[key] = served
    listable = [versions for key in sorted(types) if (versions := _listable(types[key], discovery))]
    wanted = {wish.ref: records[wish.path].entry if wish.path in records else "" for wish in wishes.wishes}
    wanted |= {found.ref: found.record.entry for found in carried}
    return look(
        cluster,
        listable,
        wanted=wanted,
        applyset=inventory.id,
        guest=inventory.guest,
        namespaces={ref.namespace for ref in wanted if ref.namespace}
        | (set() if request.only else inventory.namespaces),
        everywhere=not request.only,
        workers=min(config.workers, 8),
        page_size=config.page_size,
    )


def _listable(versions: Sequence[ResourceType], discovery: Discovery) -> tuple[ResourceType, ...]:
    """Return those of `versions` that DR serves now and lets list."""
    return tuple(
        served
        for type_ in versions
        if (served := discovery.get(type_.key, type_.version)) is not None and "list" in served.verbs
    )


def _is_stale(found: Carried, view: View) -> bool:
    """Return whether DR no longer has the object as the last import left it, or cannot say."""
    live = view.objects.get(found.ref)
    return live is None or live.deleting or live.entry != found.record.entry or view.is_ending(found.ref.namespace)


def _situation(
    config: Importer,
    cluster: Cluster,
    inventory: Inventory,
    carried: Sequence[Carried],
    wishes: Wishes,
    view: View,
    records: Mapping[str, Record],
    point: RecoveryPoint,
    request: Request,
) -> Situation:
    foreign = [
        wish
        for wish in wishes.wishes
        if (live := view.objects.get(wish.ref)) is not None
        and live.member_of != inventory.id
        and not live.deleting
        and (config.adopt == "matching" or wish.ref.type == NAMESPACES)
    ]
    needed = {service for wish in wishes.wishes for service in wish.needs}
    return Situation(
        carried=carried,
        wishes=wishes.wishes,
        problems=wishes.problems,
        view=view,
        records=records,
        foreign=preflight.foreign_fields(cluster, foreign, guest=inventory.guest, workers=config.workers),
        ready=preflight.ready_services(cluster, needed, workers=config.workers),
        in_scope=_prunable(view, point, request),
    )


def _prunable(view: View, point: RecoveryPoint, request: Request) -> Collection[ObjectRef] | None:
    """Return the members that this run may prune; None for all: with --namespace, those in the namespaces named."""
    if not request.only:
        return None
    targets = {point.namespace_in_dr(name) for name in request.only}
    return {ref for ref in view.objects if ref.namespace in targets}


def _unused(rules: Rules, wishes: Wishes, carried: Sequence[Carried]) -> list[str]:
    """Return the user's rules that decided nothing; unknown when objects were carried over unread."""
    return [] if carried else rules.selection.unused(wishes.deciding)


def _guard(config: Importer, prepared: Prepared) -> None:
    """Raise Refused when the plan deletes more than may go unasked."""
    pruned = [step.ref for step in prepared.steps if step.action is Action.PRUNE]
    members = sum(live.member_of == prepared.inventory.id for live in prepared.view.objects.values())
    guard = Guard(config.prune.max_deletions, config.prune.max_deletion_percent)
    objection = guard.objection(deletions=len(pruned), existing=members)
    if objection:
        raise Refused(
            f"prune guard: {objection}",
            hint=f"Nothing was changed. Left Git: {some(pruned)}. `dr-syncer import --plan` shows all; "
            "if that is right, run again with --yes; see also importer.prune.",
        )


def _notes(step: Step) -> tuple[str, ...]:
    return step.wish.notes if step.wish else ()


def _carry_out(
    config: Importer, cluster: Cluster, prepared: Prepared, request: Request, progress: Progress
) -> tuple[Result, ...]:
    """Write the inventory, then do what the plan says, then remember it."""
    written = [step.wish for step in prepared.steps if step.wish is not None]
    inventory = replace(prepared.inventory, source=prepared.identity.cluster, source_uid=prepared.identity.uid)
    # Before the first write: an interrupted run must find again all that it made.
    inventory = inventory.with_members((wish.type for wish in written), (wish.ref.namespace for wish in written))
    prepared.memory.save_inventory(inventory)
    staging = Staging(
        cluster=cluster,
        applier=Applier(
            cluster,
            Options(
                applyset=inventory.id,
                guest=inventory.guest,
                conflicts=config.conflicts,
                immutable=config.immutable,
                node_ports=config.node_ports,
                gone_timeout=config.timeouts.namespaces,
            ),
        ),
        workers=config.workers,
        crd_timeout=config.timeouts.crds,
        progress=progress,
        occupants=occupants(
            cluster,
            list(prepared.discovery.preferred()),
            applyset=inventory.id,
            selection=Selection(),
        ),
    )
    results = staging.run(prepared.steps)
    prepared.memory.save_records(_records(prepared, results, whole=not request.only))
    prepared.memory.save_inventory(_settled(inventory, prepared, results, whole=not request.only))
    return results


def _records(prepared: Prepared, results: Sequence[Result], *, whole: bool) -> dict[str, Record]:
    """Return what to remember after `results`.

    A failed object keeps its old record: its source differs, so that the next run reads it again.
    """
    found = {} if whole else dict(prepared.records)
    found |= prepared.wishes.out
    for result in results:
        step = result.step
        if not step.path:
            continue
        if step.wish is not None and result.action in _WRITTEN:
            entry = result.entry or (step.live.entry if step.live else "")
            found[step.path] = Record(step.wish.source, step.ref, step.wish.digest, entry)
        elif step.path in prepared.records:
            found[step.path] = prepared.records[step.path]
    return found


_WRITTEN = frozenset({Action.CREATE, Action.UPDATE, Action.RECREATE, Action.UNCHANGED})


def _settled(inventory: Inventory, prepared: Prepared, results: Sequence[Result], *, whole: bool) -> Inventory:
    """Return the inventory after a run: without the types and namespaces that no member is left in."""
    blocked = any(result.action is Action.BLOCKED for result in results)
    if not whole or blocked or prepared.view.unknown:
        return inventory
    kept = [result.step for result in results if result.action is not Action.PRUNE]
    types = {step.wish.type for step in kept if step.wish} | {step.live.type for step in kept if step.live}
    types |= {found.types[0] for found in prepared.carried}
    namespaces = {step.ref.namespace for step in kept if step.ref.namespace}
    return replace(
        inventory,
        types=frozenset(kind_of(type_) for type_ in types),
        namespaces=frozenset(namespaces | {inventory.namespace}),
        revision=prepared.commit,
    )
