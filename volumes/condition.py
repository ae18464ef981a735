"""What a listing of volumes comes to at a glance, for the status of a service and for whoever asks both sides. Pure.

What it calls the states of claims without any backup is told by metrics and the status alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from drsyncer.service.status import Backups, Lack, listed
from drsyncer.snapshot import State
from volumes.listing import Listing, Row
from volumes.points import claim_text

# Of a claim that no backup has tried yet: it is younger than volumes.maxAge, or it is not.
WAITING, NEVER = "Waiting", "Never"
LEFT_OUT = "LeftOut"  # no backup is to be made of it any more
_RANK = {lack: rank for rank, lack in enumerate(Lack)}


def state_of(row: Row) -> str:
    """Return how a volume's newest backup ended, for how long it has waited for the first one, or that none is due."""
    if row.left_out:
        return LEFT_OUT
    return str(row.ended) if row.ended is not None else WAITING if row.new else NEVER


def _oldest(found: Listing) -> datetime | None:
    """Return when the oldest of the newest whole snapshots was begun, of those that are there and are still made."""
    known = [row for row in found.rows if row.age is not None and not row.left_out]
    snapshots = [row.record.snapshot for row in known if row.record is not None]
    return min((snapshot.start for snapshot in snapshots if snapshot is not None), default=None)


def lacks(row: Row, max_age: float | None) -> tuple[Lack, ...]:
    """Return what is wrong with the backups of a volume, the worst first."""
    return tuple(sorted(_lacks(row, max_age), key=lambda lack: _RANK[lack]))


def condition(found: Listing) -> Backups:
    """Return what there is to say of the backups, and which volumes need somebody."""
    every = [(lacks(row, found.max_age), row) for row in found.rows]
    wrong = sorted((pair for pair in every if pair[0]), key=lambda pair: (_RANK[pair[0][0]], pair[1].claim))
    counts = Counter(lack for which, _ in wrong for lack in which)
    counts[Lack.UNREADABLE] += len(found.faults)
    rows = [(claim_text(row.claim), "; ".join(row.problems)) for _, row in wrong]
    unread = [(path, text.removeprefix(f"{path}:").strip()) for path, text in sorted(found.faults.items())]
    return Backups(
        volumes=len(found.rows) + len(found.faults),
        states=dict(Counter(state_of(row) for row in found.rows)),
        oldest=_oldest(found),
        max_age=found.max_age or 0.0,
        asked=not found.unasked,
        lacks={str(lack): counts[lack] for lack in Lack if counts[lack]},
        lacking=listed([*unread, *rows]),
    )


def _lacks(row: Row, max_age: float | None) -> Iterator[Lack]:
    record = row.record
    if record is None:
        if not row.new:
            yield Lack.NEVER
        return
    is_gone = record.snapshot is not None and row.stored is False
    if is_gone:
        yield Lack.GONE
    if row.unlisted:
        yield Lack.UNLISTED
    if record.left_out:
        return
    if record.snapshot is None:
        yield Lack.NEVER_WHOLE
    elif not is_gone and (row.age is None or (max_age is not None and row.age > max_age)):
        yield Lack.OLD
    if record.suspected is not None:
        yield Lack.SUSPICIOUS
    if record.attempt is not None and record.attempt.state is not State.EMPTY:
        yield Lack.NOT_WHOLE
