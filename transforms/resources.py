"""Requests and limits of containers: scaled, or left out, for a DR cluster that is smaller than the source.

A request and its limit are scaled by the same factor and rounded the same way, so a request never grows beyond its
limit, and a pod whose requests are its limits stays one (its quality of service stays Guaranteed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from drsyncer.manifest import Manifest
from transforms import quantity
from transforms.containers import each_container
from transforms.entries import ResourceEntry, globs, matching
from transforms.pods import POD_SPECS, Ledger, Path, describe, rewrite
from transforms.settings import Result, Subject

NAME = "resources"
KINDS = ("requests", "limits")
LISTS = ("containers", "initContainers")  # ephemeral containers have no resources
UNCHANGED = Decimal(1)


def scale_resources(manifest: Manifest, subject: Subject) -> Result:
    """Scale and drop requests and limits of every container, by the first entry that is about it.

    The pod's own (`spec.resources`, KEP-2837) follow the first entry that is about all containers of the object.
    """
    pod_spec = POD_SPECS.get(subject.ref.type)
    entries = list(matching(subject.settings.resources, subject.seen(manifest))) if pod_spec else []
    if pod_spec is None or not entries:
        return Result(manifest)
    ledger = Ledger(NAME)
    notes: list[str] = []
    used: dict[str, None] = {}

    def of_container(container: dict[str, Any], name: str, at: Path) -> dict[str, Any]:
        entry = next((entry for entry in entries if globs(entry.containers)(name)), None)
        if entry is None:
            return container
        used[entry.label] = None
        return _changed(container, entry, ledger, at, notes, name=f"container {name}")

    def of_pod(pod: Any, at: Path) -> Any:
        entry = next((entry for entry in entries if entry.containers == ("*",)), None)
        if entry is None or not isinstance(pod, dict) or not pod.get("resources"):
            return pod
        return _changed(pod, entry, ledger, at, notes, name="the pod")

    changed = each_container(manifest, subject.ref.type, of_container, ledger=ledger, lists=LISTS)
    changed = rewrite(changed, pod_spec, of_pod, ledger=ledger)
    return Result(changed, ledger.applied, tuple(dict.fromkeys(notes)), used=tuple(used))


def _changed(
    holder: dict[str, Any], entry: ResourceEntry, ledger: Ledger, at: Path, notes: list[str], *, name: str
) -> dict[str, Any]:
    """Return a container or pod with other `resources`."""
    for kind, dropped in zip(KINDS, (entry.drop_requests, entry.drop_limits), strict=True):
        holder = _of_kind(holder, kind, entry.scale, dropped, ledger, at)
    notes += _defaulted(holder, entry, name)
    return holder


def _of_kind(
    holder: dict[str, Any],
    kind: str,
    factors: Mapping[str, Decimal],
    dropped: tuple[str, ...],
    ledger: Ledger,
    at: Path,
) -> dict[str, Any]:
    def visit(amounts: Any, place: Path) -> Any:
        if not isinstance(amounts, dict):
            raise ledger.fault(place, describe(amounts), "a mapping")
        left: dict[str, Any] = {}
        for resource, amount in amounts.items():
            if globs(dropped)(resource):
                ledger.record((*place, resource), f"{amount} removed")
                continue
            factor = factors.get(resource, UNCHANGED)
            left[resource] = amount if factor == UNCHANGED else _scaled(amount, factor, resource, ledger, place)
        return amounts if left == amounts else left

    changed: dict[str, Any] = rewrite(holder, ("resources", kind), visit, ledger=ledger, at=at)
    resources = changed.get("resources")
    if changed is not holder and isinstance(resources, dict) and not resources[kind]:
        changed = {**changed, "resources": {key: value for key, value in resources.items() if key != kind}}
    return changed


def _scaled(amount: Any, factor: Decimal, resource: str, ledger: Ledger, place: Path) -> Any:
    found = quantity.parse(amount)
    if found is None or found.value < 0:
        raise ledger.fault((*place, resource), describe(amount), "a quantity such as 500m or 1Gi")
    new = quantity.scaled(found, factor, resource=resource)
    if new.value == found.value:
        return amount
    ledger.record((*place, resource), f"{amount} -> {quantity.text(new)}")
    return quantity.text(new)


def _defaulted(holder: Mapping[str, Any], entry: ResourceEntry, name: str) -> Sequence[str]:
    """Return notes for requests that were dropped beside a limit: the API server sets them to the limit."""
    resources = holder.get("resources")
    limits = resources.get("limits") if isinstance(resources, dict) and entry.drop_requests else None
    requests = (resources.get("requests") or {}) if isinstance(resources, dict) else {}
    return [
        f"{name} asks for as much {resource} as its limit: {entry.label} drops the request and leaves the limit"
        for resource in limits or ()
        if globs(entry.drop_requests)(resource) and resource not in requests
    ]
