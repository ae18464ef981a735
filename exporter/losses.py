"""What a recovery point has lost lately, for the deletion guard: a limit for each commit alone is none for a series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from drsyncer.recovery import layout, message

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from drsyncer.recovery.git import Clone, Commit


def lately(clone: Clone, head: str | None, now: Container[str], *, window: float) -> int:
    """Return how many objects that `head` had `window` seconds ago it has lost, and that `now`, its files, still lack.

    Raises GitError.
    """
    if head is None:
        return 0
    since = datetime.now(UTC) - timedelta(seconds=window)
    # Not all of a year's history: the exporter's own commits lie in the order of their times.
    return len(lost(takewhile(lambda commit: commit.time >= since, clone.history(head)), now))


def lost(commits: Iterable[Commit], now: Container[str]) -> set[str]:
    """Return the paths of the objects that `commits`, newest first, deleted, and that are not in `now`.

    Without those that they had created themselves: what comes and goes is no loss. What a person confirmed, and all
    before it, is settled.
    """
    first: dict[str, str] = {}  # what the oldest commit did to a path
    for commit in commits:
        said = message.parse(commit.message)
        if said is not None and said.confirmed:
            break
        first.update({path: status for status, path in commit.changes})
    before = {path for path, status in first.items() if status != "A" and layout.place_of(path) is not None}
    return {path for path in before if path not in now}
