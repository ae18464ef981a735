"""Whether what Git knows is of today: a volume that has lost its data since must not be treated as if it had not.

That a volume waits for somebody to look at it is noted on its claim, and nobody who prunes sees claims: it counts when
the exporter has brought it to Git. While the exporter is down, or its pushes are refused, backups go on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from drsyncer.recovery.git import Clone
from volumes.points import moment

# Longer than an exporter is away for an upgrade or a night without its remote, and shorter than what any count of
# `volumes.retention` spans. Nothing is lost by waiting: snapshots that are kept too long cost space.
STALE: Final = timedelta(days=1)


def behind(clone: Clone, now: datetime) -> str:
    """Return in a clause why Git may not know what became of volumes since; "" when it does, as far as can be told.

    By the exporter's heartbeat, as of the last fetch. Where there never was one, nobody says how old the newest
    recovery point may be. A schedule that leaves more than a day between two exports is meant that way: then the day
    counts from when the next one was due. Raises GitError when what is there is no heartbeat.
    """
    told = len(clone.notices)
    beat = clone.heartbeat()
    if beat is None:
        return "; ".join(clone.notices[told:])  # there is one, and nobody who may signed it
    # That it is not complete is no reason. It does not say of what: mostly of a type that nobody may list, for months,
    # and nothing would be pruned meanwhile. Should it be the claims, what Git has of them stays, and alerts tell of it.
    until = max(beat.time, beat.due or beat.time) + STALE
    if now <= until and beat.time - now <= STALE:  # one of a time to come says nothing of today
        return ""
    return f"the exporter's last heartbeat in the recovery repository is of {moment(beat.time)}"
