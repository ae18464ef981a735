"""What a run of backups did: one value for the text, the JSON and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from drsyncer.errors import ExitCode
from drsyncer.snapshot import Record
from volumes.endings import is_good
from volumes.result import Result
from volumes.selecting import Choice, Chosen


@dataclass(frozen=True, slots=True)
class Backup:
    """One claim in a run. `result` is None where no mover was run; `before` is what was known of the volume.

    `node` is where its mover had to run, "" for anywhere; `copied` says that it read a copy of the volume, `no_copy`
    why it did not, where it would have.
    """

    chosen: Chosen
    result: Result | None = None
    before: Record | None = None
    node: str = ""
    copied: bool = False
    no_copy: str = ""

    @property
    def good(self) -> bool:
        """Whether its data is in the repository as it should be."""
        return self.result is not None and is_good(self.result)

    @property
    def spotless(self) -> bool:
        """Whether it is good and nothing went wrong around it."""
        return self.good and self.result is not None and not self.result.message

    def to_data(self) -> dict[str, Any]:
        """Return this for `-o json`."""
        claim, result = self.chosen.claim, self.result
        data: dict[str, Any] = {
            "namespace": claim.namespace,
            "name": claim.name,
            "choice": str(self.chosen.choice),
            "check": self.chosen.check,
            "why": self.chosen.reason,
            "node": self.node or None,
            "copied": self.copied,
            "noCopy": self.no_copy or None,
        }
        if result is None:
            return data | {"state": None}
        snapshot = msgspec.to_builtins(result.snapshot) if result.snapshot else None
        return data | {
            "state": str(result.state),
            "reason": str(result.reason) or None,
            "message": result.message or None,
            "loss": result.loss or None,
            "start": result.start.isoformat(),
            "end": result.end.isoformat(),
            "seconds": round((result.end - result.start).total_seconds(), 3),
            "repository": result.repository or None,
            "snapshot": snapshot,
            "names": list(result.names),
            "namesTotal": result.names_total,
            "filesNew": result.files_new,
            "filesChanged": result.files_changed,
            "bytesAdded": result.bytes_added,
            "warnings": list(result.warnings),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, a UUID. `backups` are the claims that it was about, by name, those left out too.

    `held` says of workloads that they may stand still since a hook of an earlier run: somebody must look. `unlocked`
    are locks of dead pods that were removed.
    """

    cluster: str
    run: str
    dry_run: bool
    backups: Sequence[Backup]
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    held: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()

    def chosen(self, choice: Choice) -> list[Backup]:
        """Return the claims of which this became."""
        return [backup for backup in self.backups if backup.chosen.choice is choice]

    @property
    def exit_code(self) -> ExitCode:
        """0 all are whole, 3 some are, 1 none is; 4 when all that was wanted was refused."""
        selected, refused = self.chosen(Choice.SELECTED), self.chosen(Choice.REFUSED)
        if refused and not selected:
            return ExitCode.REFUSED
        if self.dry_run or all(backup.spotless for backup in selected):
            return ExitCode.PARTIAL if refused or self.held else ExitCode.DONE
        return ExitCode.PARTIAL if any(backup.good for backup in selected) else ExitCode.FAILED

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        states: dict[str, int] = {}
        for backup in self.backups:
            if backup.result is not None:
                states[str(backup.result.state)] = states.get(str(backup.result.state), 0) + 1
        return {
            "cluster": self.cluster,
            "run": self.run,
            "dryRun": self.dry_run,
            "selected": len(self.chosen(Choice.SELECTED)),
            "leftOut": len(self.chosen(Choice.LEFT_OUT)),
            "refused": len(self.chosen(Choice.REFUSED)),
            "states": states,
            "volumes": [backup.to_data() for backup in self.backups],
            "held": list(self.held),
            "unlocked": list(self.unlocked),
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
        }
