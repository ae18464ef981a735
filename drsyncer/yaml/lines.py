"""The line on which a key of a YAML mapping stands: for messages about what is wrong. Reading keeps no lines."""

from __future__ import annotations

from collections.abc import Sequence

from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from drsyncer.yaml.read import NextEvent, events


def line_of(data: bytes, path: Sequence[str]) -> int:
    """Return the line (1-based) of the key that `path` leads to, or of the deepest key on the way that is there.

    0 when there is none of them, or `data` is no YAML. Linear in the length of `data`.
    """
    line, met = 0, 0  # met: how many keys of `path` lead to where we are
    try:
        take = events(data, data.decode("utf-8", "replace"))
        while not isinstance(event := take(), DocumentStartEvent):
            if event is None or isinstance(event, StreamEndEvent):
                return 0
        while met < len(path) and isinstance(take(), MappingStartEvent):
            key = take()
            while getattr(key, "value", None) != path[met]:
                if isinstance(key, MappingEndEvent):
                    return line
                _skip(take)
                key = take()
            line, met = key.start_mark.line + 1, met + 1
    except (YAMLError, ValueError, StopIteration):
        return line
    return line


def _skip(take: NextEvent) -> None:
    """Go past one value, whatever is in it."""
    depth = 0
    while True:
        event = take()
        depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
        depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
        if depth == 0:
            return
