"""Kubernetes objects as plain data, and how they are named.

A manifest is the decoded JSON of one object and nothing more: typed models lose unknown fields
and nulls. Identity is always plural.group, namespace and name: kinds and short names clash
between groups in real clusters.
"""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object. `type` is `plural.group` (`configmaps`, `deployments.apps`); `namespace` is "" if cluster-scoped."""

    type: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.namespace, self.type, self.name) if part)


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One type that an API server serves, in one version, as discovery describes it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()
    short_names: tuple[str, ...] = ()
    singular: str = ""
    subresources: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """`plural.group`, or `plural` alone for the core group: the identity of the type, without version."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` alone for the core group, as in a manifest's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version


def split_api_version(api_version: str) -> tuple[str, str]:
    """Given `apps/v1` return `("apps", "v1")`; given `v1` return `("", "v1")`."""
    group, _, version = api_version.rpartition("/")
    return group, version


def metadata(manifest: Manifest) -> dict[str, Any]:
    """Return the object's metadata, or an empty mapping when it has none (hostile input)."""
    found = manifest.get("metadata")
    return found if isinstance(found, dict) else {}


def labels(manifest: Manifest) -> dict[str, str]:
    """Return the object's labels; an empty mapping when there are none, or something else is in their place."""
    found = metadata(manifest).get("labels")
    return found if isinstance(found, dict) else {}


def annotations(manifest: Manifest) -> dict[str, str]:
    """Return the object's annotations; an empty mapping when there are none, or something else is in their place."""
    found = metadata(manifest).get("annotations")
    return found if isinstance(found, dict) else {}
