"""The one grammar of the configuration for "these objects": see `drsyncer.match`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from drsyncer.config.section import Section
from drsyncer.config.values import Glob, MetadataKey, SelectorText, Text


class MatchSpec(Section):
    types: tuple[Glob, ...] = Field(
        default=(),
        description="Types as plural.group (`deployments.apps`), plural, kind or short name, or a glob over "
        "plural.group such as `*.cert-manager.io`. Left out: any type.",
        examples=[["deployments.apps", "*.cert-manager.io"]],
    )
    namespaces: tuple[Glob, ...] = Field(
        default=(),
        description="Namespaces, as names or globs. When given, cluster-scoped objects do not match.",
        examples=[["shop", "team-*"]],
    )
    names: tuple[Glob, ...] = Field(
        default=(), description="Names of objects, as names or globs.", examples=[["web", "tmp-*"]]
    )
    labels: SelectorText = Field(
        default="",
        description="A label selector in Kubernetes' own syntax, on the object's labels.",
        examples=["app=web,tier notin (test)"],
    )
    namespace_labels: SelectorText = Field(
        default="",
        description="The same on the labels of the object's namespace.",
        examples=["environment=production"],
    )
    annotations: Mapping[MetadataKey, Text] = Field(
        default={},
        description="Annotations that the object must carry, each with a glob for its value; `*` asks only for "
        "presence.",
        examples=[{"example.com/backup": "*"}],
    )

    @property
    def is_everything(self) -> bool:
        """Whether this names nothing, so that every object matches."""
        return not any((self.types, self.namespaces, self.names, self.labels, self.namespace_labels, self.annotations))
