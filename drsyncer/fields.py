"""Who owns which field: reading `metadata.managedFields`.

The format is FieldsV1 of server-side apply (KEP-555): a tree whose keys are `f:<name>` for a field,
`k:{…}` for the list element with these keys, `v:<value>` for the list element that equals the
value, `i:<n>` for the n-th element, and `.` for the element itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Pointer = tuple[str | int, ...]

_MISSING = object()
# Metadata that says who and when, never what a person meant.
_UNINTENDED = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


def owned(fields: Mapping[str, Any], value: Any, at: Pointer = ()) -> Iterator[Pointer]:
    """Yield the places in `value` that `fields` names as leaves; places that `value` lacks are left out.

    A leaf stands for everything below it.
    """
    for key, below in fields.items():
        if key == ".":
            continue
        step = _step(key, value)
        if step is None:
            continue
        child = value[step]
        if not below or set(below) == {"."}:
            yield (*at, step)
        else:
            yield from owned(below, child, (*at, step))


def _step(key: str, value: Any) -> str | int | None:
    """Return the dictionary key or list index that a FieldsV1 key means in `value`, or None when absent."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return rest if isinstance(value, dict) and rest in value else None
    if not isinstance(value, list):
        return None
    if kind == "i":
        index = int(rest)
        return index if index < len(value) else None
    wanted = json.loads(rest)
    if kind == "v":
        return next((index for index, element in enumerate(value) if element == wanted), None)
    if kind != "k":
        return None
    # The element that states most of the keys: one that it leaves out is a default (`protocol: TCP`).
    stated = [(_stated_keys(element, wanted), -index) for index, element in enumerate(value)]
    most, index = max(stated, default=(0, 0))
    return -index if most else None


def _stated_keys(element: Any, wanted: Mapping[str, Any]) -> int:
    """Return how many of the `wanted` keys the list's element states; 0 when it is another one."""
    if not isinstance(element, dict):
        return 0
    given = [key for key in wanted if key in element]
    return len(given) if all(element[key] == wanted[key] for key in given) else 0


def leaves(value: Any, at: Pointer = ()) -> Iterator[tuple[Pointer, Any]]:
    """Yield every scalar and every empty mapping or list in `value`, with its place."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from leaves(child, (*at, key))
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from leaves(child, (*at, index))
    else:
        yield at, value


def changed(old: Any, new: Any, at: Pointer = ()) -> Iterator[Pointer]:
    """Yield the places where `new` differs from `old`; lists of another length differ as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from changed(old.get(key, _MISSING), new.get(key, _MISSING), (*at, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from changed(before, after, (*at, index))
    elif old != new or type(old) is not type(new):
        yield at


def covers(places: Iterable[Pointer], place: Pointer) -> bool:
    """Return whether `place` is one of `places`, lies below one, or holds one."""
    return any(place[: len(other)] == other or other[: len(place)] == place for other in places)


def managers_behind(old: Any, new: Any, entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the field managers that made `new` out of `old` (None: created), by name.

    `entries` are the object's managedFields. A removed field has no owner left, so when no manager
    owns anything that changed, the one who wrote last is named. Writes to subresources (status,
    scale excepted) are not intent and not counted.
    """
    writers = [entry for entry in entries if entry.get("subresource", "") in ("", "scale")]
    if old is None:
        return tuple(sorted({str(entry.get("manager", "")) for entry in writers} - {""}))
    places = list(changed(old, new))
    found = {
        str(entry.get("manager", ""))
        for entry in writers
        if (mine := list(owned(entry.get("fieldsV1") or {}, new))) and any(covers(mine, place) for place in places)
    }
    if not found and writers:
        latest = max(writers, key=lambda entry: str(entry.get("time", "")))
        found = {str(latest.get("manager", ""))}
    return tuple(sorted(found - {""}))


def lost(desired: Any, ours: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[Pointer, str]:
    """Return the places of `desired` that our entry `ours` no longer owns, each with the manager that took it.

    "" stands for a field that nobody owns now: it was removed. `others` are the other managedFields entries.
    """
    kept = list(owned(ours, desired))
    missing = [place for place, _ in leaves(desired) if not _identity(place) and not covers(kept, place)]
    taken: dict[Pointer, str] = dict.fromkeys(missing, "")
    for entry in others:
        theirs = list(owned(entry.get("fieldsV1") or {}, desired))
        for place in missing:
            if covers(theirs, place):
                taken[place] = str(entry.get("manager", ""))
    return taken


def _identity(place: Pointer) -> bool:
    """Return whether a place names the object rather than describing it: nobody ever owns those fields."""
    return place[:1] in (("apiVersion",), ("kind",)) or (
        place[:1] == ("metadata",) and len(place) > 1 and place[1] in ("name", "namespace", *_UNINTENDED)
    )


def dotted(place: Pointer, value: Any = None) -> str:
    """Return a place as people write it: `spec.template.spec.containers[name=web].image`.

    Elements of lists go by the name that they have in `value`, the whole object; else by their index.
    """
    text = ""
    for step in place:
        value = _child(value, step)
        if isinstance(step, str):
            text += f".{step}" if text else step
        else:
            name = value.get("name") if isinstance(value, dict) else None
            text += f"[name={name}]" if isinstance(name, str) else f"[{step}]"
    return text


def _child(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None
