"""From the lists of entries in `importer.transforms` to the values that the transforms work with."""

from __future__ import annotations

from decimal import Decimal

from drsyncer.config import adjustments as rules
from drsyncer.config.matches import to_match
from transforms.entries import (
    MAX_REPLICAS,
    EnvEntry,
    LiteralEntry,
    LoadBalancerEntry,
    ReplicaEntry,
    ResourceEntry,
    SchedulingEntry,
)
from transforms.settings import Literals


def replica_entry(index: int, rule: rules.ReplicaRule) -> ReplicaEntry:
    """Return one entry of `replicas`."""
    return ReplicaEntry(
        label=f"replicas[{index}]",
        match=to_match(rule.match),
        count=rule.replicas,
        scale=_exact(rule.scale or 1),
        minimum=min(rule.minimum or 1, rule.maximum or MAX_REPLICAS),
        maximum=rule.maximum or MAX_REPLICAS,
    )


def scheduling_entry(index: int, rule: rules.SchedulingRule) -> SchedulingEntry:
    """Return one entry of `scheduling`."""
    return SchedulingEntry(
        label=f"scheduling[{index}]",
        match=to_match(rule.match),
        node_labels=rule.node_labels,
        drop_node_selector=rule.drop_node_selector,
        node_affinity=rule.node_affinity,
        pod_affinity=rule.pod_affinity,
        topology_spread=rule.topology_spread,
        drop_tolerations=rule.tolerations.drop,
        add_tolerations=tuple(one.in_pod for one in rule.tolerations.add),
        runtime_classes=rule.runtime_classes,
        priority_classes=rule.priority_classes,
        schedulers=rule.schedulers,
    )


def resource_entry(index: int, rule: rules.ResourceRule) -> ResourceEntry:
    """Return one entry of `resources`."""
    return ResourceEntry(
        label=f"resources[{index}]",
        match=to_match(rule.match),
        containers=rule.containers,
        scale={resource: _exact(factor) for resource, factor in rule.scale.items()},
        drop_requests=rule.drop_requests,
        drop_limits=rule.drop_limits,
    )


def env_entry(index: int, rule: rules.EnvRule) -> EnvEntry:
    """Return one entry of `env`."""
    return EnvEntry(
        label=f"env[{index}]",
        match=to_match(rule.match),
        containers=rule.containers,
        values=rule.values,
        add=rule.add,
    )


def load_balancer_entry(index: int, rule: rules.LoadBalancerRule) -> LoadBalancerEntry:
    """Return one entry of `loadBalancers`."""
    return LoadBalancerEntry(
        label=f"loadBalancers[{index}]",
        match=to_match(rule.match),
        address=rule.address,
        type=rule.service_type,
        classes=rule.classes,
        drop_annotations=rule.drop_annotations,
        external_ips=rule.external_ips,
        source_ranges=rule.source_ranges,
    )


def literals(rule: rules.Literals) -> Literals:
    """Return the section `literals`."""
    entries = tuple(
        LiteralEntry(label=f"literals.entries[{index}]", match=to_match(entry.match), mode=entry.mode)
        for index, entry in enumerate(rule.entries)
    )
    return Literals(mode=rule.mode, domains=rule.cluster_domains, entries=entries)


def _exact(factor: float) -> Decimal:
    """Return the number that the person wrote: `0.1` and not what a float makes of it."""
    return Decimal(repr(factor))
