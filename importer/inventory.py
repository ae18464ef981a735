"""Which objects in the DR cluster are this importer's own: an ApplySet (KEP-3659).

Every member carries the label `applyset.kubernetes.io/part-of`; the parent, a ConfigMap, lists the
types and namespaces in which members may live, so that none is ever overlooked.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drsyncer import __version__, own
from drsyncer.manifest import Manifest, ResourceType

STANDBY = "standby"
ACTIVE = "active"
_LONGEST_MANAGER = 128  # bytes, the API server's limit


@dataclass(frozen=True, slots=True)
class Inventory:
    """The parent ConfigMap as a value.

    `types` holds `Kind.group` (KEP-3659 knows no plurals), `namespaces` where namespaced members may be.
    `state` is `standby` or `active`; `source_uid` the cluster that the members come from; `revision`
    the last recovery point that was brought in whole; `head` the newest commit that was accepted of what
    is `followed`; `run` stands for the last import that changed anything, so that two at a time notice each other.
    """

    importer: str
    namespace: str  # of the parent itself
    types: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    state: str = STANDBY
    source: str = ""
    source_uid: str = ""
    revision: str = ""
    followed: str = ""  # "branch main"; see importer/following.py
    head: str = ""
    run: str = ""
    other: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The parent's name."""
        return f"dr-syncer-{self.importer}"

    @property
    def guest(self) -> str:
        """The field manager for Namespaces that this importer did not make.

        Its own for each importer: under one common name, the labels that one importer merges into a
        shared Namespace would take those of another, its mark of membership too, out again.
        """
        return f"{own.FIELD_MANAGER}-{self.importer}"[:_LONGEST_MANAGER]

    @property
    def id(self) -> str:
        """The ApplySet's id, by the formula of KEP-3659 over the parent's name, namespace, kind and group."""
        text = f"{self.name}.{self.namespace}.ConfigMap."
        hashed = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        return f"applyset-{hashed}-v1"

    def with_members(self, types: Iterable[ResourceType], namespaces: Iterable[str]) -> Inventory:
        """Return the inventory that also covers `types` and `namespaces`: to be written before they are touched."""
        return replace(
            self,
            types=self.types | {kind_of(type_) for type_ in types},
            namespaces=self.namespaces | {namespace for namespace in namespaces if namespace},
        )

    def to_manifest(self) -> Manifest:
        """Return the parent ConfigMap."""
        annotations = {
            own.APPLYSET_TOOLING: f"dr-syncer/v{__version__}",
            own.APPLYSET_TYPES: ",".join(sorted(self.types)),
            own.APPLYSET_NAMESPACES: ",".join(sorted(self.namespaces - {self.namespace})),
        }
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {own.APPLYSET_ID: self.id, own.PART_OF: own.OWN_NAME},
                "annotations": annotations,
            },
            "data": {
                **self.other,
                "importer": self.importer,
                "state": self.state,
                "source": self.source,
                "sourceUID": self.source_uid,
                "revision": self.revision,
                "followed": self.followed,
                "head": self.head,
                "run": self.run,
            },
        }


def kind_of(type_: ResourceType) -> str:
    """Return `Kind.group`, or `Kind` for the core group, as KEP-3659 writes types."""
    return f"{type_.kind}.{type_.group}" if type_.group else type_.kind


def from_manifest(manifest: Mapping[str, Any], *, importer: str, namespace: str) -> Inventory:
    """Return the inventory that a parent ConfigMap holds."""
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    data = dict(manifest.get("data") or {})
    data.pop("importer", None)
    return Inventory(
        importer=importer,
        namespace=namespace,
        types=_listed(annotations.get(own.APPLYSET_TYPES, "")),
        namespaces=_listed(annotations.get(own.APPLYSET_NAMESPACES, "")) | {namespace},
        state=data.pop("state", STANDBY),
        source=data.pop("source", ""),
        source_uid=data.pop("sourceUID", ""),
        revision=data.pop("revision", ""),
        followed=data.pop("followed", ""),
        head=data.pop("head", ""),
        run=data.pop("run", ""),
        other=data,
    )


def _listed(text: str) -> frozenset[str]:
    return frozenset(part for part in text.split(",") if part)
