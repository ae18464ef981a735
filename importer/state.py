"""What the importer's service can say about itself at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drsyncer.manifest import ObjectRef
from importer.troubles import Trouble


class Condition(StrEnum):
    """How the importer stands to the newest that it saw of what it follows."""

    UNKNOWN = "unknown"
    DONE = "done"
    PARTIAL = "partial"
    REFUSED = "refused"
    GUARDED = "guarded"


@dataclass(frozen=True, slots=True)
class State:
    """What can be said now, for whoever shows it.

    `seen` is the newest commit of what is followed, `imported` the recovery point that DR has: "" for not known.
    """

    leading: bool
    condition: Condition
    seen: str
    imported: str
    drifted: tuple[ObjectRef, ...]
    troubles: tuple[Trouble, ...]
