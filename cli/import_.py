"""`dr-syncer import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn
from cli.sides import dr_of, remote_of

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from drsyncer.config.schema import Config, Importer
    from importer.funnel import Explanation
    from importer.outcome import Outcome

_MOST_ROWS = 40  # lines of one action on a terminal; -o json has them all
_QUIET = ("unchanged",)


@click.command("import", short_help="Bring the DR cluster to a recovery point.")
@options.config
@options.cluster
@options.output
@options.verbosity
@options.revision
@click.option(
    "--namespace",
    "-n",
    "namespaces",
    metavar="NAME",
    multiple=True,
    help="Only this namespace (as Git names it); repeatable.",
)
@click.option("--plan", "plan_only", is_flag=True, help="Show what would happen; change nothing.")
@click.option("--explain", metavar="OBJECT", help="Say what becomes of an object, and why: [NAMESPACE/]TYPE/NAME.")
@click.option("--yes", is_flag=True, help="Confirm deletions that the prune guard holds back.")
@click.option("--adopt", is_flag=True, help="Accept that the repository now holds another cluster.")
def import_(
    ctx: Context,
    revision: str,
    namespaces: tuple[str, ...],
    plan_only: bool,
    explain: str | None,
    yes: bool,
    adopt: bool,
) -> None:
    """Bring the DR cluster to a recovery point.

    Reads one commit of the recovery repository, transforms its objects as configured, applies what
    differs, stage by stage, and deletes its own objects that left Git. Workloads arrive in standby
    unless importer.standby.enabled is false. An unchanged recovery point writes nothing.

    Exit codes: 0 done; 1 failed; 3 some objects are blocked, each with its reason; 4 refused, nothing
    changed: no good signature, a branch that was taken back, the prune guard, another cluster, or
    another import at work.

    \b
    Examples:
      dr-syncer import --plan
      dr-syncer import --explain shop/deployments.apps/web
      dr-syncer import --revision 3f2c1a9 --namespace shop
      dr-syncer import --context dr -o json
    """
    from importer.action import import_recovery_point
    from importer.basis import Request

    config, section = ctx.load_importer()
    if explain:
        with ctx.refusals_shown():
            _explain(ctx, config, section, revision, explain)
        return
    with ctx.refusals_shown():
        outcome = import_recovery_point(
            config=section,
            remote=remote_of(config.repository),
            cluster=dr_of(section),
            request=Request(revision=revision, only=namespaces, plan_only=plan_only, confirmed=yes, adopt=adopt),
            progress=ctx.progress,
        )
    ctx.show(lambda out: _draw(out, outcome), outcome.to_data)
    warn(outcome.warnings)
    ctx.exit(outcome.exit_code)


def _explain(ctx: Context, config: Config, section: Importer, revision: str, text: str) -> None:
    from drsyncer.recovery.git import Clone
    from importer.funnel import explain

    with Clone.open(remote_of(config.repository)) as clone:
        found = explain(
            config=section, clone=clone, cluster=dr_of(section), revision=revision, text=text, progress=ctx.progress
        )
    ctx.show(lambda out: _draw_explanation(out, found), found.to_data)


def _draw_explanation(out: Console, found: Explanation) -> None:
    from cli import render

    title = f"{found.ref}: " + (
        f"{found.step.action}: {found.step.reason}" if found.step else "left out of the import" if found.path else ""
    )
    render.paragraph(out, title, style="bold")
    where = f"file: {found.path}" if found.path else "file: none, it left Git"
    render.paragraph(out, f"{where} (recovery point {found.revision[:12]})")
    if last := found.last_change:
        render.paragraph(
            out,
            f"last changed: {last.time:%Y-%m-%d %H:%M:%S} UTC in {last.commit[:12]} by {last.author}: {last.subject}",
        )
    rows = [("passed" if passage.passed else "stopped", passage.check, passage.reason) for passage in found.passages]
    render.table(out, rows, headers=("", "CHECK", "WHY"))
    if found.problem:
        render.paragraph(out, f"cannot be had: {found.problem}", style="bold red")
    if found.wish is None:
        return
    if found.target != found.ref:
        render.paragraph(out, f"in DR: {found.target}")
    render.paragraph(out, f"written as: {found.wish.type.api_version} {found.wish.type.kind}")
    for line in found.wish.applied:
        render.paragraph(out, f"transform: {line}")
    for note in found.wish.notes:
        render.paragraph(out, f"note: {note}", style="dim")
    if found.wish.held:
        render.paragraph(out, f"held: {found.wish.held}", style="magenta")


def _draw(out: Console, outcome: Outcome) -> None:
    from cli import render

    what = "plan for" if outcome.planned_only else "imported into"
    state = "standby" if outcome.standby else "active"
    render.paragraph(
        out,
        f"{what} {outcome.cluster}: recovery point {outcome.revision[:12]} of {outcome.source}, {state}",
        style="bold",
    )
    if outcome.exported_at:
        seen = f"; its exporter was last seen {age(outcome.heartbeat)}" if outcome.heartbeat else ""
        render.paragraph(
            out, f"source as of {outcome.exported_at:%Y-%m-%d %H:%M:%S} UTC, {age(outcome.exported_at)}{seen}"
        )
    if outcome.signature:
        render.paragraph(out, f"commit {outcome.signature.commit[:12]} {outcome.signature}")
    by_action: dict[str, list[tuple[str, str, str]]] = {}
    for result in outcome.results:
        action = str(result.action)
        by_action.setdefault(action, []).append((action, str(result.step.ref), result.error or result.reason))
    for action, rows in by_action.items():
        if action in _QUIET:
            continue
        if action == "held":
            _draw_held(out, rows)
            continue
        shown = rows if action == "blocked" else rows[:_MOST_ROWS]
        render.table(out, shown)
        if len(rows) > len(shown):
            render.line(out, f"… and {len(rows) - len(shown):,} more to {action}; -o json lists them all")
    for result in outcome.results:
        for note in result.notes:
            render.paragraph(out, f"note: {result.step.ref}: {note}", style="dim")
    for type_, reason in outcome.unknown.items():
        render.paragraph(out, f"unknown: {type_}: {reason}", style="bold red")
    summary = ", ".join(f"{count:,} {action}" for action, count in sorted(outcome.summary.items())) or "nothing to do"
    left_out = sum(outcome.left_out.values())
    if left_out:
        render.line(out, f"left out by the importer's selection: {left_out:,} objects")
    render.paragraph(out, f"{summary} in {outcome.seconds:.1f} s")


def _draw_held(out: Console, rows: list[tuple[str, str, str]]) -> None:
    """Print held objects by their reason: many wait for the same thing."""
    from cli import render
    from drsyncer.wording import some

    by_reason: dict[str, list[str]] = {}
    for _, name, reason in rows:
        by_reason.setdefault(reason, []).append(name)
    shown = []
    for reason, names in by_reason.items():
        shown.append(("held", some(names), reason))
    render.table(out, shown)


def age(then: datetime) -> str:
    """Return how long ago `then` was, as people say it: `4 min ago`."""
    from datetime import UTC, datetime

    seconds = max(int((datetime.now(UTC) - then).total_seconds()), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
