"""From a recovery point and a DR cluster to the plan of an import. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.schema import Importer
from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.progress import Progress, Task
from drsyncer.recovery import message
from drsyncer.recovery.git import Clone
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.templates.renderer import Renderer
from importer import drift, preflight, revision, rulebook, unfinished
from importer.basis import Basis, Request, basis_of
from importer.following import Chosen
from importer.inventory import Inventory, kind_of
from importer.live import View, look
from importer.mandate import ALWAYS, Mandate
from importer.opening import opener_of
from importer.plan import NAMESPACES, Policy, Situation, Step, plan
from importer.point import RecoveryPoint
from importer.rules import Rules
from importer.wishes import Carried, Wishes
from transforms.steps import Render


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and all that it takes to carry it out or to show it."""

    basis: Basis
    point: RecoveryPoint
    exported_at: datetime | None
    heartbeat: datetime | None
    view: View
    wishes: Wishes
    carried: Sequence[Carried]
    steps: tuple[Step, ...]
    drifted: tuple[ObjectRef, ...]
    subject: str
    current_at: datetime | None
    warnings: tuple[str, ...]

    @property
    def inventory(self) -> Inventory:
        """What the last import left in DR."""
        return self.basis.inventory

    @property
    def commit(self) -> str:
        """The commit that was chosen."""
        return self.basis.chosen.commit

    @property
    def discovery(self) -> Discovery:
        """What DR serves."""
        return self.basis.discovery


def prepare(
    *,
    config: Importer,
    clone: Clone,
    cluster: Cluster,
    request: Request,
    progress: Progress,
    mandate: Mandate = ALWAYS,
) -> Prepared:
    """Read the recovery point and the DR cluster and return the plan; nothing is changed.

    Raises Abandoned when the `mandate` ends.
    """
    with Renderer() as renderer:
        return _prepare(config, clone, cluster, request, progress, renderer.render, mandate)


def _prepare(
    config: Importer,
    clone: Clone,
    cluster: Cluster,
    request: Request,
    progress: Progress,
    render: Render,
    mandate: Mandate,
) -> Prepared:
    opener = opener_of(config.secrets)
    basis = basis_of(config=config, clone=clone, cluster=cluster, request=request, render=render, mandate=mandate)
    with progress.task("Reading the recovery point", total=None) as task:
        point = RecoveryPoint(
            clone=clone,
            files=basis.files,
            rules=basis.rules,
            discovery=basis.discovery,
            opener=opener,
            read_definition=lambda key: preflight.definition_in_dr(cluster, basis.discovery, key),
            only=request.only,
            advance=_checking(mandate, task),
        )
        carried, wishes, unread = point.sort(basis.trusted)
        point.read(unread, wishes)
    mandate.check()
    with progress.task("Looking at the DR cluster", total=None) as task:
        view = _look(config, cluster, basis, carried, wishes, point, request)
        stale = [found.path for found in carried if _is_stale(found, view)]
        carried = [found for found in carried if found.path not in set(stale)]
        point.read(stale, wishes)
        situation = _situation(config, cluster, basis, carried, wishes, view, point, request)
    steps = plan(situation, Policy(basis.inventory.id, config.adopt, config.conflicts, config.prune.enabled))
    steps = unfinished.held_back(steps, cluster)
    drifted = frozenset(step.ref for step in steps if drift.is_drift(step, basis.records, view))
    if request.leave_drift:
        steps = tuple(drift.left(step) if step.ref in drifted else step for step in steps)
    mandate.check()
    beat = clone.heartbeat()
    if beat is not None and beat.cluster != basis.source.uid:
        beat = None
    return Prepared(
        basis=basis,
        point=point,
        exported_at=message.exported_at(basis.chosen.point.message),
        heartbeat=beat.time if beat else None,
        view=view,
        wishes=wishes,
        carried=carried,
        steps=steps,
        drifted=tuple(sorted(drifted)),
        subject=basis.chosen.point.subject,
        current_at=_current_at(beat, basis.chosen),
        warnings=_warnings(config, clone, cluster, basis, carried, wishes, point, request),
    )


def _current_at(beat: Heartbeat | None, chosen: Chosen) -> datetime | None:
    """Return when the exporter last found the source to be as in this recovery point, None when that is not known."""
    if beat is None or not beat.complete or beat.head not in (chosen.commit, chosen.point.id):
        return None
    return beat.time


def _warnings(
    config: Importer,
    clone: Clone,
    cluster: Cluster,
    basis: Basis,
    carried: Sequence[Carried],
    wishes: Wishes,
    point: RecoveryPoint,
    request: Request,
) -> tuple[str, ...]:
    """Return what a person should know of this recovery point and of the rules, beside the plan itself."""
    return (
        *clone.notices,
        *revision.rewritten(clone),
        *basis.chosen.warnings,
        *point.strays(),
        *preflight.missing_classes(cluster, wishes.wishes),
        *(f"importer.{rule} decided nothing" for rule in _unused(basis.rules, wishes, carried, request)),
        *rulebook.ignored(basis.files, config.transforms),
        *_idle(basis.rules, wishes, carried, request),
    )


def _checking(mandate: Mandate, task: Task) -> Callable[[int], None]:
    """Return what tells `task` of one more object, and stops the reading when the mandate has ended."""

    def advance(count: int) -> None:
        mandate.check()
        task.advance(count)

    return advance


def _look(
    config: Importer,
    cluster: Cluster,
    basis: Basis,
    carried: Sequence[Carried],
    wishes: Wishes,
    point: RecoveryPoint,
    request: Request,
) -> View:
    inventory, discovery, records = basis.inventory, basis.discovery, basis.trusted
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
    view = look(
        cluster,
        listable,
        wanted=wanted,
        applyset=inventory.id,
        guest=inventory.guest,
        namespaces={ref.namespace for ref in wanted if ref.namespace} | _looked_at(inventory, point, request),
        everywhere=not request.only,
        workers=min(config.workers, 8),
        page_size=config.page_size,
    )
    return replace(view, unknown={**view.unknown, **_lost_types(inventory, discovery)})


def _looked_at(inventory: Inventory, point: RecoveryPoint, request: Request) -> set[str]:
    """Return the namespaces where members may be that are not wanted any more."""
    if request.only:
        return {point.namespace_in_dr(name) for name in request.only}
    return set(inventory.namespaces)


def _lost_types(inventory: Inventory, discovery: Discovery) -> dict[str, str]:
    """Return the inventory's types that DR does not serve while a part of its API is silent: they may come back."""
    if not discovery.failing:
        return {}
    served = {kind_of(types[0]) for types in discovery.served.values()}
    return dict.fromkeys(inventory.types - served, "DR does not serve it now, and a part of its API does not answer")


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
    basis: Basis,
    carried: Sequence[Carried],
    wishes: Wishes,
    view: View,
    point: RecoveryPoint,
    request: Request,
) -> Situation:
    foreign = [
        wish
        for wish in wishes.wishes
        if (live := view.objects.get(wish.ref)) is not None
        and live.member_of != basis.inventory.id
        and not live.deleting
        and (config.adopt == "matching" or wish.ref.type == NAMESPACES)
    ]
    needed = {service for wish in wishes.wishes for service in wish.needs}
    return Situation(
        carried=carried,
        wishes=wishes.wishes,
        problems=wishes.problems,
        view=view,
        records=basis.trusted,
        foreign=preflight.foreign_fields(cluster, foreign, guest=basis.inventory.guest, workers=config.workers),
        ready=preflight.ready_services(cluster, needed, workers=config.workers),
        in_scope=_prunable(view, point, request),
    )


def _prunable(view: View, point: RecoveryPoint, request: Request) -> Collection[ObjectRef] | None:
    """Return the members that this run may prune; None for all: with --namespace, those in the namespaces named."""
    if not request.only:
        return None
    targets = {point.namespace_in_dr(name) for name in request.only}
    return {ref for ref in view.objects if ref.namespace in targets}


def _unused(rules: Rules, wishes: Wishes, carried: Sequence[Carried], request: Request) -> list[str]:
    """Return the user's rules that decided nothing; unknown for those about what this run does not look at.

    Those are all rules with --namespace and where a file could not be read, and those about what came in where objects
    were carried over unread or did not get through.
    """
    if request.only or wishes.unread:
        return []
    return rules.unused(wishes.deciding, all_seen=not carried and not wishes.problems)


def _idle(rules: Rules, wishes: Wishes, carried: Sequence[Carried], request: Request) -> list[str]:
    """Return a warning for each general rule that was about nothing, and for each removal that found nothing.

    Unknown when not every object was looked at.
    """
    if carried or request.only or wishes.unread:
        return []
    warnings = [f"{rule} matched nothing" for rule in rules.book.unused(wishes.matched)]
    if wishes.problems:
        return warnings
    return warnings + rules.book.idle(wishes.matched, {line for wish in wishes.wishes for line in wish.applied})
