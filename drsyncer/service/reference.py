"""The reference page of metrics, written from their table.

`python -m drsyncer.service.reference docs/reference/metrics.md` writes it anew; a test fails while it is
not up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drsyncer.service.metrics import METRICS, Kind, Metric

_HEAD = """\
# Metrics

What `/metrics` of a [service](../how-to/run-as-a-service.md) tells, beside `process_*` and `python_*` of the Python
client. No label holds the name of an object, a namespace or a commit, so the number of series does not grow with the
clusters. What is told of each volume is the exception: it has the labels `claim_namespace` and `persistentvolumeclaim`,
and is gone when the volume is gone from the newest recovery point. A series with labels appears with its first value.
"""
_SIDES = {"": "Both sides", "exporter": "Exporter", "importer": "Importer"}


def page() -> str:
    """Return docs/reference/metrics.md."""
    parts = [_HEAD]
    for side, title in _SIDES.items():
        rows = [_row(metric) for metric in METRICS if metric.side == side]
        parts.append(f"## {title}\n\n| Metric | Kind | Labels | What it tells |\n|---|---|---|---|\n" + "\n".join(rows))
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    told = metric.help
    if metric.kind is Kind.HISTOGRAM:
        told += f" Buckets up to {metric.buckets[-1]:g} s."
    return f"| `{metric.full_name}` | {metric.kind} | {labels} | {told} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
