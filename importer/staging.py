"""A whole plan against the DR cluster: stage by stage, then what failed for a passing reason, then the prune."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError
from drsyncer.manifest import ObjectRef, ResourceType, metadata
from drsyncer.match import Subject
from drsyncer.progress import Progress
from drsyncer.wording import some
from importer import definitions
from importer.apply import Applier, Result
from importer.plan import NAMESPACES, WRITES, Action, Step
from importer.types import definition
from transforms.select import Selection
from transforms.stages import DEFINITIONS, waves


@dataclass(frozen=True, slots=True)
class Staging:
    """How to carry out a plan.

    `occupants` names what other hands keep in a Namespace or CRD; `is_alone` says whether no other import of this
    importer has begun meanwhile.
    """

    cluster: Cluster
    applier: Applier
    workers: int
    crd_timeout: float
    progress: Progress
    occupants: Callable[[ObjectRef], Sequence[ObjectRef]]
    is_alone: Callable[[], bool]

    def run(self, steps: Sequence[Step]) -> tuple[Result, ...]:
        """Carry out every step and return its result, in the order of `steps`.

        Concurrent inside a wave of a stage, each wave finished before the next. One object's
        failure never stops the others; a cluster that went away does.
        """
        done: dict[ObjectRef, Result] = {
            step.ref: Result(step, step.action, step.reason) for step in steps if step.action not in WRITES
        }
        writes = {step.ref: step for step in steps if step.action in WRITES and step.action is not Action.PRUNE}
        prunes = {step.ref: step for step in steps if step.action is Action.PRUNE}
        with (
            self.cluster.workers(self.workers, name="apply") as pool,
            self.progress.task("Importing", total=len(writes) + len(prunes)) as task,
        ):

            def go(wave: Iterable[Step]) -> None:
                for result in pool.map(self.applier.carry_out, wave):
                    done[result.step.ref] = result
                    task.advance(1, detail=result.step.ref.type)

            for _, refs in waves(writes):
                if self._is_down(done):
                    self._give_up((writes[ref] for ref in refs), done)
                    continue
                go(writes[ref] for ref in refs if ref not in done)
                self._await_definitions([done[ref] for ref in refs], writes, done)
                self._leave_ending([done[ref] for ref in refs], writes, done)
            go([done[ref].step for ref in writes if done[ref].retryable and not self._is_down(done)])
            overtaken = self._overtaken() if prunes else ""
            for _, refs in waves(prunes, prune=True):
                held_back = {ref: overtaken or self._withheld(prunes[ref], done) for ref in refs}
                done |= {
                    ref: Result(prunes[ref], Action.BLOCKED, "left Git", error=reason)
                    for ref, reason in held_back.items()
                    if reason
                }
                go(prunes[ref] for ref in refs if not held_back[ref])
        return tuple(done[step.ref] for step in steps)

    def _is_down(self, done: Mapping[ObjectRef, Result]) -> bool:
        return any(result.unreachable for result in done.values())

    def _give_up(self, steps: Iterable[Step], done: dict[ObjectRef, Result]) -> None:
        for step in steps:
            if step.ref not in done:
                done[step.ref] = Result(
                    step,
                    Action.BLOCKED,
                    step.reason,
                    error="not tried: the DR cluster stopped answering",
                    unreachable=True,
                )

    def _leave_ending(
        self, results: Iterable[Result], writes: Mapping[ObjectRef, Step], done: dict[ObjectRef, Result]
    ) -> None:
        """Block what belongs into a namespace that would not go in time: writing there is refused, or lost."""
        ending = {
            result.step.ref.name
            for result in results
            if result.step.ref.type == NAMESPACES
            and result.action is Action.BLOCKED
            and result.step.live is not None
            and result.step.live.deleting
        }
        for ref, step in writes.items():
            if ref.namespace in ending:
                reason = f"namespace {ref.namespace} is still being deleted"
                done[ref] = Result(step, Action.BLOCKED, step.reason, error=reason)

    def _await_definitions(
        self, results: Iterable[Result], writes: Mapping[ObjectRef, Step], done: dict[ObjectRef, Result]
    ) -> None:
        """Wait for the CRDs that were just written; block the objects of those that do not come."""
        types: list[ResourceType] = []
        never: set[str] = set()
        for result in results:
            if result.step.ref.type != DEFINITIONS:
                continue
            if result.action is Action.BLOCKED:
                if result.step.action is Action.CREATE:
                    never.add(result.step.ref.name)
            elif result.action is not Action.UNCHANGED and result.step.wish is not None:
                types += definition(msgspec.json.decode(result.step.wish.data)).types
        if types:
            never |= definitions.wait_for(self.cluster, types, timeout=self.crd_timeout)
        for ref, step in writes.items():
            if ref.type in never:
                done[ref] = Result(
                    step,
                    Action.BLOCKED,
                    step.reason,
                    error=f"DR does not serve its CustomResourceDefinition {ref.type} ({self.crd_timeout:g} s waited)",
                )

    def _overtaken(self) -> str:
        """Return why nothing is pruned at all, or "": another import may bring back what this one would delete."""
        try:
            return "" if self.is_alone() else "not deleted: another import of this importer has begun meanwhile"
        except ClusterError as error:
            return f"not deleted: whether another import has begun meanwhile is not known: {error}"

    def _withheld(self, step: Step, done: Mapping[ObjectRef, Result]) -> str:
        """Return why an object that left Git is not deleted now, or "".

        What failed may still depend on what would go: within a namespace nothing is pruned while
        something there, or in the whole cluster, is blocked. A namespace or a CRD is not pruned while
        other hands keep something in it: it would all be deleted with it.
        """
        scope = _namespace_of(step.ref)
        failed = [
            result.step.ref
            for result in done.values()
            if result.action is Action.BLOCKED and (not scope or _namespace_of(result.step.ref) in ("", scope))
        ]
        if failed:
            return f"not deleted while these are blocked: {some(failed)}"
        if step.ref.type in (NAMESPACES, DEFINITIONS):
            try:
                others = self.occupants(step.ref)
            except ClusterError as error:
                return f"not deleted: what others keep in it is not known: {error}"
            if others:
                return f"not deleted: it would take along what other hands made: {some(others)}; delete it by hand"
        return ""


def _namespace_of(ref: ObjectRef) -> str:
    """Return the namespace that an object is about: a Namespace is about itself."""
    return ref.name if ref.type == NAMESPACES else ref.namespace


def occupants(
    cluster: Cluster, types: Iterable[ResourceType], *, applyset: str, selection: Selection
) -> Callable[[ObjectRef], Sequence[ObjectRef]]:
    """Return a function that names what goes with a Namespace or CRD beside members of `applyset`.

    What the cluster makes by itself does not count: `selection` tells.
    """
    listable = [type_ for type_ in types if "list" in type_.verbs]

    def look(ref: ObjectRef) -> list[ObjectRef]:
        found: list[ObjectRef] = []
        for type_ in listable:
            inside = type_.namespaced if ref.type == NAMESPACES else type_.key == ref.name
            if inside and selection.type_verdict(type_) is None:
                found += _made_by_others(type_, namespace=_namespace_of(ref))
        return found

    def _made_by_others(type_: ResourceType, *, namespace: str) -> Iterable[ObjectRef]:
        for page in cluster.pages(type_, namespace=namespace, label_selector=f"{own.APPLYSET_MEMBER}!={applyset}"):
            for raw in page.items:
                manifest = {"apiVersion": type_.api_version, "kind": type_.kind, **msgspec.json.decode(raw)}
                meta = metadata(manifest)
                one = ObjectRef(type_.key, meta.get("namespace", ""), meta["name"])
                if selection.verdict(Subject(one, type_, manifest)).included:
                    yield one

    return look
