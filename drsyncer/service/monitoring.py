"""The files for Prometheus and Grafana, and the page about the alerts: written from their tables.

`python -m drsyncer.service.monitoring .` writes them into a checkout; tests fail while one is not up to date. A chart
may not reach outside of its folder, so each has a copy of what it needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from drsyncer.service.alerts import ALERTS, BOTH, Alert, of_side
from drsyncer.service.dashboard import dashboard
from drsyncer.yaml.emit import emit

GUIDE = "docs/how-to/monitor.md"
_PAGE = """\
# Alerts

What the charts' rule files hold. Each links to what it means and what to do. `critical`: DR cannot be relied on now;
`warning`: it cannot be if this goes on. A rule looks only at the replica that works, and copes with series that are not
there yet.
"""


def rules(side: str) -> dict[str, Any]:
    """Return the rule file of a side, as Prometheus reads it; a PrometheusRule's `spec` is the same."""
    return {"groups": [{"name": f"dr-syncer-{side}", "rules": [_rule(alert, side) for alert in of_side(side)]}]}


def _rule(alert: Alert, side: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr(side), "for": alert.hold}
    if alert.keep:
        rule["keep_firing_for"] = alert.keep
    return rule | {
        "labels": {"severity": alert.severity, "side": side},
        "annotations": {
            "summary": alert.summary.replace("{side}", side),
            "description": alert.description.replace("{side}", side),
            "runbook": f"{GUIDE}#{alert.name.lower()}",
        },
    }


def page() -> str:
    """Return docs/reference/alerts.md."""
    rows = "\n".join(
        f"| [{alert.name}](../how-to/monitor.md#{alert.name.lower()}) | {' and '.join(alert.sides)} | {alert.severity}"
        f" | {alert.hold} |"
        for alert in ALERTS
    )
    parts = [f"{_PAGE}\n| Alert | Side | Severity | When it holds for |\n|---|---|---|---|\n{rows}\n"]
    for side in BOTH:
        own = [alert for alert in of_side(side) if alert.sides[0] == side]
        title = "Queries" if side == BOTH[0] else f"Queries of the {side} only"
        parts.append(f"## {title}\n")
        parts += [f"{alert.name}:\n\n```promql\n{alert.expr(side)}\n```\n" for alert in own]
    return "\n".join(parts)


def files() -> dict[str, bytes]:
    """Return path below a checkout → content of all that is generated here."""
    shown = (json.dumps(dashboard(), indent=2) + "\n").encode()
    found = {"docs/reference/alerts.md": page().encode()}
    for side in BOTH:
        found[f"charts/dr-syncer-{side}/files/alerts.yaml"] = emit(rules(side))
        found[f"charts/dr-syncer-{side}/files/dashboard.json"] = shown
    return found


if __name__ == "__main__":
    for path, data in files().items():
        target = Path(sys.argv[1]) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
