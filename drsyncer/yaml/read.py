"""Read YAML that others may have written: bounded, strict, and with the line of every fault.

The recovery repository is not trusted with the machine, so size, depth and number of nodes are bounded and
anchors, aliases, tags and merge keys, none of which Kubernetes objects need, are refused. So is each value that
YAML 1.1 and 1.2 readers understand differently (`no`, `012`, `1_000`, `1:30`): whoever wrote it may have meant
either, and at recovery time nobody is asked. Errors name lines and keys, never values: they may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from drsyncer.errors import InvalidManifest
from drsyncer.manifest import Manifest
from drsyncer.yaml import LIMITS, Limits
from drsyncer.yaml.scalars import MAY_MEAN_MORE, Ambiguous, plain, tagged

try:
    from _ruamel_yaml import CParser  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # no wheel for this platform: the same events, several times slower
    CParser = None

# Compiled when something is wrong: that takes 10 ms, as long as reading a hundred objects.
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_KEY = object()
_ANCHORS = ("anchors and aliases are not allowed", "Write the value out wherever it is needed.")

NextEvent = Callable[[], Any]


def read(data: bytes, *, file: str, limits: Limits = LIMITS) -> Manifest:
    """Return the one mapping that `data` holds, as plain dicts, lists, str, int, float, bool and None.

    `file` is only a name for messages. Raises InvalidManifest for anything but exactly one document that
    is a mapping, and for all that this module refuses.
    """
    reader = _Reader(data, file, limits)
    if not reader.next_document():
        raise InvalidManifest(file, 1, "holds no object", hint="The file is empty, or only comments.")
    line, value = reader.document()
    if not isinstance(value, dict):
        raise InvalidManifest(file, line, "holds no mapping", hint="An object starts with apiVersion and kind.")
    if second := reader.next_document():
        raise InvalidManifest(file, second, "a second document starts here", hint="Give each object its own file.")
    return value


def read_all(data: bytes, *, file: str, limits: Limits = LIMITS) -> list[tuple[int, Any]]:
    """Return each document of `data` with its first line (1-based); documents without content are left out.

    For files that people write by hand, with `---` between objects. `limits` hold for all documents together.
    Raises InvalidManifest as `read` does, but takes any value for a document.
    """
    reader = _Reader(data, file, limits)
    found = []
    while reader.next_document():
        line, value = reader.document()
        if value is not None:
            found.append((line, value))
    return found


def events(data: bytes, text: str) -> NextEvent:
    if CParser is not None:
        return cast(NextEvent, CParser(data).get_event)
    return cast(NextEvent, YAML(typ="safe", pure=True).parse(text).__next__)


class _Reader:
    """Builds values from parser events."""

    def __init__(self, data: bytes, file: str, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._nodes_left = limits.nodes  # checked when a mapping or sequence starts or grows long
        if len(data) > limits.max_bytes:
            raise InvalidManifest(file, 0, f"larger than {limits.max_bytes:,} bytes")
        try:
            self._text = data.decode()
        except UnicodeDecodeError as error:
            raise InvalidManifest(file, data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
        self._next = events(data, self._text)

    def next_document(self) -> int:
        """Go to the start of the next document and return its line, 1-based; 0 when there is none."""
        with self._faults():
            event = self._next()
            while not isinstance(event, DocumentStartEvent):
                if isinstance(event, StreamEndEvent):
                    return 0
                event = self._next()
        if event.version or event.tags:
            raise self._fault(event, "directives are not allowed", "Remove the lines that start with %.")
        return _line(event)

    def document(self) -> tuple[int, Any]:
        """Return the value of the document that has just started, and its first line."""
        with self._faults():
            first = self._next()
            return _line(first), self._value(first)

    def _value(self, event: Any) -> Any:
        # The hot loop of an import: one turn per key and value, so what it asks most often stands in line.
        take, left = self._next, self._limits.nodes
        here: Any = None  # the mapping or sequence being filled
        key: Any = _NO_KEY  # of `here`, when a mapping waits for its value
        marks: list[Any] = []  # of the keys of `here`
        outer: list[tuple[Any, Any, list[Any]]] = []
        while True:
            kind = type(event)
            if kind is ScalarEvent:
                self._nodes_left -= 1
                value = event.value
                if event.ctag is not None or event.anchor is not None:
                    value = self._decorated(event)
                elif not event.implicit[0]:
                    if not value.isascii() and _SURROGATE.search(value):
                        raise self._fault(event, "half of a surrogate pair is no text")
                elif not value or value[0] in MAY_MEAN_MORE:
                    value = self._plain(event)
                if key is _NO_KEY and type(here) is dict:
                    if not isinstance(value, str) or value in here:
                        raise self._bad_key(event, value, here, marks)
                    key = value
                    marks.append(event.start_mark)
                    event = take()
                    continue
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._check_start(event, len(outer), is_key=key is _NO_KEY and type(here) is dict)
                outer.append((here, key, marks))
                here, key, marks = {} if kind is MappingStartEvent else [], _NO_KEY, []
                event = take()
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = here
                here, key, marks = outer.pop()
            else:
                raise self._fault(event, *_ANCHORS)
            if self._nodes_left < 0:
                raise self._fault(event, f"more than {left:,} keys and values")
            if here is None:
                return value
            if type(here) is list:
                here.append(value)
            else:
                here[key] = value
                key = _NO_KEY
            event = take()

    def _decorated(self, event: Any) -> Any:
        if event.anchor is not None:
            raise self._fault(event, *_ANCHORS)
        try:
            return tagged(str(event.ctag), event.value)
        except Ambiguous as error:
            raise self._fault(event, str(error), error.hint) from None

    def _plain(self, event: Any) -> Any:
        try:
            return plain(event.value)
        except Ambiguous as error:
            raise self._fault(event, str(error), error.hint) from None

    def _bad_key(self, event: Any, key: Any, mapping: dict[str, Any], marks: list[Any]) -> InvalidManifest:
        if not isinstance(key, str):
            return self._fault(event, "a key is not text", "Quote the key.")
        first = marks[list(mapping).index(key)].line + 1
        return self._fault(event, f"the key {key!r} is here a second time; the first is on line {first}")

    def _check_start(self, event: Any, depth: int, *, is_key: bool) -> None:
        self._nodes_left -= 1
        if depth >= self._limits.depth:
            raise self._fault(event, f"nested deeper than {self._limits.depth} levels")
        if event.anchor is not None:
            raise self._fault(event, *_ANCHORS)
        if is_key:
            raise self._fault(event, "a key is not text", "Template marks such as {{ }} need quotes.")
        wanted = "tag:yaml.org,2002:" + ("map" if isinstance(event, MappingStartEvent) else "seq")
        if event.ctag is not None and str(event.ctag) != wanted:
            raise self._fault(event, "a tag that Kubernetes objects have no use for", "Remove the tag.")

    def _fault(self, event: Any, message: str, hint: str = "") -> InvalidManifest:
        return InvalidManifest(self._file, _line(event), message, hint=hint)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the parser raises into InvalidManifest."""
        try:
            yield
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = " ".join(part for part in (error.context, error.problem) if part)
            # The C parser's libyaml is old enough to want this even where YAML 1.2 does not.
            hint = "Inside [ ] and { }, quote what has a colon in it." if problem.endswith("':'") else ""
            raise InvalidManifest(self._file, mark.line + 1 if mark else 0, f"not YAML: {problem}", hint=hint) from None
        except (YAMLError, ValueError, OverflowError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> InvalidManifest:
        found = re.search(_UNPRINTABLE, self._text)
        if found is None:
            return InvalidManifest(self._file, 0, f"not YAML ({type(error).__name__})")
        line = self._text.count("\n", 0, found.start()) + 1
        code = f"{ord(found.group()):04X}"
        hint = f'Write it as "\\u{code}", in double quotes.'
        return InvalidManifest(self._file, line, f"the character U+{code} is not allowed in YAML", hint=hint)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
