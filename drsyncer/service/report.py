"""A status as people read it: facts, tables and what is wrong, for the page and for the terminal alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drsyncer.service.cron import Cron
from drsyncer.service.judging import Concern, backups_of, concerns
from drsyncer.service.status import Backups, Commit, Counted, Item, Listed, Run, Status
from drsyncer.service.verification import Verdict, Verification
from drsyncer.wording import many, span

UNKNOWN = "not known"
VERIFIED = "Backups were verified"


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what it is about, what is so, and when that was."""

    label: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table; `code`: it is a name or an id; `number`: it is aligned to the right."""

    text: str
    at: datetime | None = None
    code: bool = False
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with as many cells as there are headers; `more` says what is not among them. `wrong`: it needs somebody."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: str = ""
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """One side, as of `now`."""

    side: str
    name: str
    cluster: str
    now: datetime
    state: str
    concerns: tuple[Concern, ...]
    freshness: tuple[Fact, ...]
    service: tuple[Fact, ...]
    tables: tuple[Table, ...]

    def age(self, at: datetime) -> str:
        """Return how long ago that was, in words."""
        return age(at, self.now)


def age(at: datetime, now: datetime) -> str:
    """Return how long ago that was, in words; of clocks that differ a little, nothing is told."""
    seconds = (now - at).total_seconds()
    return f"in {span(-seconds)}" if seconds < -1 else f"{span(seconds)} ago"


def exact(at: datetime) -> str:
    """Return a time as it is written here."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def report_of(status: Status, now: datetime, *, state: str = "") -> Report:
    """Return what there is to read; `state` is that of the replica that is asked, "" for the service as a whole."""
    return Report(
        side=status.side,
        name=status.name,
        cluster=status.cluster,
        now=now,
        state=state or str(status.state),
        concerns=concerns(status, now),
        freshness=tuple(_freshness(status, now)),
        service=tuple(_service(status, now)),
        tables=tuple(table for table in _tables(status, now) if table.rows),
    )


def _freshness(status: Status, now: datetime) -> Iterator[Fact]:
    importer = status.side == "importer"
    where = "in DR" if importer else "in the recovery point"
    yield Fact("Protected", f"{many(status.protected.objects, 'object')} {where}" + (", parked" * status.standby))
    if importer:
        yield Fact("State of the source that DR has", "" if status.recovery_point else UNKNOWN, status.recovery_point)
        yield Fact("Recovery point in DR", status.head[:12] or "none yet")
        if status.newest != status.head:
            yield Fact("Newest recovery point", status.newest[:12] or UNKNOWN)
        yield Fact("Git was asked", "" if status.looked else UNKNOWN, status.looked)
        yield Fact("DR was compared", "" if status.compared else UNKNOWN, status.compared)
        if status.volumes or status.volumes_behind.total:
            every = status.volumes + status.volumes_behind.total
            text = f"{status.volumes:,} of {every:,} have the data of the recovery point"
            yield Fact(
                "Volumes in DR", text + ("; the oldest of it is of" * bool(status.volumes_as_of)), status.volumes_as_of
            )
        if (backups := backups_of(status, now)) is not None:
            yield from backup_facts(backups, now)
    else:
        yield Fact("Newest recovery point", status.head[:12] or "none yet")
        yield Fact(
            "Changes that wait", f"{status.pending:,} for a commit, {many(status.unpushed, 'commit')} for a push"
        )
        if (known := status.verification) is not None or status.verify_within:
            yield Fact(VERIFIED, *(verified(known) if known is not None else ("never",)))
    beat = "Last heartbeat of the exporter" if importer else "Last heartbeat"
    yield Fact(beat, "" if status.heartbeat else UNKNOWN, status.heartbeat)
    yield Fact("Last run without fault", "" if status.last_success else "none yet", status.last_success)


def backup_facts(backups: Backups, now: datetime) -> Iterator[Fact]:
    """Yield how the newest backups of volumes are, and how old the oldest of them is."""
    states = ", ".join(f"{count:,} {state}" for state, count in _ranked(backups.states))
    asked = "" if backups.asked else "; restic was not asked"
    yield Fact("Backups of volumes", (f"{backups.volumes:,}: {states}" if states else "no volume") + asked)
    if backups.oldest is not None:
        within = f"; volumes.maxAge is {span(backups.max_age)}" if backups.max_age else ""
        yield Fact("Oldest of the newest whole ones", f"{age(backups.oldest, now)} ({exact(backups.oldest)}){within}")


def backup_table(backups: Backups) -> Table:
    """Return the volumes with whose backups something is wrong."""
    return _listed("Backups that are not as they should be", ("Volume", "Why"), backups.lacking, wrong=True)


def verified(known: Verification) -> tuple[str, datetime | None]:
    """Return what is known of the last verdict about the backups, and when that was."""
    if known.judged is None:
        return "never: it failed", None
    looked = f"{known.read} % of the data read, {known.compared:,} of {known.comparable:,} snapshots compared"
    if known.damage is not None:
        return f"damaged; {looked}", known.judged
    last = "well" if known.verdict is not Verdict.FAILED else "well, and the next one failed"
    return f"{last}; {looked}", known.judged


def _service(status: Status, now: datetime) -> Iterator[Fact]:
    yield Fact("Mode", status.mode)
    if status.schedule:
        yield Fact("Schedule", f"{status.schedule} ({status.timezone})")
        yield Fact("Next tick", "", Cron(status.schedule, status.timezone or "UTC").after(now))
    if status.follows:
        yield Fact("Follows", status.follows)
    if status.running:
        yield Fact("Run under way", status.running.cause, status.running.since)
    if status.last_run:
        yield Fact("Last run", _run(status.last_run), status.last_run.ended)
    if status.last_failure and status.last_failure != status.last_run:
        yield Fact("Last run with a fault", _run(status.last_failure), status.last_failure.ended)
    if status.request:
        became = f"{status.request.run.result}" if status.request.run else "not done yet"
        yield Fact("Last run that was asked for", became, status.request.seen)
    yield Fact("Started", f"version {status.program}" if status.program else "", status.started)
    yield Fact("This is what it told", "", status.told)


def _run(run: Run) -> str:
    took = span((run.ended - run.begun).total_seconds())
    return f"{run.result} after {took}, cause: {run.cause}" + (f"; {run.reason}" if run.reason else "")


def _tables(status: Status, now: datetime) -> Iterator[Table]:
    importer = status.side == "importer"
    troubles = [(Cell(one.what), Cell(one.text), Cell("", one.since)) for one in status.troubles]
    yield Table("Failing now", ("What", "How", "Since"), tuple(troubles), wrong=True)
    yield _listed("Blocked", ("Object", "Why"), status.blocked, wrong=True)
    yield _listed("Volumes without their data", ("Volume", "Why"), status.volumes_behind, wrong=True)
    if (backups := backups_of(status, now)) is not None:
        yield backup_table(backups)
    yield _listed("Not read in full", ("Type or object", "Why"), status.incomplete, wrong=True)
    yield _listed("Held until its backend answers", ("Object", "Why"), status.held)
    drift = "and left as they are" if status.leaves_drift else "and put back"
    yield _listed(f"Changed by other hands at the last look, {drift}", ("Object",), status.drifted)
    yield _listed("Volumes that are left alone, as configured", ("Volume", "By"), status.volumes_excluded)
    warnings = tuple((Cell(warning),) for warning in status.warnings)
    yield Table("Warnings of the last run", ("Warning",), warnings)
    yield Table(
        "Last recovery points in DR" if importer else "Last commits",
        ("Commit", "In DR" if importer else "Exported", "What"),
        tuple(_commit(commit, with_changes=importer) for commit in status.commits),
    )
    yield _counted("Protected, by type", "Type", status.protected.types)
    yield _counted("Protected, by namespace", "Namespace", status.protected.namespaces)
    left = tuple((Cell(check, code=True), Cell(f"{count:,}", number=True)) for check, count in _ranked(status.left_out))
    yield Table("Left out, as configured", ("Check", "Objects"), left)


def _listed(title: str, headers: tuple[str, ...], found: Listed, *, wrong: bool = False) -> Table:
    rows = tuple(_item(item, len(headers)) for item in found.items)
    more = found.total - len(found.items)
    return Table(title, headers, rows, f"and {more:,} more" if more > 0 else "", wrong)


def _item(item: Item, columns: int) -> tuple[Cell, ...]:
    return (Cell(item.what, code=True), Cell(item.why))[:columns]


def _commit(commit: Commit, *, with_changes: bool) -> tuple[Cell, ...]:
    # An exporter's subjects tell what changed.
    changes = ", ".join(f"{what} {count:,}" for what, count in sorted(commit.changes.items()) if with_changes)
    what = f"{commit.subject} ({changes})" if commit.subject and changes else commit.subject or changes
    return Cell(commit.id[:12], code=True), Cell("", commit.time), Cell(what)


def _counted(title: str, header: str, found: Counted) -> Table:
    rows = tuple((Cell(name, code=True), Cell(f"{count:,}", number=True)) for name, count in _ranked(found.most))
    more = found.kinds - len(rows)
    return Table(title, (header, "Objects"), rows, f"and {more:,} more" if more > 0 else "")


def _ranked(found: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
