"""`dr-syncer status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.context import Context
from drsyncer.errors import ExitCode
from drsyncer.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

    from cli.overview import Overview, Repository, Side
    from drsyncer.config.schema import Config
    from drsyncer.service.report import Cell, Fact, Table

_LABEL = 33  # columns
_MOST_ROWS = 12  # of one table on a terminal
_COUNTED = 6
# What the repository says itself, and sooner.
_SAID_BY_GIT = ("Last heartbeat", "Last heartbeat of the exporter", "State of the source that DR has", "Last commits")


@click.command("status", short_help="Show both sides at a glance, and what is wrong.")
@options.config
@options.output
@options.verbosity
@click.option("--source-kubeconfig", metavar="FILE", default="", help="Kubeconfig of the source cluster.")
@click.option("--source-context", metavar="NAME", default="", help="Context of the source cluster.")
@click.option("--dr-kubeconfig", metavar="FILE", default="", help="Kubeconfig of the DR cluster.")
@click.option("--dr-context", metavar="NAME", default="", help="Context of the DR cluster.")
@click.option(
    "-n",
    "--namespace",
    default="",
    metavar="NAME",
    help="Namespace of the services' pods. Left out: wherever their status is found.",
)
def status(
    ctx: Context, source_kubeconfig: str, source_context: str, dr_kubeconfig: str, dr_context: str, namespace: str
) -> None:
    """Show how fresh the recovery point is, what DR has of it, and what is in the way.

    It asks the recovery repository and, as far as the configuration and the kubeconfigs reach, both clusters;
    each may be gone. What cannot be asked is said, and counts as wrong. A side without a section in the
    configuration is not asked.

    \b
    Exit codes: 0 all is well, 3 something is late, incomplete, blocked or
    cannot be asked, 1 nothing could be learned.

    \b
    Examples:
      dr-syncer status
      dr-syncer status --source-context prod --dr-context dr
      dr-syncer status -o json | jq -r '.concerns[].text'
    """
    from datetime import UTC, datetime

    from cli.overview import overview

    config = _pointed(
        ctx.load_config(),
        exporter={"kubeconfig": source_kubeconfig, "context": source_context},
        importer={"kubeconfig": dr_kubeconfig, "context": dr_context},
    )
    with ctx.progress.task("Asking", total=None):
        found = overview(config, datetime.now(UTC), namespace=namespace)
    ctx.show(lambda out: _draw(out, found), lambda: _data(found))
    ctx.exit(ExitCode.FAILED if not found.known else ExitCode.PARTIAL if found.wrong else ExitCode.DONE)


def _pointed(config: Config, **given: dict[str, str]) -> Config:
    """Return the configuration with what the flags say of the clusters."""
    changed = {}
    for name, flags in given.items():
        section = getattr(config, name)
        wanted = {key: value for key, value in flags.items() if value}
        if section is not None and wanted:
            changed[name] = section.model_copy(update=wanted)
    return config.model_copy(update=changed)


# For people


def _draw(out: Console, found: Overview) -> None:
    from cli import render
    from drsyncer.wording import many

    if found.wrong:
        render.line(out, f"! {many(len(found.wrong), 'thing needs', 'things need')} attention", style="bold red")
        for one in found.wrong:
            about = {"repository": "Git", "exporter": "source", "importer": "DR"}[one.about]
            _item(out, f"{about}: {one.concern.text}")
            if one.concern.hint:
                render.paragraph(out, one.concern.hint, indent=4, style="dim")
    else:
        render.line(out, "All is well: nothing fails, and nothing is blocked, incomplete or late.", style="bold green")
    _draw_repository(out, found)
    _draw_side(out, found.exporter, found, title="SOURCE")
    _draw_side(out, found.importer, found, title="DR")


def _item(out: Console, text: str) -> None:
    """Print one thing of a list, the lines after the first one below its text."""
    from cli import render

    first, *rest = render.wrapped(printable(text), out.width - 4)
    render.line(out, f"  - {first}")
    for line in rest:
        render.line(out, f"    {line}")


def _heading(out: Console, title: str, about: str) -> None:
    from cli import render

    render.line(out, "")
    render.paragraph(out, f"{title}  {about}".rstrip(), style="bold")


def _draw_repository(out: Console, found: Overview) -> None:
    from cli import render
    from drsyncer.service.report import backup_facts, backup_table

    repository = found.repository
    _heading(out, "GIT", f"{repository.url}, {repository.branch}")
    if not repository.known:
        render.line(out, "  not known: it cannot be asked")
        return
    _fact(out, "Newest recovery point", repository.head[:12] or "none yet")
    beat = repository.heartbeat
    if beat is None:
        _fact(out, "Last heartbeat", "none")
    else:
        _fact(out, "Last heartbeat", _when(beat.time, found) + ("" if beat.complete else ", incomplete"))
    backups = repository.backups if found.backups_seen is None else None  # else DR's importer tells it, and more
    for fact in backup_facts(backups, found.now) if backups is not None else ():
        _draw_fact(out, fact, found)
    if repository.commits:
        render.line(out, "")
        rows = [
            (f"  {entry.commit[:12]}", f"{entry.time:%Y-%m-%d %H:%M}", _subject(entry.subject, by_other=entry.by_other))
            for entry in repository.commits
        ]
        render.table(out, rows, headers=("  COMMIT", "UTC", "WHAT"))
    if backups is not None and (table := backup_table(backups)).rows:
        _draw_table(out, table, found)


def _subject(subject: str, *, by_other: bool) -> str:
    return f"{subject} (not made by dr-syncer)" if by_other else subject


def _draw_side(out: Console, side: Side, found: Overview, *, title: str) -> None:
    from cli import render
    from drsyncer.service.report import VERIFIED, Fact, report_of, verified

    _heading(out, title, side.cluster if side.configured else "")
    if not side.configured:
        render.line(out, f"  not asked: the configuration has no section {side.side}")
        return
    if side.error:
        render.line(out, "  not known: the cluster cannot be asked", style="bold red")
        return
    if side.side == "importer":
        _draw_dr(out, side, found)
    if side.status is None:
        render.paragraph(out, f"No service has told its status in {side.place}.", indent=2)
        if side.verification is not None:
            text, at = verified(side.verification)
            _draw_fact(out, Fact(VERIFIED, text, at), found)
        return
    report = report_of(side.status, found.now)
    _fact(out, "Service", report.state)
    known = _SAID_BY_GIT if found.repository.known else ()
    for fact in (*report.freshness, *report.service):
        if fact.label not in known:
            _draw_fact(out, fact, found)
    for table in report.tables:
        if table.title not in known:
            _draw_table(out, table, found)


def _draw_dr(out: Console, side: Side, found: Overview) -> None:
    from drsyncer.wording import many

    if side.inventory is None:
        _fact(out, "Imported so far", "not known: there is no inventory, or there are several")
        return
    _fact(out, "State", side.inventory.state)
    if found.recovery_point is not None:
        _fact(out, "State of the source it has", _when(found.recovery_point, found))
    if found.behind is not None:
        _fact(out, "Behind Git", many(found.behind, "commit"))


def _draw_fact(out: Console, fact: Fact, found: Overview) -> None:
    when = _when(fact.at, found) if fact.at else ""
    _fact(out, fact.label, ", ".join(part for part in (fact.text, when) if part))


def _fact(out: Console, label: str, text: str) -> None:
    from cli import render

    lines = render.wrapped(printable(text), out.width - _LABEL - 2)
    render.line(out, f"  {label:<{_LABEL}}{lines[0]}")
    for line in lines[1:]:
        render.line(out, f"  {'':<{_LABEL}}{line}")


def _when(at: Any, found: Overview) -> str:
    from drsyncer.service.report import age, exact

    return f"{age(at, found.now)} ({exact(at)})"


def _draw_table(out: Console, table: Table, found: Overview) -> None:
    from cli import render

    render.line(out, "")
    render.line(out, f"  {table.title}", style="bold red" if table.wrong else "bold")
    if table.rows[0][-1].number:
        shown = ", ".join(f"{row[0].text} {row[1].text}" for row in table.rows[:_COUNTED])
        more = len(table.rows) - _COUNTED
        render.paragraph(out, shown + (f" and {more:,} more" if more > 0 or table.more else ""), indent=4)
        return
    rows = [("    " + _cell(row[0], found), *(_cell(cell, found) for cell in row[1:])) for row in table.rows]
    render.table(out, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS or table.more:
        more_here = f"{len(rows) - _MOST_ROWS:,} more here, " if len(rows) > _MOST_ROWS else ""
        render.line(out, f"    … {more_here}{table.more or '-o json lists them'}", style="dim")


def _cell(cell: Cell, found: Overview) -> str:
    from drsyncer.service.report import age

    return age(cell.at, found.now) if cell.at else cell.text


# For machines


def _data(found: Overview) -> dict[str, Any]:
    from msgspec import to_builtins

    return {
        "checkedAt": found.now.isoformat(),
        "verdict": "unknown" if not found.known else "attention" if found.wrong else "well",
        "concerns": [
            {"about": one.about, "text": one.concern.text, "hint": one.concern.hint or None} for one in found.wrong
        ],
        "recoveryPoint": found.recovery_point.isoformat() if found.recovery_point else None,
        "behind": found.behind,
        "backups": _backups_data(found),
        "repository": _repository_data(found.repository),
        "exporter": {
            **_side_data(found.exporter),
            "verification": to_builtins(found.exporter.verification) if found.exporter.verification else None,
        },
        "importer": {
            **_side_data(found.importer),
            "inventory": _inventory_data(found.importer),
            "halfRestored": dict(found.importer.half_restored),
        },
    }


def _backups_data(found: Overview) -> dict[str, Any] | None:
    from msgspec import to_builtins

    if found.backups is None:
        return None
    return {"by": "importer" if found.backups_seen is not None else "git", **to_builtins(found.backups)}


def _repository_data(repository: Repository) -> dict[str, Any]:
    beat = repository.heartbeat
    return {
        "url": repository.url,
        "branch": repository.branch,
        "error": repository.error or None,
        "head": repository.head or None,
        "heartbeat": {"time": beat.time.isoformat(), "head": beat.head or None, "complete": beat.complete}
        if beat
        else None,
        "commits": [
            {
                "commit": entry.commit,
                "time": entry.time.isoformat(),
                "exportedAt": entry.exported_at.isoformat() if entry.exported_at else None,
                "subject": entry.subject,
                "madeByDrSyncer": not entry.by_other,
                "incomplete": list(entry.incomplete),
            }
            for entry in repository.commits
        ],
    }


def _side_data(side: Side) -> dict[str, Any]:
    from msgspec import to_builtins

    return {
        "configured": side.configured,
        "cluster": side.cluster or None,
        "error": side.error or None,
        "configMap": {"namespace": side.place.namespace, "name": side.place.name} if side.place else None,
        "status": to_builtins(side.status) if side.status else None,
    }


def _inventory_data(importer: Side) -> dict[str, Any] | None:
    found = importer.inventory
    if found is None:
        return None
    return {
        "name": f"{found.namespace}/{found.name}",
        "state": found.state,
        "source": found.source or None,
        "follows": found.followed or None,
        "head": found.head or None,
        "revision": found.revision or None,
    }
