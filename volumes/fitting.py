"""Resources of a mover that fit a namespace's LimitRanges.

https://kubernetes.io/docs/concepts/policy/limit-range/: what is asked for must lie between `min` and `max`, and a limit
that the namespace adds by itself (`default`) must not be below what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drsyncer.config.volumes import MoverResources
from drsyncer.manifest import Manifest
from transforms import quantity

_KINDS = ("Container", "Pod")  # a mover's pod has one container


def fitted(wanted: MoverResources, limit_ranges: Sequence[Manifest]) -> MoverResources:
    """Return `wanted` as near to what it was as the LimitRanges allow. Pure."""
    items = [item for one in limit_ranges for item in (one.get("spec") or {}).get("limits") or ()]
    items = [item for item in items if item.get("type") in _KINDS]
    requests = {str(name): text for name, text in wanted.requests.items()}
    limits = {str(name): text for name, text in wanted.limits.items()}
    for resource in ("cpu", "memory", "ephemeral-storage"):
        least = _largest(_values(items, "min", resource))
        most = _smallest(_values(items, "max", resource))
        default = _smallest(_values(items, "default", resource))
        if resource in requests or least:
            requests[resource] = _between(requests.get(resource, least), least, most)
        if resource in limits:
            limits[resource] = _between(limits[resource], least, most)
        elif resource in requests and default and _value(default) < _value(requests[resource]):
            limits[resource] = requests[resource]
    return wanted.model_copy(update={"requests": requests, "limits": limits})


def _between(text: str, least: str, most: str) -> str:
    if least and _value(text) < _value(least):
        text = least
    return most if most and _value(text) > _value(most) else text


def _values(items: Iterable[Mapping[str, Any]], key: str, resource: str) -> list[str]:
    found = [(item.get(key) or {}).get(resource) for item in items]
    return [str(text) for text in found if quantity.parse(text) is not None]


def _largest(texts: Sequence[str]) -> str:
    return max(texts, key=_value, default="")


def _smallest(texts: Sequence[str]) -> str:
    return min(texts, key=_value, default="")


def _value(text: str) -> Any:
    found = quantity.parse(text)
    assert found is not None  # checked when it was read, or written in the configuration
    return found.value
