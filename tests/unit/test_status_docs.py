"""The reference of the status names every key that is written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from cli.overview import Overview, Repository, Side
from cli.status import _data
from tests.unit import statuses

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "status.md").read_text()
NAMED = {word for span in re.findall(r"`([^`]+)`", PAGE) for word in span.split(".")}
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
COUNTS = {"types", "namespaces", "leftOut", "changes", "most"}  # their keys are names of other things


def keys(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for item in value for key in keys(item)}
    if not isinstance(value, dict):
        return set()
    inner = {key for name, item in value.items() if name not in COUNTS - {"types", "namespaces"} for key in keys(item)}
    return set(value) | inner


def test_every_key_of_a_status_is_in_the_reference() -> None:
    assert keys(to_builtins(statuses.troubled(NOW))) - NAMED - {"url"} == set()


def test_every_key_of_the_command_is_in_the_reference() -> None:
    found = Overview(NOW, Repository("url", "main"), Side("exporter", False), Side("importer", False))
    assert keys(_data(found)) - NAMED == set()
