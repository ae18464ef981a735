"""The plan of an import: what happens to each object, and why. Pure: no cluster, no Git, no clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

import msgspec

from drsyncer.fields import Pointer, dotted, lost
from drsyncer.manifest import ObjectRef
from drsyncer.wording import some
from importer.digests import Entry, ours
from importer.live import Live, View
from importer.masking import said_of
from importer.records import Record
from importer.wishes import Carried, Problem, Wish
from transforms.stages import DEFINITIONS, apply_key

NAMESPACES = "namespaces"
_AS_LEFT = "as the last import left it"


class Action(StrEnum):
    """What a plan does with one object, or did."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    RECREATE = "recreate"
    SKIP = "skip"  # left as it is, because the configuration says so
    HELD = "held"  # waits for its backend, or for activation
    PRUNE = "prune"
    BLOCKED = "blocked"  # should be done and cannot be


class _StepMaker(Protocol):
    def __call__(
        self, action: Action, reason: str, *, shared: bool = False, force: bool = False, drift: bool = False
    ) -> Step: ...


WRITES = frozenset({Action.CREATE, Action.UPDATE, Action.RECREATE, Action.PRUNE})


@dataclass(frozen=True, slots=True)
class Step:
    """One object's place in a plan. The text, the JSON and the apply all read this and nothing else.

    `shared` marks a Namespace that somebody else made: it gets our labels and annotations but never
    becomes a member, so it is never pruned. `force` says whether our apply may take fields over.
    """

    ref: ObjectRef
    action: Action
    reason: str
    path: str = ""
    wish: Wish | None = None
    live: Live | None = None
    shared: bool = False
    force: bool = False
    drift: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The configured answers to the questions that a plan meets."""

    applyset: str
    adopt: str  # never | matching | always
    conflicts: str  # force | fail | skip
    prune: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a plan is made from.

    `carried` are objects that Git did not change and that DR still has as they were left. `foreign`
    maps objects of other hands to the fields (path → manager) that our apply would take; an object
    that is not in it was not asked about. `ready` are the Services with ready endpoints.
    """

    carried: Sequence[Carried] = ()
    wishes: Sequence[Wish] = ()
    problems: Sequence[Problem] = ()
    view: View = field(default_factory=View)
    records: Mapping[str, Record] = field(default_factory=dict)
    foreign: Mapping[ObjectRef, Mapping[str, str]] = field(default_factory=dict)
    ready: Collection[tuple[str, str]] = frozenset()
    in_scope: Collection[ObjectRef] | None = None  # None: the whole recovery point, so members may be pruned


def plan(situation: Situation, policy: Policy) -> tuple[Step, ...]:
    """Return a step for every object that Git or the inventory knows, in the order of an apply."""
    everything: list[Carried | Wish] = [*situation.carried, *situation.wishes]
    twins = _twins(everything)
    steps = [
        Step(found.ref, Action.BLOCKED, f"{' and '.join(twins[found.ref])} would both become this object", found.path)
        if found.ref in twins
        else _wish_step(found, situation, policy)
        if isinstance(found, Wish)
        else Step(found.ref, Action.UNCHANGED, _AS_LEFT, found.path)
        for found in everything
    ]
    steps += [Step(problem.ref, Action.BLOCKED, problem.reason, problem.path) for problem in situation.problems]
    steps += _prune_steps(situation, policy, {step.ref for step in steps})
    steps = [_never_emptied(step, steps) for step in steps]
    return tuple(sorted(steps, key=lambda step: apply_key(step.ref)))


def _twins(wishes: Sequence[Carried | Wish]) -> dict[ObjectRef, list[str]]:
    """Return the objects that several files would become, as a namespace map that merges can do."""
    paths: dict[ObjectRef, list[str]] = {}
    for wish in wishes:
        paths.setdefault(wish.ref, []).append(wish.path)
    return {ref: found for ref, found in paths.items() if len(found) > 1}


def _wish_step(wish: Wish, situation: Situation, policy: Policy) -> Step:
    live = situation.view.objects.get(wish.ref)

    def step(action: Action, reason: str, *, shared: bool = False, force: bool = False, drift: bool = False) -> Step:
        return Step(wish.ref, action, reason, wish.path, wish, live, shared, force, drift)

    if wish.type.key in situation.view.unknown:
        reason = situation.view.unknown[wish.type.key]
        return step(Action.BLOCKED, f"what DR has of this type cannot be listed: {reason}")
    missing = [service for service in wish.needs if service not in situation.ready]
    if missing:
        namespace, name = missing[0]
        if wish.waiting_is_normal:
            return step(Action.HELD, f"its backend, Service {namespace}/{name}, has no ready endpoints")
        return step(
            Action.BLOCKED,
            f"needs a conversion by Service {namespace}/{name}, which has no ready endpoints; "
            "an export in the storage version needs none",
        )
    if wish.held:
        return step(Action.HELD, wish.held)
    if situation.view.is_ending(wish.ref.namespace):
        # What is there now goes with the namespace, whatever it looks like.
        return Step(wish.ref, Action.CREATE, "its namespace is being deleted in DR", wish.path, wish)
    if live is None:
        return step(Action.CREATE, "not in DR yet")
    if live.deleting and wish.type.key != NAMESPACES:
        return step(Action.BLOCKED, "is being deleted in DR; the next import creates it again")
    if live.member_of != policy.applyset:
        return _foreign_step(step, wish, live, situation, policy)
    record = situation.records.get(wish.path)
    if record is None or record.ref != wish.ref or not record.entry:
        return step(Action.UPDATE, "no record of it: an apply finds out", force=policy.conflicts == "force")
    drift = _drift(wish, live) if live.entry != record.entry else ""
    if live.deleting:
        return step(Action.CREATE, "is being deleted in DR: waits until it is gone")
    if drift:
        return step(Action.UPDATE, drift, force=policy.conflicts == "force", drift=True)
    if wish.digest != record.desired:
        return step(Action.UPDATE, "changed in Git, or by the rules", force=policy.conflicts == "force")
    return step(Action.UNCHANGED, _AS_LEFT)


def _foreign_step(step: _StepMaker, wish: Wish, live: Live, situation: Situation, policy: Policy) -> Step:
    """Judge an object that exists and is not ours."""
    taken = situation.foreign.get(wish.ref, {})
    if wish.type.key == NAMESPACES:
        return _shared_namespace(step, wish, live, situation, taken)
    if policy.adopt == "always":
        return step(Action.UPDATE, "taken over (adopt: always)", force=True)
    if live.member_of:
        return step(
            Action.BLOCKED,
            f"belongs to another inventory ({live.member_of}); importer.adopt: always takes it over",
        )
    if policy.adopt == "never":
        return step(Action.BLOCKED, "exists and was made by other hands (adopt: never); delete it, or exclude it here")
    if taken:
        return step(
            Action.BLOCKED,
            f"exists and was made by other hands: {_fields(wish, taken)}; "
            "delete it, exclude it, or take it over with importer.adopt: always",
        )
    return step(Action.UPDATE, "exists and matches: taken over")


def _shared_namespace(step: _StepMaker, wish: Wish, live: Live, situation: Situation, taken: Mapping[str, str]) -> Step:
    record = situation.records.get(wish.path)
    if live.deleting:
        return step(Action.CREATE, "is being deleted in DR: waits until it is gone")
    if record and record.ref == wish.ref and record.desired == wish.digest and record.entry == live.entry:
        return step(Action.UNCHANGED, _AS_LEFT, shared=True)
    if taken:
        return step(
            Action.BLOCKED,
            f"the namespace exists and differs: {_fields(wish, taken)}; "
            "leave them out with importer.transforms.namespaceLabels or namespaceAnnotations",
            shared=True,
        )
    return step(Action.UPDATE, "shared with others: labels and annotations are merged", shared=True)


def _fields(wish: Wish, taken: Mapping[str, str]) -> str:
    text = some([f"{path} belongs to {manager}" for path, manager in sorted(taken.items())])
    # A path may hold values: elements of lists go by them.
    return said_of(msgspec.json.decode(wish.data), wish.confidential, text) if wish.confidential else text


def _drift(wish: Wish, live: Live) -> str:
    """Return which of our fields other hands changed, as a sentence."""
    taken, latest = _lost(wish, live)
    if not taken:
        return f"was changed in DR{f' by {latest}' if latest else ''}"
    desired = msgspec.json.decode(wish.data)
    by_manager: dict[str, list[str]] = {}
    for place, manager in taken.items():
        by_manager.setdefault(manager, []).append(dotted(place, None if wish.confidential else desired))
    return "; ".join(
        f"{some(sorted(places))} was {f'changed by {manager}' if manager else 'removed'}"
        for manager, places in sorted(by_manager.items(), reverse=True)
    )


def hands(step: Step) -> list[str]:
    """Return who holds what was ours of a drifted object, as field managers; none where that cannot be told."""
    if step.wish is None or step.live is None:
        return []
    taken, latest = _lost(step.wish, step.live)
    found = sorted({manager for manager in taken.values() if manager})
    return found or [manager for manager in (latest,) if manager]


def _lost(wish: Wish, live: Live) -> tuple[Mapping[Pointer, str], str]:
    """Return which of our fields are not ours any more, with who holds them ("": nobody), and who wrote last."""
    entries = live.entries or []
    mine = ours(entries)
    fields = msgspec.json.decode(mine.fields_v1) if mine else {}
    others = [entry for entry in entries if entry is not mine]
    latest = max(others, key=lambda entry: entry.time, default=None)
    desired = msgspec.json.decode(wish.data)
    return lost(desired, fields, [_as_mapping(entry) for entry in others]), latest.manager if latest else ""


def _as_mapping(entry: Entry) -> dict[str, object]:
    return {"manager": entry.manager, "fieldsV1": msgspec.json.decode(entry.fields_v1)}


def _never_emptied(step: Step, steps: Sequence[Step]) -> Step:
    """Block the prune of a Namespace or CRD that something stays in: it would all be deleted with it."""
    if step.action is not Action.PRUNE or step.ref.type not in (NAMESPACES, DEFINITIONS):
        return step
    staying = [
        other.ref
        for other in steps
        if other.action is not Action.PRUNE
        and (other.ref.namespace if step.ref.type == NAMESPACES else other.ref.type) == step.ref.name
    ]
    if not staying:
        return step
    return replace(step, action=Action.BLOCKED, reason=f"left Git, and what is in it did not: {some(staying)}")


def _prune_steps(situation: Situation, policy: Policy, wanted: Collection[ObjectRef]) -> list[Step]:
    """Return what is ours in DR and no longer in Git.

    An object can be served under two groups: what is wanted under one is not pruned under the other.
    """
    kept_uids = {live.uid for ref, live in situation.view.objects.items() if ref in wanted}
    steps = []
    for ref, live in situation.view.objects.items():
        if live.member_of != policy.applyset or ref in wanted or live.uid in kept_uids or live.deleting:
            continue
        if situation.in_scope is not None and ref not in situation.in_scope:
            continue
        if not policy.prune:
            steps.append(Step(ref, Action.SKIP, "left Git; importer.prune.enabled is false", live=live))
        elif not live.prunable:
            steps.append(Step(ref, Action.SKIP, 'left Git; its annotation dr-syncer.io/prune is "false"', live=live))
        else:
            steps.append(Step(ref, Action.PRUNE, "left Git", live=live))
    return steps
