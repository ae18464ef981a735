"""`dr-syncer volumes prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn

if TYPE_CHECKING:
    from rich.console import Console

    from volumes.pruning import Outcome

_MOST = 40  # lines; -o json has them all
_STYLES = {"forget": "red", "forgot": "red"}


@click.command("prune", short_help="Forget the snapshots that nothing needs, and remove their data.")
@options.config
@options.cluster
@options.output
@options.verbosity
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten, and why; change nothing.")
@click.option("--rewritten", is_flag=True, help="Go by a history that is not that of the last prune, gone on.")
def prune(ctx: Context, dry_run: bool, rewritten: bool) -> None:
    """Forget the snapshots of the source cluster's volumes that nothing needs, and remove their data.

    Kept is what a recovery point names that is among the newest ones, young enough, or has a tag, and
    what the counts of `volumes.retention` keep of each volume. Nothing at all is forgotten while it is
    not known for certain what recovery points name, or the exporter's last heartbeat is more than a day
    old: what Git knows may be behind then. Nor when the branch does not go on from where the last prune
    found it, until somebody says that this is meant (--rewritten). Snapshots of other clusters and
    other programs are never touched. It is alone with the repository meanwhile: backups wait, or it
    waits for them.

    Exit codes: 0 done; 1 failed; 3 done, but volumes wait for somebody to look at them, or snapshots
    that recovery points name are not there; 4 refused: what Git knows is incomplete, behind, or not what
    it was, or the repository is in use.

    \b
    Examples:
      dr-syncer volumes prune --dry-run
      dr-syncer volumes prune
    """
    from cli.volumes_sides import meeting_of, opening, section_of, subject_of
    from volumes.pruning import prune as run

    config, _ = ctx.load_exporter()
    section = section_of(config)
    progress = ctx.progress
    outcome = run(
        subject_of(config),
        opening(section),
        meeting_of(config, waits=lambda whom: warn([f"waiting for {whom}"])),
        dry_run=dry_run,
        rewritten=rewritten,
        progress=progress,
    )
    ctx.show(lambda out: _draw(out, outcome), outcome.to_data)
    warn(outcome.warnings)
    ctx.exit(outcome.exit_code)


def _draw(out: Console, outcome: Outcome) -> None:
    from cli import render
    from drsyncer.wording import many

    gone, kept = outcome.forgotten, len(outcome.plan.verdicts) - len(outcome.forgotten)
    verb = "would be forgotten" if outcome.dry_run else "forgotten"
    title = f"{outcome.cluster}: {many(len(gone), 'snapshot')} {verb}, {kept:,} kept"
    others = f", {outcome.plan.others:,} of others not touched" if outcome.plan.others else ""
    render.line(out, title + others, style="bold")
    rows = [
        (
            "forget" if outcome.dry_run else "forgot",
            one.claim,
            one.snapshot.id[:8],
            f"{one.snapshot.time:%Y-%m-%d %H:%M}",
            one.reason,
        )
        for one in gone
    ]
    render.table(out, rows[:_MOST], styles=_STYLES)
    if len(rows) > _MOST:
        render.line(out, f"… and {len(rows) - _MOST:,} more; -o json lists them all")
    for lock in outcome.unlocked:
        render.paragraph(out, f"removed, since its pod is dead: {lock}")
    for claim, reason in outcome.plan.blocked.items():
        render.paragraph(out, f"{claim}: nothing is forgotten: {reason}", style="bold red")
    for claim, ids in outcome.plan.missing.items():
        names = ", ".join(id_[:8] for id_ in ids[:3])
        render.paragraph(out, f"{claim}: not in the repository: {names}", style="bold red")
