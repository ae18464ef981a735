"""What a backup's result makes of the record of a volume: pure, and never a step back.

A snapshot is replaced only by a whole one that is newer. All else is an attempt, which says why there is no newer one.
"""

from __future__ import annotations

import msgspec

from drsyncer.manifest import Manifest
from drsyncer.match import annotations_of
from drsyncer.own import BACKUP_RESULT
from drsyncer.snapshot import Attempt, Record, decode
from volumes.endings import is_good
from volumes.result import Result


def record_of(claim: Manifest) -> Record | None:
    """Return what a claim's annotation remembers, None when there is none. Raises ValueError when it is no record."""
    text = annotations_of(claim).get(BACKUP_RESULT)
    try:
        return None if text is None else decode(text)
    except ValueError as error:
        raise ValueError(f"the annotation {BACKUP_RESULT} {error}") from None


def remember(before: Record | None, result: Result) -> Record:
    """Return the record after a backup that ended with `result`.

    A result that is older than what is remembered changes nothing: it was written down late, by somebody else.
    """
    if is_good(result) and result.snapshot is not None:
        if before is not None and before.snapshot is not None and before.snapshot.start > result.snapshot.start:
            return before
        attempt = before.attempt if before is not None and _is_later(before.attempt, result) else None
        return Record(repository=result.repository, snapshot=result.snapshot, attempt=attempt)
    attempt = Attempt(
        state=result.state,
        start=result.start,
        end=result.end,
        reason=str(result.reason),
        message=result.message,
        snapshot=result.snapshot.id if result.snapshot else "",
    )
    if before is None:
        return Record(repository=result.repository, attempt=attempt)
    if (before.snapshot and before.snapshot.end >= result.end) or _is_later(before.attempt, result):
        return before
    return msgspec.structs.replace(before, repository=before.repository or result.repository, attempt=attempt)


def _is_later(attempt: Attempt | None, result: Result) -> bool:
    return attempt is not None and attempt.end > result.end
