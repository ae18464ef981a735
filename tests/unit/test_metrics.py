"""The table of metrics: documented as it is, and everything in it is really told."""

from __future__ import annotations

from pathlib import Path

import pytest

from drsyncer.service.metrics import METRICS, Metric, Metrics
from drsyncer.service.reference import page

ROOT = Path(__file__).parents[2]
SIDES = ("cli", "drsyncer", "exporter", "importer")


def test_the_reference_page_is_up_to_date() -> None:
    file = ROOT / "docs" / "reference" / "metrics.md"
    assert file.read_text(encoding="utf-8") == page(), f"run python -m drsyncer.service.reference {file}"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_somebody_tells_each_metric(metric: Metric) -> None:
    code = "".join(file.read_text() for side in SIDES for file in (ROOT / side).rglob("*.py"))
    assert any(f'{call}("{metric.name}"' in code for call in ("count", "set", "replace", "observe"))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_side_has_its_own_metrics_and_not_the_other_ones(metric: Metric) -> None:
    for side in ("exporter", "importer"):
        text = Metrics(side).text()[0].decode()
        name = metric.full_name.removesuffix("_total")
        assert (f"HELP {name}" in text) is (metric.side in ("", side))
