"""The reference pages of selection, cleaning and transforms, written from the tables that the program works with.

`make docs` writes them anew; a test fails while they are not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drsyncer.match import Match
from transforms.clean_rules import BUILT_IN as RULES
from transforms.clean_rules import Rule
from transforms.hosts import HOST_LISTS, HOSTS
from transforms.namespaces import ANY, REFERENCES
from transforms.pipeline import PIPELINE
from transforms.pods import POD_SPECS, pointer
from transforms.rules_page import rules_page
from transforms.select_checks import BUILT_IN as CHECKS
from transforms.select_checks import INFRASTRUCTURE, Check


def described_check(check: Check, *, side: str) -> dict[str, Any]:
    """Return one built-in exclusion in plain values. `side` is `export` or `import`."""
    return {
        "name": check.name,
        "side": side,
        "appliesTo": _about(*check.matches),
        "reason": check.reason,
        "why": check.why,
        "switchable": not check.always,
    }


def described_rule(rule: Rule) -> dict[str, Any]:
    """Return one built-in cleaning rule in plain values."""
    return {
        "name": rule.name,
        "appliesTo": _about(rule.match),
        "removes": [path.text for path in rule.remove],
        "when": rule.when.says if rule.when else "",
        "why": rule.why,
    }


def checks() -> list[dict[str, Any]]:
    """Return all built-in exclusions, in the order in which they are asked."""
    return [
        *(described_check(check, side="export") for check in CHECKS),
        described_check(INFRASTRUCTURE, side="import"),
    ]


def rules() -> list[dict[str, Any]]:
    """Return all built-in cleaning rules, in the order of the table."""
    return [described_rule(rule) for rule in RULES]


def steps() -> list[dict[str, Any]]:
    """Return all built-in transforms, in the order in which they work."""
    return [
        {"name": step.name, "configuredBy": [f"importer.{key}" for key in step.keys], "changes": step.changes}
        for step in PIPELINE
    ]


def selection_page() -> str:
    """Return docs/reference/selection.md."""
    rows = [
        (
            f"`{check['name']}`",
            _code(check["appliesTo"]),
            f"{check['reason']}: {check['why']}",
            _yes(check["switchable"]),
        )
        for check in checks()
    ]
    headers = ("Name", "Applies to", "Leaves an object out because", "Can be switched off")
    return _SELECTION.format(export=_table(headers, rows[:-1]), import_=_table(headers, rows[-1:]), warning=_WARNING)


def cleaning_page() -> str:
    """Return docs/reference/cleaning.md."""
    rows = [
        (
            f"`{rule['name']}`",
            _code(rule["appliesTo"]),
            "<br>".join(f"`{path}`" for path in rule["removes"]),
            rule["when"],
            rule["why"],
        )
        for rule in rules()
    ]
    headers = ("Name", "Applies to", "Removes", "Only when", "Why")
    return _CLEANING.format(rules=_table(headers, rows), warning=_WARNING)


def general_rules_page() -> str:
    """Return docs/reference/rules.md."""
    return rules_page(_WARNING, _table)


def transforms_page() -> str:
    """Return docs/reference/transforms.md."""
    order = [
        (f"`{step['name']}`", "<br>".join(f"`{key}`" for key in step["configuredBy"]), step["changes"])
        for step in steps()
    ]
    pods = [(f"`{type_key}`", f"`{pointer(path)}`") for type_key, path in sorted(POD_SPECS.items())]
    moved = {"every object": ANY, **{f"`{type_key}`": rows for type_key, rows in sorted(REFERENCES.items())}}
    references = [(about, _paths(row.path for row in rows)) for about, rows in moved.items()]
    hosts = [("every object", _paths(HOST_LISTS))]
    hosts += [(f"`{type_key}`", _paths(paths)) for type_key, paths in sorted(HOSTS.items())]
    return _TRANSFORMS.format(
        order=_table(("Name", "Configured by", "Changes"), order),
        references=_table(("In", "Fields"), references),
        pods=_table(("Type", "Pod spec"), pods),
        hosts=_table(("In", "Fields"), hosts),
        warning=_WARNING,
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "selection.md": selection_page,
    "cleaning.md": cleaning_page,
    "transforms.md": transforms_page,
    "rules.md": general_rules_page,
}


def _paths(paths: Iterable[tuple[str, ...]]) -> str:
    return "<br>".join(f"`{pointer(path)}`" for path in paths)


def _about(*matches: Match) -> str:
    return "; ".join(" ".join(rule.types) if rule.types and rule.by_type_only else str(rule) for rule in matches)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    return text if text == "everything" else f"`{text}`"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


_WARNING = "<!-- Written by `make docs`; edit the tables in transforms/ instead. -->"

_SELECTION = """\
{warning}

# Selection

Every object goes through a row of named checks. The first that says no leaves it out and is the explanation that
`dr-syncer export --explain OBJECT` prints, and on the DR side `dr-syncer import --explain OBJECT`. How to use it:
[exclude noise](../how-to/exclude-noise.md). Type by type: [built-in types](types.md).

1. `ignore`: the object carries `dr-syncer.io/ignore: "true"`, as a label or an annotation.
2. `exclude[n]`: the n-th entry of `select.exclude` matches it.
3. The built-in exclusions below. `select.disable` switches them off by name.
4. `include[n]`: some entry of `select.include` must match it, when there are any.

Rules of the configuration that never decided anything are reported after the run.

What cannot be looked at is never taken for gone. A type that may not be listed, or a group that cannot be discovered
and that a rule may be about, makes the export incomplete, and its files stay. Rules that ask for the labels of
namespaces stop an export that cannot read them: objects would be let in or left out by guess.

## Match

| Field | An object matches when |
| --- | --- |
| `types` | its type is among them |
| `namespaces` | its namespace fits one of the globs; cluster-scoped objects do not match |
| `names` | its name fits one of the globs |
| `labels` | its labels fit the selector, in Kubernetes' own syntax (`app=web,tier in (a,b),!canary`) |
| `namespaceLabels` | its namespace's labels fit the selector; cluster-scoped objects do not match |
| `annotations` | it carries all of them, and each value fits its glob (`*`: any) |

All fields that are given must match; one entry of a list suffices. Globs are `*`, `?` and `[abc]`; case counts.

A type is written in one of these ways:

- `deployments.apps`, or kind, singular or short name before the group: `Deployment.apps`, `deploy.apps`;
- a glob, compared with the plural and the group: `*.cert-manager.io`, `*`;
- one bare word: plural, singular, short name or kind: `configmaps`, `cm`, `ConfigMap`. A word that one of Kubernetes'
  own types answers to means that type only: `services` is no Knative service. Any other word means that name in
  every group.

## Left out of the export

{export}

## Left out of the import

An exporter writes these down for the record. An importer lets them in when `select.disable` says so, or when an entry
of `select.include` names the type itself (`storageclasses`, not `*`).

{import_}
"""

_CLEANING = """\
{warning}

# Cleaning

What the API server or a controller wrote into an object does not travel. The rules below are a list of what goes, never
of what stays: fields that no rule names survive, and so do nulls and empty mappings and lists. What became empty only
because a rule took its last part goes with it where the cluster had made it, and so do emptied labels and annotations.
What that means for each built-in type stands in [types.md](types.md).

## Paths

Paths are JSON Pointers (RFC 6901: `~1` is a slash, `~0` a tilde) with these additions, for your own rules, too:

- `*` is every element of a list or mapping: `/spec/ports/*/nodePort`;
- a `*` at the end of a key is the rest of it: `/metadata/annotations/example.com~1*`;
- `[field=value]` picks from a list: `/spec/containers[name=api]/image`; there, too, a `*` may end the value;
- `~2` is a star, `~3` an opening and `~4` a closing bracket that mean just themselves.

Or they have dots between their keys, with quotes around what holds dots or slashes:
`metadata.annotations["example.com/a"]`, `spec.containers[name=api].image`, `spec.ports[*].nodePort`.

## Your own rules

`clean.keep` holds rules back: what its paths name stays, also inside something that goes. `clean.strip` removes more.
Where both name a place, it stays. Paths that were found in no object are reported.

Not to be stripped: apiVersion, kind, name and namespace. Not to be kept: what another cluster refuses (`uid`,
`resourceVersion`, `managedFields` and the like) or deletes the object for (`ownerReferences`).

```yaml
exporter:
  clean:
    keep:
      - match: {{types: [services]}}
        paths: [/spec/ipFamilies, /spec/ipFamilyPolicy]      # dual-stack Services
    strip:
      - match: {{}}
        paths: ["/metadata/annotations/meta.helm.sh~1*"]      # Helm in the other cluster shall not see these as its own
      - match: {{}}
        paths: ["/metadata/labels/helm.toolkit.fluxcd.io~1*"]
```

## Built-in rules

{rules}
"""


_TRANSFORMS = """\
{warning}

# Transforms

What an import changes on the way from Git into the DR cluster, in this order. Every step works on what the steps
before it left, once: no map is applied to its own results. A step that is not configured is skipped. One that cannot
do its work (a field is not what the API says it is, two names become one) blocks its object, which then does not go in
at all; the report says which step, where, and what was there instead.

{order}

The keys are explained in [configuration.md](../configuration.md); `dr-syncer transforms list` prints the same table.
How to use them: [map a namespace](../how-to/map-a-namespace.md), [change a storage
class](../how-to/change-a-storage-class.md), [run smaller in DR](../how-to/run-smaller-in-dr.md).

## Entries with a match

`replicas`, `scheduling`, `resources`, `env`, `loadBalancers` and `literals.entries` are lists of entries, each with a
`match` in the grammar of [selection](selection.md#match). It is asked of the object as Git has it: with the source's
namespace, names and labels. Of several entries about the same thing the first that matches decides; entries never add
up. An entry that had no say in a whole run is reported as a warning.

## What follows a moved namespace

`*` stands for every element of a list. In all other custom resources, fields that by their name hold a namespace are
reported as a note, never changed.

{references}

The affinity between pods and the data sources of claims follow in every type that holds them. In a ClusterRole's rules
and in selectors, names that become one are listed once.

## Where pods are

Images, scheduling, resources and env reach into the pods of these types.

{pods}

## Where hosts are

{hosts}
"""


def main(arguments: Sequence[str]) -> None:
    """Write the pages into the folder that the only argument names."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise SystemExit("usage: python -m transforms.reference FOLDER")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
