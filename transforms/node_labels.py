"""Labels of nodes that are called otherwise in DR: zones, regions, disks, pools.

A map's key is `key=value` or `key` alone, and so is what it becomes: `topology.kubernetes.io/zone=eu-1a` to
`topology.kubernetes.io/zone=us-1b`, `example.com/pool` to `example.net/pool`. The pair goes before the key, and each
value is mapped from the original, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drsyncer import own
from transforms.pods import EACH, Ledger, Path, describe, lookup, rewrite

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

# Below the affinity of a pod: selectors over node labels.
NODE_TERMS: tuple[Path, ...] = (
    ("nodeAffinity", REQUIRED, "nodeSelectorTerms", EACH, "matchExpressions", EACH),
    ("nodeAffinity", PREFERRED, EACH, "preference", "matchExpressions", EACH),
)
# Keys alone, below a PodSpec: the label by which nodes fall into groups.
TOPOLOGY_KEYS: tuple[Path, ...] = (
    *(("affinity", kind, REQUIRED, EACH, "topologyKey") for kind in ("podAffinity", "podAntiAffinity")),
    *(
        ("affinity", kind, PREFERRED, EACH, "podAffinityTerm", "topologyKey")
        for kind in ("podAffinity", "podAntiAffinity")
    ),
    ("topologySpreadConstraints", EACH, "topologyKey"),
)
# Types without pods that say which nodes can reach a volume.
TOPOLOGIES: dict[str, Path] = {
    "persistentvolumes": ("spec", "nodeAffinity", "required", "nodeSelectorTerms", EACH, "matchExpressions", EACH),
    "storageclasses.storage.k8s.io": ("allowedTopologies", EACH, "matchLabelExpressions", EACH),
}


def node_label(key: str, value: str, entries: Mapping[str, str]) -> tuple[str, str]:
    """Return key and value in DR."""
    pair = entries.get(f"{key}={value}")
    if pair is not None:
        new_key, _, new_value = pair.partition("=")
        return new_key, new_value
    return entries.get(key, key), value


def map_selector(selector: Any, entries: Mapping[str, str], ledger: Ledger, at: Path) -> Any:
    """Map a nodeSelector. Two labels that become one with different values block the object."""
    if not isinstance(selector, dict):
        raise ledger.fault(at, describe(selector), "a mapping")
    mapped: dict[str, Any] = {}
    for key, value in selector.items():
        new, wanted = (key, value) if key.startswith(own.PREFIX) else node_label(key, str(value), entries)
        if mapped.get(new, wanted) != wanted:
            raise ledger.fault((*at, key), f"a second value for {new}", "one value per node label in DR")
        if (new, wanted) != (key, str(value)):
            ledger.record((*at, key), f"{value} -> {wanted}" if new == key else f"{value} -> {new}={wanted}")
        mapped[new] = wanted
    return selector if mapped == selector else mapped


def map_expression(expression: Any, entries: Mapping[str, str], ledger: Ledger, at: Path) -> Any:
    """Map one expression over node labels. Values of one label that become several labels' block the object."""
    if not isinstance(expression, dict) or not isinstance(expression.get("key"), str):
        raise ledger.fault(at, describe(expression), "an expression with a key")
    key, values = expression["key"], expression.get("values")
    if expression.get("operator", "In") not in ("In", "NotIn") or not values:
        return _renamed(expression, entries, ledger, at)
    if not isinstance(values, list):
        raise ledger.fault((*at, "values"), describe(values), "a list")
    pairs = [node_label(key, str(value), entries) for value in values]
    keys = {new for new, _ in pairs}
    if len(keys) > 1:
        raise ledger.fault(at, f"values of {key} that become values of {' and '.join(sorted(keys))}", "one label in DR")
    changed = {**expression, "key": keys.pop(), "values": list(dict.fromkeys(value for _, value in pairs))}
    if changed == expression:
        return expression
    ledger.record(at, f"{key} in {', '.join(map(str, values))} -> {changed['key']} in {', '.join(changed['values'])}")
    return changed


def _renamed(expression: dict[str, Any], entries: Mapping[str, str], ledger: Ledger, at: Path) -> dict[str, Any]:
    key = expression["key"]
    if entries.get(key, key) == key:
        return expression
    ledger.record((*at, "key"), f"{key} -> {entries[key]}")
    return {**expression, "key": entries[key]}


def map_pod(pod: Any, entries: Mapping[str, str], ledger: Ledger, at: Path) -> Any:
    """Map everything in a PodSpec that names a node label."""
    if not entries:
        return pod

    def selector(node: Any, place: Path) -> Any:
        return map_selector(node, entries, ledger, place)

    def expression(node: Any, place: Path) -> Any:
        return map_expression(node, entries, ledger, place)

    def topology_key(node: Any, place: Path) -> Any:
        new = entries.get(node, node) if isinstance(node, str) else node
        if new != node:
            ledger.record(place, f"{node} -> {new}")
        return new

    pod = rewrite(pod, ("nodeSelector",), selector, ledger=ledger, at=at)
    if lookup(pod, ("affinity",), ledger=ledger, at=at) is not None:
        for path in NODE_TERMS:
            pod = rewrite(pod, ("affinity", *path), expression, ledger=ledger, at=at)
    for path in TOPOLOGY_KEYS:
        pod = rewrite(pod, path, topology_key, ledger=ledger, at=at)
    return pod


def map_topology(manifest: Any, type_key: str, entries: Mapping[str, str], ledger: Ledger) -> Any:
    """Map the nodes that can reach a volume, in objects without pods."""
    path = TOPOLOGIES.get(type_key)
    if path is None or not entries:
        return manifest
    return rewrite(manifest, path, lambda node, at: map_expression(node, entries, ledger, at), ledger=ledger)
