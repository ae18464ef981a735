"""Settings that come as a list of entries, each for the objects that its match names.

A match is asked of the object as Git has it: with its source namespace, before anything was changed. Of several
entries that are about the same thing the first that matches decides, and it works on the original value: so
entries never add up, and what one makes of a value is not what the next one begins with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, TypeVar

from drsyncer import match
from drsyncer.match import Match

MAX_REPLICAS = 2**31 - 1  # int32 in the API


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What all entries have: where they stand in the configuration (`replicas[0]`) and what they are about."""

    label: str
    match: Match


E = TypeVar("E", bound=Entry)


def matching(entries: Iterable[E], seen: match.Subject) -> Iterator[E]:
    """Yield the entries that are about the object `seen`, in their order."""
    return (entry for entry in entries if entry.match.matches(seen))


def first(entries: Iterable[E], seen: match.Subject) -> E | None:
    """Return the entry that decides about the object `seen`, None without one."""
    return next(matching(entries, seen), None)


@functools.cache
def globs(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """Return a test for texts that one of the shell patterns matches whole; without patterns none does."""
    return match.glob(patterns) if patterns else lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaEntry(Entry):
    """How many replicas a workload has in DR once it lives: `count`, or `scale` of the source's within the limits."""

    count: int | None = None
    scale: Decimal = Decimal(1)
    minimum: int = 1
    maximum: int = MAX_REPLICAS

    def of(self, count: int) -> int:
        """Return the number for `count` (at least 1) in the source. It grows with `count`; scaling never gives 0."""
        if self.count is not None:
            return self.count
        scaled = int((count * self.scale).to_integral_value(rounding=ROUND_CEILING))
        return min(max(scaled, self.minimum), self.maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingEntry(Entry):
    """Where pods may run in DR. `node_labels`: `key=value` or `key` to the same; the globs are over keys."""

    node_labels: Mapping[str, str] = field(default_factory=dict)
    drop_node_selector: tuple[str, ...] = ()
    node_affinity: Literal["keep", "drop"] = "keep"
    pod_affinity: Literal["keep", "drop"] = "keep"
    topology_spread: Literal["keep", "soften", "drop"] = "keep"
    drop_tolerations: tuple[str, ...] = ()
    add_tolerations: tuple[Mapping[str, Any], ...] = ()
    runtime_classes: Mapping[str, str] = field(default_factory=dict)
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    schedulers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEntry(Entry):
    """What containers ask for in DR: `scale` by resource; the globs are over containers and resources."""

    containers: tuple[str, ...] = ("*",)
    scale: Mapping[str, Decimal] = field(default_factory=dict)
    drop_requests: tuple[str, ...] = ()
    drop_limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvEntry(Entry):
    """Values of environment variables in DR. With `add` a container that lacks one gets it."""

    containers: tuple[str, ...] = ("*",)
    values: Mapping[str, str] = field(default_factory=dict)
    add: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerEntry(Entry):
    """How a Service is reached from outside in DR. Without an entry: as in the source, but for its address."""

    address: Literal["drop", "keep"] = "drop"
    type: Literal["keep", "NodePort", "ClusterIP"] = "keep"
    classes: Mapping[str, str] = field(default_factory=dict)  # "": none, so that the cluster's default serves it
    drop_annotations: tuple[str, ...] = ()
    external_ips: Literal["keep", "drop"] = "keep"
    source_ranges: tuple[str, ...] = ()  # in place of the source's; none: the source's


LiteralMode = Literal["report", "rewrite", "ignore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteralEntry(Entry):
    """What becomes of names of Services in texts of some objects."""

    mode: LiteralMode

    @property
    def names_types(self) -> bool:
        """Whether the types are written out, without a glob."""
        return _written_out(self.match.types)

    @property
    def names_objects(self) -> bool:
        """Whether types and names are written out, without a glob."""
        return self.names_types and _written_out(self.match.names)


def _written_out(patterns: tuple[str, ...]) -> bool:
    return bool(patterns) and not any(character in text for text in patterns for character in "*?[")
