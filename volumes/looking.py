"""Reading what a run of backups is about: claims with their verdicts, the pods that use them, their volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from drsyncer.cluster import Cluster, Page
from drsyncer.config.volumes import VolumeSelect
from drsyncer.errors import Forbidden, UsageError
from drsyncer.manifest import Manifest, ResourceType, labels, metadata
from drsyncer.snapshot import Record
from drsyncer.wording import some
from volumes.claims import CLAIMS, STORAGE_CLASSES, VOLUMES, Claim, Key, User, Volume, may_use, users_of, volume_of
from volumes.copying import SnapshotClass, classes
from volumes.hooks import odd_hooks
from volumes.jobs import PODS
from volumes.remembering import record_of
from volumes.selecting import Asked, Choice, Chosen, Selecting, odd_wish

COMPARED = "is compared only with the newest whole snapshot that the restic repository has of a claim of its name"
_NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is: every claim that the run is about, by name, and what is known of those that are selected."""

    chosen: tuple[Chosen, ...]
    records: Mapping[Key, Record]
    unreadable: Mapping[Key, str] = field(default_factory=dict)  # claims whose record is none, and why
    users: Mapping[Key, tuple[User, ...]] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    classes: Sequence[SnapshotClass] | None = None  # None: the cluster has no VolumeSnapshots
    provisioners: Mapping[str, str] | None = None  # by StorageClass; None: they may not be read
    warnings: tuple[str, ...] = ()


def look(cluster: Cluster, select: VolumeSelect, asked: Asked, *, copies: bool) -> Found:
    """Read all that placing and running need to know; what copies need, too, if there may be any.

    Raises ClusterError, and UsageError for what was asked for by its name and is not there: claims, or
    any claim in a namespace.
    """
    selecting = Selecting(select, asked)
    namespace_labels = _labels_of_namespaces(cluster) if _asks_for_labels(select) else {}
    chosen: dict[Key, Chosen] = {}  # a list that began anew in the middle (410) tells some of them twice
    records: dict[Key, Record] = {}
    unreadable: dict[Key, str] = {}
    warnings: list[str] = []
    for claim in _all(cluster, CLAIMS, asked):
        verdict = selecting.choose(claim, namespace_labels.get(str(metadata(claim).get("namespace")), {}))
        if verdict is None:
            continue
        chosen[verdict.claim.key] = verdict
        warnings += odd_wish(claim)
        if verdict.choice is Choice.SELECTED:
            warnings += odd_hooks(str(verdict.claim), verdict.claim.annotations)
        try:
            if record := record_of(claim):
                records[verdict.claim.key] = record
        except ValueError as error:
            unreadable[verdict.claim.key] = str(error)
            warnings.append(f"{verdict.claim}: {error}; the next backup of it begins anew, and {COMPARED}")
    if missing := selecting.missing(chosen):
        names = some(["/".join(key) for key in missing])
        raise UsageError(f"there is no PersistentVolumeClaim {names}", hint="`kubectl get pvc -A` lists them.")
    if empty := selecting.without_any(chosen):
        raise UsageError(
            f"there is no PersistentVolumeClaim in namespace {some(empty)}", hint="`kubectl get pvc -A` lists them."
        )
    warnings += [f"volumes.select: {rule} matches no volume" for rule in selecting.unused()]
    ordered = tuple(chosen[key] for key in sorted(chosen))
    if not any(one.choice is Choice.SELECTED for one in ordered):
        return Found(ordered, records, unreadable, warnings=tuple(warnings))
    users = users_of(_all(cluster, PODS, asked))
    known = classes(cluster) if copies else None
    volumes = _volumes(cluster)
    provisioners = _provisioners(cluster) if known else {}
    if known and volumes is None:
        warnings.append(
            "PersistentVolumes may not be read: which of them a driver can copy is not known, and no copy is read "
            "(volumes.copyMethod)"
        )
    if known and provisioners is None:
        warnings.append(
            "StorageClasses may not be read: whether a volume can be made of a copy shows when it is tried "
            "(volumes.copyMethod)"
        )
    return Found(ordered, records, unreadable, users, volumes or {}, known, provisioners, tuple(warnings))


def users_now(cluster: Cluster, claim: Claim) -> tuple[User, ...]:
    """Return the pods that use a claim at this moment. Raises ClusterError."""
    items = (bytes(item) for page in cluster.pages(PODS, namespace=claim.namespace) for item in page.items)
    pods = (msgspec.json.decode(item) for item in items if may_use(item, claim.name))
    return users_of(pods).get(claim.key, ())


def _asks_for_labels(select: VolumeSelect) -> bool:
    return any(spec.namespace_labels for spec in (*select.include, *select.exclude))


def _labels_of_namespaces(cluster: Cluster) -> dict[str, dict[str, str]]:
    pages = cluster.pages(_NAMESPACES, metadata_only=True)
    return {str(metadata(one)["name"]): labels(one) for one in _decoded(pages)}


def _volumes(cluster: Cluster) -> dict[str, Volume] | None:
    """Return the PersistentVolumes by name, None when they may not be read.

    Without them nobody knows which ones can be copied, nor on which node those count that no pod uses.
    """
    try:
        return {str(metadata(one)["name"]): volume_of(one) for one in _decoded(cluster.pages(VOLUMES))}
    except Forbidden:
        return None


def _provisioners(cluster: Cluster) -> dict[str, str] | None:
    """Return the provisioner of each StorageClass, None when they may not be read."""
    try:
        return {
            str(metadata(one)["name"]): str(one.get("provisioner") or "")
            for one in _decoded(cluster.pages(STORAGE_CLASSES))
        }
    except Forbidden:
        return None


def _all(cluster: Cluster, type_: ResourceType, asked: Asked) -> Iterator[Manifest]:
    """Yield all objects of a type that a run may be about, one page in memory at a time."""
    namespaces = asked.namespaces or {namespace for namespace, _ in asked.claims} or {""}
    for namespace in sorted(namespaces):
        yield from _decoded(cluster.pages(type_, namespace=namespace))


def _decoded(pages: Iterator[Page]) -> Iterator[Manifest]:
    for page in pages:
        for item in page.items:
            yield msgspec.json.decode(item)
