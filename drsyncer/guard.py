"""The deletion guard: one commit never takes most of a recovery point away unasked."""

from __future__ import annotations

from dataclasses import dataclass

# A percentage of a handful means nothing: below this, only the absolute limit counts.
PERCENT_FLOOR = 5


@dataclass(frozen=True, slots=True)
class Guard:
    """At most `max_deletions` objects and `max_percent` percent of what is there at one time."""

    max_deletions: int
    max_percent: float

    def objection(self, *, deletions: int, existing: int) -> str:
        """Return why `deletions` out of `existing` objects are too many, or ""."""
        if deletions == 0:
            return ""
        if deletions > self.max_deletions:
            return f"{deletions} of {existing} objects would be deleted; the limit is {self.max_deletions}"
        percent = 100 * deletions / existing
        if deletions == existing or (deletions > PERCENT_FLOOR and percent > self.max_percent):
            return (
                f"{deletions} of {existing} objects ({percent:.0f} %) would be deleted; "
                f"the limit is {self.max_percent:g} %"
            )
        return ""
