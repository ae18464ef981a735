"""Drift: what other hands did in DR to an object that an import had left as wished, and that Git did not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from importer.live import View
from importer.plan import Action, Step
from importer.records import Record

_PUT_BACK = frozenset({Action.CREATE, Action.UPDATE, Action.RECREATE})


def is_drift(step: Step, records: Mapping[str, Record], view: View) -> bool:
    """Return whether carrying out `step` would only put back what other hands changed or deleted.

    `records` are those of the last import, also when the plan was made without them.
    """
    record = records.get(step.path)
    if step.wish is None or record is None or step.action not in _PUT_BACK:
        return False
    if record.ref != step.ref or not record.entry or record.desired != step.wish.digest:
        return False
    live = view.objects.get(step.ref)
    return live is None or live.entry != record.entry


def left(step: Step) -> Step:
    """Return the step that leaves the object as it is."""
    return replace(
        step, action=Action.SKIP, reason=f"{step.reason}; left as it is until Git changes it (importer.drift.mode)"
    )
