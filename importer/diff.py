"""The content of a plan: what DR has against what an import would make of it, as unified diffs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, ClusterUnreachable, Conflict, Invalid
from drsyncer.json import decode, encode_for_apply
from drsyncer.manifest import Manifest, ObjectRef, labels
from drsyncer.match import Subject, annotations_of
from drsyncer.sops.scope import Scope
from drsyncer.yaml.emit import emit
from importer import bodies
from importer.apply import said
from importer.inventory import Inventory
from importer.masking import masked, said_of
from importer.opening import OF_SECRETS, SECRETS, scopes_of
from importer.plan import Action, Step
from importer.preparation import Prepared
from transforms.clean import Cleaner

_SHOWN = (Action.CREATE, Action.UPDATE, Action.RECREATE, Action.PRUNE)


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that an import would change. `lines` is a unified diff; `error` is why there is none."""

    ref: ObjectRef
    action: Action
    reason: str
    lines: tuple[str, ...] = ()
    error: str = ""


def differences(cluster: Cluster, prepared: Prepared) -> Iterator[Difference]:
    """Yield what an import would change, in the plan's order. The API server itself works the result out (dry run).

    Secrets are masked. Blocked and held objects are yielded without lines.
    """
    differ = _Differ(cluster, prepared.inventory)
    for step in prepared.steps:
        if step.action is Action.BLOCKED:
            yield Difference(step.ref, step.action, step.reason, error=step.reason)
        elif step.action in _SHOWN:
            found = differ.differ(step)
            if found.lines or found.error:
                yield found


class _Differ:
    def __init__(self, cluster: Cluster, inventory: Inventory) -> None:
        self._cluster = cluster
        self._inventory = inventory
        self._cleaner = Cleaner()

    def differ(self, step: Step) -> Difference:
        scopes = [OF_SECRETS] if step.ref.type == SECRETS else []
        scopes += step.wish.confidential if step.wish else ()
        try:
            before = self._before(step, scopes)
            after = self._after(step)
        except ClusterUnreachable:
            raise
        except ClusterError as error:
            return Difference(step.ref, step.action, step.reason, error=_said(error, step))
        except ValueError as error:  # what no API server would take
            return Difference(step.ref, step.action, step.reason, error=str(error))
        before, after = masked(before, after, scopes)
        return Difference(
            step.ref,
            step.action,
            step.reason,
            tuple(unified(before, after, names=(f"live/{step.ref}", f"git/{step.ref}"))),
        )

    def _before(self, step: Step, scopes: list[Scope]) -> Manifest:
        """Return what DR has; add to `scopes` what an import has noted there as confidential."""
        if step.live is None:
            return {}
        found = self._cluster.read(step.live.type, namespace=step.ref.namespace, name=step.ref.name)
        scopes += scopes_of(annotations_of(found))
        return self._clean(step, found)

    def _after(self, step: Step) -> Manifest:
        if step.wish is None:
            return {}
        body = bodies.body_of(step.wish, applyset="" if step.shared else self._inventory.id)
        if step.live is None:
            return self._clean(step, body)
        try:
            applied = self._cluster.apply(
                step.wish.type,
                encode_for_apply(body),
                namespace=step.ref.namespace,
                name=step.ref.name,
                force=step.force,
                dry_run=True,
                manager=self._inventory.guest if step.shared else own.FIELD_MANAGER,
            )
        except (Conflict, Invalid):
            # What cannot be applied can still be shown: as it is meant.
            return self._clean(step, body)
        return self._clean(step, applied.manifest)

    def _clean(self, step: Step, manifest: Manifest) -> Manifest:
        type_ = step.wish.type if step.wish else step.live.type if step.live else None
        cleaned = self._cleaner.clean(Subject(step.ref, type_, manifest)).manifest
        kept = {key: value for key, value in labels(cleaned).items() if not key.startswith(own.APPLYSET_PREFIX)}
        if kept == labels(cleaned):
            return cleaned
        meta = {key: value for key, value in cleaned["metadata"].items() if key != "labels"}
        return cleaned | {"metadata": meta | ({"labels": kept} if kept else {})}


def _said(error: ClusterError, step: Step) -> str:
    text = said(error, step.ref)
    return said_of(decode(step.wish.data), step.wish.confidential, text) if step.wish else text


def unified(before: Manifest, after: Manifest, *, names: tuple[str, str]) -> Iterator[str]:
    """Yield the lines of a unified diff of two objects as files show them; an empty one is no file."""

    def text(manifest: Any) -> list[str]:
        return emit(manifest).decode().splitlines() if manifest else []

    yield from difflib.unified_diff(text(before), text(after), *names, lineterm="")
