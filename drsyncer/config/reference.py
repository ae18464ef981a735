"""The reference page of the configuration, made from the schema: `python -m drsyncer.config.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from drsyncer.config.flow import flow
from drsyncer.config.golden import GoldenCase
from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.rules import CleanRule, Transforms
from drsyncer.config.sample import sample
from drsyncer.config.schema import Config
from drsyncer.config.section import Key, Section, keys, walk
from drsyncer.config.transform_rules import (
    ConditionSpec,
    PatchOperation,
    RemoveStep,
    RuleSpec,
    SetStep,
    StepSpec,
    TemplateStep,
)

_INTRODUCTION = """\
<!-- Written by `make docs`; edit drsyncer/config/ instead. -->

# Configuration

DR-Syncer reads one YAML file: the one given with `-c`, else the one that `$DR_SYNCER_CONFIG` names, else
`./dr-syncer.yaml`. `dr-syncer init` writes a commented one, `dr-syncer config validate` checks it,
`dr-syncer config show` prints it with all defaults, and `dr-syncer config schema` gives the JSON Schema for an editor.

- Required are `apiVersion`, `repository.url`, and `cluster` in each of the sections `exporter` and `importer` that is
  there. A command says so when the section that it needs is missing.
- An unknown key is an error, and so is a key that stands twice. All errors are reported at once, with their lines.
- A section or list with nothing below it counts as left out. YAML 1.2 applies: `yes` and `on` are text, write `true`.
- Durations are written `500ms`, `30s`, `5m` or `1h30m`; the longest is 24 hours. A number without a unit is an error.
- Relative paths start from the folder of the configuration file; `~/` is the home folder.
- Secrets are never values, always files. A secret in the file is an error that says where it belongs.
- `--kubeconfig` and `--context` on the command line (or `$DR_SYNCER_KUBECONFIG`, `$DR_SYNCER_CONTEXT`) go before the
  section's `kubeconfig` and `context`.
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION, "## Top level\n", _table(Config)]
    for path, key in walk(Config):
        if key.section:
            parts += [f"## `{'.'.join(path)}`\n", key.description + "\n", _table(key.section)]
    parts += [
        "## Entries that name objects\n",
        "Used by `select.include`, `select.exclude` and every `match`. An object matches when every "
        "key that is given matches; a list matches when one of its entries does. Names and globs are case-sensitive.\n",
        _table(MatchSpec),
        "## Entries of `clean.keep` and `clean.strip`\n",
        _table(CleanRule),
        *_entries(),
        "## Entries of `importer.transforms.rules`\n",
        "And of `rules` in `transforms/*.yaml` of the recovery repository. What steps, paths and templates mean: "
        "[reference/rules.md](reference/rules.md).\n",
        _table(RuleSpec),
        "An entry of `when`:\n",
        _table(ConditionSpec),
        "An entry of `steps`, exactly one of:\n",
        _table(StepSpec),
        "`set`:\n",
        _table(SetStep),
        "`remove`:\n",
        _table(RemoveStep),
        "An entry of `jsonPatch`:\n",
        _table(PatchOperation),
        "`template`:\n",
        _table(TemplateStep),
        "## Golden cases\n",
        "What `dr-syncer transforms test` runs: documents of the files in `tests/`, beside the rules.\n",
        _table(GoldenCase),
        "## A whole file\n",
        "What `dr-syncer init` writes:\n",
        f"```yaml\n{sample()}```\n",
    ]
    return "\n".join(parts)


def _entries() -> Iterator[str]:
    """Yield the tables of the lists below `importer.transforms`, and of the sections inside their entries."""
    for path, key in walk(Transforms, ("transforms",)):
        if key.entries is None:
            continue
        name = ".".join(path)
        yield f"## Entries of `{name}`\n"
        yield key.description + "\n"
        yield _table(key.entries)
        for below, inner in walk(key.entries, (name,)):
            inside = inner.section or inner.entries
            if inside is not None and inside is not MatchSpec:
                yield f"### `{'.'.join(below[1:])}` in `{name}`\n"
                yield _table(inside)


def _table(section: type[Section]) -> str:
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    rows += ["| " + " | ".join(cell.replace("|", "\\|") for cell in _row(key)) + " |" for key in keys(section)]
    return "\n".join(rows) + "\n"


def _row(key: Key) -> Iterator[str]:
    yield f"`{key.name}`"
    yield _value(key)
    if key.required:
        yield "required"
    else:
        yield "" if key.section or key.default in ("", None) else f"`{flow(key.default)}`"
    meaning = key.description
    if key.example is not None:
        meaning += f" Example: `{flow(key.example)}`"
    yield meaning


def _value(key: Key) -> str:
    if key.section:
        return "section"
    words = key.kind.words.removeprefix("a ").removeprefix("an ")
    if key.entries:
        return "list of entries"
    if key.item:
        return f"{words}; each {'value ' if words == 'mapping' else ''}{key.item.words}"
    return words


if __name__ == "__main__":
    sys.stdout.write(reference())
