"""`dr-syncer volumes list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn

if TYPE_CHECKING:
    from rich.console import Console

    from drsyncer.config.schema import Config
    from drsyncer.recovery.git import Clone
    from volumes.listing import Listing, Row

_STYLES = {
    "Complete": "green",
    "Unchanged": "green",
    **dict.fromkeys(("Partial", "Empty", "Failed", "Locked", "none", "gone"), "bold red"),
}


@click.command("list", short_help="Show what there is of each volume, and how old it is.")
@options.config
@options.output
@options.verbosity
@options.revision
@options.namespaces
@click.option("--offline", is_flag=True, help="Do not ask the restic repository; go by what Git says.")
def list_(ctx: Context, revision: str, namespaces: tuple[str, ...], offline: bool) -> None:
    """Show the newest whole snapshot of each volume, its age, and how the last attempt ended.

    By what the recovery point says, the newest one unless --revision names another, and by the restic
    repository, which is asked whether the snapshots are really there. No cluster is asked: both may be
    gone. The age is the time since restic began to read: what would be lost now.

    Exit codes: 0 every volume is whole, there, and younger than `volumes.maxAge`; 3 one is not.

    \b
    Examples:
      dr-syncer volumes list
      dr-syncer volumes list --offline --namespace shop
      dr-syncer volumes list -o json | jq '.volumes[] | {claim, rpoSeconds}'
    """
    from cli.sides import fetch_if_possible, remote_of
    from drsyncer.recovery.git import Clone

    config = ctx.load_config()
    with Clone.open(remote_of(config.repository)) as clone:
        fetch_if_possible(clone)
        found = _review(config, clone, revision=revision, namespaces=namespaces, offline=offline)
    ctx.show(lambda out: _draw(out, found), found.to_data)
    warn(found.warnings)
    ctx.exit(found.exit_code)


def _review(config: Config, clone: Clone, *, revision: str, namespaces: tuple[str, ...], offline: bool) -> Listing:
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from cli.volumes_sides import restic_of
    from drsyncer.config.volumes import VolumeSelect
    from volumes.reviewing import review

    section = config.volumes
    unasked = "" if section and not offline else "--offline" if offline else "there is no section `volumes`"
    with ExitStack() as stack:
        restic = stack.enter_context(restic_of(section)) if section is not None and not unasked else None
        return review(
            clone,
            head=f"refs/heads/{config.repository.branch}",
            revision=revision,
            namespaces=namespaces,
            select=section.select if section is not None else VolumeSelect(),
            max_age=section.max_age if section is not None else None,
            restic=restic,
            now=datetime.now(UTC),
            unasked=unasked,
        )


def _draw(out: Console, found: Listing) -> None:
    from cli import render
    from drsyncer.wording import many
    from volumes.points import moment

    point = found.point
    render.line(out, f"{point.source.cluster}: {many(len(found.rows), 'volume')}", style="bold")
    render.line(out, f"recovery point {point.id[:12]} of {moment(point.time)}")
    if found.unasked:
        render.line(out, f"restic was not asked ({found.unasked}): STORED is not known", style="yellow")
    headers = ("VOLUME", "STATE", "SNAPSHOT", "AGE", "FILES", "SIZE", "STORED")
    render.table(out, [_row(row) for row in found.rows], headers=headers, styles=_STYLES)
    for row in found.rows:
        for problem in row.problems:
            render.paragraph(out, f"{row.claim.namespace}/{row.claim.name}: {problem}", style="bold red")
    for fault in found.faults.values():
        render.paragraph(out, fault, style="bold red")


def _row(row: Row) -> tuple[str, ...]:
    from drsyncer.wording import size, span

    name = f"{row.claim.namespace}/{row.claim.name}"
    snapshot = row.record.snapshot if row.record is not None else None
    state = str(row.state) if row.state is not None else "none"
    if snapshot is None:
        return name, state, "", "", "", "", ""
    stored = {True: "yes", False: "gone", None: "?"}[row.stored]
    age = span(row.age) if row.age is not None else ""
    return name, state, snapshot.id[:8], age, f"{snapshot.files:,}", size(snapshot.bytes), stored
