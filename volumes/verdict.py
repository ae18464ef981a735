"""What a backup or a restore is worth, once restic has brought it to its end."""

from __future__ import annotations

from dataclasses import dataclass

from drsyncer.snapshot import State
from volumes.result import Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, and why it is not better."""

    state: State
    reason: Reason = Reason.NONE
    message: str = ""
    names: tuple[str, ...] = ()  # of what is missing, or different; the first ones
    names_total: int = 0
    loss: str = ""  # backup: how much less there is than before, if that is suspicious and nobody confirmed it
    verified: str = ""  # restore: how it was compared and found equal
    warnings: tuple[str, ...] = ()
