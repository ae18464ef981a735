"""How Services are reached from outside: what belongs to the source's site, and what DR has in its place.

Without an entry only `loadBalancerIP` goes: two sites that announce the same address would take each other's
traffic. A Service of another type must not carry what only load balancers have (the API server refuses it), so that
goes along and is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest
from drsyncer.match import Match
from transforms.entries import LoadBalancerEntry, first, globs
from transforms.pods import Ledger, Path, describe, lookup
from transforms.settings import Result, Subject

NAME = "loadBalancers"
SERVICES = "services"
LOAD_BALANCER = "LoadBalancer"
SPEC: Path = ("spec",)
ANNOTATIONS: Path = ("metadata", "annotations")

# Older than the field and still honoured; refused, too, where the type is not LoadBalancer (ValidateService).
RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
BALANCER_ONLY = (
    "loadBalancerIP",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts",
    "healthCheckNodePort",
)
DEFAULT = LoadBalancerEntry(label="", match=Match())


@dataclass(slots=True)
class Change:
    """One Service on its way: a copy of its spec and annotations, the ledger, and what is to be told."""

    spec: dict[str, Any]
    annotations: dict[str, Any]
    ledger: Ledger
    notes: list[str] = field(default_factory=list)

    def drop(self, key: str) -> bool:
        """Take a field of the spec out; return whether it was there."""
        if self.spec.get(key) is None:
            return False
        del self.spec[key]
        self.ledger.record((*SPEC, key), "removed")
        return True

    def drop_annotation(self, key: str) -> bool:
        """Take an annotation out; return whether it was there."""
        if key not in self.annotations:
            return False
        del self.annotations[key]
        self.ledger.record((*ANNOTATIONS, key), "removed")
        return True

    @property
    def type(self) -> str:
        """Return the Service's type; ClusterIP is the API's default."""
        return str(self.spec.get("type") or "ClusterIP")


def change_services(manifest: Manifest, subject: Subject) -> Result:
    """Change a Service by the first entry about it, and by the default where there is none."""
    spec = manifest.get("spec")
    if subject.ref.type != SERVICES or not isinstance(spec, dict):
        return Result(manifest)
    entry = first(subject.settings.load_balancers, subject.seen(manifest)) or DEFAULT
    ledger = Ledger(NAME)
    annotations = lookup(manifest, ANNOTATIONS, ledger=ledger) or {}
    if not isinstance(annotations, dict):
        raise ledger.fault(ANNOTATIONS, describe(annotations), "a mapping")
    change = Change(dict(spec), dict(annotations), ledger)
    for step in STEPS:
        step(change, entry)
    if change.spec != spec:
        manifest = {**manifest, "spec": change.spec}
    if change.annotations != annotations:
        manifest = _with_annotations(manifest, change.annotations)
    return Result(manifest, ledger.applied, tuple(change.notes), used=(entry.label,) if entry.label else ())


def _with_annotations(manifest: Manifest, annotations: dict[str, Any]) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "annotations"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations} if annotations else metadata}


def _drop_annotations(change: Change, entry: LoadBalancerEntry) -> None:
    fits = globs(entry.drop_annotations)
    for key in [key for key in change.annotations if fits(key)]:
        if not key.startswith((own.PREFIX, own.APPLYSET_PREFIX)):
            change.drop_annotation(key)


def _drop_address(change: Change, entry: LoadBalancerEntry) -> None:
    if entry.address == "drop" and change.drop("loadBalancerIP"):
        change.notes.append("its loadBalancerIP stays behind: it belongs to the source's site")


def _drop_external_ips(change: Change, entry: LoadBalancerEntry) -> None:
    if entry.external_ips == "drop":
        change.drop("externalIPs")
    elif entry is DEFAULT and change.spec.get("externalIPs"):
        change.notes.append("its externalIPs are those of the source's site: loadBalancers can drop them")


def _map_class(change: Change, entry: LoadBalancerEntry) -> None:
    name = change.spec.get("loadBalancerClass")
    new = entry.classes.get(name) if isinstance(name, str) else None
    if new == "":
        change.drop("loadBalancerClass")
    elif new is not None and new != name:
        change.spec["loadBalancerClass"] = new
        change.ledger.record((*SPEC, "loadBalancerClass"), f"{name} -> {new}")


def _replace_source_ranges(change: Change, entry: LoadBalancerEntry) -> None:
    """Who may connect is replaced where it is limited, never opened: a Service without ranges gets none."""
    if not entry.source_ranges:
        return
    ranges = list(entry.source_ranges)
    if change.spec.get("loadBalancerSourceRanges") and change.spec["loadBalancerSourceRanges"] != ranges:
        change.spec["loadBalancerSourceRanges"] = ranges
        change.ledger.record((*SPEC, "loadBalancerSourceRanges"), f"-> {', '.join(ranges)}")
    if change.annotations.get(RANGES_ANNOTATION) and change.annotations[RANGES_ANNOTATION] != ",".join(ranges):
        change.annotations[RANGES_ANNOTATION] = ",".join(ranges)
        change.ledger.record((*ANNOTATIONS, RANGES_ANNOTATION), f"-> {', '.join(ranges)}")


def _change_type(change: Change, entry: LoadBalancerEntry) -> None:
    if entry.type == "keep" or change.type != LOAD_BALANCER:
        return
    change.spec["type"] = entry.type
    change.ledger.record((*SPEC, "type"), f"{LOAD_BALANCER} -> {entry.type}")
    gone = [key for key in BALANCER_ONLY if change.drop(key)]
    gone += [RANGES_ANNOTATION] if change.drop_annotation(RANGES_ANNOTATION) else []
    if entry.type == "ClusterIP" and _drop_node_ports(change):
        gone.append("its node ports")
    if gone:
        change.notes.append(f"is a {entry.type} Service in DR, so {', '.join(gone)} stay behind")


def _drop_node_ports(change: Change) -> bool:
    ports = change.spec.get("ports")
    if not isinstance(ports, list):
        return False
    changed = []
    for index, port in enumerate(ports):
        if isinstance(port, dict) and "nodePort" in port:
            change.ledger.record((*SPEC, "ports", str(index), "nodePort"), "removed")
            port = {key: value for key, value in port.items() if key != "nodePort"}
        changed.append(port)
    change.spec["ports"] = changed
    return changed != ports


def _drop_traffic_policy(change: Change, entry: LoadBalancerEntry) -> None:
    """The API server refuses externalTrafficPolicy where nothing comes from outside (ValidateService)."""
    if entry is DEFAULT or change.type != "ClusterIP" or change.spec.get("externalIPs"):
        return
    if change.drop("externalTrafficPolicy"):
        change.notes.append("nothing reaches it from outside in DR, so its externalTrafficPolicy stays behind")


STEPS: tuple[Callable[[Change, LoadBalancerEntry], None], ...] = (
    _drop_annotations,
    _drop_address,
    _drop_external_ips,
    _map_class,
    _replace_source_ranges,
    _change_type,
    _drop_traffic_policy,
)
