"""What a panel of the dashboard is, and the queries that panels are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drsyncer.service.alerts import EXPORTER, IMPORTER
from drsyncer.service.promql import metric, per

CLUSTER = "{{cluster}}"
_CLUSTERS = {EXPORTER: "$source", IMPORTER: "$dr"}
_RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; its legend names labels as `{{label}}`."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `kind` and `unit` are Grafana's; from `warn` on it is yellow, from `bad` on red."""

    title: str
    queries: tuple[Query, ...]
    tells: str
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    warn: float | None = None
    bad: float | None = None
    text: str = "value_and_name"  # what a stat shows


def per_cluster(aggregate: str, side: str, series: str, *, leading: bool = False, by: tuple[str, ...] = ()) -> str:
    """Return the aggregate of `series` over the replicas of each installation that the dashboard is to show."""
    return per(aggregate, series, side=side, cluster=_CLUSTERS[side], leading=leading, by=by)


def now(name: str, side: str, *, by: tuple[str, ...] = (), **labels: str) -> str:
    """Return a gauge as the replica that works has it."""
    return per_cluster("max", side, metric(name, **labels), leading=True, by=by)


def each(name: str, side: str, label: str) -> str:
    """Return a gauge as the replica that works has it, by one of its labels."""
    return per_cluster("max", side, metric(name), leading=True, by=(label,))


def rate(name: str, side: str, *by: str) -> str:
    """Return by how much a counter grows per second."""
    return per_cluster("sum", side, f"rate({metric(name, window=_RATE)})", by=by)


def grew(name: str, side: str, *by: str) -> str:
    """Return by how much a counter grew from one point of the graph to the next."""
    return per_cluster("sum", side, f"increase({metric(name, window=_RATE)})", by=by)


def _quantile(share: float, name: str, side: str) -> str:
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', side, 'le')})"


def age(name: str, side: str) -> str:
    """Return the seconds since a time that a gauge holds; nothing while it is 0."""
    return f"time() - ({per_cluster('max', side, metric(name))} > 0)"


def both(make: Callable[[str], str], legend: str) -> tuple[Query, ...]:
    """Return the query that `make` gives, for each side."""
    return tuple(Query(make(side), f"{side} {legend}".strip()) for side in (EXPORTER, IMPORTER))


def times(name: str, side: str) -> tuple[Query, ...]:
    """Return how long things took by a histogram: half of them at most, and all but one in a hundred."""
    return tuple(Query(_quantile(share, name, side), f"{{{{cluster}}}} p{share * 100:g}") for share in (0.5, 0.99))
