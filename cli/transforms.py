"""`dr-syncer transforms`: what the program does to objects by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.context import Context

if TYPE_CHECKING:
    from rich.console import Console


@click.group("transforms", short_help="List the built-in rules of selection, cleaning and transforms.")
def transforms() -> None:
    """Show what DR-Syncer does to objects by itself.

    \b
    Example:
      dr-syncer transforms list
    """


@transforms.command("list", short_help="List the built-in exclusions, cleaning rules and transforms.")
@options.output
@options.verbosity
def list_(ctx: Context) -> None:
    """List the built-in exclusions, cleaning rules and transforms, with what they are about and why.

    Exclusions are switched off by name in `select.disable`; cleaning rules are held back by path in `clean.keep`.
    Transforms do what the keys named beside them say.

    \b
    Examples:
      dr-syncer transforms list
      dr-syncer transforms list -o json | jq -r '.rules[].removes[]'
    """
    from cli import render
    from transforms import reference

    checks, rules, steps = reference.checks(), reference.rules(), reference.steps()

    def text(out: Console) -> None:
        for side in ("export", "import"):
            render.line(out, f"Left out of the {side}", style="bold")
            rows = [(row["name"], row["appliesTo"], row["why"]) for row in checks if row["side"] == side]
            render.table(out, rows, headers=("NAME", "APPLIES TO", "WHY"))
            render.line(out, "")
        render.line(out, "Removed from what is exported", style="bold")
        rows = [(row["name"], row["appliesTo"], row["why"]) for row in rules]
        render.table(out, rows, headers=("NAME", "APPLIES TO", "WHY"))
        render.line(out, "")
        render.line(out, "Changed by an import, in this order", style="bold")
        rows = [(row["name"], ", ".join(row["configuredBy"]), row["changes"]) for row in steps]
        render.table(out, rows, headers=("NAME", "CONFIGURED BY", "CHANGES"))

    ctx.show(text, lambda: {"checks": checks, "rules": rules, "transforms": steps})
