"""What an import did, or would do: one value for the text, the JSON, the exit code and the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drsyncer.errors import ExitCode
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.signatures import Signature
from drsyncer.wording import some
from importer.apply import Result
from importer.plan import Action

OVERLAPPED = (
    "another import of this importer was at work in DR at the same time, so it is not certain which of the two wrote "
    "an object last: import again, alone; every object is applied anew then"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One import of one recovery point.

    `exported_at` is when the source was read (None: the commit does not say); `heartbeat` the last
    sign of life of its exporter; `signature` None when signatures are not verified. `unknown` maps
    types that DR could not list to the reason. `head` is the newest accepted commit of what is followed, `drifted`
    what other hands had changed, whether it was put back or not. `subject` is what the recovery point's commit says
    first, `current_at` when the source was known to be like it: its exporter's heartbeat, where that names it.
    """

    cluster: str
    source: str
    revision: str
    exported_at: datetime | None
    heartbeat: datetime | None
    planned_only: bool
    standby: bool
    results: tuple[Result, ...]
    signature: Signature | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    head: str = ""
    drifted: tuple[ObjectRef, ...] = ()
    subject: str = ""
    current_at: datetime | None = None

    @property
    def summary(self) -> Counter[str]:
        """How many objects met which action."""
        return Counter(str(result.action) for result in self.results)

    @property
    def exit_code(self) -> ExitCode:
        """1 when the cluster went away, 3 when something is blocked, unknown or uncertain, else 0."""
        if any(result.unreachable for result in self.results):
            return ExitCode.FAILED
        blocked = any(result.action is Action.BLOCKED for result in self.results)
        return ExitCode.PARTIAL if blocked or self.unknown or OVERLAPPED in self.warnings else ExitCode.DONE

    @property
    def may_pass(self) -> bool:
        """Whether another try may succeed where this one did not, although neither Git nor DR's objects change."""
        tried = any(
            result.action is Action.BLOCKED and result.step.action is not Action.BLOCKED and not result.lasting
            for result in self.results
        )
        return tried or bool(self.unknown)

    @property
    def left_undone(self) -> str:
        """What is not in DR as it should be, in a few words; "" for nothing."""
        blocked = [result.step.ref for result in self.results if result.action is Action.BLOCKED]
        parts = [f"{some(blocked)} blocked"] if blocked else []
        parts += [f"{some(sorted(self.unknown))} not listed"] if self.unknown else []
        return "; ".join(parts)

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "cluster": self.cluster,
            "source": self.source,
            "revision": self.revision,
            "exportedAt": self.exported_at.isoformat() if self.exported_at else None,
            "heartbeat": self.heartbeat.isoformat() if self.heartbeat else None,
            "signature": self.signature.to_data() if self.signature else None,
            "plan": self.planned_only,
            "standby": self.standby,
            "summary": dict(self.summary),
            "leftOut": dict(self.left_out),
            "unknown": dict(self.unknown),
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
            "objects": [_result_data(result) for result in self.results],
        }


def _result_data(result: Result) -> dict[str, Any]:
    ref = result.step.ref
    return {
        "type": ref.type,
        "namespace": ref.namespace,
        "name": ref.name,
        "action": str(result.action),
        "reason": result.reason,
        "error": result.error or None,
        "notes": list(result.notes),
        "milliseconds": result.milliseconds,
    }
