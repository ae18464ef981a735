"""What a rule asks of an object beyond its match: whether something is there, and what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drsyncer.manifest import Manifest
from drsyncer.match import glob
from drsyncer.paths import Path, find
from transforms.edits import equal


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: `holds` looks at all that `path` means. `says` tells it to people: `/spec/type equals "X"`."""

    path: Path
    says: str
    holds: Callable[[Manifest], bool] = field(compare=False)


def exists(path: Path, wanted: bool) -> Condition:
    """Return the condition that `path` means something (null counts), or nothing."""
    return Condition(
        path,
        f"{path} {'is there' if wanted else 'is not there'}",
        lambda manifest: any(True for _ in find(manifest, path)) == wanted,
    )


def equals(path: Path, value: Any) -> Condition:
    """Return the condition that one of the places that `path` means holds this JSON value."""
    return Condition(
        path,
        f"{path} equals {json.dumps(value, ensure_ascii=False)}",
        lambda manifest: any(equal(found, value) for _, found in find(manifest, path)),
    )


def matches(path: Path, pattern: str) -> Condition:
    """Return the condition that one of the places that `path` means holds text (or a number) that fits the glob."""
    fits = glob([pattern])
    return Condition(
        path,
        f"{path} matches {pattern}",
        lambda manifest: any(fits(text) for _, found in find(manifest, path) if (text := _text(found)) is not None),
    )


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None
