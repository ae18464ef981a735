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
@click.option(
    "--revision", metavar="REV", default="", help="Commit, tag or branch. Default: what importer.revision names."
)
@options.namespaces
@click.option("--offline", is_flag=True, help="Do not ask the restic repository; go by what Git says.")
def list_(ctx: Context, revision: str, namespaces: tuple[str, ...], offline: bool) -> None:
    """Show the newest whole snapshot of each volume, its age, and how the last attempt ended.

    By what the recovery point says, and by the restic repository, which is asked whether the snapshots
    are really there. No cluster is asked: both may be gone. The recovery point is the one of --revision,
    else the one that `importer.revision` names, which a restore goes by, else the newest. The age is the
    time since restic began to read: what would be lost now.

    Exit codes: 0 every volume is whole, there, and younger than `volumes.maxAge`; 3 one is not.

    \b
    Examples:
      dr-syncer volumes list
      dr-syncer volumes list --offline --namespace shop
      dr-syncer volumes list -o json | jq '.volumes[] | {claim, rpoSeconds}'
    """
    from cli.sides import fetch_if_possible, remote_of
    from drsyncer.errors import RevisionNotFound
    from drsyncer.recovery.git import Clone

    config = ctx.load_config()
    with Clone.open(remote_of(config.repository)) as clone:
        fetch_if_possible(clone)
        try:
            found = _review(config, clone, revision=revision, namespaces=namespaces, offline=offline)
        except RevisionNotFound as error:
            if clone.base() is None:
                error.hint = "The recovery repository has no such branch yet: run `dr-syncer export` first."
            raise
    ctx.show(lambda out: _draw(out, found), found.to_data)
    warn(found.warnings)
    ctx.exit(found.exit_code)


def _review(config: Config, clone: Clone, *, revision: str, namespaces: tuple[str, ...], offline: bool) -> Listing:
    from contextlib import ExitStack
    from dataclasses import replace
    from datetime import UTC, datetime

    from drsyncer.config.volumes import VolumeSelect
    from importer.following import configured
    from volumes.reviewing import review
    from volumes.supplies import restic_of

    section = config.volumes
    newest = f"refs/heads/{config.repository.branch}"
    head, by = newest, "--revision" if revision else ""
    if not revision and config.importer is not None and config.importer.revision.branch != config.repository.branch:
        head = configured(clone, config.importer.revision)
        by = f"importer.revision: {config.importer.revision.text}"
    unasked = "" if section and not offline else "--offline" if offline else "there is no section `volumes`"
    with ExitStack() as stack:
        restic = stack.enter_context(restic_of(section)) if section is not None and not unasked else None
        found = review(
            clone,
            head=head,
            revision=revision,
            namespaces=namespaces,
            select=section.select if section is not None else VolumeSelect(),
            max_age=section.max_age if section is not None else None,
            restic=restic,
            now=datetime.now(UTC),
            unasked=unasked,
        )
    return replace(found, by=by, warnings=(*found.warnings, *(_newer(clone, found, newest) if head != newest else ())))


def _newer(clone: Clone, found: Listing, newest: str) -> list[str]:
    """Return a warning when the importer is pinned to another recovery point than the newest one."""
    from drsyncer.errors import Refused, RevisionNotFound
    from volumes.points import choose, moment

    try:
        point = choose(clone, head=newest, needs_complete=False).point
    except RevisionNotFound:
        return []
    except Refused as error:
        return [f"this is what importer.revision names; the newest recovery point is refused: {error}"]
    if point.id == found.point.id:
        return []
    branch = newest.removeprefix("refs/heads/")
    return [
        f"this is what importer.revision names; the newest recovery point is {point.id[:12]} of {moment(point.time)}: "
        f"`--revision {branch}` shows it"
    ]


def _draw(out: Console, found: Listing) -> None:
    from cli import render
    from drsyncer.wording import many
    from volumes.points import moment

    point = found.point
    render.line(out, f"{point.source.cluster}: {many(len(found.rows), 'volume')}", style="bold")
    by = f" ({found.by})" if found.by else ""
    render.paragraph(out, f"recovery point {point.id[:12]} of {moment(point.time)}{by}")
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
    state = "left out" if row.left_out else str(row.state) if row.state is not None else "none"
    if snapshot is None:
        return name, state, "", "", "", "", ""
    stored = {True: "yes", False: "gone", None: "?"}[row.stored]
    age = span(row.age) if row.age is not None else ""
    return name, state, snapshot.id[:8], age, f"{snapshot.files:,}", size(snapshot.bytes), stored
