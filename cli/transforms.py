"""`dr-syncer transforms`: what the program does to objects, by itself and by the rules of its users."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.context import Context
from cli.sides import remote_of
from drsyncer.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from drsyncer.config.schema import Importer
    from importer.explain import Explanation
    from importer.golden import CaseResult
    from transforms.rules import Rule

_FOLDER = "transforms"


@click.group("transforms", short_help="List, explain and test what happens to objects.")
def transforms() -> None:
    """Show what DR-Syncer does to objects: by itself, and by your rules.

    \b
    Examples:
      dr-syncer transforms list
      dr-syncer transforms explain shop/deployments.apps/web
      dr-syncer transforms test
    """


@transforms.command("list", short_help="List exclusions, cleaning rules, transforms and your rules.")
@options.config
@options.output
@options.verbosity
def list_(ctx: Context) -> None:
    """List the built-in exclusions, cleaning rules and transforms, and the general rules of the configuration.

    Exclusions are switched off by name in `select.disable`; cleaning rules are held back by path in `clean.keep`.
    Transforms do what the keys named beside them say.
    Rules in the recovery repository are not listed: `transforms explain` shows those that are about an object.

    \b
    Examples:
      dr-syncer transforms list
      dr-syncer transforms list -c dr.yaml
      dr-syncer transforms list -o json | jq -r '.rules[].removes[]'
    """
    from cli import render
    from importer import rulebook
    from transforms import reference

    checks, rules, steps = reference.checks(), reference.rules(), reference.steps()
    section = _importer_if_any(ctx)
    own = rulebook.in_order((), section.transforms) if section else []

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
        if own:
            render.line(out, "")
            render.line(out, "Changed by your rules", style="bold")
            render.table(out, [_row(rule) for rule in own], headers=("NAME", "APPLIES TO", "STEPS"))

    ctx.show(
        text,
        lambda: {
            "checks": checks,
            "rules": rules,
            "transforms": steps,
            "userRules": [_described(rule) for rule in own],
        },
    )


@transforms.command("explain", short_help="Show how an object of the recovery repository is changed.")
@click.argument("object_", metavar="OBJECT")
@options.config
@options.output
@options.verbosity
@options.revision
def explain(ctx: Context, object_: str, revision: str) -> None:
    """Show step by step how an object of the recovery repository becomes what DR is to have.

    OBJECT is [NAMESPACE/]TYPE/NAME, as Git names it. Each step that changes the object is shown as a
    diff; the values of Secrets are masked. No cluster is asked, so replicas and suspension are shown
    for a cluster in standby, or not, as the configuration says.

    Exit codes: 0 done; 3 the object would be blocked.

    \b
    Examples:
      dr-syncer transforms explain shop/deployments.apps/web
      dr-syncer transforms explain shop/cm/app --revision 3f2c1a9
      dr-syncer transforms explain clusterroles.rbac.authorization.k8s.io/view
    """
    from drsyncer.recovery.git import Clone
    from importer.explain import explain as explain_object

    config, section = ctx.load_importer()
    with ctx.refusals_shown(), Clone.open(remote_of(config.repository)) as clone:
        found = explain_object(config=section, clone=clone, revision_=revision, text=object_)
    ctx.show(lambda out: _draw_explanation(out, found), found.to_data)
    ctx.exit(ExitCode.PARTIAL if found.blocked else ExitCode.DONE)


@transforms.command("test", short_help="Run the golden cases beside your rules.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@options.config
@options.output
@options.verbosity
def test(ctx: Context, paths: tuple[Path, ...]) -> None:
    """Run golden cases: objects, and what your rules must make of them.

    PATH is a folder with rules (*.yaml) and cases below its folder `tests`, or one file with cases.
    Default: ./transforms. With a configuration, its transforms apply as well, as in an import.

    A file holds one case or several, with --- between them: `input` and either `expected` (the whole
    object) or `blocked` (words of the reason), and if need be `name`, `values`, `commit`, `standby`,
    `namespaceLabels`, `encrypted`, `type`.

    Exit codes: 0 all passed; 1 some failed; 2 a file is wrong, or there are no cases.

    \b
    Examples:
      dr-syncer transforms test
      dr-syncer transforms test transforms/tests/heap.yaml
      dr-syncer transforms test -c dr.yaml recovery/transforms -o json
    """
    from cli.golden import gathered
    from drsyncer.templates.renderer import Renderer
    from importer.golden import run

    section = _importer_if_any(ctx) or _defaults()
    results = []
    with Renderer() as renderer:
        for group in gathered(paths or (Path(_FOLDER),)):
            results += [
                run(case, config=section, repository=group.rules, render=renderer.render, file=group.file, line=line)
                for line, case in group.cases
            ]
    failed = sum(bool(result.problem) for result in results)
    ctx.show(
        lambda out: _draw_results(out, results),
        lambda: {
            "passed": len(results) - failed,
            "failed": failed,
            "cases": [result.to_data() for result in results],
        },
    )
    ctx.exit(ExitCode.FAILED if failed else ExitCode.DONE)


def _importer_if_any(ctx: Context) -> Importer | None:
    """Return the importer's section of the configuration that was named or lies here; None when there is none."""
    from drsyncer.config.load import DEFAULT_FILE, FILE_VARIABLE
    from drsyncer.recovery import identity

    if ctx.config_file is None and not os.environ.get(FILE_VARIABLE):
        here = Path(DEFAULT_FILE)
        # In a checkout of the recovery repository the file of this name tells whose objects these are.
        if not here.exists() or identity.is_one(here.read_bytes()):
            return None
    return ctx.load_config().importer


def _defaults() -> Importer:
    from drsyncer.config.schema import Importer

    return Importer.model_validate({"cluster": "dr"})


def _row(rule: Rule) -> tuple[str, str, str]:
    conditions = "".join(f", {one.says}" for one in rule.when)
    return rule.name, f"{rule.match}{conditions}", "; ".join(f"{step.word} {step.at}" for step in rule.steps)


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "origin": rule.origin,
        "appliesTo": str(rule.match),
        "when": [one.says for one in rule.when],
        "steps": [{"step": step.word, "at": step.at} for step in rule.steps],
    }


def _draw_explanation(out: Console, found: Explanation) -> None:
    from cli import render

    render.line(out, f"{found.ref} at {found.commit[:12]}", style="bold")
    if found.target != found.ref:
        render.line(out, f"in DR: {found.target}")
    if not found.verdict.included:
        render.paragraph(out, f"left out by {found.verdict.check}: {found.verdict.reason}", style="bold red")
    if found.rules:
        render.paragraph(out, "rules about it: " + ", ".join(f"{rule.name} ({rule.origin})" for rule in found.rules))
    for change in found.changes:
        render.line(out, "")
        render.line(out, change.step, style="bold")
        render.diff(out, change.lines)
    if found.blocked:
        render.line(out, "")
        render.paragraph(out, f"blocked: {found.blocked}", style="bold red")
    elif not found.changes:
        render.line(out, "nothing changes it")


def _draw_results(out: Console, results: Sequence[CaseResult]) -> None:
    from cli import render

    for result in results:
        if not result.problem:
            continue
        render.line(out, f"{result.file}:{result.line}: {result.name}", style="bold red")
        render.paragraph(out, result.problem, indent=2)
        render.diff(out, result.lines)
        render.line(out, "")
    failed = sum(bool(result.problem) for result in results)
    render.line(out, f"{len(results) - failed} passed, {failed} failed", style="bold red" if failed else "green")
