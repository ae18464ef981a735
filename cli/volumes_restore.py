"""`dr-syncer volumes restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context
from cli.say import warn

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from rich.console import Console

    from volumes.restore_outcome import Done, Outcome
    from volumes.restore_plan import Key

_STYLES = {
    "restored": "green",
    "restore": "green",
    "unchanged": "dim",
    "partial": "bold red",
    "failed": "bold red",
    "left out": "yellow",
    "refused": "bold yellow",
    "excluded": "dim",
}
_GOOD = frozenset({"restored", "unchanged"})
_BAD = frozenset({"partial", "failed"})


@click.command("restore", short_help="Bring volumes back in the DR cluster.")
@options.config
@options.cluster
@options.output
@options.verbosity
@click.option(
    "--revision",
    metavar="REV",
    default="",
    help="Recovery point: commit, tag or branch. Default: the newest complete one.",
)
@click.option("--as-of", metavar="TIME", default="", help="The newest one exported by then: 2h, 2026-05-01T12:00Z.")
@options.namespaces
@click.option("--pvc", "claims", metavar="NS/NAME", multiple=True, help="Only this claim, as Git names it; repeatable.")
@click.option("--to-namespace", metavar="NS", default="", help="Restore into this namespace of the DR cluster.")
@click.option("--to-pvc", metavar="NAME", default="", help="Restore the one claim of --pvc into this one.")
@click.option("--path", metavar="PATH", default="", help="Only this file or folder inside the volumes.")
@click.option(
    "--verify",
    type=click.Choice(["none", "metadata", "all"]),
    help="Compare what is restored with its manifest. What is in a volume already is not looked at; --again restores, "
    "and compares, that, too. Default: volumes.restore.verify.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Restore what the newest backup got though it was Partial. The volume then counts as half restored.",
)
@click.option("--again", is_flag=True, help="Also where this very snapshot was restored already.")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would happen; change nothing.")
@click.option("--yes", is_flag=True, help="Replace also what DR-Syncer did not put into a volume.")
def restore(
    ctx: Context,
    revision: str,
    as_of: str,
    namespaces: tuple[str, ...],
    claims: tuple[str, ...],
    to_namespace: str,
    to_pvc: str,
    path: str,
    verify: str | None,
    partial: bool,
    again: bool,
    plan_only: bool,
    yes: bool,
) -> None:
    """Bring the data of volumes back, as a recovery point has it, into the claims of the DR cluster.

    Without --revision and --as-of, the recovery point is the newest complete one. Each volume goes into
    the claim that an import made of its own, or into the one that is named: with --to-namespace or
    --to-pvc, a missing claim is made. What is in a volume is replaced, files that the snapshot does not
    have are deleted; with --path nothing else is touched.

    A volume that a pod uses is refused. So is one that holds something which DR-Syncer did not put
    there, unless --yes is given. A restore that was interrupted is taken up again; until it is whole,
    an annotation of the claim, dr-syncer.io/restored, says so.

    What `volumes.restore.select` or the claim's annotation dr-syncer.io/restore excludes is left alone,
    unless --pvc names it.

    Exit codes: 0 all volumes but the excluded are whole; 1 one failed; 3 something was left out, refused
    or partial; 4 refused, all of it.

    \b
    Examples:
      dr-syncer volumes restore --plan
      dr-syncer volumes restore --as-of 2h --namespace shop
      dr-syncer volumes restore --pvc shop/data --to-pvc data-copy --verify all
      dr-syncer volumes restore --pvc shop/data --path etc/app.conf
      dr-syncer volumes restore --pvc shop/data --partial --to-pvc data-look
    """
    from cli.volumes_restoring import Asked, restore_volumes
    from drsyncer.errors import UsageError
    from transforms.settings import NAMESPACE_NAME
    from volumes.claims import CLAIM_NAME

    if revision and as_of:
        raise UsageError("--revision and --as-of say two different things: give one of them")
    if to_pvc and (len(claims) != 1 or namespaces):
        raise UsageError("--to-pvc takes one claim: name it with --pvc, and no --namespace")
    if partial and (not claims or namespaces):
        raise UsageError("--partial is for volumes that are named: give --pvc, and no --namespace")
    _check_name("--to-namespace", to_namespace, NAMESPACE_NAME)
    _check_name("--to-pvc", to_pvc, CLAIM_NAME)
    asked = Asked(
        revision=revision,
        as_of=as_of,
        namespaces=namespaces,
        claims=tuple(map(_claim, claims)),
        to_namespace=to_namespace,
        to_claim=to_pvc,
        path=_inside(path),
        verify=verify or "",
        again=again,
        partial=partial,
        plan_only=plan_only,
        confirmed=yes,
    )
    with ctx.refusals_shown():
        outcome = restore_volumes(ctx, asked)
    ctx.show(lambda out: _draw(out, outcome), outcome.to_data)
    warn(outcome.warnings)
    ctx.exit(outcome.exit_code)


def _claim(text: str) -> Key:
    from drsyncer.errors import UsageError
    from volumes.restore_plan import Key

    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"--pvc {text!r:.200} names no claim", hint="Expected NAMESPACE/NAME, such as shop/data.")
    return Key(namespace, name)


def _check_name(flag: str, text: str, form: re.Pattern[str]) -> None:
    """Raise UsageError for a name that no API server would accept: a plan would promise what cannot be done."""
    from drsyncer.errors import UsageError

    if text and not form.fullmatch(text):
        raise UsageError(
            f"{flag} {text!r:.200} is no name",
            hint="Expected one name, without a namespace: lower-case letters, digits and `-`, such as data-copy.",
        )


def _inside(path: str) -> str:
    """Return a path inside a volume as movers take it. Raises UsageError for one that leads out of it."""
    from drsyncer.errors import UsageError

    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise UsageError(f"--path {path!r:.200} leads out of the volume")
    if path and not parts:
        raise UsageError(f"--path {path!r:.200} is the whole volume: leave it out")
    return "/".join(parts)


def _draw(out: Console, outcome: Outcome) -> None:
    from cli import render
    from drsyncer.wording import some

    head = f"{outcome.source}, recovery point {outcome.revision[:12]} of {outcome.time:%Y-%m-%d %H:%M:%S} UTC"
    render.paragraph(out, f"{head} -> {outcome.cluster}", style="bold")
    rows = [(str(done.ending), *_cells(done)) for done in outcome.volumes]
    render.table(out, rows, headers=("", "VOLUME", "SNAPSHOT", "TAKEN", "SIZE"), styles=_STYLES)
    for text, dones in _said(outcome.volumes).items():
        bad = any(done.ending in _BAD for done in dones)
        about = some([str(done.step.target) for done in dones])
        render.paragraph(out, f"{about}: {text}", style="bold red" if bad else "")
    counts = ", ".join(f"{count} {ending}" for ending, count in sorted(outcome.summary.items()))
    planned = " (a plan: nothing was changed)" if outcome.planned_only else ""
    render.paragraph(out, f"{counts or 'no volumes'}{planned}", style="bold")


def _cells(done: Done) -> tuple[str, str, str, str]:
    from drsyncer.wording import size

    step = done.step
    name = str(step.source) if step.source == step.target else f"{step.source} -> {step.target}"
    snapshot = step.snapshot
    if snapshot is None:
        return name, "-", "-", "-"
    return name, snapshot.id[:8], f"{snapshot.start:%Y-%m-%d %H:%M}", size(snapshot.bytes)


def _said(volumes: Sequence[Done]) -> dict[str, list[Done]]:
    """Return each sentence, and the volumes that it is about: many volumes mostly have one and the same trouble."""
    found: dict[str, list[Done]] = {}
    for done in volumes:
        for text in _more(done):
            found.setdefault(text, []).append(done)
    return found


def _more(done: Done) -> list[str]:
    """Return what a person should read of one volume beside its line."""
    # Of what is as it should be now, reason and text tell what was in it before.
    told = done.result.message if done.result else ""
    said = [told] if done.ending in _GOOD else [f"{done.reason}: {done.text}"]
    said = [text for text in (*said, done.step.note) if text]
    if done.result is None:
        return said
    if done.result.names:
        more = max(0, done.result.names_total - len(done.result.names))
        listed = ", ".join(map(repr, done.result.names))
        said.append(f"{listed}{f' and {more:,} more' if more else ''}")
    return [*said, *done.result.warnings]
