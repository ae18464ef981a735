"""What an export did: one value for the text, the JSON, the exit code and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drsyncer.errors import DrSyncerError, ExitCode
from drsyncer.recovery.message import Change, VolumeChange


@dataclass(frozen=True, slots=True)
class Outcome:
    """One export. `commit` is "" when nothing changed (or on a dry run); `head` is the newest recovery point.

    `excluded` counts objects by check; `incomplete` maps each type (or object) that could not be
    read to the reason; `push_error` is why a commit that was made did not reach the remote; `held` is
    why deletions were left out of the commit (a service goes on without them). `counts` tells how many objects the
    recovery point holds, by type and namespace ("" for cluster-scoped ones). `beaten` is the time of the heartbeat that
    reached the remote with it, `unpushed` how many commits did not. `volumes` are those whose record
    changed.
    """

    cluster: str
    dry_run: bool
    commit: str
    parent: str
    head: str
    changes: tuple[Change, ...]
    unchanged: int
    excluded: Mapping[str, int]
    incomplete: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    secrets_omitted: int = 0
    seconds: float = 0.0
    message: str = ""
    push_error: DrSyncerError | None = field(default=None)
    held: DrSyncerError | None = field(default=None)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    beaten: datetime | None = None
    unpushed: int = 0
    volumes: tuple[VolumeChange, ...] = ()

    def count(self, verb: str) -> int:
        """Return how many objects were `created`, `updated` or `deleted`."""
        return sum(change.verb == verb for change in self.changes)

    @property
    def exit_code(self) -> ExitCode:
        """1 when the commit did not reach the remote, 3 when something could not be read, else 0."""
        if self.push_error is not None:
            return ExitCode.FAILED
        return ExitCode.PARTIAL if self.incomplete else ExitCode.DONE

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "cluster": self.cluster,
            "dryRun": self.dry_run,
            "commit": self.commit or None,
            "parent": self.parent or None,
            "head": self.head or None,
            "created": [str(change.ref) for change in self.changes if change.verb == "created"],
            "updated": [str(change.ref) for change in self.changes if change.verb == "updated"],
            "deleted": [str(change.ref) for change in self.changes if change.verb == "deleted"],
            "volumes": [
                {"claim": f"{one.namespace}/{one.name}", "fate": str(one.fate), "said": one.said or None}
                for one in self.volumes
            ],
            "unchanged": self.unchanged,
            "excluded": dict(self.excluded),
            "incomplete": dict(self.incomplete),
            "secretsOmitted": self.secrets_omitted,
            "warnings": list(self.warnings),
            "pushError": str(self.push_error) if self.push_error else None,
            "seconds": round(self.seconds, 3),
        }
