"""One import: the DR cluster brought to a recovery point, or the plan of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Importer
from drsyncer.errors import Abandoned, ClusterError, Refused
from drsyncer.guard import Guard
from drsyncer.progress import Progress
from drsyncer.recovery.git import Clone, Remote
from drsyncer.wording import some
from importer.apply import Applier, Options, Result
from importer.basis import Request
from importer.inventory import Inventory, kind_of
from importer.mandate import ALWAYS, Mandate
from importer.outcome import OVERLAPPED, Outcome
from importer.plan import WRITES, Action, Step
from importer.preparation import Prepared, prepare
from importer.records import Record
from importer.staging import Staging, occupants
from transforms.select import Selection


def import_recovery_point(
    *,
    config: Importer,
    remote: Remote,
    cluster: Cluster,
    request: Request,
    progress: Progress,
    mandate: Mandate = ALWAYS,
) -> Outcome:
    """Bring the DR cluster to a recovery point; return what became of every object.

    Raises Refused when a guard says no (nothing is changed then), GitError when the recovery point
    cannot be had, ClusterError when the DR cluster cannot be read, Abandoned when the `mandate` ended: no object is
    left half done then, and the next import goes on from there.
    """
    begun = time.monotonic()
    with Clone.open(remote, goes_on=mandate.goes_on) as clone:
        prepared = prepare(
            config=config, clone=clone, cluster=cluster, request=request, progress=progress, mandate=mandate
        )
    warnings: list[str] = []
    if request.plan_only:
        results = tuple(Result(step, step.action, step.reason, notes=_notes(step)) for step in prepared.steps)
    else:
        if not request.confirmed:
            _guard(config, prepared)
        results, warnings = _carry_out(config, cluster, prepared, request, progress, mandate)
    return Outcome(
        cluster=config.cluster,
        source=prepared.basis.source.cluster,
        revision=prepared.commit,
        signature=prepared.basis.chosen.signature,
        exported_at=prepared.exported_at,
        heartbeat=prepared.heartbeat,
        planned_only=request.plan_only,
        standby=prepared.basis.rules.standby,
        results=results,
        left_out=dict(prepared.wishes.left_out),
        unknown=dict(prepared.view.unknown),
        warnings=(*prepared.warnings, *warnings),
        seconds=time.monotonic() - begun,
        head=prepared.basis.standing.head,
        drifted=prepared.drifted,
        subject=prepared.subject,
        current_at=prepared.current_at,
    )


class TooManyDeletions(Refused):
    """The prune guard said no. `inventory` is as it was then: an import by a person changes it."""

    def __init__(self, message: str, *, hint: str, inventory: Inventory) -> None:
        super().__init__(message, hint=hint)
        self.inventory = inventory


def _guard(config: Importer, prepared: Prepared) -> None:
    """Raise TooManyDeletions when the plan deletes more than may go unasked."""
    pruned = [step.ref for step in prepared.steps if step.action is Action.PRUNE]
    members = sum(live.member_of == prepared.inventory.id for live in prepared.view.objects.values())
    guard = Guard(config.prune.max_deletions, config.prune.max_deletion_percent)
    objection = guard.objection(deletions=len(pruned), existing=members)
    if objection:
        raise TooManyDeletions(
            f"prune guard: {objection}",
            hint=f"Nothing was changed. Left Git: {some(pruned)}. `dr-syncer import --plan` shows all; "
            "if that is right, run again with --yes; see also importer.prune.",
            inventory=prepared.inventory,
        )


def _notes(step: Step) -> tuple[str, ...]:
    return step.wish.notes if step.wish else ()


def _carry_out(
    config: Importer,
    cluster: Cluster,
    prepared: Prepared,
    request: Request,
    progress: Progress,
    mandate: Mandate,
) -> tuple[tuple[Result, ...], list[str]]:
    """Write the inventory, then do what the plan says, then remember it; return the results and warnings."""
    written = [step.wish for step in prepared.steps if step.wish is not None]
    inventory = replace(
        prepared.inventory,
        source=prepared.basis.source.cluster,
        source_uid=prepared.basis.source.uid,
        followed=prepared.basis.standing.followed,
        head=prepared.basis.standing.head,
    )
    mandate.check()
    # Before the first write: an interrupted run must find again all that it made.
    inventory = inventory.with_members((wish.type for wish in written), (wish.ref.namespace for wish in written))
    inventory = prepared.basis.memory.claim(inventory, writes=any(step.action in WRITES for step in prepared.steps))
    staging = _staging(config, cluster, prepared, inventory, progress, mandate)
    results = staging.run(prepared.steps)
    if not mandate.holds():
        raise Abandoned("the import was abandoned: this replica does not lead any more")
    warnings = _remember(inventory, prepared, results, whole=not request.only)
    if any(result.abandoned for result in results):
        raise Abandoned("the import was abandoned: told to stop")
    return results, warnings


def _remember(inventory: Inventory, prepared: Prepared, results: Sequence[Result], *, whole: bool) -> list[str]:
    """Save what the next import can save work with; return warnings."""
    try:
        settled = _settled(inventory, prepared, results, whole=whole)
        sure = prepared.basis.memory.settle(settled, _records(prepared, results, whole=whole))
    except ClusterError as error:
        # The report of what was done matters more now than the records, which only save work.
        return [f"the records could not be saved, so the next import asks for every object: {error}"]
    return [] if sure else [OVERLAPPED]


def _staging(
    config: Importer,
    cluster: Cluster,
    prepared: Prepared,
    inventory: Inventory,
    progress: Progress,
    mandate: Mandate,
) -> Staging:
    """Return how the plan is carried out, by the configuration."""
    return Staging(
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
                mandate=mandate,
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
        is_alone=prepared.basis.memory.is_alone,
    )


def _records(prepared: Prepared, results: Sequence[Result], *, whole: bool) -> dict[str, Record]:
    """Return what to remember after `results`.

    A failed object keeps its old record: its source differs, so that the next run reads it again.
    """
    found = {} if whole else dict(prepared.basis.records)
    found |= prepared.wishes.out
    for result in results:
        step = result.step
        if not step.path:
            continue
        if step.wish is not None and result.action in _WRITTEN:
            entry = result.entry or (step.live.entry if step.live else "")
            found[step.path] = Record(step.wish.source, step.ref, step.wish.digest, entry)
        elif step.path in prepared.basis.records:
            found[step.path] = prepared.basis.records[step.path]
    return found


_WRITTEN = frozenset({Action.CREATE, Action.UPDATE, Action.RECREATE, Action.UNCHANGED})


def _settled(inventory: Inventory, prepared: Prepared, results: Sequence[Result], *, whole: bool) -> Inventory:
    """Return the inventory after a run: without the types and namespaces that no member is left in.

    A type that DR does not serve now stays: its members may be there still, and are looked for when it is served again.
    """
    blocked = any(result.action is Action.BLOCKED for result in results)
    if not whole or blocked or prepared.view.unknown:
        return inventory
    kept = [result.step for result in results if result.action is not Action.PRUNE]
    types = {step.wish.type for step in kept if step.wish} | {step.live.type for step in kept if step.live}
    types |= {found.types[0] for found in prepared.carried}
    namespaces = {step.ref.namespace for step in kept if step.ref.namespace}
    served = {kind_of(versions[0]) for versions in prepared.discovery.served.values()}
    return replace(
        inventory,
        types=frozenset(kind_of(type_) for type_ in types) | (inventory.types - served),
        namespaces=frozenset(namespaces | {inventory.namespace}),
        revision=prepared.commit,
    )
