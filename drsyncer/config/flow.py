"""Small values as one line of YAML: for the sample, the reference page and messages."""

from __future__ import annotations

import json
import re
from typing import Any

# Nothing in this alphabet can be read as anything but the text itself, by any reader of YAML.
_PLAIN = re.compile(
    r"/?[A-Za-z][A-Za-z0-9_./~-]*(?: [A-Za-z0-9_./~-]+)*"
    r"|[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9@_./~-]+"
    r"|[0-9]+(?:ms|s|m|h)"
)
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])


def flow(value: Any) -> str:
    """Given JSON-like data return YAML on one line: `[{types: ["*"]}]`."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return json.dumps(value)
