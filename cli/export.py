"""`dr-syncer export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn
from cli.sides import remote_of, source_of

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.explain import Explanation
    from exporter.outcome import Outcome
    from exporter.volume_records import RecordFile

_MOST_CHANGES = 40  # lines on a terminal; the commit and -o json have them all


@click.command("export", short_help="Commit the source cluster to the recovery repository.")
@options.config
@options.cluster
@options.output
@options.verbosity
@click.option("--dry-run", is_flag=True, help="Show the commit that would be made; write nothing.")
@click.option("--explain", metavar="OBJECT", help="Say why an object is in or out: [NAMESPACE/]TYPE/NAME.")
@click.option("--yes", is_flag=True, help="Confirm deletions that the guard holds back.")
@click.option("--adopt", is_flag=True, help="Take over a path that belongs to another cluster.")
def export(ctx: Context, dry_run: bool, explain: str | None, yes: bool, adopt: bool) -> None:
    """Commit the source cluster to the recovery repository.

    Reads every selected type once, leaves out what the cluster made by itself, and commits and pushes
    what changed since the last export. Nothing changed, nothing committed.

    Exit codes: 0 done; 1 failed, or the commit did not reach the remote; 3 some types could not be
    read (nothing of theirs is deleted from Git); 4 refused by the deletion guard or the cluster check.

    \b
    Examples:
      dr-syncer export
      dr-syncer export --dry-run
      dr-syncer export --explain shop/deployments.apps/web
      dr-syncer export --context prod -o json
    """
    config, section = ctx.load_exporter()
    cluster = source_of(section)
    if explain:
        from exporter.explain import explain as explain_object

        explanation = explain_object(config=section, cluster=cluster, text=explain)
        ctx.show(lambda out: _draw_explanation(out, explanation), explanation.to_data)
        return
    from exporter.action import Request
    from exporter.action import export as run

    outcome = run(
        config=section,
        remote=remote_of(config.repository),
        cluster=cluster,
        request=Request(dry_run=dry_run, confirmed=yes, adopt=adopt),
        progress=ctx.progress,
    )
    ctx.show(lambda out: _draw(out, outcome), outcome.to_data)
    warn(outcome.warnings)
    if outcome.push_error is not None:
        if outcome.commit:
            warn([f"commit {outcome.commit[:12]} is kept here; the next export pushes it"])
        raise outcome.push_error
    ctx.exit(outcome.exit_code)


def _draw(out: Console, outcome: Outcome) -> None:
    from cli import render

    title = f"{outcome.cluster}: " + (
        "dry run, nothing was written"
        if outcome.dry_run
        else f"commit {outcome.commit[:12]}"
        if outcome.commit
        else f"nothing changed since {outcome.head[:12]}"
        if outcome.head
        else "nothing to export"
    )
    render.line(out, title, style="bold")
    if outcome.dry_run and (outcome.changes or outcome.volumes):
        render.line(out, f"would commit: {outcome.message.partition(chr(10))[0]}")
    counts = [f"{outcome.count(verb):,} {verb}" for verb in ("created", "updated", "deleted")]
    render.line(out, f"{', '.join(counts)}, {outcome.unchanged:,} unchanged in {outcome.seconds:.1f} s")
    rows = [(str(change.verb), str(change.ref), ", ".join(change.managers)) for change in outcome.changes]
    rows += [("volume", f"{change.namespace}/{change.name}", str(change)) for change in outcome.volumes]
    render.table(out, rows[:_MOST_CHANGES])
    if len(rows) > _MOST_CHANGES:
        render.line(out, f"… and {len(rows) - _MOST_CHANGES:,} more; -o json lists them all")
    excluded = sum(outcome.excluded.values())
    if excluded:
        render.line(out, f"left out: {excluded:,} objects (export --explain OBJECT says why)")
    for name, reason in outcome.incomplete.items():
        render.paragraph(out, f"incomplete: {name}: {reason}", style="bold red")


def _draw_explanation(out: Console, explanation: Explanation) -> None:
    from cli import render
    from exporter.filing import Filed

    result = explanation.result
    included = isinstance(result, Filed)
    render.line(out, f"{explanation.ref}: {'exported' if included else 'left out'}", style="bold")
    rows = [
        ("passed" if passage.passed else "stopped", passage.check, passage.reason) for passage in explanation.passages
    ]
    render.table(out, rows, headers=("", "CHECK", "WHY"))
    if isinstance(result, Filed):
        render.line(out, f"file: {result.path}" + (f" (encrypted: {result.encrypt.text})" if result.encrypt else ""))
        if result.record is not None:
            render.paragraph(out, _told_of_record(result.record))
        if result.cleaned_by:
            render.paragraph(out, f"cleaned by: {', '.join(result.cleaned_by)}")
    else:
        render.paragraph(out, f"left out by {result.check}: {result.reason}")


def _told_of_record(record: RecordFile) -> str:
    if record.change is None:
        return f"volume: {record.path} stays as it is: {record.fault}"
    return f"volume: {record.path} ({record.change})"
