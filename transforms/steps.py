"""The five steps that a rule is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from drsyncer.manifest import Manifest, metadata
from drsyncer.paths import Path, remove
from drsyncer.sops.copies import without_copies
from drsyncer.sops.scope import covering, keys_named
from drsyncer.templates import TemplateFailed
from transforms.edits import Hidden, Operation, Unreachable, merged, patched, put
from transforms.pods import describe

SECRETS = "secrets"
IN_SECRETS: Hidden = covering([keys_named("data", "stringData")])
Render = Callable[[str, Mapping[str, Any]], str]
ValueType = Literal["string", "integer", "number", "boolean"]

# All of a confidential object that templates may see: no data, and no annotation that repeats it.
_SHOWN_KEYS = ("apiVersion", "kind", "type", "immutable")


def _no_renderer(_text: str, _variables: Mapping[str, Any]) -> str:
    raise TemplateFailed("no one to render it")


@dataclass(frozen=True, slots=True)
class Scope:
    """What templates may look at, beside the object. `render` raises TemplateFailed.

    `cluster` holds `name` (the DR cluster) and `source` (the source cluster).
    """

    cluster: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    commit: str = ""
    render: Render = field(default=_no_renderer, repr=False)


class Step(Protocol):
    """One step. `word` is its key in the configuration, `at` where it works, "/" for the whole object."""

    @property
    def word(self) -> str: ...

    @property
    def at(self) -> str: ...

    def apply(self, manifest: Manifest, hidden: Hidden | None, scope: Scope) -> Manifest:
        """Return the object after this step, the very same when nothing changed. Raises Unreachable.

        `hidden` tells by the keys what of a confidential object nobody may see; None for any other object.
        """
        ...


@dataclass(frozen=True, slots=True)
class Set:
    """Write a value. See `transforms.edits.put` for what is made on the way."""

    path: Path
    value: Any
    word: ClassVar[str] = "set"

    @property
    def at(self) -> str:
        return self.path.text

    def apply(self, manifest: Manifest, hidden: Hidden | None, scope: Scope) -> Manifest:
        return _object(put(manifest, self.path, self.value))


@dataclass(frozen=True, slots=True)
class Remove:
    """Take out whatever the path means. Nothing there is no failure."""

    path: Path
    word: ClassVar[str] = "remove"

    @property
    def at(self) -> str:
        return self.path.text

    def apply(self, manifest: Manifest, hidden: Hidden | None, scope: Scope) -> Manifest:
        return _object(remove(manifest, self.path)[0])


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge a mapping into the object (RFC 7386)."""

    patch: Mapping[str, Any] = field(hash=False)
    word: ClassVar[str] = "merge"

    @property
    def at(self) -> str:
        return "/"

    def apply(self, manifest: Manifest, hidden: Hidden | None, scope: Scope) -> Manifest:
        return _object(merged(manifest, self.patch))


@dataclass(frozen=True, slots=True)
class Patch:
    """Apply a JSON Patch (RFC 6902), whole or not at all."""

    operations: tuple[Operation, ...]
    word: ClassVar[str] = "jsonPatch"

    @property
    def at(self) -> str:
        changing = [operation.path.text for operation in self.operations if operation.op != "test"]
        return ", ".join(changing or [operation.path.text for operation in self.operations])

    def apply(self, manifest: Manifest, hidden: Hidden | None, scope: Scope) -> Manifest:
        return _object(patched(manifest, self.operations, hidden=hidden))


@dataclass(frozen=True, slots=True)
class Template:
    """Write what a template makes of the object. `names` are the variables that it looks at."""

    path: Path
    text: str
    names: frozenset[str]
    type: ValueType = "string"
    word: ClassVar[str] = "template"

    @property
    def at(self) -> str:
        return self.path.text

    def apply(self, manifest: Manifest, hidden: Hidden | None, scope: Scope) -> Manifest:
        variables: dict[str, Callable[[], Any]] = {
            "object": lambda: visible(manifest, hidden),
            "cluster": lambda: scope.cluster,
            "values": lambda: scope.values,
            "commit": lambda: scope.commit,
        }
        try:
            rendered = scope.render(self.text, {name: variables[name]() for name in sorted(self.names)})
        except TemplateFailed as error:
            raise Unreachable(self.path.text, str(error), "a template that can be rendered") from None
        return _object(put(manifest, self.path, _typed(rendered, self.type, self.path.text)))


def visible(manifest: Manifest, hidden: Hidden | None) -> Manifest:
    """Return what templates see of an object: of a confidential one no data, and nothing that may repeat it."""
    if hidden is None:
        return manifest
    shown = {key: manifest[key] for key in _SHOWN_KEYS if key in manifest}
    # A person who encrypts by hand may have any key encrypted.
    seen: Manifest = _without(hidden, without_copies({**shown, "metadata": metadata(manifest)}, hidden))
    return seen


def _without(hidden: Hidden, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(hidden, item) for key, item in value.items() if not hidden(key)}
    return [_without(hidden, item) for item in value] if isinstance(value, list) else value


_TYPED: Mapping[ValueType, tuple[str, str, Callable[[str], Any]]] = {
    "integer": (r"-?(0|[1-9][0-9]{0,17})", "a whole number", int),
    "number": (r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?", "a number", float),
    "boolean": (r"true|false", "true or false", lambda text: text == "true"),
}


def _typed(text: str, type_: ValueType, at: str) -> Any:
    if type_ == "string":
        return text
    pattern, words, read = _TYPED[type_]
    if not re.fullmatch(pattern, text.strip()):
        raise Unreachable(at, f"a rendered text of {len(text)} characters", words)
    return read(text.strip())


def _object(value: Any) -> Manifest:
    if not isinstance(value, dict):
        raise Unreachable("/", describe(value), "an object")
    return value
