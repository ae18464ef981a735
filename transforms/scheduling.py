"""Where pods may run in DR: its nodes have other names, labels, taints and classes than the source's.

One entry decides about an object. What it drops is named as the source has it; the labels of nodes are mapped in
what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest
from transforms.entries import SchedulingEntry, first, globs
from transforms.node_labels import TOPOLOGIES, map_pod, map_topology
from transforms.pods import POD_SPECS, Ledger, Path, describe, rewrite
from transforms.settings import Result, Subject

NAME = "scheduling"
TYPES: frozenset[str] = frozenset(POD_SPECS) | TOPOLOGIES.keys()

# A pod's class by name, and what admission computed from it: that would contradict another class.
CLASSES: tuple[tuple[str, Callable[[SchedulingEntry], Mapping[str, str]], tuple[str, ...]], ...] = (
    ("runtimeClassName", lambda entry: entry.runtime_classes, ("overhead",)),
    ("priorityClassName", lambda entry: entry.priority_classes, ("priority", "preemptionPolicy")),
    ("schedulerName", lambda entry: entry.schedulers, ()),
)


@dataclass(frozen=True, slots=True)
class Work:
    """One PodSpec's change: the entry that decides, where it is, and what is written down."""

    entry: SchedulingEntry
    at: Path
    ledger: Ledger
    notes: list[str] = field(default_factory=list)

    def without(self, pod: dict[str, Any], *keys: str) -> dict[str, Any]:
        """Return the pod without `keys`."""
        there = [key for key in keys if pod.get(key) is not None]
        for key in there:
            self.ledger.record((*self.at, key), "removed")
        return {key: value for key, value in pod.items() if key not in there} if there else pod

    def items(self, pod: dict[str, Any], key: str) -> list[dict[str, Any]]:
        """Return the mappings of a list in the pod, none when it is absent."""
        found = pod.get(key)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.ledger.fault((*self.at, key), describe(found), "a list of mappings")
        return found

    def replaced(self, pod: dict[str, Any], key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the pod with another list, and without the key when nothing is left."""
        if items == (pod.get(key) or []):
            return pod
        return {**pod, key: items} if items else {name: value for name, value in pod.items() if name != key}


def set_scheduling(manifest: Manifest, subject: Subject) -> Result:
    """Give pods, and volumes tied to nodes, what the first entry about the object says."""
    about = subject.ref.type in TYPES
    entry = first(subject.settings.scheduling, subject.seen(manifest)) if about else None
    if entry is None:
        return Result(manifest)
    ledger = Ledger(NAME)
    notes: list[str] = []

    def visit(pod: Any, at: Path) -> Any:
        if not isinstance(pod, dict):
            raise ledger.fault(at, describe(pod), "a mapping")
        work = Work(entry, at, ledger, notes)
        for step in STEPS:
            pod = step(pod, work)
        return pod

    path = POD_SPECS.get(subject.ref.type)
    if path is not None:
        manifest = rewrite(manifest, path, visit, ledger=ledger)
    manifest = map_topology(manifest, subject.ref.type, entry.node_labels, ledger)
    return Result(manifest, ledger.applied, tuple(notes), used=(entry.label,))


def _node_selector(pod: dict[str, Any], work: Work) -> dict[str, Any]:
    selector = pod.get("nodeSelector")
    if not selector or not work.entry.drop_node_selector:
        return pod
    if not isinstance(selector, dict):
        raise work.ledger.fault((*work.at, "nodeSelector"), describe(selector), "a mapping")
    fits = globs(work.entry.drop_node_selector)
    # Standby parks DaemonSets by a key of ours: that is not the source's to drop.
    gone = [key for key in selector if fits(key) and not key.startswith(own.PREFIX)]
    if not gone:
        return pod
    for key in gone:
        work.ledger.record((*work.at, "nodeSelector", key), "removed")
    left = {key: value for key, value in selector.items() if key not in gone}
    return {**pod, "nodeSelector": left} if left else {key: pod[key] for key in pod if key != "nodeSelector"}


def _node_labels(pod: dict[str, Any], work: Work) -> dict[str, Any]:
    mapped: dict[str, Any] = map_pod(pod, work.entry.node_labels, work.ledger, work.at)
    return mapped


def _affinity(pod: dict[str, Any], work: Work) -> dict[str, Any]:
    gone = ["nodeAffinity"] if work.entry.node_affinity == "drop" else []
    gone += ["podAffinity", "podAntiAffinity"] if work.entry.pod_affinity == "drop" else []
    if work.entry.node_affinity == "drop":
        pod = work.without(pod, "nodeName")  # a node by its name is the strictest affinity of all
    affinity = pod.get("affinity")
    if affinity is None or not gone:
        return pod
    if not isinstance(affinity, dict):
        raise work.ledger.fault((*work.at, "affinity"), describe(affinity), "a mapping")
    there = [key for key in gone if key in affinity]
    for key in there:
        work.ledger.record((*work.at, "affinity", key), "removed")
    left = {key: value for key, value in affinity.items() if key not in there}
    if left == affinity:
        return pod
    return {**pod, "affinity": left} if left else {key: value for key, value in pod.items() if key != "affinity"}


def _tolerations(pod: dict[str, Any], work: Work) -> dict[str, Any]:
    fits = globs(work.entry.drop_tolerations)
    before = work.items(pod, "tolerations")
    after = []
    for index, toleration in enumerate(before):
        if fits(str(toleration.get("key") or "")):
            work.ledger.record((*work.at, "tolerations", str(index)), f"{toleration.get('key') or 'any key'} removed")
        else:
            after.append(toleration)
    for wanted in work.entry.add_tolerations:
        if dict(wanted) not in after:
            work.ledger.record((*work.at, "tolerations", f"+{len(after)}"), f"{wanted.get('key') or 'any key'} added")
            after.append(dict(wanted))
    return work.replaced(pod, "tolerations", after)


def _topology_spread(pod: dict[str, Any], work: Work) -> dict[str, Any]:
    """Soften or drop; also take out what node labels have made alike: the API server refuses the same key twice."""
    if work.entry.topology_spread == "drop":
        return work.without(pod, "topologySpreadConstraints")
    before = work.items(pod, "topologySpreadConstraints")
    after: list[dict[str, Any]] = []
    seen: list[tuple[Any, Any]] = []  # no set: in a malformed manifest a key may be anything
    for index, constraint in enumerate(before):
        at = (*work.at, "topologySpreadConstraints", str(index))
        soft = _softened(constraint) if work.entry.topology_spread == "soften" else constraint
        key = (soft.get("topologyKey"), soft.get("whenUnsatisfiable"))
        if key in seen:
            work.ledger.record(at, "removed")
            work.notes.append(f"one of its topology spread constraints by {key[0]} is left out: two would be alike")
            continue
        seen.append(key)
        if soft != constraint:
            work.ledger.record((*at, "whenUnsatisfiable"), "DoNotSchedule -> ScheduleAnyway")
        after.append(soft)
    return work.replaced(pod, "topologySpreadConstraints", after)


def _softened(constraint: dict[str, Any]) -> dict[str, Any]:
    if constraint.get("whenUnsatisfiable") != "DoNotSchedule":
        return constraint
    # minDomains is refused beside ScheduleAnyway (API reference: TopologySpreadConstraint).
    kept = {key: value for key, value in constraint.items() if key != "minDomains"}
    return {**kept, "whenUnsatisfiable": "ScheduleAnyway"}


def _classes(pod: dict[str, Any], work: Work) -> dict[str, Any]:
    for key, names, computed in CLASSES:
        name = pod.get(key)
        new = names(work.entry).get(name) if isinstance(name, str) else None
        if new is None or new == name:
            continue
        work.ledger.record((*work.at, key), f"{name} -> {new}" if new else f"{name} removed")
        pod = work.without(pod, *computed)
        pod = {**pod, key: new} if new else {part: value for part, value in pod.items() if part != key}
    return pod


STEPS: tuple[Callable[[dict[str, Any], Work], dict[str, Any]], ...] = (
    _node_selector,
    _affinity,
    _node_labels,
    _tolerations,
    _topology_spread,
    _classes,
)
