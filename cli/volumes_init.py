"""`dr-syncer volumes init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context

if TYPE_CHECKING:
    from rich.console import Console

    from volumes.initializing import Made


@click.command("init", short_help="Make the restic repository.")
@options.config
@options.output
@options.verbosity
def init(ctx: Context) -> None:
    """Make the restic repository that `volumes.restic` names, unless it is there already.

    Nothing else ever makes one: a backup that finds none fails, and so does a restore. One that is there
    and cannot be opened, with this password or just now, is left alone.

    Exit codes: 0 the repository is there; 1 it cannot be opened, or not be made; 4 something else is in
    its place.

    \b
    Examples:
      dr-syncer volumes init
    """
    from cli.volumes_sides import section_of
    from volumes.initializing import initialize
    from volumes.supplies import restic_of

    with restic_of(section_of(ctx.load_config())) as restic, ctx.progress.task("Asking the restic repository"):
        made = initialize(restic)
    ctx.show(lambda out: _draw(out, made), made.to_data)


def _draw(out: Console, made: Made) -> None:
    from cli import render

    what = "made" if made.created else "is there already"
    render.paragraph(out, f"restic repository {made.id[:12]} {what}: {made.location}")
    if made.created:
        render.paragraph(
            out, "Keep its password in a safe, away from both clusters: without it there is no way back to the data."
        )
