"""The deletion guard: no commit, and no series of them, takes most of a recovery point away unasked."""

from __future__ import annotations

from dataclasses import dataclass

# A percentage of a handful means nothing: below this, only the absolute limit counts.
PERCENT_FLOOR = 5


@dataclass(frozen=True, slots=True)
class Guard:
    """At most `max_deletions` objects and `max_percent` percent of what is there."""

    max_deletions: int
    max_percent: float

    def objection(self, *, deletions: int, existing: int, lately: int = 0) -> str:
        """Return why `deletions` out of `existing` objects are too many after `lately` others, or ""."""
        if deletions == 0:
            return ""
        gone = deletions + lately
        after = f" after {lately} lately" if lately else ""
        if gone > self.max_deletions:
            return f"{deletions} of {existing} objects would be deleted{after}; the limit is {self.max_deletions}"
        percent = 100 * gone / (existing + lately)
        if deletions == existing or (gone > PERCENT_FLOOR and percent > self.max_percent):
            return (
                f"{deletions} of {existing} objects{after} ({percent:.0f} %) would be deleted; "
                f"the limit is {self.max_percent:g} %"
            )
        return ""
