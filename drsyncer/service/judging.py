"""What is wrong with a side, for whoever looks at its status: the page's banner and the exit code of the command.

A pure function of a status and the time. What is not known counts as wrong: nobody may be told that all is well because
nobody has looked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from drsyncer.service.cron import Cron
from drsyncer.service.status import Backups, Lack, Result, State, Status
from drsyncer.service.verification import Damage, Verdict, due
from drsyncer.wording import many, span

SILENT = timedelta(minutes=11)  # a status is written every five minutes at least
BEAT_LATE = timedelta(minutes=5)  # a heartbeat comes every minute, if the remote lets it
TICK_LATE = timedelta(minutes=10)  # a run may take a while, and so may its start
UNSEEN = timedelta(hours=1)  # backups are looked at every five minutes, which may take a while
UNHEARD = timedelta(days=1, hours=1)  # where nobody knows how often the exporter is to run


_LACKING = {
    Lack.GONE: "The restic repository does not have the newest backup of {volumes}.",
    Lack.NEVER: "No backup has ever tried {volumes}.",
    Lack.NEVER_WHOLE: "No backup of {volumes} was ever whole.",
    Lack.OLD: "The newest whole backup of {volumes} is too old: volumes.maxAge is {age}.",
    Lack.UNREADABLE: "What Git says of the backups of {volumes} cannot be read.",
    Lack.SUSPICIOUS: "A backup of {volumes} found nothing, or far less than before; none since was whole.",
    Lack.NOT_WHOLE: "The newest backup of {volumes} was not whole.",
    Lack.UNLISTED: "The lists of files of {volumes} are not in the restic repository: no restore can be compared.",
}
_SHOWN = "Below, with the reasons; `dr-syncer volumes list` shows all."


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that is not as it should be, in a sentence, and what a person can do."""

    text: str
    hint: str = ""


def concerns(status: Status, now: datetime) -> tuple[Concern, ...]:
    """Return what is wrong, the worst first; nothing when all is well."""
    return (
        *_service(status, now),
        *_runs(status, now),
        *_content(status),
        *_backups(status, now),
        *_verification(status, now),
        *_freshness(status, now),
    )


def _service(status: Status, now: datetime) -> Iterator[Concern]:
    side = status.side
    if status.state is State.ENDED:
        yield Concern(f"Nobody works: the {side} ended {_ago(status.told, now)}.", f"Start `dr-syncer serve {side}`.")
    elif now - status.told > SILENT:
        yield Concern(
            f"The {side} has told nothing for {span((now - status.told).total_seconds())}: it may be dead.",
            "Look at its pod and its log.",
        )
    for trouble in status.troubles:
        yield Concern(f"{_upper(trouble.what)}: {trouble.text} (for {span((now - trouble.since).total_seconds())})")


def _runs(status: Status, now: datetime) -> Iterator[Concern]:
    last = status.last_run
    if last is None:
        yield Concern("No run has ended yet, as far as is known.")
    elif last.result in (Result.FAILED, Result.REFUSED):
        yield Concern(f"The last run, {_ago(last.ended, now)}, {last.result}: {last.reason}", last.hint)
    if status.mode == "scheduled" and status.schedule:
        since = status.settled or status.started
        missed = Cron(status.schedule, status.timezone or "UTC").missed(since, now - TICK_LATE)
        if missed:
            yield Concern(f"{many(missed, 'tick')} of the schedule passed since the last run that came about.")
    if status.request is not None and status.request.run is None and now - status.request.seen > TICK_LATE:
        yield Concern(f"A run was asked for {_ago(status.request.seen, now)} and has not ended yet.")


def _content(status: Status) -> Iterator[Concern]:
    importer = status.side == "importer"
    if status.blocked.total:
        yield Concern(
            f"{many(status.blocked.total, 'object is', 'objects are')} not in DR as Git has them.",
            "Below, with the reasons; `dr-syncer import --plan` shows all.",
        )
    if status.volumes_behind.total:
        yield Concern(
            f"{many(status.volumes_behind.total, 'volume', 'volumes')} in DR without the data of the recovery point.",
            "Below, with the reasons; `dr-syncer volumes restore --plan` shows all.",
        )
    if status.incomplete.total:
        told = "could not be listed in DR" if importer else "could not be read in full: what changed in them may lack"
        yield Concern(f"{many(status.incomplete.total, 'type')} {told}.")
    if status.guard:
        command = "import" if importer else "export"
        yield Concern(
            f"Deletions wait for somebody: {status.guard}", f"If they are right: `dr-syncer {command} --yes`."
        )
    if status.unpushed:
        yield Concern(f"{many(status.unpushed, 'commit is', 'commits are')} not pushed: DR cannot have them.")
    if status.drifted.total and status.leaves_drift:
        yield Concern(f"{many(status.drifted.total, 'object was', 'objects were')} changed by other hands in DR.")


def backups_of(status: Status, now: datetime) -> Backups | None:
    """Return what a side knows of the backups of volumes; None when it knows nothing, or nobody works there now."""
    works = status.state is State.WORKING and now - status.told <= SILENT
    return status.backups if works else None


def lacking(backups: Backups) -> Iterator[Concern]:
    """Yield what is wrong with the backups of volumes, the worst first."""
    counts = {lack: backups.lacks.get(lack, 0) for lack in _LACKING}
    known = [lack for lack, count in counts.items() if count]
    for lack in known:
        text = _LACKING[lack].format(volumes=many(counts[lack], "volume"), age=span(backups.max_age))
        yield Concern(text, _SHOWN if lack is known[-1] else "")


def _backups(status: Status, now: datetime) -> Iterator[Concern]:
    backups, seen = backups_of(status, now), status.backups_as_of
    if backups is None:
        return
    yield from lacking(backups)
    if seen is not None and status.told - seen > UNSEEN:
        yield Concern(
            f"The backups of volumes were last looked at {_ago(seen, now)}.",
            "The importer's log says why; `dr-syncer volumes list` asks anew.",
        )


def _verification(status: Status, now: datetime) -> Iterator[Concern]:
    known, until = status.verification, due(status)
    if known is not None and known.damage is not None:
        yield damaged(known.damage, now)
    if known is not None and known.verdict in (Verdict.UNLISTED, Verdict.FAILED):
        what = "failed" if known.verdict is Verdict.FAILED else "left something open"
        yield Concern(f"The last verification of the backups, {_ago(known.ended, now)}, {what}: {known.text}")
    if until is not None and now > until:
        late = span((now - until).total_seconds())
        yield Concern(
            f"The backups were not verified in time: a verdict has been due for {late}.",
            "The CronJob `verify`, or `dr-syncer volumes verify`; its log says why.",
        )


def damaged(damage: Damage, now: datetime) -> Concern:
    """Return what to say of damage that was found in the backups."""
    return Concern(
        f"Backups are damaged, found {_ago(damage.since, now)}: {damage.text}",
        "Once it is mended: `dr-syncer volumes verify --read-data 100% --compare all`.",
    )


def _freshness(status: Status, now: datetime) -> Iterator[Concern]:
    beat = status.heartbeat
    if status.side == "exporter":
        # What was told may be some minutes old itself.
        if status.mode == "continuous" and beat is not None and status.told - beat > BEAT_LATE:
            yield Concern(
                f"The last heartbeat is {span((now - beat).total_seconds())} old: "
                "nobody knows whether the recovery point is the source's state."
            )
        return
    if status.newest and status.head and status.newest != status.head and status.running is None:
        yield Concern(f"DR has {status.head[:12]}, and the newest recovery point is {status.newest[:12]}.")
    due = status.heartbeat_due
    # What was told may be some minutes old itself.
    if beat is not None and (status.told - due > BEAT_LATE if due is not None else now - beat > UNHEARD):
        yield Concern(f"The exporter has given no sign of life for {span((now - beat).total_seconds())}.")


def _ago(moment: datetime, now: datetime) -> str:
    return f"{span((now - moment).total_seconds())} ago"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
