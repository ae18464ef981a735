"""The golden cases that users keep beside their rules: an object, and what it must become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, StrictStr, ValidationError, model_validator

from drsyncer.config.document import Document
from drsyncer.config.load import faults_of
from drsyncer.config.secrets import KeyName
from drsyncer.config.section import Section
from drsyncer.config.transform_rules import Json
from drsyncer.config.values import Flag, Text
from drsyncer.errors import ConfigurationError, Fault, InvalidManifest
from drsyncer.yaml.read import read_all


class GoldenCase(Section):
    """One case: a document of a file."""

    name: Text = Field(default="", description="What it shows. Left out: the file's name.")
    input: Mapping[StrictStr, Any] = Field(description="The object as Git has it.")
    expected: Mapping[StrictStr, Any] | None = Field(default=None, description="The object as DR is to have it.")
    blocked: Text | None = Field(default=None, description="Words of the reason why it must be blocked instead.")
    values: Mapping[Text, Json] = Field(
        default={}, description="What templates see as `values`, over those of the configuration."
    )
    commit: Text = Field(default="0" * 40, description="What templates see as `commit`.")
    standby: Flag = Field(default=False, description="Whether the import is one in standby.")
    namespace_labels: Mapping[Text, Text] = Field(default={}, description="Labels of the object's namespace.")
    encrypted: tuple[KeyName, ...] = Field(
        default=(),
        description="Keys of the object below which Git has it encrypted, as `exporter.secrets.alsoEncrypt` names "
        "them. Templates do not see those, and no patch takes them elsewhere; the data of Secrets is so in any case.",
    )
    type: Text = Field(
        default="", description="Type as plural.group, where the kind's plural is not made the usual way."
    )

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if (self.expected is None) == (self.blocked is None):
            raise ValueError("expected exactly one of expected and blocked")
        if self.blocked == "":
            raise ValueError("blocked: expected words of the reason; nothing is in every reason")
        return self

    @model_validator(mode="after")
    def _is_an_object(self) -> Self:
        meta = self.input.get("metadata")
        named = isinstance(meta, Mapping) and isinstance(meta.get("name"), str) and meta["name"]
        if not named or not all(isinstance(self.input.get(key), str) for key in ("apiVersion", "kind")):
            raise ValueError("input: expected an object with apiVersion, kind and metadata.name")
        return self


def parse(data: bytes, *, file: str) -> list[tuple[int, GoldenCase]]:
    """Return the cases in a file, each with the line that it starts on. Raises ConfigurationError with all faults."""
    try:
        documents = read_all(data, file=file)
    except InvalidManifest as error:
        message = f"{error.reason}. {error.hint}" if error.hint else error.reason
        raise ConfigurationError([Fault(file, error.line, "", message)]) from None
    found = []
    faults: list[Fault] = []
    for line, value in documents:
        try:
            found.append((line, GoldenCase.model_validate(value)))
        except ValidationError as error:
            faults += faults_of(error, Document(value, {(): line}, []), file=file, root=GoldenCase)
    if faults:
        raise ConfigurationError(faults)
    return found
