"""Validation errors in the words of the person who wrote the file. No message repeats a value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

from pydantic_core import ErrorDetails

from drsyncer.config import leaks
from drsyncer.config.section import Loc, Section, at, keys, section_at


def location(error: ErrorDetails) -> Loc:
    """Return where in the file `error` is: pydantic marks a mapping's key with a part of its own."""
    return tuple(part for part in error["loc"] if part != "[key]")


def message(error: ErrorDetails, *, root: type[Section]) -> str:
    """Return one sentence for `error`, which came from validating against `root`."""
    write = _MESSAGES.get(error["type"])
    if write is not None:
        return write(error, root)
    if error["type"] == "value_error":
        return str(error.get("ctx", {}).get("error", error["msg"]))
    return f"expected {_expected(error, root)}, found {_found(error['input'])}{_advice(error)}"


def _missing(error: ErrorDetails, root: type[Section]) -> str:
    found = at(root, error["loc"])
    key = found[0] if found else None
    if key is None or key.section:
        return "this key is required and missing"
    return f"this key is required and missing; for example `{key.name}: {key.example or key.kind.example}`"


def _unknown(error: ErrorDetails, root: type[Section]) -> str:
    loc = location(error)
    name = str(loc[-1])
    secret = leaks.named_by(name)
    if secret:
        return secret
    section = section_at(root, loc[:-1])
    known = [key.name for key in keys(section)] if section else []
    by_lower = {one.lower().replace("_", "").replace("-", ""): one for one in known}
    near = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), by_lower, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean `{by_lower[near[0]]}`?"
    return "unknown key; known here: " + ", ".join(known)


def _literal(error: ErrorDetails, _root: type[Section]) -> str:
    choices = re.findall(r"'([^']*)'", error.get("ctx", {}).get("expected", ""))
    expected = "one of " + ", ".join(choices) if len(choices) > 1 else f"`{choices[0]}` and nothing else"
    given = error["input"]
    if not isinstance(given, str):
        return f"expected {expected}, found {_found(given)}{_advice(error)}"
    near = difflib.get_close_matches(given, choices, n=1, cutoff=0.6) if len(choices) > 1 else []
    return f"expected {expected}" + (f"; did you mean `{near[0]}`?" if near else "")


def _out_of_range(error: ErrorDetails, root: type[Section]) -> str:
    return f"expected {_expected(error, root)}; this number is too {'small' if 'greater' in error['type'] else 'large'}"


def _too_short(error: ErrorDetails, root: type[Section]) -> str:
    return f"expected {_expected(error, root)} with at least one entry"


_MESSAGES: dict[str, Callable[[ErrorDetails, type[Section]], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _literal,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
    "too_short": _too_short,
}


def _expected(error: ErrorDetails, root: type[Section]) -> str:
    """Return what would have been right, with an example where the words alone do not show it."""
    if error["loc"] and error["loc"][-1] == "[key]":
        return "a key that is text"
    found = at(root, error["loc"])
    if found is None:
        return "a mapping of keys"
    key, inside = found
    section = key.entries if inside else key.section
    if section:
        return f"keys such as {keys(section)[0].name}"
    kind = (key.item if inside else None) or key.kind
    words_are_enough = kind.words.startswith(("one of", "the word", "a whole number", "a percentage", "true", "text"))
    return kind.words if words_are_enough else f"{kind.words} such as {kind.example}"


def _found(value: Any) -> str:
    if value is None:
        return "no value"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else "a mapping"


def _advice(error: ErrorDetails) -> str:
    given = error["input"]
    if error["type"] == "string_type" and isinstance(given, bool | int | float):
        return "; put it in quotes"
    if error["type"].startswith(("int_", "float_", "bool_")) and isinstance(given, str):
        return "; write it without quotes" if given in ("true", "false") or given.isdigit() else ""
    if error["type"] == "tuple_type" and isinstance(given, str):
        return "; put it in brackets or behind a `-`"
    return ""
