"""What a restore of volumes did, or would do: one value for the text, the JSON, the exit code, Events and metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from drsyncer.errors import ExitCode
from drsyncer.snapshot import Snapshot
from volumes.restore_plan import Step
from volumes.restore_why import Action, Why
from volumes.result import Result


class Ending(StrEnum):
    """What became of one volume."""

    RESTORED = "restored"
    UNCHANGED = "unchanged"
    PARTIAL = "partial"  # something is missing in it, or different from the manifest
    FAILED = "failed"
    LEFT_OUT = "left out"
    REFUSED = "refused"
    EXCLUDED = "excluded"  # as somebody wants it
    PLANNED = "restore"  # would be restored: only shown


_OF_ACTION = {
    Action.UNCHANGED: Ending.UNCHANGED,
    Action.LEFT_OUT: Ending.LEFT_OUT,
    Action.REFUSED: Ending.REFUSED,
    Action.EXCLUDED: Ending.EXCLUDED,
    Action.RESTORE: Ending.PLANNED,
}
# Of the Kubernetes Event about a claim in DR whose volume is not as the recovery point has it. What is left out has
# nothing that a restore could do about it, and mostly no claim.
EVENTS: Final = {
    Ending.PARTIAL: "RestorePartial",
    Ending.FAILED: "RestoreFailed",
    Ending.REFUSED: "RestoreRefused",
}
# What nobody needs to look at. Of what is excluded, nothing is known.
_WELL = frozenset({Ending.RESTORED, Ending.UNCHANGED, Ending.PLANNED, Ending.EXCLUDED})


@dataclass(frozen=True, slots=True)
class Done:
    """One volume and its ending. `reason` is a word for machines, `text` a sentence; `result` is of the mover."""

    step: Step
    ending: Ending
    reason: str
    text: str
    result: Result | None = None

    @property
    def unrecorded(self) -> bool:
        """Whether it was never backed up: the recovery point has no data that DR could lack."""
        return self.step.why is Why.NO_RECORD


@dataclass(frozen=True, slots=True)
class Outcome:
    """One restore of one recovery point, whose state is of `time`. `faults` are records in it that say nothing."""

    cluster: str
    source: str
    revision: str
    time: datetime
    planned_only: bool
    volumes: tuple[Done, ...]
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def summary(self) -> Counter[str]:
        """How many volumes ended how."""
        return Counter(str(done.ending) for done in self.volumes)

    @property
    def exit_code(self) -> ExitCode:
        """0 when all volumes but the excluded are whole; 1 when one failed; 4 when all others were refused; else 3."""
        endings = {done.ending for done in self.volumes}
        if endings <= _WELL:
            return ExitCode.PARTIAL if self.faults else ExitCode.DONE
        if Ending.FAILED in endings:
            return ExitCode.FAILED
        return ExitCode.REFUSED if endings - {Ending.EXCLUDED} == {Ending.REFUSED} else ExitCode.PARTIAL

    @property
    def may_do_more(self) -> bool:
        """Whether another try may restore what this one did not. What was never backed up is not a restore's to do."""
        return any(
            done.ending not in _WELL and done.step.why not in (Why.NO_RECORD, Why.NO_SNAPSHOT) for done in self.volumes
        )

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "cluster": self.cluster,
            "source": self.source,
            "revision": self.revision,
            "exportedAt": self.time.isoformat(),
            "plan": self.planned_only,
            "summary": dict(self.summary),
            "faults": list(self.faults),
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
            "volumes": [_data(done) for done in self.volumes],
        }


def undone(step: Step, ending: Ending | None = None, *, reason: str = "", text: str = "") -> Done:
    """Return the ending of a step for which no mover ran."""
    return Done(step, ending or _OF_ACTION[step.action], reason or str(step.why), text or step.text)


def _data(done: Done) -> dict[str, Any]:
    step, result = done.step, done.result
    return {
        "namespace": step.source.namespace,
        "name": step.source.name,
        "target": {"namespace": step.target.namespace, "name": step.target.name},
        "action": str(step.action),
        "state": str(done.ending),
        "reason": done.reason,
        "message": done.text,
        "note": step.note or None,
        "path": step.path or None,
        "snapshot": _snapshot(step.snapshot) if step.snapshot else None,
        "start": result.start.isoformat() if result else None,
        "end": result.end.isoformat() if result else None,
        "bytesWritten": result.bytes_added if result else None,
        "names": list(result.names) if result else [],
        "namesTotal": result.names_total if result else 0,
        "warnings": list(result.warnings) if result else [],
    }


def _snapshot(found: Snapshot) -> dict[str, Any]:
    return {
        "id": found.id,
        "tree": found.tree,
        "host": found.host,
        "state": str(found.state),
        "start": found.start.isoformat(),
        "files": found.files,
        "bytes": found.bytes,
    }
