"""Reading a copy of a volume in its place: a CSI VolumeSnapshot, and a temporary claim made of it.

Both belong to the mover's Job and go with it, also when nobody is there any more to clear up.
https://kubernetes.io/docs/concepts/storage/volume-snapshots/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import Conflict, DrSyncerError, Forbidden, NotFound
from drsyncer.json import encode
from drsyncer.manifest import Manifest, ResourceType, labels, metadata
from drsyncer.match import annotations_of
from transforms import quantity
from volumes.claims import CLAIMS, Claim, Volume
from volumes.endings import time_of
from volumes.jobs import Move, owner_reference

_GROUP: Final = "snapshot.storage.k8s.io"
SNAPSHOTS: Final = ResourceType(_GROUP, "v1", "volumesnapshots", "VolumeSnapshot", namespaced=True)
CLASSES: Final = ResourceType(_GROUP, "v1", "volumesnapshotclasses", "VolumeSnapshotClass", namespaced=False)
_DEFAULT = "snapshot.storage.kubernetes.io/is-default-class"
_PAUSE = 1.0  # seconds between two looks at a snapshot


class NoCopy(Exception):
    """A volume cannot be copied; the text is a sentence part for people."""


class CopyFailed(DrSyncerError):
    """A copy was begun, and there is none."""


@dataclass(frozen=True, slots=True)
class SnapshotClass:
    """A VolumeSnapshotClass. `deletes`: what is made with it goes when its VolumeSnapshot goes."""

    name: str
    driver: str
    is_default: bool
    deletes: bool


def classes(cluster: Cluster) -> list[SnapshotClass] | None:
    """Return the classes of the cluster, None where it has no VolumeSnapshots. Raises ClusterError."""
    try:
        found = [msgspec.json.decode(item) for page in cluster.pages(CLASSES) for item in page.items]
    except NotFound:
        return None
    return [
        SnapshotClass(
            name=str(metadata(one).get("name")),
            driver=str(one.get("driver") or ""),
            is_default=annotations_of(one).get(_DEFAULT) == "true",
            deletes=one.get("deletionPolicy") == "Delete",
        )
        for one in found
    ]


def class_for(
    claim: Claim,
    volume: Volume | None,
    *,
    known: Sequence[SnapshotClass] | None,
    provisioners: Mapping[str, str] | None,
    wanted: str,
) -> str:
    """Return the class to copy a claim's volume with: the `wanted` one, else its driver's default, else its only one.

    `volume` is None when it is not known, `known` where there are no VolumeSnapshots. `provisioners` are those of the
    StorageClasses, None when these may not be read. Raises NoCopy.
    """
    if known is None:
        raise NoCopy("the cluster has no VolumeSnapshots (no API snapshot.storage.k8s.io/v1)")
    if volume is None:
        raise NoCopy(f"its PersistentVolume {claim.volume} cannot be read")
    if not volume.driver:
        raise NoCopy("its volume is not one of a CSI driver")
    mine = [one for one in known if one.driver == volume.driver]
    if wanted:
        mine = [one for one in mine if one.name == wanted]
    chosen = [one for one in mine if one.is_default] or mine
    if len(chosen) != 1:
        many = f"{len(chosen)} VolumeSnapshotClasses and no default one" if chosen else "no VolumeSnapshotClass"
        named = f" {wanted!r}" if wanted and not chosen else ""
        raise NoCopy(f"its driver {volume.driver} has {many}{named}")
    if not chosen[0].deletes:
        raise NoCopy(f"VolumeSnapshotClass {chosen[0].name} has deletionPolicy Retain: every copy would stay for ever")
    _require_provisioner(claim, volume.driver, provisioners)
    return chosen[0].name


def _require_provisioner(claim: Claim, driver: str, provisioners: Mapping[str, str] | None) -> None:
    """Raise NoCopy when nothing would make a volume of a copy: the temporary claim has the class of the one it copies.

    A volume that somebody made by hand often has a class that is no StorageClass, or none.
    """
    name = claim.storage_class
    if not name:
        raise NoCopy("its claim has no StorageClass, so that nothing would make a volume of the copy")
    if provisioners is None:
        return
    if name not in provisioners:
        raise NoCopy(f"there is no StorageClass {name}, so that nothing would make a volume of the copy")
    if provisioners[name] != driver:
        raise NoCopy(f"its StorageClass {name} is of {provisioners[name]}, and its volume of {driver}")


class Copies:
    """Makes copies. For many threads. `goes_on` is asked again and again whether they are still wanted."""

    def __init__(self, cluster: Cluster, *, patience: float, goes_on: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._patience = patience
        self._goes_on = goes_on

    def make(self, move: Move, claim: Claim, job: Manifest, *, class_name: str, cut: Callable[[], object]) -> datetime:
        """Make the claim `move.mounts` with what is in `claim` at this moment, owned by `job`; return that moment.

        `cut` is called as soon as it is over. Raises CopyFailed and ClusterError.
        """
        snapshot = _snapshot(move, claim, job, class_name)
        begun = datetime.now(UTC)
        self._create(SNAPSHOTS, snapshot, move)
        self._wait(move, lambda status: bool(status.get("creationTime") or status.get("readyToUse")))
        cut()
        status = self._wait(move, lambda status: bool(status.get("readyToUse")))
        self._create(CLAIMS, _claim(move, claim, job, size=str(status.get("restoreSize") or "")), move)
        return taken_at(status.get("creationTime"), begun=begun, now=datetime.now(UTC))

    def _create(self, type_: ResourceType, manifest: Manifest, move: Move) -> None:
        """Create an object of a copy. One of that name which an earlier Job left behind is waited for: it goes."""
        until = time.monotonic() + self._patience
        while (old := self._tried(type_, manifest, move)) is not None:
            # Its owner is gone, and the garbage collector comes behind it.
            if labels(old).get(own.PART_OF) != own.OWN_NAME or time.monotonic() >= until:
                raise CopyFailed(f"{move.namespace}/{type_.key}/{move.mounts} is still there from an earlier backup")
            self._require()
            time.sleep(_PAUSE)

    def _tried(self, type_: ResourceType, manifest: Manifest, move: Move) -> Manifest | None:
        """Create an object, or return the one that has its name."""
        try:
            self._cluster.create(type_, encode(manifest), namespace=move.namespace, name=move.mounts)
        except Conflict:
            try:
                found = self._cluster.read(type_, namespace=move.namespace, name=move.mounts)
            except NotFound:
                return self._tried(type_, manifest, move)
            # Ours, when only the answer was lost.
            is_ours = metadata(found).get("ownerReferences") == metadata(manifest)["ownerReferences"]
            return None if is_ours else found
        except Forbidden as error:
            raise CopyFailed(str(error)) from error
        return None

    def _require(self) -> None:
        if not self._goes_on():
            raise CopyFailed("interrupted while a copy of the volume was made")

    def _wait(self, move: Move, done: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        until = time.monotonic() + self._patience
        while True:
            found = self._cluster.read(SNAPSHOTS, namespace=move.namespace, name=move.mounts)
            status = found.get("status") or {}
            if done(status):
                return status
            said = str((status.get("error") or {}).get("message") or "")
            if time.monotonic() >= until:
                raise CopyFailed(
                    f"VolumeSnapshot {move.namespace}/{move.mounts} is not ready after {self._patience:g} s"
                    + (f": {said}" if said else ""),
                    hint="volumes.copyMethod direct reads the volume itself.",
                )
            self._require()
            time.sleep(_PAUSE)


def _meta(move: Move, job: Manifest) -> Manifest:
    return {
        "name": move.mounts,
        "namespace": move.namespace,
        "labels": {own.PART_OF: own.OWN_NAME},
        "ownerReferences": [owner_reference(job)],
    }


def taken_at(said: object, *, begun: datetime, now: datetime) -> datetime:
    """Return when a copy was cut that was asked for at `begun` and is there `now`. Pure.

    The storage says it, by a clock of its own: where it cannot be so, the data is taken for as old as the question.
    """
    found = time_of(said)
    return found if found is not None and begun <= found <= now else begun


def _snapshot(move: Move, claim: Claim, job: Manifest, class_name: str) -> Manifest:
    return {
        "apiVersion": SNAPSHOTS.api_version,
        "kind": SNAPSHOTS.kind,
        "metadata": _meta(move, job),
        "spec": {"volumeSnapshotClassName": class_name, "source": {"persistentVolumeClaimName": claim.name}},
    }


def _claim(move: Move, claim: Claim, job: Manifest, *, size: str) -> Manifest:
    """Return the temporary claim. It is as large as the original, or as the driver says that its copy must be."""
    return {
        "apiVersion": CLAIMS.api_version,
        "kind": CLAIMS.kind,
        "metadata": _meta(move, job),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": claim.storage_class,
            "resources": {"requests": {"storage": _larger(claim.requested, size)}},
            "dataSource": {"apiGroup": _GROUP, "kind": SNAPSHOTS.kind, "name": move.mounts},
        },
    }


def _larger(one: str, other: str) -> str:
    first, second = quantity.parse(one), quantity.parse(other)
    if first is None or second is None:
        return one or other
    return other if second.value > first.value else one
