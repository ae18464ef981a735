"""Queries over the metrics, for alerts and dashboard: whose a series is, and which replica's counts.

The metrics themselves do not say which cluster they are about: `build_info` does, so each query joins it, by the labels
that Prometheus gives to a pod. Where it scrapes no pods, these are not there, which joins as well.
"""

from __future__ import annotations

from drsyncer.service.metrics import PREFIX

POD = "namespace, job, pod, instance"
WHO = ("cluster", "namespace", "job")  # one installation of one side, however many replicas


def of(series: str, *, side: str, cluster: str = "", leading: bool = False) -> str:
    """Return `series` (without the prefix, or any expression that keeps a pod's labels) of one side, with `cluster`.

    `cluster` is a regular expression. `leading`: only the replica that works; others hold what they knew when they last
    worked.
    """
    only = f', cluster=~"{cluster}"' if cluster else ""
    info = f'{PREFIX}build_info{{side="{side}"{only}}}'
    if leading:
        series = f"({series} and on ({POD}) {PREFIX}leader == 1)"
    return f"{series} * on ({POD}) group_left (cluster) {info}"


def per(
    aggregate: str, series: str, *, side: str, cluster: str = "", leading: bool = False, by: tuple[str, ...] = ()
) -> str:
    """Return the aggregate of `series` over the replicas of each installation; see `of`."""
    labels = ", ".join((*WHO, *by))
    return f"{aggregate} by ({labels}) ({of(series, side=side, cluster=cluster, leading=leading)})"


def metric(name: str, *, window: str = "", **labels: str) -> str:
    """Return the series of a metric of ours; a value that begins with ~ is a regular expression."""
    chosen = ", ".join(
        f'{label}=~"{value[1:]}"' if value.startswith("~") else f'{label}="{value}"' for label, value in labels.items()
    )
    return f"{PREFIX}{name}" + (f"{{{chosen}}}" if chosen else "") + (f"[{window}]" if window else "")
