"""Why an object of the source cluster is in the recovery repository, or is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.schema import Exporter
from drsyncer.errors import Forbidden, NotFound, UsageError
from drsyncer.manifest import ObjectRef, ResourceType, labels
from exporter.confidential import confidential_of
from exporter.filing import NAMESPACES, Filed, Filing, LeftOut, ref_of
from exporter.rules import asks_for_labels, cleaner_of, selection_of
from exporter.versions import CRDS, candidates, storage_version
from exporter.volume_records import RecordFile
from transforms.select import Passage
from transforms.stages import is_custom


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one object through the checks, and what became of it."""

    ref: ObjectRef
    passages: tuple[Passage, ...]
    result: Filed | LeftOut

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        filed = self.result if isinstance(self.result, Filed) else None
        left = self.result if isinstance(self.result, LeftOut) else None
        return {
            "object": str(self.ref),
            "included": filed is not None,
            "checks": [{"check": p.check, "passed": p.passed, "reason": p.reason} for p in self.passages],
            "leftOutBy": left.check if left else None,
            "path": filed.path if filed else None,
            "volumeRecord": _record_data(filed.record) if filed is not None and filed.record is not None else None,
            "encrypted": filed is not None and filed.encrypt is not None,
            "cleanedBy": list(filed.cleaned_by) if filed else [],
        }


def explain(*, config: Exporter, cluster: Cluster, text: str) -> Explanation:
    """Walk the object that `text` names (`TYPE/NAME` or `NAMESPACE/TYPE/NAME`) through the checks.

    Raises UsageError when no such type or object exists, ClusterError when the cluster cannot be asked.
    """
    discovery = cluster.discover()
    ref, type_ = find(discovery, text)
    try:
        manifest = cluster.read(_version(cluster, discovery, type_), namespace=ref.namespace, name=ref.name)
    except NotFound as error:
        raise UsageError(f"{ref} does not exist in the cluster", hint="Write it as `kubectl get` finds it.") from error
    selection = selection_of(config.select)
    filing = Filing(
        selection=selection,
        cleaner=cleaner_of(config.clean),
        confidential=confidential_of(config.secrets),
        namespace_labels=_namespace_labels(cluster, discovery, ref) if asks_for_labels(config) else {},
    )
    return Explanation(
        ref=ref_of(manifest, type_),
        passages=tuple(selection.walk(filing.subject(manifest, type_))),
        result=filing.file(manifest, type_),
    )


def _record_data(record: RecordFile) -> dict[str, Any]:
    return {
        "path": record.path,
        "says": record.change.said if record.change else None,
        "fault": record.fault or None,
    }


def find(discovery: Discovery, text: str) -> tuple[ObjectRef, ResourceType]:
    """Return the object and type that a person means by `text`. Raises UsageError."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(
            f"{text!r} names no object",
            hint="Expected TYPE/NAME or NAMESPACE/TYPE/NAME, such as shop/deployments.apps/web.",
        )
    namespace, word, name = parts if len(parts) == 3 else ("", *parts)
    types = discovery.find(word)
    if not types:
        raise UsageError(f"the cluster serves no type {word!r}", hint="`kubectl api-resources` lists them.")
    if len(types) > 1:
        choices = ", ".join(type_.key for type_ in types)
        raise UsageError(f"{word!r} may be any of {choices}", hint="Write the one that you mean in full.")
    (type_,) = types
    if type_.namespaced != bool(namespace):
        expected = f"NAMESPACE/{type_.key}/{name}" if type_.namespaced else f"{type_.key}/{name}"
        raise UsageError(
            f"{type_.key} {'need a' if type_.namespaced else 'have no'} namespace", hint=f"Write {expected}."
        )
    return ObjectRef(type_.key, namespace, name), type_


def _version(cluster: Cluster, discovery: Discovery, type_: ResourceType) -> ResourceType:
    """Return the version that an export reads `type_` in."""
    crds = discovery.get(CRDS)
    stored: dict[str, str] = {}
    if crds is not None and is_custom(type_.key):
        try:
            found = storage_version(cluster.read(crds, namespace="", name=type_.key))
        except (NotFound, Forbidden):
            found = None  # an aggregated API has no CRD; and who may not read them exports the preferred version
        stored = dict([found]) if found else {}
    return candidates(type_.key, discovery, stored)[0] if "list" in type_.verbs else type_


def _namespace_labels(cluster: Cluster, discovery: Discovery, ref: ObjectRef) -> Mapping[str, Mapping[str, str]]:
    namespaces = discovery.get(NAMESPACES)
    if not ref.namespace or namespaces is None:
        return {}
    return {ref.namespace: labels(cluster.read(namespaces, namespace="", name=ref.namespace))}
