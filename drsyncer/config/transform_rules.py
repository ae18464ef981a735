"""The general rules of `importer.transforms.rules`, which are also those of `transforms/*.yaml` in the repository."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, model_validator

from drsyncer import paths, untouchable
from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.section import Kind, Section, written
from drsyncer.config.values import Flag, PathText, Text

_RULE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", re.ASCII)


def _json(value: Any) -> Any:
    for found in _leaves(value):
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError("expected values that JSON knows: no .inf and no .nan")
        if isinstance(found, str) and not found.isascii():
            try:
                found.encode()
            except UnicodeEncodeError:
                raise ValueError("half of a surrogate pair is no text") from None
    return value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield key
            yield from _leaves(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _leaves(entry)
    else:
        yield value


def _rule_name(text: str) -> str:
    if not _RULE_NAME.fullmatch(text):
        raise ValueError(
            "expected a name of lower-case letters, digits, `-` and `.`, at most 63 characters, "
            "with a letter or digit at both ends"
        )
    return text


def _changeable(text: str) -> str:
    if objection := untouchable.objection(paths.parse(text)):
        raise ValueError(f"no rule may go there: it {objection}")
    return text


def _mergeable(patch: Mapping[str, Any]) -> Mapping[str, Any]:
    if not patch:
        raise ValueError("expected what to merge, such as {metadata: {labels: {site: dr}}}")
    if objection := untouchable.objection_to_merge(patch):
        raise ValueError(f"no rule may merge this: it {objection}")
    return patch


def _template(text: str) -> str:
    from drsyncer.templates.language import check  # Jinja2 takes 50 ms: only for those who have templates

    check(text)
    return text


def _any_object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping, such as {metadata: {labels: {site: dr}}}")
    return value


RuleName = Annotated[StrictStr, Kind("a name", "smaller-heap"), AfterValidator(_rule_name)]
ChangeablePath = Annotated[PathText, Kind("a path inside an object", "/spec/replicas"), AfterValidator(_changeable)]
Json = Annotated[Any, Kind("any value", "512m"), AfterValidator(_json)]
MergePatch = Annotated[
    Mapping[StrictStr, Any],
    Kind("a mapping", "{metadata: {labels: {site: dr}}}"),
    BeforeValidator(_any_object),
    AfterValidator(_json),
    AfterValidator(_mergeable),
]
TemplateText = Annotated[
    StrictStr,
    Kind("a template", '"{{ object.metadata.name }}.{{ values.domain }}"'),
    AfterValidator(_template),
]
_PATH = "JSON Pointer (`/spec/replicas`) or keys with dots (`spec.replicas`), with selectors such as `[name=web]`."


class ConditionSpec(Section):
    path: PathText = Field(description=f"What is looked at: a {_PATH}")
    exists: Flag | None = Field(default=None, description="Whether something, null too, must be there.")
    equals: Json = Field(default=None, description="The value that must be there, of the same sort.", examples=[3])
    matches: Text | None = Field(
        default=None, description="A glob for the text or number that must be there.", examples=["*.prod.example.com"]
    )

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        asked = self.model_fields_set & {"exists", "equals", "matches"}
        # `exists:` with nothing behind it asks nothing; `equals:` asks for null.
        if len(asked) != 1 or ("equals" not in asked and self.exists is None and self.matches is None):
            raise ValueError("expected exactly one of exists, equals and matches beside the path")
        return self


class SetStep(Section):
    path: ChangeablePath = Field(description=f"Where to write: a {_PATH}")
    value: Json = Field(description="What to write: any value.", examples=["512m"])

    @model_validator(mode="after")
    def _leaves_ours_alone(self) -> Self:
        _refuse_value(self.path, self.value)
        return self


class RemoveStep(Section):
    path: ChangeablePath = Field(description=f"What to take out: a {_PATH}")


class TemplateStep(Section):
    path: ChangeablePath = Field(description=f"Where to write: a {_PATH}")
    value: TemplateText = Field(
        description="The template: Jinja2 in a confined form, at most 4 KiB.",
        examples=["{{ object.metadata.name }}.{{ values.domain }}"],
    )
    type: Literal["string", "integer", "number", "boolean"] = Field(
        default="string", description="What the rendered text is read as."
    )


class PatchOperation(Section):
    op: Literal["add", "remove", "replace", "move", "copy", "test"] = Field(description="The operation, by RFC 6902.")
    path: PathText = Field(description=f"Where: a {_PATH} It must mean exactly one place.")
    value: Json = Field(default=None, description="For add, replace and test.", examples=[3])
    origin: PathText | None = Field(
        default=None, alias="from", description="For move and copy: where the value comes from."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = {"add": "value", "replace": "value", "test": "value", "move": "origin", "copy": "origin"}.get(self.op)
        for key, name in (("value", "value"), ("origin", "from")):
            if key == wanted and (key not in self.model_fields_set or (key == "origin" and not self.origin)):
                raise ValueError(f"{self.op} needs `{name}`")
            if key != wanted and key in self.model_fields_set:
                raise ValueError(f"{self.op} has no `{name}`")
        path = paths.parse(self.path)
        if self.op in ("add", "move", "copy") and not isinstance(path.segments[-1], paths.Key):
            raise ValueError(f"the path of {self.op} ends with a key, an index or `-`")
        if self.op != "test":
            _refuse_value(self.path, self.value)
        if self.op == "move" and (objection := untouchable.objection(paths.parse(self.origin or "/"))):
            raise ValueError(f"no rule may go there: it {objection}")
        return self


class StepSpec(Section):
    set_: SetStep | None = Field(default=None, alias="set", description="Write a value.")
    remove: RemoveStep | None = Field(default=None, description="Take something out.")
    merge: MergePatch | None = Field(
        default=None,
        description="Merge a mapping into the object (RFC 7386): null removes, mappings merge, all else replaces.",
        examples=[{"metadata": {"labels": {"site": "dr"}}}],
    )
    json_patch: tuple[PatchOperation, ...] | None = Field(
        default=None,
        min_length=1,
        description="Apply a JSON Patch (RFC 6902), whole or not at all.",
        examples=[[{"op": "test", "path": "/spec/replicas", "value": 3}]],
    )
    template: TemplateStep | None = Field(default=None, description="Write what a template renders.")

    @model_validator(mode="after")
    def _one_step(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("expected exactly one of set, remove, merge, jsonPatch and template in a step")
        return self


class RuleSpec(Section):
    name: RuleName = Field(description="Its name in reports; unique.", examples=["smaller-heap"])
    match: MatchSpec = Field(
        default=written({}), description="The objects it is about, as Git has them; empty means all."
    )
    when: tuple[ConditionSpec, ...] = Field(
        default=(),
        description="Further conditions, which must all hold, on the object as Git has it.",
        examples=[[{"path": "/spec/type", "equals": "LoadBalancer"}]],
    )
    steps: tuple[StepSpec, ...] = Field(
        min_length=1,
        description="What is done, in order; each entry is one of set, remove, merge, jsonPatch and template.",
        examples=[[{"set": {"path": "/spec/replicas", "value": 1}}]],
    )


class RuleFile(Section):
    """A file `transforms/*.yaml` of the recovery repository."""

    api_version: Literal["dr-syncer.io/v1"] = Field(description="Version of this format.", examples=["dr-syncer.io/v1"])
    rules: tuple[RuleSpec, ...] = Field(description="The rules, as in `importer.transforms.rules`.")

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        unique_names(self.rules)
        return self


def unique_names(rules: tuple[RuleSpec, ...]) -> tuple[RuleSpec, ...]:
    """Return `rules` if no two have the same name; else raise ValueError."""
    names = [rule.name for rule in rules]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice:
        raise ValueError(f"two rules are called {twice}; reports could not tell them apart")
    return rules


def _refuse_value(path: str, value: Any) -> None:
    if objection := untouchable.objection_to_value(paths.parse(path), value):
        raise ValueError(f"no rule may go there: it {objection}")
