"""Claims and the pods that use them: the little of each that backups look at, so that thousands of them are small."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest, ResourceType, labels, metadata
from drsyncer.match import annotations_of

# Rules may call them by their short name.
CLAIMS = ResourceType(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True, short_names=("pvc",)
)
VOLUMES = ResourceType("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
STORAGE_CLASSES = ResourceType("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
CLAIM_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")  # as the API server accepts it, near enough
_WISHES = ("", "true", "false")
_ENDED = ("Succeeded", "Failed")
_HOSTNAME = "kubernetes.io/hostname"

Key = tuple[str, str]  # namespace and name of a claim


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim. `annotations` are those that are ours; `volume` is its PersistentVolume's name."""

    namespace: str
    name: str
    uid: str
    modes: frozenset[str]
    volume: str
    storage_class: str
    requested: str  # its size, as it is written there
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class User:
    """A pod that uses claims and has not ended. `node` is "" before it is scheduled; `containers` are in its order.

    `groups` are those by which it reaches the files of its volumes.
    """

    namespace: str
    name: str
    uid: str
    node: str
    running: bool
    containers: tuple[str, ...]
    groups: tuple[int, ...] = ()
    tolerations: tuple[Manifest, ...] = field(default=(), hash=False)
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolume: its CSI driver ("" for another kind), and the node that it is bound to ("" for none or many).

    The node is told by its host name, which is the Node's name nearly everywhere.
    """

    driver: str = ""
    node: str = ""


def claim_of(manifest: Manifest) -> Claim:
    """Return what backups need to know of a claim."""
    meta, spec = metadata(manifest), _mapping(manifest.get("spec"))
    requests = _mapping(_mapping(spec.get("resources")).get("requests"))
    return Claim(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        modes=frozenset(str(mode) for mode in spec.get("accessModes") or ()),
        volume=str(spec.get("volumeName") or ""),
        storage_class=str(spec.get("storageClassName") or ""),
        requested=str(requests.get("storage") or ""),
        annotations=_own(manifest),
    )


def users_of(pods: Iterable[Manifest]) -> dict[Key, tuple[User, ...]]:
    """Return for each claim the pods that use it, by name. Movers do not count, nor pods that have ended."""
    found: dict[Key, dict[str, User]] = {}  # by their UID: a list that began anew tells some of them twice
    for pod in pods:
        status = _mapping(pod.get("status"))
        if status.get("phase") in _ENDED or labels(pod).get(own.PART_OF) == own.OWN_NAME:
            continue
        names = claims_in(pod)
        if names:
            user = _user(pod, status)
            for name in names:
                found.setdefault((user.namespace, name), {})[user.uid] = user
    return {key: tuple(sorted(users.values(), key=lambda user: user.name)) for key, users in found.items()}


def claims_in(pod: Manifest) -> list[str]:
    """Return the names of the claims that a pod mounts, those of its ephemeral volumes too."""
    names = []
    for volume in _list(_mapping(pod.get("spec")).get("volumes")):
        if claim := _mapping(volume.get("persistentVolumeClaim")).get("claimName"):
            names.append(str(claim))
        elif "ephemeral" in volume:
            names.append(f"{metadata(pod).get('name')}-{volume.get('name')}")
    return names


def odd_wish(claim: str, annotation: str, wish: str) -> list[str]:
    """Return what is wrong with an annotation that says neither yes nor no, or nothing."""
    if wish in _WISHES:
        return []
    return [f'{claim}: the annotation {annotation} is {wish!r:.100}, expected "true" or "false"; it counts for nothing']


def may_use(pod: bytes, claim: str) -> bool:
    """Return whether a pod, as JSON, may use a claim of this name; False is certain, and costs no decoding.

    The API server has no way from a claim to its pods but a list of all of them.
    """
    # The claim of an ephemeral volume is named nowhere. Names hold nothing that JSON writes in another way.
    return claim.encode() in pod or b'"ephemeral"' in pod


def volume_of(manifest: Manifest) -> Volume:
    """Return what backups need to know of a PersistentVolume."""
    spec = _mapping(manifest.get("spec"))
    required = _mapping(_mapping(spec.get("nodeAffinity")).get("required"))
    terms = _list(required.get("nodeSelectorTerms"))
    nodes = {
        str(value)
        for term in terms
        for one in _list(term.get("matchExpressions"))
        if one.get("key") == _HOSTNAME and one.get("operator") == "In"
        for value in one.get("values") or ()
    }
    return Volume(
        driver=str(_mapping(spec.get("csi")).get("driver") or ""), node=nodes.pop() if len(nodes) == 1 else ""
    )


def _user(pod: Manifest, status: Mapping[str, Any]) -> User:
    meta, spec = metadata(pod), _mapping(pod.get("spec"))
    security = _mapping(spec.get("securityContext"))
    groups = [security.get("fsGroup"), *(security.get("supplementalGroups") or ())]
    return User(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        node=str(spec.get("nodeName") or ""),
        running=status.get("phase") == "Running" and not meta.get("deletionTimestamp"),
        containers=tuple(str(one.get("name")) for one in _list(spec.get("containers"))),
        groups=tuple(group for group in groups if isinstance(group, int)),
        tolerations=tuple(_list(spec.get("tolerations"))),
        annotations=_own(pod),
    )


def _own(manifest: Manifest) -> dict[str, str]:
    return {name: str(text) for name, text in annotations_of(manifest).items() if name.startswith(own.PREFIX)}


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _list(found: Any) -> list[dict[str, Any]]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
