"""`dr-syncer volumes backup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn

if TYPE_CHECKING:
    from rich.console import Console

    from volumes.claims import Key
    from volumes.outcome import Backup, Outcome

_STYLES = {
    "Complete": "green",
    "Unchanged": "dim",
    "Partial": "bold red",
    "Empty": "bold red",
    "Failed": "bold red",
    "Locked": "bold red",
    "refused": "bold yellow",
    "left out": "dim",
    "selected": "green",
}
_MOST_LEFT_OUT = 20  # lines; -o json has them all


@click.command("backup", short_help="Back up the volumes of the source cluster.")
@options.config
@options.cluster
@options.output
@options.verbosity
@click.option(
    "-n", "--namespace", "namespaces", metavar="NAME", multiple=True, help="Only the claims of this one; repeatable."
)
@click.option("--pvc", "claims", metavar="NS/NAME", multiple=True, help="Only this claim; repeatable.")
@click.option(
    "--confirm",
    "confirmed",
    metavar="NS/NAME",
    multiple=True,
    help="This volume is meant to be empty, or so much smaller; repeatable.",
)
@click.option("--adopt", is_flag=True, help="Go on in another restic repository than that of the last backups.")
@click.option("--dry-run", is_flag=True, help="Say what would be backed up, what not, and why.")
def backup(
    ctx: Context,
    namespaces: tuple[str, ...],
    claims: tuple[str, ...],
    confirmed: tuple[str, ...],
    adopt: bool,
    dry_run: bool,
) -> None:
    """Back up the data of PersistentVolumeClaims to the restic repository.

    Each claim that `volumes.select` and its annotation dr-syncer.io/backup select is read by a Job in its
    namespace. How that ended is written to the claim, from where the exporter brings it to Git. A claim
    that is named by --pvc is backed up whatever selects or excludes it, unless it is to be ignored.

    What a run that was killed between the hooks of a workload holds still is let go first of all.

    A backup that is not whole never takes the place of the last whole one. A volume that is empty, or
    has shrunk by more than `volumes.shrinkPercent`, has to be confirmed.

    Exit codes: 0 all volumes are whole, or none is selected; 1 none is whole; 3 some are not, or
    something around them failed; 4 refused, all of it.

    \b
    Examples:
      dr-syncer volumes backup
      dr-syncer volumes backup --dry-run
      dr-syncer volumes backup --pvc shop/data --pvc shop/uploads
      dr-syncer volumes backup --pvc shop/cache --confirm shop/cache
    """
    from cli.sides import Manner, place_of, source_of
    from drsyncer.errors import UsageError
    from volumes.dispatching import Request, Site, back_up
    from volumes.selecting import Asked

    if namespaces and claims:
        raise UsageError("--namespace and --pvc say two things", hint="Give one of them.")
    asked = Asked(frozenset(namespaces), frozenset(_key("--pvc", text) for text in claims))
    config, section = ctx.load_exporter()
    if config.volumes is None:
        raise UsageError(
            "the configuration has no section `volumes`",
            hint="Add `volumes:` with `restic: {repository: …}`; `dr-syncer init -` shows all its keys.",
        )
    volumes = config.volumes
    outcome = back_up(
        config=volumes,
        exporter=section,
        site=Site(
            # Each mover is looked after by a thread of its own.
            source_of(section, Manner(connections=volumes.mover.parallel)),
            lambda: source_of(section, Manner(attempts=1, timeout=5.0)),
            place_of(config, "exporter").namespace,
        ),
        request=Request(asked, frozenset(_key("--confirm", text) for text in confirmed), dry_run, adopt),
        progress=ctx.progress,
    )
    ctx.show(lambda out: _draw(out, outcome), outcome.to_data)
    warn(outcome.held)
    warn(outcome.warnings)
    ctx.exit(outcome.exit_code)


def _key(flag: str, text: str) -> Key:
    from drsyncer.errors import UsageError

    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"{flag} {text}: expected NAMESPACE/NAME", hint="Such as: shop/data")
    return namespace, name


def _draw(out: Console, outcome: Outcome) -> None:
    from cli import render
    from volumes.selecting import Choice

    selected, refused, left_out = (
        outcome.chosen(choice) for choice in (Choice.SELECTED, Choice.REFUSED, Choice.LEFT_OUT)
    )
    good = sum(backup.good for backup in selected)
    title = (
        f"dry run, {_many(len(selected))} would be backed up"
        if outcome.dry_run
        else f"{good:,} of {_many(len(selected))} backed up in {outcome.seconds:.0f} s"
        if selected
        else "no volume is selected"
    )
    render.line(out, f"{outcome.cluster}: {title}", style="bold")
    shown = [*selected, *refused, *(left_out[:_MOST_LEFT_OUT] if outcome.dry_run else ())]
    headers = ("VOLUME", "STATE", "FILES", "SIZE", "ADDED", "TIME")
    if outcome.dry_run:
        rows = [(str(one.chosen.claim), str(one.chosen.choice), one.node, _plan(one)) for one in shown]
        render.table(out, rows, headers=("VOLUME", "", "NODE", "WHY"), styles=_STYLES)
    else:
        render.table(out, [_row(one) for one in shown], headers=headers, styles=_STYLES)
        for one in shown:
            if why := _why(one):
                render.paragraph(out, f"{one.chosen.claim}: {why}", style="" if one.good else "bold red")
    for lock in outcome.unlocked:
        render.paragraph(out, f"removed, since its pod is dead: {lock}")
    hidden = len(left_out) - (min(len(left_out), _MOST_LEFT_OUT) if outcome.dry_run else 0)
    if hidden:
        render.line(out, f"left out: {_many(hidden)} ({'-o json' if outcome.dry_run else '--dry-run'} says why)")


def _row(one: Backup) -> tuple[str, ...]:
    from drsyncer.wording import size, span

    result, name = one.result, str(one.chosen.claim)
    if result is None:
        return name, str(one.chosen.choice), "", "", "", ""
    snapshot = result.snapshot
    took = span((result.end - result.start).total_seconds())
    if snapshot is None:
        return name, str(result.state), "", "", "", took
    return name, str(result.state), f"{snapshot.files:,}", size(snapshot.bytes), size(result.bytes_added), took


def _plan(one: Backup) -> str:
    return f"{one.chosen.reason}; read directly: {one.no_copy}" if one.no_copy else one.chosen.reason


def _why(one: Backup) -> str:
    if one.result is None:
        return one.chosen.reason
    return ": ".join(part for part in (str(one.result.reason), one.result.message) if part)


def _many(count: int) -> str:
    from drsyncer.wording import many

    return many(count, "volume")
