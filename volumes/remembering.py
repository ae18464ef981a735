"""What a backup's result makes of the record of a volume: pure, and never a step back.

A snapshot is replaced only by a whole one that is newer. All else is an attempt, which says why there is no newer one.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from drsyncer.manifest import Manifest
from drsyncer.match import annotations_of
from drsyncer.own import BACKUP_RESULT
from drsyncer.snapshot import Attempt, Record, State, decode
from volumes.endings import is_good
from volumes.result import Result


def record_of(claim: Manifest) -> Record | None:
    """Return what a claim's annotation remembers, None when there is none. Raises ValueError when it is no record."""
    text = annotations_of(claim).get(BACKUP_RESULT)
    try:
        return None if text is None else decode(text)
    except ValueError as error:
        raise ValueError(f"the annotation {BACKUP_RESULT} {error}") from None


def remember(before: Record | None, result: Result, *, now: datetime) -> Record:
    """Return the record after a backup that ended with `result`, written down `now`.

    A result that is older than what is remembered changes nothing: it was written down late, by somebody else. But what
    is remembered of a time still to come is of a clock that was wrong, and stands in the way of nothing.
    """
    known = before.snapshot if before is not None else None
    if is_good(result) and result.snapshot is not None:
        if before is not None and known is not None and result.snapshot.start < known.start <= now:
            return before
        attempt = before.attempt if before is not None and _is_later(before.attempt, result, now) else None
        return Record(repository=result.repository, snapshot=result.snapshot, attempt=attempt)
    attempt = Attempt(
        state=result.state,
        start=result.start,
        end=result.end,
        reason=str(result.reason),
        message=result.message,
        snapshot=result.snapshot.id if result.snapshot else "",
        made=result.snapshot if result.snapshot and result.snapshot.state is State.PARTIAL else None,
    )
    if before is None:
        return Record(repository=result.repository, attempt=attempt)
    if (known is not None and result.end <= known.end <= now) or _is_later(before.attempt, result, now):
        return before
    return msgspec.structs.replace(before, repository=before.repository or result.repository, attempt=attempt)


def _is_later(attempt: Attempt | None, result: Result, now: datetime) -> bool:
    return attempt is not None and result.end < attempt.end <= now
