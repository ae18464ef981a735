"""Paths into a manifest: RFC 6901 pointers with a few ways to mean more than one place.

    /spec/template/spec/nodeSelector              one place
    /metadata/annotations/example.com~1noise      ~1 is a slash, ~0 a tilde (RFC 6901)
    /spec/ports/*/nodePort                        * is every element of a list or mapping
    /metadata/annotations/example.com~1*          a trailing * is the rest of a key
    /spec/containers[name=api]/image              the elements of a list whose field has that value
    /spec/volumes[name=kube-api-access-*]         there, too, a trailing * is the rest of the value

Three more escapes stand for characters that this grammar gives a meaning: ~2 is a star, ~3 an opening
and ~4 a closing bracket. On a list a number is an index, counted from 0.

A path that does not start with a slash has dots between its keys. It knows no escapes: what is in quotes is meant
as it stands (in double quotes as JSON has it).

    spec.template.spec.containers[name=api].image
    metadata.annotations["example.com/noise"]     a key with dots or slashes
    spec.rules[0].host, spec.ports[*].nodePort    an index, every element
    spec.volumes[name=kube-api-access-*]          a trailing * outside of quotes is the rest
    spec.rules[host="*.example.com"]              inside of them it is a star

All functions are pure: the input is never changed, and what they return shares its untouched parts with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

LONGEST = 1_000  # characters of a path: deeper ones could only exhaust whoever follows them


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a mapping or, where it is a number, an index of a list."""

    name: str
    index: int = field(init=False, compare=False)  # -1: not a number

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", int(self.name) if _INDEX.fullmatch(self.name) else -1)

    def chosen(self, node: Any) -> Iterator[tuple[str | int, Any]]:
        """Given any value return the keys or indexes of its parts that this segment means, with those parts."""
        if isinstance(node, dict):
            if self.name in node:
                yield self.name, node[self.name]
        elif isinstance(node, list) and 0 <= self.index < len(node):
            yield self.index, node[self.index]


@dataclass(frozen=True, slots=True)
class Every:
    """Every element of a list, or every key of a mapping that starts with `prefix`."""

    prefix: str = ""

    def chosen(self, node: Any) -> Iterator[tuple[str | int, Any]]:
        """Given any value return the keys or indexes of its parts that this segment means, with those parts."""
        if isinstance(node, dict):
            prefix = self.prefix
            yield from ((key, value) for key, value in node.items() if key.startswith(prefix))
        elif isinstance(node, list) and not self.prefix:
            yield from enumerate(node)


@dataclass(frozen=True, slots=True)
class Where:
    """The elements of a list that are mappings whose `field` has `value`, or starts with it (`open_ended`)."""

    field: str
    value: str
    open_ended: bool = False

    def chosen(self, node: Any) -> Iterator[tuple[str | int, Any]]:
        """Given any value return the indexes of its parts that this segment means, with those parts."""
        if isinstance(node, list):
            for index, element in enumerate(node):
                if isinstance(element, dict) and self._fits(element.get(self.field)):
                    yield index, element

    def _fits(self, found: Any) -> bool:
        if isinstance(found, bool):
            found = "true" if found else "false"
        elif isinstance(found, int):
            found = str(found)
        if not isinstance(found, str):
            return False
        return found.startswith(self.value) if self.open_ended else found == self.value


Segment = Key | Every | Where


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path: at least one segment, and the text that it was read from."""

    segments: tuple[Segment, ...]
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text


class _Gone:
    """The type of GONE."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = _Gone()  # what a function given to `replace` returns to take the value out


def parse(text: str) -> Path:
    """Given the text of a path return the Path. Raise ValueError with one sentence that says what is wrong."""
    if len(text) > LONGEST:
        raise ValueError(f"path {text[:40]!r}…: has more than {LONGEST:,} characters")
    if not text.startswith("/"):
        return Path(tuple(_dotted(text)), text)
    segments: list[Segment] = []
    for raw in text[1:].split("/"):
        segments.extend(_segments(raw, text))
    return Path(tuple(segments), text)


def find(value: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Return each place in `value` that `path` means, as an RFC 6901 pointer and what is there."""
    yield from _find(value, path.segments, "")


def remove(value: Any, path: Path) -> tuple[Any, bool]:
    """Return `value` without what `path` means, and whether there was anything.

    When there was nothing the very same value comes back.
    """
    left = replace(value, path, lambda _: GONE)
    return left, left is not value


def replace(value: Any, path: Path, fn: Callable[[Any], Any]) -> Any:
    """Return `value` with each part that `path` means replaced by what `fn` makes of it; GONE takes it out.

    When `fn` gives back the very same part everywhere, the very same value comes back.
    """
    return _replace(value, path.segments, 0, fn)


def pointer_token(key: str | int) -> str:
    """Given a key or index return it as one escaped token of an RFC 6901 pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")


_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ESCAPE = re.compile(r"~(.?)", re.DOTALL)
_MEANING = {"0": "~", "1": "/", "2": "*", "3": "[", "4": "]"}


def _find(value: Any, segments: tuple[Segment, ...], pointer: str) -> Iterator[tuple[str, Any]]:
    if not segments:
        yield pointer, value
        return
    for key, part in segments[0].chosen(value):
        yield from _find(part, segments[1:], f"{pointer}/{pointer_token(key)}")


def _replace(value: Any, segments: tuple[Segment, ...], at: int, fn: Callable[[Any], Any]) -> Any:
    if at == len(segments):
        return fn(value)
    changed = {}
    for key, part in segments[at].chosen(value):
        new = _replace(part, segments, at + 1, fn)
        if new is not part:
            changed[key] = new
    return changed_parts(value, changed) if changed else value


def changed_parts(value: Any, changed: dict[Any, Any]) -> Any:
    """Return a copy of the mapping or list `value` with `changed` parts by key or index; GONE takes a part out."""
    if isinstance(value, dict):
        return {key: new for key, old in value.items() if (new := changed.get(key, old)) is not GONE}
    return [new for index, old in enumerate(value) if (new := changed.get(index, old)) is not GONE]


_WORD = re.compile(r"[^.\[\]\"'/~\s]+")
_QUOTED = r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'"""
_BRACKET = re.compile(
    rf"""\[(?:(?P<key>{_QUOTED})|(?P<part>[0-9]+|\*)|(?P<field>[^\[\]\"'=*\s]+)=(?P<value>{_QUOTED}|[^\[\]\"']*))\]"""
)


def _dotted(text: str) -> Iterator[Segment]:
    """Yield the segments of a path with dots between its keys."""
    if not text or ("/" in text and "." not in text and "[" not in text):
        raise ValueError(f"path {text!r}: must start with a slash, such as /spec/replicas, or be written spec.replicas")
    at = 0
    while at < len(text):
        if found := _BRACKET.match(text, at):
            yield _bracketed(found, text)
        else:
            at += bool(at and text[at] == ".")
            found = _WORD.match(text, at)
            if found is None or (at and text[at - 1] != "."):
                raise ValueError(
                    f'path {text!r}: expected a key, [0], [*], [name=web] or ["a.key"] at {text[at:][:20]!r}'
                )
            yield _every_or_key(*_unstarred(found.group(), text))
        at = found.end()


def _bracketed(found: re.Match[str], text: str) -> Segment:
    if found["key"] is not None:
        return Key(_unquoted(found["key"], text))
    if found.start() == 0:
        raise ValueError(f"path {text!r}: needs the name of the list before '['")
    if found["part"] is not None:
        return Every() if found["part"] == "*" else Key(found["part"])
    if found["value"][:1] in ("'", '"'):
        return Where(found["field"], _unquoted(found["value"], text))
    return Where(found["field"], *_unstarred(found["value"], text))


def _unquoted(raw: str, text: str) -> str:
    try:
        return str(json.loads(raw)) if raw[0] == '"' else raw[1:-1]
    except ValueError:
        raise ValueError(f"path {text!r}: {raw} is no text in JSON's quotes") from None


def _unstarred(raw: str, text: str) -> tuple[str, bool]:
    head = raw.removesuffix("*")
    if "*" in head:
        raise ValueError(f"path {text!r}: a star may only end {raw!r} (quotes make it a literal one)")
    return head, head != raw


def _every_or_key(name: str, open_ended: bool) -> Segment:
    return Every(name) if open_ended else Key(name)


def _segments(raw: str, text: str) -> Iterator[Segment]:
    key, bracket, selector = raw.partition("[")
    if not bracket:
        if "]" in raw:
            raise ValueError(f"path {text!r}: ']' without '[' in {raw!r} (a literal bracket is ~4)")
        yield _key(raw, text)
        return
    if not key:
        raise ValueError(f"path {text!r}: {raw!r} needs the name of the list before '['")
    yield _key(key, text)
    if not selector.endswith("]") or selector.count("]") > 1 or "[" in selector:
        raise ValueError(f"path {text!r}: {raw!r} must end with one [field=value]")
    name, equals, wanted = selector[:-1].partition("=")
    if not name or not equals or "*" in name:
        raise ValueError(f"path {text!r}: expected [field=value], found [{selector}")
    value, open_ended = _star(wanted, text)
    yield Where(_plain(name, text), value, open_ended)


def _key(raw: str, text: str) -> Segment:
    return _every_or_key(*_star(raw, text))


def _star(raw: str, text: str) -> tuple[str, bool]:
    """Given a token return its plain text without a trailing star, and whether it had one."""
    head = raw[:-1] if raw.endswith("*") else raw
    if "*" in head:
        raise ValueError(f"path {text!r}: a star may only end {raw!r} (a literal star is ~2)")
    return _plain(head, text), head != raw


def _plain(raw: str, text: str) -> str:
    def meaning(found: re.Match[str]) -> str:
        if found.group(1) not in _MEANING:
            raise ValueError(f"path {text!r}: {found.group()!r} is no escape (~0 is a tilde, ~1 a slash)")
        return _MEANING[found.group(1)]

    return _ESCAPE.sub(meaning, raw)
