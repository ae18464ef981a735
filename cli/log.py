"""`dr-syncer log`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.context import Context
from cli.sides import fetch_if_possible, remote_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

    from drsyncer.recovery.audit import Entry
    from drsyncer.recovery.git import Clone
    from drsyncer.recovery.signatures import Signature

_AT_ONCE = 100
_MOST_CHANGES = 20  # lines of one commit on a terminal


@click.command("log", short_help="Show who changed what, when, in which commit.")
@options.config
@options.output
@options.verbosity
@click.option(
    "--object", "text", metavar="OBJECT", help="Only this object: [NAMESPACE/]TYPE/NAME, TYPE as plural.group."
)
@click.option("--since", metavar="WHEN", help="Only commits after this: 2h, 7d, 2026-05-01 or 2026-05-01T12:00Z.")
@options.revision
@click.option("--limit", "-l", type=click.IntRange(min=1), metavar="N", help="At most this many commits.")
def log(ctx: Context, text: str | None, since: str | None, revision: str, limit: int | None) -> None:
    """Show the audit trail: every recovery point, newest first, with who changed what in it.

    The names behind "by" are field managers: what the API server noted as the writer of the changed
    fields, such as kubectl-edit, helm or an operator. Where repository.verify names the allowed
    signers, each commit's signature is verified too.

    \b
    Examples:
      dr-syncer log --since 24h
      dr-syncer log --object shop/deployments.apps/web
      dr-syncer log --limit 1 -o json
    """
    from datetime import UTC, datetime

    from drsyncer.recovery.audit import trail, when
    from drsyncer.recovery.git import Clone

    config = ctx.load_config()
    with Clone.open(remote_of(config.repository)) as clone:
        fetch_if_possible(clone)
        found = list(
            trail(
                clone,
                revision=revision or config.repository.branch,
                object_text=text or "",
                since=when(since, now=datetime.now(UTC), flag="--since") if since else None,
                limit=limit,
            )
        )
        signed = _verified(ctx, clone, [entry.commit for entry in found]) if clone.verifies else {}
    ctx.show(
        lambda out: _draw(out, found, signed, whole=bool(text)),
        lambda: {"commits": [_data(entry, signed.get(entry.commit)) for entry in found]},
    )


def _verified(ctx: Context, clone: Clone, commits: list[str]) -> dict[str, Signature]:
    """Return the verdict on each commit; a hundred take a second."""
    found: dict[str, Signature] = {}
    with ctx.progress.task("Verifying signatures", total=len(commits)) as task:
        for start in range(0, len(commits), _AT_ONCE):
            chunk = commits[start : start + _AT_ONCE]
            found |= clone.signatures(chunk)
            task.advance(len(chunk))
    return found


def _draw(out: Console, found: Iterable[Entry], signed: Mapping[str, Signature], *, whole: bool) -> None:
    from cli import render

    empty = True
    for entry in found:
        if not empty:
            render.line(out, "")
        empty = False
        title = f"{entry.commit[:12]}  {entry.time:%Y-%m-%d %H:%M:%S} UTC  {entry.subject}"
        render.paragraph(out, title, style="bold")
        if entry.by_other:
            render.line(out, f"  not made by dr-syncer: {entry.author}", style="bold red")
        if signature := signed.get(entry.commit):
            render.paragraph(out, str(signature), indent=2, style="dim" if signature.good else "bold red")
        shown = entry.changes if whole else entry.changes[:_MOST_CHANGES]
        render.table(
            out, [(f"  {change.verb}", change.name, change.said or ", ".join(change.managers)) for change in shown]
        )
        if len(entry.changes) > len(shown):
            render.line(out, f"  … and {len(entry.changes) - len(shown):,} more; -o json lists them all")
        for type_ in entry.incomplete:
            render.line(out, f"  incomplete: {type_}", style="bold red")
    if empty:
        render.line(out, "no commit matches")


def _data(entry: Entry, signature: Signature | None) -> dict[str, Any]:
    return {
        "commit": entry.commit,
        "time": entry.time.isoformat(),
        "author": entry.author,
        "subject": entry.subject,
        "signature": signature.to_data() if signature else None,
        "madeByDrSyncer": not entry.by_other,
        "cluster": entry.cluster or None,
        "exportedAt": entry.exported_at.isoformat() if entry.exported_at else None,
        "incomplete": list(entry.incomplete),
        "changes": [
            {
                "verb": change.verb,
                "object": change.name,
                "managers": list(change.managers),
                "said": change.said or None,
            }
            for change in entry.changes
        ],
    }
