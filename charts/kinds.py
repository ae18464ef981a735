"""Values that are no section of ours: words, and what the API server knows better than any schema here.

It refuses what is wrong with its own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import StrictStr, WithJsonSchema

from drsyncer.config.section import Kind

Object = Annotated[Mapping[str, Any], WithJsonSchema({"type": "object"})]
Objects = Annotated[tuple[Any, ...], WithJsonSchema({"type": "array", "items": {"type": "object"}})]
Words = Annotated[
    Mapping[str, StrictStr], WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}})
]
TypeName = Annotated[
    StrictStr,
    Kind("a type", "deployments.apps"),
    WithJsonSchema({"type": "string", "pattern": r"^(\*|[a-z0-9]+|(\*|[a-z0-9]+)\.[a-z0-9.-]+)$"}),
]
VariableName = Annotated[
    StrictStr,
    Kind("a name of an environment variable", "AWS_ACCESS_KEY_ID"),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}),
]
