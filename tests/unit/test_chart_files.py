"""The generated files of the charts are those that their sources give, and say the same as each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generated import COPY, FOLDER, ORIGINAL, OWN, files
from charts.values import CHARTS
from drsyncer import __version__
from drsyncer.config.json_schema import json_schema

each_chart = pytest.mark.parametrize("name", CHARTS)


def schema_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name / "values.schema.json").read_text())
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    assert path.read_bytes() == files()[path], "run `make charts`"


def test_both_charts_have_the_same_templates_but_for_their_own() -> None:
    def templates(name: str) -> set[str]:
        folder = FOLDER / name / "templates"
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    assert templates(ORIGINAL) ^ templates(COPY) <= OWN


@each_chart
def test_the_schema_of_the_configuration_is_the_one_schema(name: str) -> None:
    ours, whole = schema_of(name)["$defs"], json_schema()["$defs"]
    side = name.rpartition("-")[2].capitalize()
    assert set(whole[side]["properties"]) == set(ours[side]["properties"])
    for section in ("Repository", "Auth", "Select", "MatchSpec", "Retry", "Server"):
        assert set(ours[section]["properties"]) == set(whole[section]["properties"])
        assert ours[section]["additionalProperties"] is False


@each_chart
def test_every_default_is_in_values_yaml(name: str) -> None:
    values, schema = yaml.safe_load((FOLDER / name / "values.yaml").read_text()), schema_of(name)
    assert set(values) == set(schema["properties"]) - {"global"}
    assert values["config"] == {"repository": {}, name.rpartition("-")[2]: {}}
    for key, entry in schema["properties"].items():
        if "default" in entry and "$ref" not in entry:
            assert values[key] == entry["default"], key


@each_chart
def test_a_chart_is_of_the_version_that_it_installs(name: str) -> None:
    chart = yaml.safe_load((FOLDER / name / "Chart.yaml").read_text())
    assert (chart["name"], chart["version"], chart["appVersion"]) == (name, __version__, __version__)
