"""One import: the DR cluster brought to a recovery point, or the plan of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Importer
from drsyncer.errors import ClusterError, Refused
from drsyncer.guard import Guard
from drsyncer.progress import Progress
from drsyncer.recovery.git import Clone, Remote
from drsyncer.wording import some
from importer.apply import Applier, Options, Result
from importer.inventory import Inventory, kind_of
from importer.outcome import OVERLAPPED, Outcome
from importer.plan import WRITES, Action, Step
from importer.preparation import Prepared, Request, prepare
from importer.records import Record
from importer.staging import Staging, occupants
from transforms.select import Selection


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
    warnings: list[str] = []
    if request.plan_only:
        results = tuple(Result(step, step.action, step.reason, notes=_notes(step)) for step in prepared.steps)
    else:
        if not request.confirmed:
            _guard(config, prepared)
        results, warnings = _carry_out(config, cluster, prepared, request, progress)
    return Outcome(
        cluster=config.cluster,
        source=prepared.identity.cluster,
        revision=prepared.commit,
        signature=prepared.signature,
        exported_at=prepared.exported_at,
        heartbeat=prepared.heartbeat,
        planned_only=request.plan_only,
        standby=prepared.rules.standby,
        results=results,
        left_out=dict(prepared.wishes.left_out),
        unknown=dict(prepared.view.unknown),
        warnings=(*prepared.warnings, *warnings),
        seconds=time.monotonic() - begun,
    )


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
) -> tuple[tuple[Result, ...], list[str]]:
    """Write the inventory, then do what the plan says, then remember it; return the results and warnings."""
    written = [step.wish for step in prepared.steps if step.wish is not None]
    inventory = replace(
        prepared.inventory,
        source=prepared.identity.cluster,
        source_uid=prepared.identity.uid,
        followed=prepared.standing.followed,
        head=prepared.standing.head,
    )
    # Before the first write: an interrupted run must find again all that it made.
    inventory = inventory.with_members((wish.type for wish in written), (wish.ref.namespace for wish in written))
    memory = prepared.memory
    inventory = memory.claim(inventory, writes=any(step.action in WRITES for step in prepared.steps))
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
        is_alone=memory.is_alone,
    )
    results = staging.run(prepared.steps)
    return results, _remember(inventory, prepared, results, whole=not request.only)


def _remember(inventory: Inventory, prepared: Prepared, results: Sequence[Result], *, whole: bool) -> list[str]:
    """Save what the next import can save work with; return warnings."""
    try:
        settled = _settled(inventory, prepared, results, whole=whole)
        sure = prepared.memory.settle(settled, _records(prepared, results, whole=whole))
    except ClusterError as error:
        # The report of what was done matters more now than the records, which only save work.
        return [f"the records could not be saved, so the next import asks for every object: {error}"]
    return [] if sure else [OVERLAPPED]


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
