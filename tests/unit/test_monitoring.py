"""Alerts and dashboard come from the table of metrics, are up to date, and leave none of it out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from drsyncer.service.alerts import ALERTS, BOTH, CRITICAL, WARNING, Alert, of_side
from drsyncer.service.dashboard import WIDTH, dashboard
from drsyncer.service.metrics import METRICS, Kind
from drsyncer.service.monitoring import files
from drsyncer.service.panels import NOT_SHOWN
from drsyncer.service.status import Lack
from importer.observing import Failure
from tests.unit.test_volume_listing import of
from tests.unit.volume_history import DATA
from tests.unit.volume_records import NIGHT
from volumes.condition import NEVER, WAITING, lacks, state_of
from volumes.endings import failure
from volumes.remembering import remember
from volumes.result import Reason

ROOT = Path(__file__).parents[2]
SERIES = re.compile(r"\bdr_syncer_\w+")
SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}
KNOWN = {f"{metric.full_name}{suffix}": metric for metric in METRICS for suffix in SUFFIXES[metric.kind]}


def expressions() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("path", files(), ids=str)
def test_what_is_generated_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_bytes() == files()[path], "run `make docs`"


def test_only_metrics_of_the_table_are_asked_for_and_only_on_the_side_that_has_them() -> None:
    asked = [(side, alert.expr(side)) for side in BOTH for alert in of_side(side)]
    asked += [(side, expr) for expr in expressions() for side in BOTH if f'side="{side}"' in expr]
    assert len(asked) > 40
    for side, expr in asked:
        for name in SERIES.findall(expr):
            assert name in KNOWN, name
            assert KNOWN[name].side in ("", side), f"{name} is not the {side}'s"


def test_labels_are_those_of_the_metric() -> None:
    for expr in [*expressions(), *(alert.expr(side) for side in BOTH for alert in of_side(side))]:
        for name, selector in re.findall(r"\b(dr_syncer_\w+)\{([^}]*)\}", expr.replace("${", "$(")):
            for label in re.findall(r"(\w+)=~?\"", selector):
                assert label in KNOWN[name].labels, f"{name} has no label {label}"


def test_every_metric_is_shown_or_left_out_for_a_reason() -> None:
    shown = {KNOWN[name].name for expr in expressions() for name in SERIES.findall(expr)}

    assert shown | set(NOT_SHOWN) == {metric.name for metric in METRICS}
    assert not shown & set(NOT_SHOWN)
    assert all(len(reason) > 20 for reason in NOT_SHOWN.values())


def test_panels_lie_beside_and_below_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_belongs_to_no_data_source_and_no_cluster() -> None:
    shown: dict[str, Any] = dashboard()
    assert {variable["name"] for variable in shown["templating"]["list"]} == {"datasource", "source", "dr"}
    assert {target["datasource"]["uid"] for panel in shown["panels"] for target in panel.get("targets", ())} == {
        "${datasource}"
    }
    assert "__inputs" not in shown
    assert {panel["type"] for panel in shown["panels"]} <= {"row", "timeseries", "stat"}
    json.dumps(shown)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_whom_it_is_about_how_bad_it_is_and_what_to_do(alert: Alert) -> None:
    assert re.fullmatch(r"DrSyncer([A-Z][a-z]+)+", alert.name)
    assert alert.severity in (CRITICAL, WARNING)
    assert alert.description.endswith((".", "}}."))
    assert "{side}" in alert.summary or "$labels.cluster" in alert.summary
    guide = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    section = re.search(rf"^### {alert.name}\n(.+?)(?=^##|\Z)", guide, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/how-to/monitor.md does not say what to do about {alert.name}"
    assert len(section[1]) > 100


def test_the_guide_says_of_each_kind_of_failure_where_to_look() -> None:
    guide = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    section = guide.partition("### DrSyncerFailing\n")[2].partition("\n### ")[0]
    named = {
        name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    exporter = "".join(file.read_text() for file in (ROOT / "exporter").glob("*.py"))
    calls = re.findall(r"observer\.failed\((.+)\)", exporter)
    counted = {name for call in calls for name in re.findall(r'"(\w+)"', call)}
    watching = (ROOT / "cli" / "volumes_watching.py").read_text()
    counted |= set(re.findall(r'"failures_total", reason="(\w+)"', watching))

    assert {"guard", "push", "internal", "restic"} <= counted
    assert counted | set(map(str, Failure)) == named


def test_the_guide_says_of_a_refused_claim_what_to_do_where_it_alarms() -> None:
    guide = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    never, too_old = (
        guide.partition(f"### DrSyncerVolumes{name}\n")[2].partition("\n### ")[0]
        for name in ("NeverBackedUp", "TooOld")
    )
    found = failure(Reason.NOT_STARTED, "refused: its volumeMode is Block", start=NIGHT, end=NIGHT)
    (row,) = of({DATA: remember(None, found, now=NIGHT)}).rows

    assert state_of(row) not in (WAITING, NEVER)
    assert Lack.NEVER_WHOLE in lacks(row, None)
    assert "refused, such as a block volume" in too_old.replace("\n", " ")
    assert "refuse" not in never
    assert "block" not in never


def test_the_guide_knows_no_other_alerts() -> None:
    guide = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    assert set(re.findall(r"^### (DrSyncer\w+)$", guide, re.MULTILINE)) == {alert.name for alert in ALERTS}
