"""The rules that people write about objects: which ones, what of them, and what they become in DR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from drsyncer.config.adjustments import EnvRule, Literals, LoadBalancerRule, ReplicaRule, ResourceRule, SchedulingRule
from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.section import Section, written
from drsyncer.config.transform_rules import Json, RuleSpec, unique_names
from drsyncer.config.values import (
    ChangeableKey,
    Flag,
    Glob,
    Host,
    LabelValue,
    NamespacePattern,
    ObjectName,
    PathText,
    Text,
    Unspaced,
)

Changes = TypeVar("Changes")
AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]


EVERYTHING = {"types": ["*"]}


class Select(Section):
    include: tuple[MatchSpec, ...] = Field(
        default=written((EVERYTHING,)),
        description="Objects that any of these entries matches are in. An empty list means the same as leaving it out: "
        "everything that the built-in exclusions let through.",
        examples=[[{"namespaces": ["shop", "pay"]}]],
    )
    exclude: tuple[MatchSpec, ...] = Field(
        default=(),
        description="Objects that any of these entries matches are out, also when they are included above.",
        examples=[[{"types": ["configmaps"], "names": ["tmp-*"]}]],
    )
    disable: tuple[Glob, ...] = Field(
        default=(),
        description="Built-in exclusions to switch off, by name; `dr-syncer transforms list` shows the names.",
        examples=[["helm-releases"]],
    )

    @field_validator("include")
    @classmethod
    def _never_empty(cls, include: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
        return include or (MatchSpec.model_validate(EVERYTHING),)

    @field_validator("exclude")
    @classmethod
    def _never_everything(cls, exclude: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
        empty = [index for index, match in enumerate(exclude) if match.is_everything]
        if empty:
            raise ValueError(
                f"entry [{empty[0]}] names nothing, so it would exclude every object; "
                "give types, namespaces, names, labels, namespaceLabels or annotations"
            )
        return exclude


class CleanRule(Section):
    match: MatchSpec = Field(default=written({}), description="The objects it is about; empty means all.")
    paths: tuple[PathText, ...] = Field(
        min_length=1,
        description="Fields as JSON Pointers; `*` stands for every element, `[name=web]` picks from a list.",
        examples=[["/metadata/annotations/example.com~1noise"]],
    )


class Clean(Section):
    keep: tuple[CleanRule, ...] = Field(
        default=(),
        description="Fields that the built-in cleaning would remove and that shall stay.",
        examples=[[{"match": {"types": ["services"]}, "paths": ["/spec/ipFamilies"]}]],
    )
    strip: tuple[CleanRule, ...] = Field(
        default=(),
        description="Fields to remove beyond the built-in cleaning.",
        examples=[[{"match": {"types": ["*"]}, "paths": ["/metadata/annotations/example.com~1noise"]}]],
    )


class LabelChanges(Section):
    add: Mapping[ChangeableKey, LabelValue] = Field(
        default={}, description="Labels to set, over what is there.", examples=[{"example.com/site": "dr"}]
    )
    remove: tuple[ChangeableKey, ...] = Field(
        default=(), description="Keys of labels to remove.", examples=[["example.com/site"]]
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        return _refuse_both(self, add=self.add, remove=self.remove)


class AnnotationChanges(Section):
    add: Mapping[ChangeableKey, Text] = Field(
        default={}, description="Annotations to set, over what is there.", examples=[{"example.com/contact": "on call"}]
    )
    remove: tuple[ChangeableKey, ...] = Field(
        default=(), description="Keys of annotations to remove.", examples=[["example.com/contact"]]
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        return _refuse_both(self, add=self.add, remove=self.remove)


class Transforms(Section):
    namespaces: Mapping[NamespacePattern, NamespacePattern] = Field(
        default={},
        description="Source namespace to DR namespace. A `*` in the key is put in the place of the `*` in the value. "
        "References to the namespace move with it.",
        examples=[{"shop": "shop-dr", "team-*": "dr-team-*"}],
    )
    namespace_labels: LabelChanges = Field(
        default=written({}),
        description="Labels of Namespace objects.",
    )
    namespace_annotations: AnnotationChanges = Field(
        default=written({}),
        description="Annotations of Namespace objects.",
    )
    storage_classes: Mapping[ObjectName, ObjectName] = Field(
        default={},
        description="Source storage class to DR storage class, in claims, volumes and claim templates.",
        examples=[{"standard": "standard-dr"}],
    )
    access_modes: Mapping[AccessMode, AccessMode] = Field(
        default={},
        description="Source access mode to DR access mode of volumes and claims.",
        examples=[{"ReadWriteOncePod": "ReadWriteOnce"}],
    )
    images: Mapping[Unspaced, Unspaced] = Field(
        default={},
        description="Beginnings of image references and what to put in their place; the longest that fits wins.",
        examples=[{"registry.prod.example.com/": "registry.dr.example.com/"}],
    )
    hosts: Mapping[Host, Host] = Field(
        default={},
        description="Host names of Ingresses, Gateways and routes; `*.a` to `*.b` changes everything below a domain.",
        examples=[{"*.prod.example.com": "*.dr.example.com"}],
    )
    replicas: tuple[ReplicaRule, ...] = Field(
        default=(),
        description="How many replicas workloads have in DR once they live. The first entry that matches decides. The "
        "label `dr-syncer.io/scale-override` goes before all of them, and what is at 0 in the source stays at 0.",
        examples=[[{"match": {"namespaces": ["shop"]}, "scale": 0.5, "max": 3}]],
    )
    scheduling: tuple[SchedulingRule, ...] = Field(
        default=(),
        description="Where pods may run in DR. The first entry that matches decides.",
        examples=[[{"nodeLabels": {"topology.kubernetes.io/zone=eu-1a": "topology.kubernetes.io/zone=us-1b"}}]],
    )
    resources: tuple[ResourceRule, ...] = Field(
        default=(),
        description="What containers request and are limited to in DR. About a container the first entry that matches "
        "it decides.",
        examples=[[{"match": {"namespaces": ["shop"]}, "scale": {"cpu": 0.5, "memory": 0.5}}]],
    )
    env: tuple[EnvRule, ...] = Field(
        default=(),
        description="Environment variables of containers. About a variable of a container the first entry that names "
        "it decides.",
        examples=[[{"match": {"types": ["deployments.apps"], "names": ["api-*"]}, "set": {"SITE": "dr"}}]],
    )
    load_balancers: tuple[LoadBalancerRule, ...] = Field(
        default=(),
        description="How Services are reached from outside in DR. The first entry that matches decides; without one "
        "only `loadBalancerIP` is dropped.",
        examples=[[{"type": "ClusterIP", "dropAnnotations": ["service.beta.kubernetes.io/*"]}]],
    )
    literals: Literals = Field(
        default=written({}),
        description="Names of Services in texts (`web.shop.svc`) that are others in DR, because their namespace or the "
        "cluster's domain is.",
    )
    labels: LabelChanges = Field(
        default=written({}), description="Labels of every imported object. Pod templates and selectors are left alone."
    )
    annotations: AnnotationChanges = Field(default=written({}), description="Annotations of every imported object.")
    values: Mapping[Text, Json] = Field(
        default={},
        description="What templates see as `values`. No secrets: templates cannot hide them.",
        examples=[{"domain": "dr.example.com"}],
    )
    from_repository: Flag = Field(
        default=True,
        description="Whether the rules in `transforms/*.yaml` of the recovery repository are applied, before those "
        "below. With false they are ignored, and a run says so.",
    )
    rules: tuple[RuleSpec, ...] = Field(
        default=(),
        description="General rules, applied in order after all of the above but labels and annotations.",
        examples=[[{"name": "a", "match": {"types": ["cm"]}, "steps": [{"remove": {"path": "/data/x"}}]}]],
    )

    @field_validator("rules")
    @classmethod
    def _named_once(cls, rules: tuple[RuleSpec, ...]) -> tuple[RuleSpec, ...]:
        return unique_names(rules)

    @field_validator("namespaces")
    @classmethod
    def _stars_fit(cls, namespaces: Mapping[str, str]) -> Mapping[str, str]:
        if any("*" in target and "*" not in source for source, target in namespaces.items()):
            raise ValueError("a `*` on the right needs a `*` on the left that says what to put there")
        return namespaces

    @field_validator("hosts")
    @classmethod
    def _wildcards_fit(cls, hosts: Mapping[str, str]) -> Mapping[str, str]:
        if any(source.startswith("*.") != target.startswith("*.") for source, target in hosts.items()):
            raise ValueError("`*.` must stand on both sides or on neither")
        return hosts


class Standby(Section):
    enabled: Flag = Field(
        default=True,
        description="Import in standby: workloads at 0 replicas, CronJobs and Jobs suspended, the originals remembered "
        "for activation. With false, what is imported runs at once.",
    )
    daemon_sets: Literal["keep", "park"] = Field(
        default="keep",
        description="What standby does with DaemonSets, which have no replicas: `keep` lets them run, `park` gives "
        "them a node selector that no node carries.",
    )


def _refuse_both(changes: Changes, *, add: Mapping[str, str], remove: tuple[str, ...]) -> Changes:
    both = sorted(set(add) & set(remove))
    if both:
        raise ValueError(f"{both[0]} stands under add and under remove; keep one of them")
    return changes
