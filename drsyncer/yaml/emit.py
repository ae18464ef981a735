"""Write one object as YAML: the same value always gives the same bytes, and every reader reads it back alike.

The style, in full: keys sorted by code point, with apiVersion, kind and metadata first at the top; two spaces;
sequences at their key's own indentation, as kubectl writes them; no anchors, tags, comments or folded lines.
Text is plain only where no version of YAML could take it for anything else, a `|` block where it has several
lines that every reader keeps as they are, and in JSON's double quotes otherwise. Keys follow the same rule.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from drsyncer.json import LONGEST_SIMPLE_KEY, number, quoted, refuse_unfit
from drsyncer.manifest import Manifest
from drsyncer.yaml import LIMITS, Limits

FIRST_KEYS = ("apiVersion", "kind", "metadata")

# A letter or "/" first rules out numbers, dates and every indicator; ": " and " #" can not occur inside.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+=@%,;()$-]*+(?:(?: ++|:++)[A-Za-z0-9_./+=@%,;()$-]++)*+")
_SPECIAL_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
_LONGEST_SPECIAL_WORD = max(map(len, _SPECIAL_WORDS))

# What a block cannot show: it has no escapes. Carriage returns come back as line feeds.
_NOT_IN_BLOCK = re.compile("[\x00-\x08\x0b-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")


def emit(manifest: Manifest, *, limits: Limits = LIMITS) -> bytes:
    """Return `manifest` as one YAML document in UTF-8, ending in a newline.

    The order of keys in `manifest` does not matter. What this writes, `drsyncer.yaml.read` reads back equal.

    Raises ValueError, naming the JSON Pointer, for what JSON cannot hold (NaN, bytes, keys that are not text, half
    a surrogate pair) and for what exceeds `limits`: it could be written, and never read again.
    """
    writer = _Writer(limits)
    try:
        writer.document(manifest)
    except (ValueError, TypeError, RecursionError):
        refuse_unfit(manifest)
        raise
    data = "".join(writer.parts).encode()
    if writer.nodes > limits.nodes:
        raise ValueError(f"the object has more than {limits.nodes:,} keys and values")
    if len(data) > limits.max_bytes:
        raise ValueError(f"the object is larger than {limits.max_bytes:,} bytes as YAML")
    return data


class _Writer:
    """Collects the lines. The first line of a mapping or sequence starts with `lead`, the others with `pad`."""

    __slots__ = ("depth", "nodes", "parts")

    def __init__(self, limits: Limits) -> None:
        self.parts: list[str] = []
        self.nodes = 1
        self.depth = limits.depth  # levels left

    def document(self, manifest: Manifest) -> None:
        if not isinstance(manifest, dict):
            raise ValueError(f"an object is a mapping, not {type(manifest).__name__}")
        if not manifest:
            self.parts.append("{}\n")
            return
        keys = [key for key in FIRST_KEYS if key in manifest]
        keys += sorted(manifest.keys() - keys)
        self._mapping(manifest, keys, "", "")

    def _mapping(self, mapping: dict[str, Any], keys: list[str], pad: str, lead: str) -> None:
        self._descend(2 * len(keys))
        write = self.parts.append
        for key in keys:
            value = mapping[key]
            head = lead + _key(key)
            if head[-1] == "\n":
                head += pad + ":"
            if isinstance(value, str):
                write(f"{head} {_text(value, pad)}\n")
            elif isinstance(value, dict) and value:
                write(head + "\n")
                inner = pad + "  "
                self._mapping(value, sorted(value), inner, inner)
            elif isinstance(value, list) and value:
                write(head + "\n")
                self._sequence(value, pad, pad)
            else:
                write(f"{head} {_atom(value)}\n")
            lead = pad
        self.depth += 1

    def _sequence(self, sequence: list[Any], pad: str, lead: str) -> None:
        self._descend(len(sequence))
        write = self.parts.append
        inner = pad + "  "
        for value in sequence:
            if isinstance(value, str):
                write(f"{lead}- {_text(value, pad)}\n")
            elif isinstance(value, dict) and value:
                self._mapping(value, sorted(value), inner, lead + "- ")
            elif isinstance(value, list) and value:
                self._sequence(value, inner, lead + "- ")
            else:
                write(f"{lead}- {_atom(value)}\n")
            lead = pad
        self.depth += 1

    def _descend(self, nodes: int) -> None:
        if not self.depth:
            raise ValueError("the object is nested too deeply")
        self.depth -= 1
        self.nodes += nodes


def _atom(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    raise TypeError(f"{type(value).__name__} is no JSON type")


# Keys repeat from object to object; values are not cached, so that no secret outlives its object here.
@lru_cache(maxsize=16_384)
def _key(key: str) -> str:
    """Return `key:`, or for a key too long to be found without it the line `? key`, newline included."""
    if not isinstance(key, str):
        raise TypeError("not a text key")
    text = key if _is_plain(key) else quoted(key)
    return f"? {text}\n" if len(text) > LONGEST_SIMPLE_KEY else text + ":"


def _text(text: str, pad: str) -> str:
    if _is_plain(text):
        return text
    if "\n" in text and not text.isspace() and not _NOT_IN_BLOCK.search(text):
        return _block(text, pad + "  ")
    return quoted(text)


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and not (
        len(text) <= _LONGEST_SPECIAL_WORD and text.lower() in _SPECIAL_WORDS
    )


def _block(text: str, pad: str) -> str:
    """Return `text` as a `|` block whose lines start with `pad`, without the last line's newline."""
    # Readers guess the indentation from the first line, and would take its own blanks for it.
    indentation = "2" if text[0] in " \t\n" else ""
    lines = text.split("\n")
    if lines[-1]:
        chomping = "-"
    else:
        lines.pop()
        chomping = "" if lines[-1] else "+"
    # An empty line stays empty: blanks at a line's end are then always the text's own.
    return "\n".join((f"|{indentation}{chomping}", *[pad + line if line else "" for line in lines]))
