"""What DR has of the claims that a restore is about: a few LISTs, and what they say as values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import Forbidden, NotFound
from drsyncer.json import decode
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, labels, metadata
from drsyncer.match import Subject, annotations_of
from drsyncer.restored import UnreadableMarker, half_restored, marker_of
from transforms import mounts, quantity
from transforms.select_conditions import ignored
from volumes.claims import STORAGE_CLASSES
from volumes.jobs import OPERATION
from volumes.restore_plan import Claim, Key, Standing, User

CLAIMS: Final = ResourceType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True)
PODS: Final = ResourceType("", "v1", "pods", "Pod", namespaced=True)
NAMESPACES: Final = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
ATTACHMENTS: Final = ResourceType("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", namespaced=False)

_FINISHED = frozenset({"Succeeded", "Failed"})
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_LEGACY_CLASS = "volume.beta.kubernetes.io/storage-class"


@dataclass(frozen=True, slots=True)
class Classes:
    """The storage classes of DR, as far as it matters: which wait for the first pod, and which is the default."""

    waiting: frozenset[str] = frozenset()
    default: str = ""
    names: frozenset[str] = field(default=frozenset())


def look(cluster: Cluster, targets: Iterable[Key]) -> Standing:
    """Return what DR has in the namespaces of `targets`. Raises ClusterError.

    What tells only more about a step (attachments) may be forbidden.
    """
    wanted = sorted({key.namespace for key in targets})
    namespaces = frozenset(name for name in wanted if _lives(cluster, name))
    classes = classes_of(_every(cluster, STORAGE_CLASSES))
    found: dict[Key, Claim] = {}
    users: dict[Key, list[User]] = {}
    for namespace in sorted(namespaces):
        for manifest in _every(cluster, CLAIMS, namespace=namespace):
            claim = claim_of(manifest, classes)
            found[claim.key] = claim
        add_users(users, _every(cluster, PODS, namespace=namespace))
    try:
        attached = attachments_of(_every(cluster, ATTACHMENTS))
    except Forbidden:
        attached = {}
    return Standing(found, users, namespaces, attached)


def look_at(cluster: Cluster, key: Key) -> Claim | None:
    """Return one claim as it is now, None when there is none. Raises ClusterError."""
    try:
        manifest = cluster.read(CLAIMS, namespace=key.namespace, name=key.name)
    except NotFound:
        return None
    return claim_of(manifest, classes_of(_every(cluster, STORAGE_CLASSES)))


def half_restored_in(cluster: Cluster) -> dict[Key, str]:
    """Return the claims of a cluster whose volumes must not be used as they are, with why. Raises ClusterError."""
    found: dict[Key, str] = {}
    for page in cluster.pages(CLAIMS, metadata_only=True):
        if page.first:
            found.clear()
        for raw in page.items:
            manifest = decode(raw)
            if why := half_restored(manifest):
                meta = metadata(manifest)
                found[Key(str(meta.get("namespace", "")), str(meta.get("name", "")))] = why
    return found


def claim_of(manifest: Manifest, classes: Classes) -> Claim:
    """Return a claim of DR as a plan looks at it."""
    meta, spec, status = metadata(manifest), _mapping(manifest, "spec"), _mapping(manifest, "status")
    marker, unreadable = None, ""
    try:
        marker = marker_of(manifest)
    except UnreadableMarker as error:
        unreadable = str(error)
    phase = str(status.get("phase") or "Pending")
    key = Key(str(meta.get("namespace", "")), str(meta.get("name", "")))
    return Claim(
        key=key,
        uid=str(meta.get("uid", "")),
        version=str(meta.get("resourceVersion", "")),
        phase=phase,
        capacity=bytes_in(_mapping(status, "capacity").get("storage"))
        or bytes_in(_mapping(_mapping(spec, "resources"), "requests").get("storage")),
        block=spec.get("volumeMode") == "Block",
        waits=phase == "Pending" and not spec.get("volumeName") and _class_of(manifest, classes) in classes.waiting,
        deleting="deletionTimestamp" in meta,
        volume=str(spec.get("volumeName") or ""),
        marker=marker,
        unreadable=unreadable,
        wish=str(annotations_of(manifest).get(own.RESTORE, "")),
        ignored=ignored(Subject(ObjectRef(CLAIMS.key, key.namespace, key.name), CLAIMS, manifest)),
    )


def bytes_in(written: Any) -> int:
    """Return a quantity in whole bytes, 0 for none."""
    found = quantity.parse(written)
    return int(found.value) if found is not None else 0


def requested_in(claim: Manifest) -> int:
    """Return the size in bytes that a claim asks for, 0 for none."""
    return bytes_in(_mapping(_mapping(_mapping(claim, "spec"), "resources"), "requests").get("storage"))


def classes_of(manifests: Iterable[Manifest]) -> Classes:
    """Return what matters of storage classes."""
    waiting, names, defaults = set(), set(), []
    for manifest in manifests:
        meta = metadata(manifest)
        name = str(meta.get("name", ""))
        names.add(name)
        if manifest.get("volumeBindingMode") == "WaitForFirstConsumer":
            waiting.add(name)
        if any((meta.get("annotations") or {}).get(mark) == "true" for mark in _DEFAULT_CLASS):
            defaults.append((str(meta.get("creationTimestamp", "")), name))
    # Of several defaults the API server takes the newest.
    return Classes(frozenset(waiting), max(defaults)[1] if defaults else "", frozenset(names))


def add_users(users: dict[Key, list[User]], pods: Iterable[Manifest], *, only: Collection[Key] = ()) -> None:
    """Add to `users` every pod that is not finished, at each claim that it mounts (of `only`, where given).

    One that is being deleted may write until it is gone.
    """
    for pod in pods:
        phase = str(_mapping(pod, "status").get("phase") or "Pending")
        if phase in _FINISHED:
            continue
        meta, spec = metadata(pod), _mapping(pod, "spec")
        user = User(
            pod=str(meta.get("name", "")),
            phase="being deleted" if "deletionTimestamp" in meta else phase,
            node=str(spec.get("nodeName") or ""),
            operation=labels(pod).get(OPERATION, ""),
        )
        for name in set(mounts.of_pod(spec, pod=user.pod)):
            key = Key(str(meta.get("namespace", "")), name)
            if not only or key in only:
                users.setdefault(key, []).append(user)


def attachments_of(manifests: Iterable[Manifest]) -> dict[str, list[str]]:
    """Return the nodes that each PersistentVolume is attached to."""
    found: dict[str, list[str]] = {}
    for manifest in manifests:
        spec = _mapping(manifest, "spec")
        name = _mapping(spec, "source").get("persistentVolumeName")
        if name and _mapping(manifest, "status").get("attached"):
            found.setdefault(str(name), []).append(str(spec.get("nodeName", "")))
    return found


def _class_of(claim: Manifest, classes: Classes) -> str:
    named = _mapping(claim, "spec").get("storageClassName")
    legacy = (metadata(claim).get("annotations") or {}).get(_LEGACY_CLASS)
    if legacy is not None:
        return str(legacy)
    return classes.default if named is None else str(named)


def _lives(cluster: Cluster, name: str) -> bool:
    try:
        found = cluster.read(NAMESPACES, namespace="", name=name)
    except NotFound:
        return False
    return "deletionTimestamp" not in metadata(found)


def _every(cluster: Cluster, type_: ResourceType, *, namespace: str = "") -> list[Manifest]:
    found: list[Manifest] = []
    for page in cluster.pages(type_, namespace=namespace):
        if page.first:
            found.clear()
        found += [decode(raw) for raw in page.items]
    return found


def _mapping(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
