"""What may be shown of a confidential object: everything but its values."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from drsyncer.manifest import Manifest, metadata
from drsyncer.sops.copies import is_copy
from drsyncer.sops.scope import Scope, covering
from transforms import rules

MASK = "***"
# What an API server quotes of an object that it refuses.
_QUOTED = re.compile(r'(?<=, got ).*|(?<=Invalid value: )"(?:[^"\\]|\\.)*"|(?<=Value:)[^}]*', re.DOTALL)
_SHORTEST = 3  # shorter values are in any sentence by chance, and tell nothing there


def said_of(manifest: Manifest, scopes: Sequence[Scope], text: str) -> str:
    """Return what somebody said of an object, without its values that are confidential by any of `scopes`."""
    if not scopes:
        return text
    text = _QUOTED.sub(MASK, text)
    for value in sorted(_told_by(manifest, scopes), key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def done_to(manifests: Sequence[Manifest], scopes: Sequence[Scope], lines: Sequence[str]) -> tuple[str, ...]:
    """Return the lines `transform: /path what` of one object without its confidential values.

    A transform may tell a part of a value, so of a confidential place nothing is told but that it changed. `manifests`
    are the object before and after. What a rule tells is the rule's own text.
    """
    covers = covering(scopes)
    found = []
    for line in lines:
        name, _, what = line.partition(": ")
        place = what.partition(" ")[0]
        if name != rules.NAME and any(covers(_key(part)) for part in place.split("/")[1:]):
            line = f"{name}: {place} {MASK}"
        elif name != rules.NAME:
            for manifest in manifests:
                line = said_of(manifest, scopes, line)
        found.append(line)
    return tuple(found)


def _key(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def masked(before: Manifest, after: Manifest, scopes: Sequence[Scope]) -> tuple[Manifest, Manifest]:
    """Return both sides with their confidential values replaced: that one changed still shows, and only that."""
    covers = covering(scopes)
    if scopes:
        before, after = _copies_masked(before, covers), _copies_masked(after, covers)
    return _masked(before, after, covers, "*** (before)"), _masked(after, before, covers, "*** (after)")


def _copies_masked(manifest: Manifest, covers: Callable[[str], bool]) -> Manifest:
    meta = metadata(manifest)
    found = meta.get("annotations")
    if not isinstance(found, dict):
        return manifest  # also what is no object at all
    shown = {name: MASK if is_copy(name, text, covers) else text for name, text in found.items()}
    return {**manifest, "metadata": {**meta, "annotations": shown}}


def _masked(value: Any, other: Any, covers: Callable[[str], bool], changed: str, *, inside: bool = False) -> Any:
    if isinstance(value, dict):
        there = other if isinstance(other, dict) else {}
        return {
            key: _masked(item, there.get(key), covers, changed, inside=inside or covers(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        others = other if isinstance(other, list) and len(other) == len(value) else [None] * len(value)
        return [_masked(item, old, covers, changed, inside=inside) for item, old in zip(value, others, strict=True)]
    if not inside or value is None:
        return value
    return MASK if value == other else changed


def _told_by(manifest: Manifest, scopes: Sequence[Scope]) -> Iterator[str]:
    """Yield the confidential texts of an object in every form that a message may have them in."""
    for value in _leaves(manifest, covering(scopes), inside=False):
        for text in (value, _decoded(value)):
            forms = {text, text.strip(), text.encode("unicode_escape").decode("ascii"), *text.splitlines()}
            yield from (form for form in forms if len(form) >= _SHORTEST)


def _leaves(value: Any, covers: Callable[[str], bool], *, inside: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, covers, inside=inside or covers(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, covers, inside=inside)
    elif inside and value is not None and not isinstance(value, bool):
        yield str(value)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
