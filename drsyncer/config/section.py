"""What every section of the configuration has in common, and a plain description of its keys.

The description is what the sample, the reference page and the error messages are made of, so that
none of them needs to know pydantic.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What people may write for a value: in words for messages and tables, and an example."""

    words: str  # with its article: "a duration"
    example: str


def written(value: Any) -> Any:
    """Return `value`, a default as it would stand in YAML, where the type checker wants it as Python will have it."""
    return value


class Section(BaseModel):
    """A mapping of known keys: camelCase in YAML, snake_case in Python, immutable.

    Defaults are given as they would stand in YAML and go through the same validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        """Take `auth:` with nothing below for an empty section, and `exclude:` with nothing below for its default.

        Both are what is left when every line below is a comment. A scalar without a value stays an error.
        """
        if not isinstance(data, dict):
            return data
        known = {key.name: key for key in keys(cls)}
        result: dict[str, Any] = {}
        for name, value in data.items():
            if value is None and name in known and known[name].section:
                result[name] = {}
            elif value is not None or name not in known or not known[name].collection:
                result[name] = value
        return result


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section, as people meet it. `default` and `example` are as they would stand in YAML."""

    name: str
    kind: Kind
    required: bool
    default: Any
    description: str
    example: Any
    section: type[Section] | None  # the section that stands below this key
    entries: type[Section] | None  # the section that each entry of this key's list is
    collection: bool  # a list or mapping
    item: Kind | None  # of a collection: what an entry (a mapping's value) is


@functools.cache
def keys(section: type[Section]) -> tuple[Key, ...]:
    """Return the keys of `section` in the order of the schema."""
    return tuple(_key(field) for field in section.model_fields.values())


def at(root: type[Section], loc: Loc) -> tuple[Key, bool] | None:
    """Return the key that `loc` (names as in YAML, and indexes) lies at, and whether it is an entry of its value.

    None when the path leaves the schema, as for an unknown key.
    """
    section: type[Section] | None = root
    key: Key | None = None
    inside = False
    for part in loc:
        if section is not None:
            key = next((one for one in keys(section) if one.name == part), None)
            if key is None:
                return None
            section, inside = key.section, False
        elif key is not None and key.entries and isinstance(part, int):
            section, inside = key.entries, True
        else:
            inside = True
    return (key, inside) if key else None


def section_at(root: type[Section], loc: Loc) -> type[Section] | None:
    """Return the section whose keys stand directly below `loc`, or None when there is none."""
    if not loc:
        return root
    found = at(root, loc)
    if found is None:
        return None
    key, inside = found
    return key.entries if inside and isinstance(loc[-1], int) else key.section


def walk(section: type[Section], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Yield every key below `section` with its path, parents first; lists of entries are not entered."""
    for key in keys(section):
        path = (*above, key.name)
        yield path, key
        if key.section:
            yield from walk(key.section, path)


def _key(field: FieldInfo) -> Key:
    annotation = _without_none(field.annotation)
    section = annotation if _is_section(annotation) else None
    origin = typing.get_origin(annotation)
    inner = typing.get_args(annotation)
    entry: Any = None
    if origin is tuple:
        entry = inner[0]
    elif origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        entry = inner[1]
    entries = entry if _is_section(entry) else None
    item = _kind(entry, ()) if entry is not None and not entries else None
    return Key(
        name=field.alias or "",
        kind=_collection_kind(origin, item, entries) if entry is not None else _kind(annotation, tuple(field.metadata)),
        required=field.is_required(),
        default=None if field.is_required() or section else field.get_default(call_default_factory=False),
        description=field.description or "",
        example=field.examples[0] if field.examples else None,
        section=section,
        entries=entries,
        collection=entry is not None,
        item=item,
    )


def _collection_kind(origin: Any, item: Kind | None, entries: type[Section] | None) -> Kind:
    if origin is tuple and entries:
        first = keys(entries)[0]
        return Kind("a list", f"[{{{first.name}: {first.kind.example}}}]")
    if origin is tuple:
        return Kind("a list", f"[{item.example}]" if item else "[]")
    return Kind("a mapping", "{name: " + (item.example if item else "value") + "}")


def _kind(annotation: Any, metadata: tuple[Any, ...]) -> Kind:
    """Return the Kind that an Annotated type carries, else what follows from the bare type."""
    for mark in (*getattr(annotation, "__metadata__", ()), *metadata):
        if isinstance(mark, Kind):
            return mark
    bare = typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    if typing.get_origin(bare) is Literal:
        choices = [str(choice) for choice in typing.get_args(bare)]
        return Kind("one of " + ", ".join(choices) if len(choices) > 1 else f"the word {choices[0]}", choices[0])
    if bare is bool:
        return Kind("true or false", "true")
    if bare in (int, float):
        return Kind("a number", "4")
    return Kind("a mapping", "{}") if _is_section(bare) else Kind("text", "text")


def _without_none(annotation: Any) -> Any:
    """Return `X` for the annotation `X | None`, and anything else as it is."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(one for one in typing.get_args(annotation) if one is not type(None))
    return annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
