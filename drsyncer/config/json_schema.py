"""The JSON Schema of the configuration, for editors and for those who check files before they arrive."""

from __future__ import annotations

from typing import Any

from drsyncer.config.schema import Config
from drsyncer.config.section import Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "https://dr-syncer.io/schemas/config/v1.json"


def json_schema() -> dict[str, Any]:
    """Return the schema of `dr-syncer.yaml`, draft 2020-12. Sections and collections may be left empty (null)."""
    return {"$schema": DIALECT, "$id": ID, **schema_of(Config), "title": "DR-Syncer configuration"}


def schema_of(section: type[Section]) -> dict[str, Any]:
    """Return the schema of one section, with what it refers to in its `$defs`."""
    made: dict[str, Any] = _polished(section.model_json_schema(by_alias=True))
    return made


def _polished(node: Any) -> Any:
    """Return `node` without the titles that only repeat names, and with null where the loader takes it."""
    if isinstance(node, list):
        return [_polished(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "properties":
            result[key] = {name: _nullable(_polished(entry)) for name, entry in value.items()}
        elif key in ("default", "examples", "enum", "const"):
            result[key] = value
        else:
            result[key] = _polished(value)
    return result


def _nullable(entry: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in entry:
        rest = {key: value for key, value in entry.items() if key != "$ref"}
        return {**rest, "anyOf": [{"$ref": entry["$ref"]}, {"type": "null"}]}
    if entry.get("type") in ("array", "object"):
        return {**entry, "type": [entry["type"], "null"]}
    return entry
