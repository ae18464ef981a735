"""What a backup's result makes of the record of a volume: pure, and never a step back.

A snapshot is replaced only by a whole one that is newer. All else is an attempt, which says why there is no newer one.
That a volume seems to have lost its data is remembered until a newer backup is whole: a night when the backend is away
makes the volume no better.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from drsyncer.manifest import Manifest, metadata
from drsyncer.match import annotations_of
from drsyncer.own import BACKUP_RESULT
from drsyncer.snapshot import Attempt, Record, State, Suspicion, decode_of
from volumes.endings import is_good
from volumes.result import Reason, Result


def record_of(claim: Manifest) -> Record | None:
    """Return what a claim's annotation remembers of it, None when there is none, or it came with a copy of another one.

    Raises ValueError when it is no record.
    """
    text = annotations_of(claim).get(BACKUP_RESULT)
    try:
        return None if text is None else decode_of(text, str(metadata(claim).get("uid") or ""))
    except ValueError as error:
        raise ValueError(f"the annotation {BACKUP_RESULT} {error}") from None


def remember(before: Record | None, result: Result, *, now: datetime) -> Record:
    """Return the record after a backup that ended with `result`, written down `now`.

    A result that is older than what is remembered changes nothing, unless it raises a suspicion that no whole backup
    has ended since: it was written down late, by somebody else. But what is remembered of a time still to come is of a
    clock that was wrong, and stands in the way of nothing.
    """
    known = before.snapshot if before is not None else None
    if is_good(result) and result.snapshot is not None:
        if before is not None and known is not None and result.snapshot.start < known.start <= now:
            return before
        attempt = before.attempt if before is not None and _is_later(before.attempt, result, now) else None
        suspicion = before.suspected if before is not None and _is_later(before.suspected, result, now) else None
        if suspicion is not None and attempt is None:  # it alone is of a clock that was right
            attempt = _attempt_of(suspicion)
        return Record(repository=result.repository, snapshot=result.snapshot, attempt=attempt, suspicion=suspicion)
    if before is None:
        return Record(repository=result.repository, attempt=_attempt(result), suspicion=suspicion_of(result))
    adopted = before.adopted
    if before.repository not in ("", result.repository):
        if result.snapshot is not None:  # nobody makes one in a repository that is not meant
            adopted = result.repository
        if result.snapshot is not None and known is None:
            before, adopted = _moved(before, result.repository), None
        else:
            # The record is of one repository: who asks that one for this snapshot would call it lost.
            result = msgspec.structs.replace(result, snapshot=None)
    elif result.snapshot is not None:
        adopted = None
    attempt, suspicion = _attempt(result), suspicion_of(result)
    if known is not None and result.end <= known.end <= now:
        return before
    if suspicion is None or _is_later(before.suspected, result, now):
        suspicion = before.suspected
    if before.attempt is not None and _is_later(before.attempt, result, now):
        attempt = before.attempt
    repository = before.repository or result.repository
    return msgspec.structs.replace(before, repository=repository, attempt=attempt, suspicion=suspicion, adopted=adopted)


def _moved(record: Record, repository: str) -> Record:
    """Return a record without a whole snapshot as one of another repository, which has nothing of what it names."""
    attempt, suspicion = record.attempt, record.suspected
    return Record(
        repository=repository,
        attempt=msgspec.structs.replace(attempt, snapshot="", made=None) if attempt is not None else None,
        suspicion=msgspec.structs.replace(suspicion, snapshot="") if suspicion is not None else None,
    )


def suspicion_of(result: Result) -> Suspicion | None:
    """Return the suspicion that a result raises, None for none."""
    is_empty = result.state is State.EMPTY
    if is_good(result) or not (is_empty or result.loss):
        return None
    return Suspicion(
        start=result.start,
        end=result.end,
        reason=str(result.reason if is_empty else Reason.SHRUNK),
        message=result.message if is_empty else result.loss,
        snapshot=result.snapshot.id if result.snapshot else "",
    )


def _attempt(result: Result) -> Attempt:
    return Attempt(
        state=result.state,
        start=result.start,
        end=result.end,
        reason=str(result.reason),
        message=result.message,
        snapshot=result.snapshot.id if result.snapshot else "",
        made=result.snapshot if result.snapshot and result.snapshot.state is State.PARTIAL else None,
    )


def _attempt_of(suspicion: Suspicion) -> Attempt:
    return Attempt(
        state=State.EMPTY,
        start=suspicion.start,
        end=suspicion.end,
        reason=suspicion.reason,
        message=suspicion.message,
        snapshot=suspicion.snapshot,
    )


def _is_later(known: Attempt | Suspicion | None, result: Result, now: datetime) -> bool:
    return known is not None and result.end < known.end <= now
