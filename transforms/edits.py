"""How a rule's steps change an object: set, remove, merge (RFC 7386) and patch (RFC 6902).

All functions are pure: what they return shares its untouched parts with what was given, and is the very same value
when nothing changed. What cannot be done raises Unreachable; nothing is ever half done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from drsyncer.paths import GONE, Key, Path, Segment, changed_parts, pointer_token
from drsyncer.yaml import LIMITS, Limits
from transforms.pods import describe

Place = tuple[str | int, ...]  # keys and indexes from the top of an object
Hidden = Callable[[str], bool]  # whether what stands below a key of the object is for nobody's eyes
Word = Literal["add", "remove", "replace", "move", "copy", "test"]


class Unreachable(ValueError):
    """A step cannot do its work. `at` is a JSON Pointer to where it ended, `found` what is there.

    `found` names sorts of values and sizes, never a value.
    """

    def __init__(self, at: str, found: str, expected: str) -> None:
        super().__init__(f"{at or '/'}: found {found}, expected {expected}")
        self.at = at
        self.found = found
        self.expected = expected


def equal(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal as RFC 6902 (4.6) has it: 1 is 1.0, and neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def sized(value: Any) -> str:
    """Say what sort of value is there and how large it is, never the value."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"a mapping of {len(value)}" if isinstance(value, dict) else describe(value)


def pointer(place: Place) -> str:
    """Return the JSON Pointer of a place."""
    return "".join("/" + pointer_token(key) for key in place)


def excess(value: Any, limits: Limits = LIMITS) -> str:
    """Return what a value has too much of to be written to a file and read back, or "".

    A few copies of an object into itself make one that no memory holds, since its parts are shared until it is
    written. So this looks no further than the limits.
    """
    nodes, size = limits.nodes, limits.max_bytes
    todo = [(value, 1)]
    while todo:
        node, depth = todo.pop()
        nodes -= 1
        if isinstance(node, str):
            size -= len(node)
        elif isinstance(node, dict | list):
            if depth > limits.depth:
                return f"more than {limits.depth} levels"
            nodes -= len(node)
            if isinstance(node, dict):
                size -= sum(map(len, node))
            todo += [(part, depth + 1) for part in (node.values() if isinstance(node, dict) else node)]
        if nodes < 0:
            return f"more than {limits.nodes:,} keys and values"
        if size < 0:
            return f"more than {limits.max_bytes:,} characters"
    return ""


# -- set ---------------------------------------------------------------------------------------------


def put(node: Any, path: Path, value: Any) -> Any:
    """Return `node` with `value` at each place that `path` means.

    Mappings that are missing on the way (or null) are made, also for the last key; list elements never are. A selector,
    a `*` or an index that means nothing is Unreachable.
    """
    return _put(node, path.segments, value, ())


def _put(node: Any, rest: tuple[Segment, ...], value: Any, at: Place) -> Any:
    if not rest:
        return node if equal(node, value) else value
    head, below = rest[0], rest[1:]
    if isinstance(head, Key) and isinstance(node, dict):
        child = node.get(head.name)
        if child is None and below:
            new = _made(below, value, (*at, head.name))
        elif head.name not in node:
            new = value
        else:
            new = _put(child, below, value, (*at, head.name))
        return node if head.name in node and new is child else {**node, head.name: new}
    chosen = dict(head.chosen(node))
    if not chosen:
        raise Unreachable(pointer(at), sized(node), expected(head))
    changed = {key: new for key, child in chosen.items() if (new := _put(child, below, value, (*at, key))) is not child}
    return changed_parts(node, changed) if changed else node


def _made(rest: tuple[Segment, ...], value: Any, at: Place) -> Any:
    """Return the mappings down to `value`, for a place where there is nothing."""
    if not rest:
        return value
    head = rest[0]
    if not isinstance(head, Key) or head.index >= 0:
        raise Unreachable(pointer(at), "nothing", expected(head))
    return {head.name: _made(rest[1:], value, (*at, head.name))}


def expected(segment: Segment) -> str:
    """Say what must be there for `segment` to mean something."""
    if isinstance(segment, Key) and segment.name == "-":
        return "a key or an index: only jsonPatch adds elements"
    if isinstance(segment, Key):
        return f"a list with an element {segment.index}" if segment.index >= 0 else f"a mapping for {segment.name!r}"
    field = getattr(segment, "field", "")
    if field:
        star = "*" if getattr(segment, "open_ended", False) else ""
        return f"a list with an element whose {field} is {getattr(segment, 'value', '')}{star}"
    return "something that * stands for"


# -- merge -------------------------------------------------------------------------------------------


def merged(target: Any, patch: Any) -> Any:
    """Return `target` with `patch` merged into it by RFC 7386: null removes, mappings merge, all else replaces."""
    if not isinstance(patch, dict):
        return target if equal(target, patch) else patch
    base = target if isinstance(target, dict) else {}
    result = {key: value for key, value in base.items() if not (key in patch and patch[key] is None)}
    for key, value in patch.items():
        if value is not None:
            result[key] = merged(base.get(key), value)
    unchanged = base is target and result.keys() == base.keys() and all(result[key] is base[key] for key in base)
    return target if unchanged else result


# -- patch -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a JSON Patch. Each path must mean exactly one place. `origin` is its `from`."""

    op: Word
    path: Path
    value: Any = None
    origin: Path | None = None


def patched(document: Any, operations: Sequence[Operation], *, hidden: Hidden | None = None) -> Any:
    """Return `document` after all `operations`, in order. The first that fails raises Unreachable and nothing is done.

    The error's `expected` tells the operation's number. What stands below a key that is `hidden` goes nowhere else but
    below another; and a failed test then names only sorts of values.
    """
    result = document
    for number, operation in enumerate(operations):
        try:
            if operation.op == "test":
                _test(result, operation, shown=sized if hidden else _shown)
            else:
                if hidden and operation.origin:
                    _stays(result, operation.path, operation.origin, hidden)
                result = _OPERATIONS[operation.op](result, operation)
        except Unreachable as error:
            where = f"{error.expected} (operation {number + 1}, {operation.op})"
            raise Unreachable(error.at, error.found, where) from None
    return document if equal(result, document) else result


def _add(document: Any, operation: Operation) -> Any:
    return _added(document, operation.path, operation.value)


def _remove(document: Any, operation: Operation) -> Any:
    place, _ = _existing(document, operation.path)
    return _edited(document, place[:-1], lambda node: changed_parts(node, {place[-1]: GONE}))


def _replace(document: Any, operation: Operation) -> Any:
    place, _ = _existing(document, operation.path)
    return _edited(document, place, lambda _: operation.value)


def _move(document: Any, operation: Operation) -> Any:
    assert operation.origin is not None
    source, value = _existing(document, operation.origin)
    above, _ = _one(document, operation.path.segments[:-1])
    if above[: len(source)] == source:
        raise Unreachable(pointer(source), "the place that it is moved to inside of it", "a place outside")
    left = _edited(document, source[:-1], lambda node: changed_parts(node, {source[-1]: GONE}))
    return _added(left, operation.path, value)


def _copy(document: Any, operation: Operation) -> Any:
    assert operation.origin is not None
    _, value = _existing(document, operation.origin)
    return _added(document, operation.path, value)


def _stays(document: Any, path: Path, origin: Path, hidden: Hidden) -> None:
    """Raise Unreachable when a copy or move would show what is hidden."""
    source, _ = _existing(document, origin)
    above, node = _one(document, path.segments[:-1])
    last = path.segments[-1]
    target = (*above, last.name) if isinstance(last, Key) and isinstance(node, dict) else above
    if any(map(hidden, _keys(source))) and not any(map(hidden, _keys(target))):
        raise Unreachable(pointer(source), f"confidential data that goes to {path}", "it staying where it is hidden")


def _keys(place: Place) -> list[str]:
    return [key for key in place if isinstance(key, str)]


def _test(document: Any, operation: Operation, *, shown: Callable[[Any], str]) -> None:
    place, value = _existing(document, operation.path)
    if not equal(value, operation.value):
        found, wanted = shown(value), shown(operation.value)
        raise Unreachable(pointer(place), found, f"another: {wanted}" if found == wanted else wanted)


def _shown(value: Any) -> str:
    """Say what is there; only numbers, true and false as they are, since text may be a secret."""
    return str(value).lower() if isinstance(value, bool | int | float) else sized(value)


_OPERATIONS: Mapping[Word, Callable[[Any, Operation], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
}


def _added(document: Any, path: Path, value: Any) -> Any:
    above, _ = _one(document, path.segments[:-1])
    last = path.segments[-1]
    assert isinstance(last, Key)  # see `patchable`

    def add(node: Any) -> Any:
        if isinstance(node, dict):
            return {**node, last.name: value}
        if not isinstance(node, list):
            raise Unreachable(pointer(above), sized(node), "a mapping or a list")
        index = len(node) if last.name == "-" else last.index
        if not 0 <= index <= len(node):
            raise Unreachable(pointer(above), sized(node), f"a list that takes an element at {last.name!r}")
        return [*node[:index], value, *node[index:]]

    return _edited(document, above, add)


def _existing(document: Any, path: Path) -> tuple[Place, Any]:
    return _one(document, path.segments)


def _one(document: Any, segments: Sequence[Segment]) -> tuple[Place, Any]:
    """Return the one place that `segments` mean, and what is there. Raises Unreachable for none and for several."""
    place: Place = ()
    node = document
    for segment in segments:
        chosen = list(segment.chosen(node))
        if not chosen:
            what = sized(node) if isinstance(node, dict | list) else describe(node)
            missing = f"{what} without {segment.name!r}" if isinstance(segment, Key) else what
            raise Unreachable(pointer(place), missing, "that place" if isinstance(segment, Key) else expected(segment))
        if len(chosen) > 1:
            raise Unreachable(pointer(place), f"{len(chosen)} places that fit", "exactly one")
        key, node = chosen[0]
        place = (*place, key)
    return place, node


def _edited(node: Any, place: Place, edit: Callable[[Any], Any]) -> Any:
    if not place:
        return edit(node)
    return changed_parts(node, {place[0]: _edited(node[place[0]], place[1:], edit)})


def patchable(path: Path) -> bool:
    """Return whether something can be added at `path`: its last part is a key, an index or `-`."""
    return isinstance(path.segments[-1], Key)
