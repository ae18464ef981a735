"""The generated files of the charts: values.yaml, values.schema.json, README.md, and what both charts have alike.

A chart is installed from its folder, without network, by Helm and by GitOps controllers, some of which follow no
symbolic links. So each has every template; those that are the same for both are written in the exporter's and copied.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import charts.values
import charts.volumes
from charts.values import CHARTS, Values
from drsyncer import __version__
from drsyncer.config.flow import flow
from drsyncer.config.json_schema import schema_of
from drsyncer.config.section import Key, Section, keys, walk

FOLDER = Path(__file__).parent
WIDTH = 100
# Each side's own: everything else below templates/ is the same in both charts.
OWN = frozenset(
    {"_side.tpl", "_jobs.tpl", "rbac.yaml", "volumes.yaml", "volumes-rbac.yaml", "ingress.yaml", "NOTES.txt"}
)
ORIGINAL, COPY = "dr-syncer-exporter", "dr-syncer-importer"
# Sections that a template may rely on: the chart's own, and what a configuration must have.
_OWN = frozenset(
    name
    for module in (charts.values, charts.volumes)
    for name, one in vars(module).items()
    if isinstance(one, type) and one.__module__ == module.__name__ and not name.endswith("Config")
)
_THERE = _OWN | {"Repository", "Exporter", "Importer", "Volumes", "Restic", "ExporterConfig", "ImporterConfig"}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def files() -> dict[Path, bytes]:
    """Return path → content of every generated file."""
    found: dict[Path, bytes] = {}
    for name, values in CHARTS.items():
        folder = FOLDER / name
        found[folder / "values.yaml"] = values_text(name, values).encode()
        found[folder / "values.schema.json"] = schema_text(name, values).encode()
        found[folder / "README.md"] = readme(name, values).encode()
        found[folder / "Chart.yaml"] = _chart(name).encode()
    for path in shared_templates():
        found[FOLDER / COPY / path.relative_to(FOLDER / ORIGINAL)] = path.read_bytes()
    return found


def shared_templates() -> list[Path]:
    """Return the templates of the exporter's chart that the importer's has a copy of."""
    folder = FOLDER / ORIGINAL / "templates"
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in OWN)


def schema_text(name: str, values: type[Values]) -> str:
    """Return values.schema.json: what `helm install` itself refuses."""
    made: dict[str, Any] = _plainly_nullable(schema_of(values))
    _require_sections(made)
    made["properties"]["global"] = {
        "type": ["object", "null"],
        "description": "What a chart above this one hands down.",
    }
    made = {"$schema": DIALECT, "title": f"Values of {name}", **_without(made, "title")}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _plainly_nullable(node: Any) -> Any:
    """Return `node` with sections that may be empty said in one line, so that Helm's message about a fault is one, too.

    "Either this section or null" makes Helm tell both reasons why neither fits. So the sections of the configuration
    themselves may be null, but for those that must be there, and the references are plain.
    """
    if isinstance(node, list):
        return [_plainly_nullable(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if [option for option in node.get("anyOf", []) if option == {"type": "null"}] and len(node["anyOf"]) == 2:
        return {**_without(node, "anyOf"), **node["anyOf"][0]}
    result = {key: _plainly_nullable(entry) for key, entry in node.items()}
    for name, definition in result.get("$defs", {}).items():
        if definition.get("type") == "object" and name not in _THERE:
            definition["type"] = ["object", "null"]
        if name in _OWN:
            _require_sections(definition)
    return result


def _require_sections(schema: dict[str, Any]) -> None:
    """Let the sections of `schema` be required: values.yaml has them, and null would take one away from a template."""
    sections = [name for name, entry in schema["properties"].items() if "$ref" in entry]
    schema["required"] = sorted({*schema.get("required", []), *sections})


def values_text(name: str, values: type[Values]) -> str:
    """Return values.yaml: every value with its default, and what it means."""
    lines = [f"# Values of {name}. Written by `make charts` from charts/values.py."]
    for key in keys(values):
        lines += ["", *_entry(key, indent="")]
    return "\n".join(lines) + "\n"


def readme(name: str, values: type[Values]) -> str:
    """Return README.md: how to install the chart, and the table of its values."""
    side = "source" if name == "dr-syncer-exporter" else "DR"
    head = f"""\
<!-- Written by `make charts`; edit charts/values.py instead. -->

# {name}

The {side} side of DR-Syncer. Step by step: docs/how-to/install.md of the project.

Every value is checked when the chart is installed, by values.schema.json. Below `config` the keys are those of the
service's configuration (docs/configuration.md); what a schema cannot tell, such as a wrong cron expression, the pod
refuses when it starts, in its log and in its termination message.

| Value | Default | Meaning |
|---|---|---|
"""
    return head + "".join(f"| {' | '.join(_cells(path, key))} |\n" for path, key in _described(values))


def _described(values: type[Values]) -> Iterator[tuple[tuple[str, ...], Key]]:
    for path, key in walk(values):
        if path[0] != "config" or len(path) == 1:
            yield path, key


def _cells(path: tuple[str, ...], key: Key) -> Iterator[str]:
    yield f"`{'.'.join(path)}`"
    required = "required" if key.required else ""
    yield required if key.section or key.required else f"`{flow(key.default)}`".replace("|", "\\|")
    yield key.description.replace("|", "\\|")


def _entry(key: Key, *, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(key.description, width=WIDTH - len(indent) - 2, break_on_hyphens=False):
        yield f"{indent}# {line}"
    if key.name == "config":
        assert key.section is not None
        yield f"{indent}config:"
        yield from _required(key.section, indent=indent + "  ")
    elif key.section:
        yield f"{indent}{key.name}:"
        for below in keys(key.section):
            yield from _entry(below, indent=indent + "  ")
    else:
        yield f"{indent}{key.name}: {flow(key.default)}"


def _required(section: type[Section], *, indent: str) -> Iterator[str]:
    """Yield the sections of the configuration, empty, with what must be filled in as comments."""
    for key in keys(section):
        if not key.section or not key.required:
            continue
        yield f"{indent}{key.name}: {{}}"
        for below in keys(key.section):
            if below.required:
                yield f"{indent}  # {below.name}: {flow(below.example)}"


def _chart(name: str) -> str:
    side = "the source cluster" if name == "dr-syncer-exporter" else "the DR cluster"
    what = (
        "writes a cluster's resources to a Git repository"
        if name == "dr-syncer-exporter"
        else ("keeps a DR cluster at what a Git repository says")
    )
    return f"""\
# Written by `make charts`.
apiVersion: v2
name: {name}
description: The part of DR-Syncer that runs in {side}; it {what}.
type: application
version: {__version__}
appVersion: {__version__}
kubeVersion: ">=1.27.0-0"
"""


def _without(made: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name != key}
