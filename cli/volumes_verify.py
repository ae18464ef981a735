"""`dr-syncer volumes verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn

if TYPE_CHECKING:
    from rich.console import Console

    from drsyncer.config.schema import Config
    from volumes.verifying import Outcome


@click.command("verify", short_help="Check that the data that recovery points name is there and whole.")
@options.config
@options.cluster
@options.output
@options.verbosity
@click.option(
    "--compare",
    metavar="COUNT",
    default="1",
    help="Snapshots to hold against the lists of their files: a number, or all. Default: 1, of at most 10 GiB.",
)
@click.option(
    "--read-data",
    "subset",
    metavar="SHARE",
    default="",
    help="Share of the data to read: 5%, 100%. Default: volumes.checkSubset.",
)
def verify(ctx: Context, compare: str, subset: str) -> None:
    """Check the restic repository, read a share of its data, and look for all that recovery points name.

    The share is `volumes.checkSubset`, another one each time. Each snapshot that a recovery point names
    which `volumes prune` would keep must be there, and have the list of its files. One of them, another
    one each time, is read as a whole and compared with that list: that is what the source had.

    Exit codes: 0 all is well; 1 something is missing, damaged or different, or the check failed; 3
    snapshots without the list of their files; 4 refused: what Git knows is incomplete, or the repository
    is in use.

    \b
    Examples:
      dr-syncer volumes verify
      dr-syncer volumes verify --read-data 100% --compare all
    """
    from cli.volumes_noted import noted
    from cli.volumes_sides import meeting_of, opening, section_of, subject_of
    from volumes.verifying import verify as run

    config, _ = ctx.load_exporter()
    section = section_of(config)
    share, count = _share(subset) or section.check_subset, _count(compare)
    with noted(config) as note:
        outcome = run(
            subject_of(config),
            opening(section),
            meeting_of(config, waits=lambda whom: warn([f"waiting for {whom}"])),
            subset=share,
            compare=count,
            progress=ctx.progress,
        )
        note(outcome)
    ctx.show(lambda out: _draw(out, outcome), outcome.to_data)
    warn(outcome.warnings)
    if outcome.complaint and config.server.events:
        _tell(config, outcome)
    ctx.exit(outcome.exit_code)


def _tell(config: Config, outcome: Outcome) -> None:
    """Write a Kubernetes Event, where the exporter's are."""
    from cli.events import teller_of
    from drsyncer.service.reasons import BACKUPS_DAMAGED

    teller = teller_of(config, "exporter")
    teller.start()
    teller.tell(BACKUPS_DAMAGED, outcome.complaint)
    teller.stop()


def _share(text: str) -> str:
    from drsyncer.config.volumes import SUBSET
    from drsyncer.errors import UsageError

    if text and not SUBSET.fullmatch(text):
        raise UsageError(f"--read-data {text}: expected a percentage", hint="From 1% to 100%.")
    return text


def _count(text: str) -> int | None:
    from drsyncer.errors import UsageError

    if text == "all":
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--compare {text}: expected a number", hint="Such as 3, 0 for none, or all.")
    return int(text)


def _draw(out: Console, outcome: Outcome) -> None:
    from cli import render
    from drsyncer.wording import many

    bad = outcome.exit_code != 0
    render.line(
        out,
        f"{outcome.cluster}: the restic repository {outcome.repository[:12]} "
        + ("is not as it should be" if bad else "is well"),
        style="bold red" if bad else "bold",
    )
    render.line(out, f"{many(outcome.named, 'snapshot')} named by recovery points; data read: {outcome.subset}")
    told = f"compared with what the source had: {len(outcome.compared):,} of {outcome.comparable:,}"
    render.line(out, told)
    for one in outcome.compared:
        for text in one.differences:
            render.paragraph(out, f"{one.pair.claim}, {one.pair.snapshot.id[:8]}: {text}", style="bold red")
        if one.total > len(one.differences):
            render.line(out, f"… and {one.total - len(one.differences):,} more")
    for lock in outcome.unlocked:
        render.paragraph(out, f"removed, since its pod is dead: {lock}")
    for claim, ids in outcome.missing.items():
        render.paragraph(out, f"{claim}: not in the repository: {_named(ids)}", style="bold red")
    for claim, ids in outcome.unlisted.items():
        render.paragraph(out, f"{claim}: without the list of their files: {_named(ids)}", style="bold red")
    for error in outcome.errors:
        render.paragraph(out, f"restic: {error}", style="bold red")
    if outcome.errors_total > len(outcome.errors):
        render.line(out, f"… and {outcome.errors_total - len(outcome.errors):,} more")


def _named(ids: tuple[str, ...]) -> str:
    from drsyncer.wording import some

    return some([id_[:8] for id_ in ids])
