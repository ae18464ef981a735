"""The lists of entries below `importer.transforms`: what workloads, pods and Services are like in DR."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, StrictStr, field_validator, model_validator

from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.section import Kind, Section, written
from drsyncer.config.values import Flag, Glob, LabelValue, ObjectName, Text, label_value, metadata_key

MAX_REPLICAS = 2**31 - 1  # int32 in the API
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*", re.ASCII)
_RESOURCE = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII
)
_ENV = re.compile(r"[^=\x00-\x1f\x7f-\U0010ffff]+")  # EnvVar names: printable ASCII but `=` (KEP-4369)


def _node_label(text: str) -> str:
    key, equals, value = text.partition("=")
    metadata_key(key)
    if equals:
        label_value(value)
    return text


def _class_or_none(text: str) -> str:
    if text and not _DOMAIN.fullmatch(text):
        raise ValueError("expected the name of a class, or nothing to leave it out")
    return text


def _balancer_class(text: str) -> str:
    return metadata_key(text) if text else text


def _resource(text: str) -> str:
    if not _RESOURCE.fullmatch(text):
        raise ValueError("expected the name of a resource, such as cpu, memory or nvidia.com/gpu")
    return text


def _env_name(text: str) -> str:
    if not _ENV.fullmatch(text):
        raise ValueError("expected the name of an environment variable, such as JAVA_OPTS")
    return text


def _cidr(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("expected a network such as 192.0.2.0/24 or 2001:db8::/32") from None
    return text


def _cluster_domain(text: str) -> str:
    if not _DOMAIN.fullmatch(text) or len(text) > 253:
        raise ValueError("expected a cluster domain such as cluster.local, in lower case")
    return text


ReplicaCount = Annotated[StrictInt, Kind("a whole number", "2"), Field(ge=0, le=MAX_REPLICAS)]
ReplicaLimit = Annotated[StrictInt, Kind("a whole number from 1", "2"), Field(ge=1, le=MAX_REPLICAS)]
ScaleFactor = Annotated[
    StrictFloat, Kind("a number above 0, at most 1000", "0.5"), Field(gt=0, le=1000, allow_inf_nan=False)
]
NodeLabel = Annotated[StrictStr, Kind("a node label", "topology.kubernetes.io/zone=eu-1a"), AfterValidator(_node_label)]
ClassOrNone = Annotated[StrictStr, Kind("a name, or nothing", "gvisor"), AfterValidator(_class_or_none)]
BalancerClass = Annotated[StrictStr, Kind("a load balancer class", "example.com/lb"), AfterValidator(metadata_key)]
BalancerClassOrNone = Annotated[
    StrictStr, Kind("a load balancer class, or nothing", "example.com/lb"), AfterValidator(_balancer_class)
]
ResourceName = Annotated[StrictStr, Kind("a resource", "cpu"), AfterValidator(_resource)]
EnvName = Annotated[StrictStr, Kind("a variable", "JAVA_OPTS"), AfterValidator(_env_name)]
Cidr = Annotated[StrictStr, Kind("a network", '"192.0.2.0/24"'), AfterValidator(_cidr)]
ClusterDomain = Annotated[StrictStr, Kind("a cluster domain", "cluster.local"), AfterValidator(_cluster_domain)]

_NO_CHANGE = "the entry says which objects, but not what to change"
_MATCH = "The objects it is about, as they are in Git; empty means all that it can be about."
_CONTAINERS = "Containers and init containers, by name or glob. Left out: all."


class ReplicaRule(Section):
    match: MatchSpec = Field(
        default=written({}),
        description="The workloads it is about, as they are in Git, and the HorizontalPodAutoscalers, whose limits "
        "follow the same numbers; empty means all.",
    )
    replicas: ReplicaCount | None = Field(
        default=None,
        description="This many. For an autoscaler: both limits, so that it holds this number.",
        examples=[2],
    )
    scale: ScaleFactor | None = Field(
        default=None,
        description="The source's number times this, rounded up.",
        examples=[0.5],
    )
    minimum: ReplicaLimit | None = Field(default=None, alias="min", description="At least this many.", examples=[1])
    maximum: ReplicaLimit | None = Field(default=None, alias="max", description="At most this many.", examples=[3])

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        relative = (self.scale, self.minimum, self.maximum)
        if self.replicas is not None and any(value is not None for value in relative):
            raise ValueError("expected either replicas, or scale, min and max: replicas is the number itself")
        if self.replicas is None and all(value is None for value in relative):
            raise ValueError(f"{_NO_CHANGE}: expected replicas, scale, min or max")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("min must not be above max")
        return self


class Toleration(Section):
    key: Text = Field(
        default="", description="Key of the taint. Left out: any, with the operator Exists.", examples=["dedicated"]
    )
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="How the value is compared.")
    value: LabelValue = Field(default="", description="Value of the taint.", examples=["dr"])
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = Field(
        default="", description="Effect of the taint. Left out: any."
    )
    toleration_seconds: StrictInt | None = Field(
        default=None, description="How long a NoExecute taint is tolerated, in seconds. Left out: for ever."
    )

    @model_validator(mode="after")
    def _as_the_api_server_has_it(self) -> Self:
        if self.key:
            metadata_key(self.key)
        elif self.operator != "Exists":
            raise ValueError("a toleration without key needs the operator Exists")
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with the operator Exists has no value")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds needs the effect NoExecute")
        return self

    @property
    def in_pod(self) -> dict[str, Any]:
        """The toleration as it stands in a pod; what is empty is left out, as the API server does."""
        seconds = {} if self.toleration_seconds is None else {"tolerationSeconds": self.toleration_seconds}
        said = {"key": self.key, "operator": self.operator, "value": self.value, "effect": self.effect}
        return {key: value for key, value in said.items() if value} | seconds


class Tolerations(Section):
    drop: tuple[Glob, ...] = Field(
        default=(),
        description="Keys of taints, as names or globs, that pods no longer tolerate; `*` means all tolerations.",
        examples=[["dedicated", "cloud.example.com/*"]],
    )
    add: tuple[Toleration, ...] = Field(
        default=(), description="Tolerations to add.", examples=[[{"key": "dedicated", "value": "dr"}]]
    )


class SchedulingRule(Section):
    match: MatchSpec = Field(
        default=written({}),
        description="The objects with pods, PersistentVolumes and StorageClasses that it is about, as they are in Git; "
        "empty means all.",
    )
    node_labels: Mapping[NodeLabel, NodeLabel] = Field(
        default={},
        description="Labels of nodes as `key=value` or `key`, and what they are in DR: in node selectors, affinity, "
        "topology keys, the node affinity of volumes and the topologies of storage classes.",
        examples=[{"topology.kubernetes.io/zone=eu-1a": "topology.kubernetes.io/zone=us-1b"}],
    )
    drop_node_selector: tuple[Glob, ...] = Field(
        default=(),
        description="Keys of the node selector to drop, as names or globs; `*` means all.",
        examples=[["example.com/pool"]],
    )
    node_affinity: Literal["keep", "drop"] = Field(
        default="keep", description="Node affinity of pods, and a node that they name: `keep` or `drop` it."
    )
    pod_affinity: Literal["keep", "drop"] = Field(
        default="keep", description="Affinity and anti-affinity between pods: `keep` or `drop` it."
    )
    topology_spread: Literal["keep", "soften", "drop"] = Field(
        default="keep",
        description="Topology spread constraints: `keep` them, `soften` those that forbid (DoNotSchedule becomes "
        "ScheduleAnyway), or `drop` all.",
    )
    tolerations: Tolerations = Field(default=written({}), description="What pods tolerate.")
    runtime_classes: Mapping[ObjectName, ClassOrNone] = Field(
        default={},
        description="Runtime classes by name; nothing on the right leaves it out.",
        examples=[{"gvisor": ""}],
    )
    priority_classes: Mapping[ObjectName, ClassOrNone] = Field(
        default={},
        description="Priority classes by name; nothing on the right leaves it out.",
        examples=[{"gold": "standard"}],
    )
    schedulers: Mapping[ObjectName, ClassOrNone] = Field(
        default={},
        description="Schedulers by name; nothing on the right leaves it to the default scheduler.",
        examples=[{"volcano": ""}],
    )

    @field_validator("node_labels")
    @classmethod
    def _pairs_to_pairs(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        if any(("=" in source) != ("=" in target) for source, target in labels.items()):
            raise ValueError("expected key=value on both sides, or a key on both")
        return labels

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        maps = (self.node_labels, self.runtime_classes, self.priority_classes, self.schedulers)
        lists = (self.drop_node_selector, self.tolerations.drop, self.tolerations.add)
        choices = (self.node_affinity, self.pod_affinity, self.topology_spread)
        if not any((*maps, *lists)) and set(choices) == {"keep"}:
            raise ValueError(_NO_CHANGE)
        return self


class ResourceRule(Section):
    match: MatchSpec = Field(default=written({}), description=_MATCH)
    containers: tuple[Glob, ...] = Field(default=("*",), description=_CONTAINERS, examples=[["app", "worker-*"]])
    scale: Mapping[ResourceName, ScaleFactor] = Field(
        default={},
        description="By resource, what requests and limits are multiplied with. CPU stays whole thousandths, memory "
        "whole bytes, devices whole; nothing becomes 0.",
        examples=[{"cpu": 0.5, "memory": 0.75}],
    )
    drop_requests: tuple[Glob, ...] = Field(
        default=(),
        description="Resources whose requests are dropped, as names or globs. Beside a limit that stays, Kubernetes "
        "takes the limit for the request.",
        examples=[["cpu"]],
    )
    drop_limits: tuple[Glob, ...] = Field(
        default=(), description="Resources whose limits are dropped, as names or globs.", examples=[["cpu"]]
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not any((self.scale, self.drop_requests, self.drop_limits)):
            raise ValueError(_NO_CHANGE)
        return self


class EnvRule(Section):
    match: MatchSpec = Field(default=written({}), description=_MATCH)
    containers: tuple[Glob, ...] = Field(default=("*",), description=_CONTAINERS, examples=[["app"]])
    values: Mapping[EnvName, Text] = Field(
        alias="set",
        min_length=1,
        description="Variables and their values in DR, in place of a value or a reference. Never put a secret here.",
        examples=[{"SITE": "dr"}],
    )
    add: Flag = Field(
        default=False,
        description="Whether containers that do not state a variable get it, too. Then `match` must say which objects.",
    )

    @model_validator(mode="after")
    def _never_added_to_all(self) -> Self:
        if self.add and self.match.is_everything:
            raise ValueError("add: true needs a match: it would add the variables to every container of the cluster")
        return self


class LoadBalancerRule(Section):
    match: MatchSpec = Field(
        default=written({}), description="The Services it is about, as they are in Git; empty means all."
    )
    address: Literal["drop", "keep"] = Field(
        default="drop", description="`loadBalancerIP`, an address of the source's site: `drop` or `keep` it."
    )
    service_type: Literal["keep", "NodePort", "ClusterIP"] = Field(
        default="keep",
        alias="type",
        description="What becomes of the type LoadBalancer. What the API server refuses for another type goes along: "
        "class, source ranges, node ports and external traffic policy.",
    )
    classes: Mapping[BalancerClass, BalancerClassOrNone] = Field(
        default={},
        description="Load balancer classes by name; nothing on the right leaves it to the cluster's default.",
        examples=[{"example.com/internal": "example.net/internal"}],
    )
    drop_annotations: tuple[Glob, ...] = Field(
        default=(),
        description="Annotations to drop, as keys or globs.",
        examples=[["service.beta.kubernetes.io/aws-*"]],
    )
    external_ips: Literal["keep", "drop"] = Field(
        default="keep", alias="externalIPs", description="`externalIPs`: `keep` or `drop` them."
    )
    source_ranges: tuple[Cidr, ...] = Field(
        default=(),
        description="Who may connect, in place of the source's `loadBalancerSourceRanges`, where a Service has them. "
        "Left out: the source's.",
        examples=[["192.0.2.0/24"]],
    )


_Mode = Literal["report", "rewrite", "ignore"]


class LiteralRule(Section):
    match: MatchSpec = Field(
        default=written({}),
        description="The objects it is about, as they are in Git. Custom resources are rewritten only where `types` "
        "names theirs, Secrets only where `types` and `names` do, all without globs.",
    )
    mode: _Mode = Field(
        description="What becomes of the names in these objects: `report`, `rewrite` or `ignore`.", examples=["rewrite"]
    )

    @model_validator(mode="after")
    def _secrets_by_name(self) -> Self:
        about_secrets = any(text.casefold() in ("secret", "secrets") for text in self.match.types)
        named = self.match.names and not any(set(name) & set("*?[") for name in self.match.names)
        if self.mode == "rewrite" and about_secrets and not named:
            raise ValueError("Secrets are rewritten only by name: give match.names, without globs")
        return self


class Literals(Section):
    mode: _Mode = Field(
        default="report",
        description="What becomes of such names where no entry below matches: `report` them, `rewrite` them, or "
        "`ignore` them. Custom resources and Secrets are never rewritten by this key.",
    )
    cluster_domains: Mapping[ClusterDomain, ClusterDomain] = Field(
        default=written({"cluster.local": "cluster.local"}),
        description="The cluster domain of the source, and the one of DR.",
        examples=[{"prod.local": "dr.local"}],
    )
    entries: tuple[LiteralRule, ...] = Field(
        default=(),
        description="Exceptions for some objects. The first entry that matches decides.",
        examples=[[{"match": {"types": ["configmaps"], "namespaces": ["shop"]}, "mode": "rewrite"}]],
    )
