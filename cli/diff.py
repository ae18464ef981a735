"""`dr-syncer diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.context import Context
from cli.sides import dr_of, remote_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from drsyncer.recovery.signatures import Signature
    from importer.diff import Difference

_DIFFERS, _ERROR = 1, 3


@click.command("diff", short_help="Show how the DR cluster differs from a recovery point.")
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
def diff(ctx: Context, revision: str, namespaces: tuple[str, ...]) -> None:
    """Show what an import would change in the DR cluster, as a unified diff.

    `-` is what DR has, `+` what the recovery point makes of it. The values of Secrets are masked.

    Exit codes: 0 no difference; 1 differences; more than 1: an error, or an object that cannot be
    compared (3).

    \b
    Examples:
      dr-syncer diff
      dr-syncer diff --revision 3f2c1a9 --namespace shop
    """
    from drsyncer.errors import DrSyncerError, ExitCode, UsageError
    from drsyncer.recovery.git import Clone
    from importer.basis import Request
    from importer.diff import differences
    from importer.preparation import prepare

    config, section = ctx.load_importer()
    cluster = dr_of(section)
    try:
        with ctx.refusals_shown(), Clone.open(remote_of(config.repository)) as clone:
            prepared = prepare(
                config=section,
                clone=clone,
                cluster=cluster,
                request=Request(revision=revision, only=namespaces, plan_only=True),
                progress=ctx.progress,
            )
        found = list(differences(cluster, prepared))
    except DrSyncerError as error:
        if error.exit_code == ExitCode.FAILED:
            # 1 means "differs" here, as with kubectl diff: an error must not look like an answer.
            raise UsageError(str(error), hint=error.hint) from error
        raise
    unknown = prepared.view.unknown
    signature = prepared.basis.chosen.signature
    ctx.show(
        lambda out: _draw(out, found, unknown, signature), lambda: _data(prepared.commit, found, unknown, signature)
    )
    ctx.exit(_ERROR if unknown or any(one.error for one in found) else _DIFFERS if found else 0)


def _draw(out: Console, found: list[Difference], unknown: Mapping[str, str], signature: Signature | None) -> None:
    from cli import render

    if signature:
        render.paragraph(out, f"commit {signature.commit[:12]} {signature}")
    for one in found:
        render.line(out, f"{one.action} {one.ref}: {one.reason}", style=render.STYLES.get(str(one.action), ""))
        if one.error and one.error != one.reason:
            render.paragraph(out, one.error, indent=2, style="bold red")
        render.diff(out, one.lines)
    for type_, reason in unknown.items():
        render.paragraph(out, f"unknown: {type_}: {reason}", style="bold red")
    if not found and not unknown:
        render.line(out, "no difference")


def _data(
    commit: str, found: list[Difference], unknown: Mapping[str, str], signature: Signature | None
) -> dict[str, Any]:
    return {
        "revision": commit,
        "signature": signature.to_data() if signature else None,
        "unknown": dict(unknown),
        "differences": [
            {
                "object": str(one.ref),
                "action": str(one.action),
                "reason": one.reason,
                "diff": list(one.lines),
                "error": one.error or None,
            }
            for one in found
        ],
    }
