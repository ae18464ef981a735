"""What comes back from an API server: pages, answers, applied objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from drsyncer.errors import ServerFailed
from drsyncer.manifest import Manifest

_NO_API_SERVER = "Does this kubeconfig context point to an API server?"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a LIST. `items` are raw JSON objects, decoded one by one by whoever needs them.

    When `first` is true, forget earlier pages of this list: the server gave up on the old snapshot
    (410) and the list starts again.
    """

    first: bool
    resource_version: str
    items: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful HTTP answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Applied:
    """What the API server made of an apply: the object as JSON, and whether it is new."""

    body: bytes
    created: bool

    @property
    def manifest(self) -> Manifest:
        """The object, decoded."""
        return decode_object(self.body)


def decode_object(body: bytes) -> Manifest:
    """Return the JSON object in `body`. Raises ServerFailed when it is something else."""
    try:
        decoded: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ServerFailed(f"the API server's answer is no JSON: {error}", hint=_NO_API_SERVER) from error
    if not isinstance(decoded, dict):
        raise ServerFailed("the API server's answer is no object", hint=_NO_API_SERVER)
    return decoded


def text_at(found: Mapping[str, Any], key: str) -> str:
    """Return the text under `key`. Raises ServerFailed when there is none."""
    if not isinstance(found.get(key), str):
        raise ServerFailed(f"the API server's answer has no {key}", hint=_NO_API_SERVER)
    return str(found[key])
