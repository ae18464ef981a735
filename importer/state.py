"""What the importer's service can say about itself at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from drsyncer.manifest import ObjectRef
from importer.outcome import Outcome
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


def only(refs: Mapping[str, str] | None) -> str:
    """Return the commit of the one ref that is followed; "" when there are several, or none."""
    return next(iter(refs.values())) if refs is not None and len(refs) == 1 else ""


def reached(seen: Mapping[str, str] | None, outcome: Outcome) -> Mapping[str, str] | None:
    """Return what of the refs is dealt with: the import fetched, so it may have come further than the look before."""
    return dict.fromkeys(seen, outcome.revision) if seen is not None and len(seen) == 1 else seen
