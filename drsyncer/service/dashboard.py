"""The Grafana dashboard, from the table of panels. It needs no plug-in beside Prometheus' own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drsyncer.service.alerts import EXPORTER, IMPORTER
from drsyncer.service.graphs import Panel
from drsyncer.service.metrics import PREFIX
from drsyncer.service.panels import ROWS

WIDTH = 24  # columns of Grafana's grid
HEIGHT = 8  # of a panel, in its rows


def dashboard() -> dict[str, Any]:
    """Return what Grafana imports."""
    return {
        "uid": "dr-syncer",
        "title": "DR-Syncer",
        "description": "Freshness of DR, and how both sides of it are.",
        "tags": ["dr-syncer"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for name, label, side in (("source", "Source cluster", EXPORTER), ("dr", "DR cluster", IMPORTER)):
        query = f'label_values({PREFIX}build_info{{side="{side}"}}, cluster)'
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": _source(),
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _source() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, panels in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
        }
        number, top, left = number + 1, top + 1, 0
        for panel in panels:
            if left + panel.width > WIDTH:
                top, left = top + HEIGHT, 0
            yield _panel(panel, number, {"h": HEIGHT, "w": panel.width, "x": left, "y": top})
            number, left = number + 1, left + panel.width
        top += HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [
        {"color": color, "value": value} for color, value in (("yellow", panel.warn), ("red", panel.bad)) if value
    ]
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
    custom: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "textMode": panel.text}
        custom = {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.tells,
        "datasource": _source(),
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": custom,
            },
            "overrides": [],
        },
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _source(), "expr": query.expr, "legendFormat": query.legend}
            for index, query in enumerate(panel.queries)
        ],
    }
