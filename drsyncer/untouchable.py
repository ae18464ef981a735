"""What no rule of a user may change: who an object is, and the keys that DR-Syncer keeps its own records in.

What a rule's text shows is refused when it is loaded; what only an object shows (`remove` of all annotations from one
that carries such a key) blocks that object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest, metadata
from drsyncer.paths import Every, Key, Path, Segment, pointer_token, remove

OWN_PREFIXES = (own.PREFIX, own.APPLYSET_PREFIX)
KEYED = ("labels", "annotations")

_IDENTITY = {"apiVersion": "v1", "kind": "Kind", "metadata": {"name": "name", "namespace": "namespace"}}
_WHO = "would change who the object is (apiVersion, kind, metadata.name or metadata.namespace)"
_OURS = f"would change keys under {own.PREFIX} or {own.APPLYSET_PREFIX}, which are DR-Syncer's own"


def objection(path: Path) -> str:
    """Return why no rule may change what `path` means, or ""."""
    # A path may lead to what holds the identity, to it, or into it.
    heads = [Path(path.segments[: length + 1], path.text) for length in range(min(len(path.segments), 2))]
    if remove(_IDENTITY, path)[1] or any(_is_identity(head) for head in heads):
        return _WHO
    if len(path.segments) > 2 and _may_be_keyed(path.segments) and _is_ours(path.segments[2]):
        return _OURS
    return ""


def objection_to_value(path: Path, value: Any) -> str:
    """Return why no rule may write `value` at `path`, or ""."""
    if len(path.segments) == 2 and _may_be_keyed(path.segments) and isinstance(value, Mapping) and _ours(value):
        return _OURS
    return objection(path)


def objection_to_merge(patch: Mapping[str, Any]) -> str:
    """Return why no rule may merge `patch` into an object, or ""."""
    if {"apiVersion", "kind"} & patch.keys():
        return _WHO
    if "metadata" not in patch:
        return ""
    meta = patch["metadata"]
    if not isinstance(meta, Mapping) or {"name", "namespace"} & meta.keys():
        return _WHO
    return _OURS if any(isinstance(part := meta.get(key), Mapping) and _ours(part) for key in KEYED) else ""


def change(before: Manifest, after: Manifest) -> tuple[str, str, str] | None:
    """Return where `after` differs from `before` in what no rule may change, what is there and what should be.

    None when nothing is wrong.

    Labels and annotations that are no mapping of text to text any more count, too: no API server takes them.
    """
    for pointer, old, new in _compared(before, after):
        if old != new:
            done = "it taken out" if new is None else "it changed" if old is not None else "it added"
            return pointer, done, "it left alone: no rule may touch it"
    for key in KEYED:
        found = metadata(after).get(key)
        if found is None or found is metadata(before).get(key):
            continue
        if not isinstance(found, dict):
            return f"/metadata/{key}", "no mapping", "a mapping of text to text"
        for name, value in found.items():
            if not isinstance(value, str):
                return f"/metadata/{key}/{pointer_token(name)}", "no text", "text"
    return None


def _compared(before: Manifest, after: Manifest) -> Iterator[tuple[str, Any, Any]]:
    for name in ("apiVersion", "kind"):
        yield f"/{name}", before.get(name), after.get(name)
    if before.get("metadata") is after.get("metadata"):
        return
    old, new = metadata(before), metadata(after)
    for name in ("name", "namespace"):
        yield f"/metadata/{name}", old.get(name), new.get(name)
    for key in KEYED:
        mine, theirs = _own_part(old.get(key)), _own_part(new.get(key))
        for name in sorted(mine.keys() | theirs.keys()):
            yield f"/metadata/{key}/{pointer_token(name)}", mine.get(name), theirs.get(name)


def _own_part(found: Any) -> dict[str, Any]:
    return {key: found[key] for key in found if key.startswith(OWN_PREFIXES)} if isinstance(found, dict) else {}


def _ours(keys: Mapping[str, Any]) -> bool:
    return any(key.startswith(OWN_PREFIXES) for key in keys)


def _is_identity(head: Path) -> bool:
    """Return whether the beginning of a path is a field of the identity itself, so that the path leads into it."""
    last = head.segments[-1]
    if not isinstance(last, Key):
        return False
    where = _IDENTITY if len(head.segments) == 1 else _IDENTITY["metadata"]
    in_metadata = len(head.segments) == 1 or head.segments[0] == Key("metadata")
    return in_metadata and isinstance(where, dict) and isinstance(where.get(last.name), str)


def _may_be_keyed(segments: tuple[Segment, ...]) -> bool:
    return segments[0] == Key("metadata") and isinstance(segments[1], Key) and segments[1].name in KEYED


def _is_ours(segment: Segment) -> bool:
    """Return whether a segment below labels or annotations is about our keys for certain."""
    name = segment.name if isinstance(segment, Key) else segment.prefix if isinstance(segment, Every) else ""
    return name.startswith(OWN_PREFIXES)
