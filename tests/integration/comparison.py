"""Two clusters compared, object by object and field by field.

`compared` gives every difference that is not in `ASSIGNED`. The table knows nothing of the product's cleaning rules.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane

ABSENT = "(absent)"
Path = tuple[str | int, ...]
Paths = dict[Path, tuple[Any, Any]]  # path → (source, DR)
Differences = dict[str, Paths]  # "namespace/type/name" → what differs

# What each cluster assigns by itself: path → the objects that it is assigned in (type, or type/name).
ASSIGNED: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("status",): ("*",),
    ("metadata", "uid"): ("*",),
    ("metadata", "resourceVersion"): ("*",),
    ("metadata", "generation"): ("*",),
    ("metadata", "creationTimestamp"): ("*",),
    ("metadata", "managedFields"): ("*",),
    ("metadata", "finalizers"): (
        "persistentvolumes",
        "persistentvolumeclaims",
        "customresourcedefinitions.apiextensions.k8s.io",
        "jobs.batch",
        "services",
    ),
    # The inventory of the importer, in DR only.
    ("metadata", "labels", "applyset.kubernetes.io/part-of"): ("*",),
    ("spec", "healthCheckNodePort"): ("services",),
    ("spec", "claimRef", "uid"): ("persistentvolumes",),
    ("spec", "claimRef", "resourceVersion"): ("persistentvolumes",),
    ("data",): ("secrets/shop-token",),
    ("metadata", "annotations", "kubernetes.io/service-account.uid"): ("secrets/shop-token",),
    ("spec", "selector"): ("jobs.batch",),
    ("spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"): ("jobs.batch",),
    ("spec", "template", "metadata", "labels", "controller-uid"): ("jobs.batch",),
    # A Job without labels is given those of its template.
    ("metadata", "labels", "batch.kubernetes.io/controller-uid"): ("jobs.batch",),
    ("metadata", "labels", "controller-uid"): ("jobs.batch",),
    ("metadata", "labels", "batch.kubernetes.io/job-name"): ("jobs.batch",),
    ("metadata", "labels", "job-name"): ("jobs.batch",),
}
DECLARED_NODE_PORTS = (30010, 30043)


def travelling(cluster: ControlPlane) -> dict[str, Object]:
    """Return the objects that people put into the cluster: "namespace/type/name" → manifest."""
    return {key: found for key, found in cluster.objects().items() if not _comes_by_itself(key, found)}


def _comes_by_itself(key: str, manifest: Object) -> bool:
    """Whether a cluster makes the object without being asked, so that it belongs to no recovery."""
    meta = manifest["metadata"]
    labels = meta.get("labels", {})
    return (
        any(owner.get("controller") for owner in meta.get("ownerReferences", []))
        or key.endswith("/configmaps/kube-root-ca.crt")
        or (key.endswith("/serviceaccounts/default") and "imagePullSecrets" not in manifest)
        or labels.get("endpoints.kubernetes.io/managed-by") == "endpoint-controller"
        or meta.get("namespace") == "dr-syncer"
        or key == "namespaces/dr-syncer"
    )


def normal(key: str, manifest: Object) -> Object:
    """Return the object without what its cluster assigned."""
    *_, type_, name = key.split("/")
    found = copy.deepcopy(manifest)
    for path, where in ASSIGNED.items():
        if {"*", type_, f"{type_}/{name}"} & set(where):
            _drop(found, path)
    if type_ == "services":
        if found["spec"].get("clusterIP") != "None":
            for field in ("clusterIP", "clusterIPs"):
                found["spec"].pop(field, None)
        for port in found["spec"].get("ports", []):
            if port.get("nodePort") not in DECLARED_NODE_PORTS:
                port.pop("nodePort", None)
    if type_ == "pods":
        _name_the_token_volume(found)
        # Several admission plug-ins add some, each behind what it finds.
        found["spec"].get("tolerations", []).sort(key=lambda toleration: toleration.get("key", ""))
    return found


def _drop(manifest: Object, path: tuple[str, ...]) -> None:
    """Remove the leaf, and labels or annotations that are empty without it."""
    node: Any = manifest
    for part in path[:-1]:
        node = node.get(part, {})
    node.pop(path[-1], None)
    if len(path) == 3 and path[0] == "metadata" and not node:
        manifest["metadata"].pop(path[1], None)


def _name_the_token_volume(pod: Object) -> None:
    """The admission plug-in gives the volume a name with random letters."""
    for thing in [*pod["spec"]["volumes"], *(m for c in pod["spec"]["containers"] for m in c["volumeMounts"])]:
        if thing["name"].startswith("kube-api-access-"):
            thing["name"] = "kube-api-access"


def differences(source: Any, dr: Any, at: Path = ()) -> Iterator[tuple[Path, tuple[Any, Any]]]:
    """Yield (path, (source, DR)) of every leaf that is not the same; 1 and 1.0, {} and absent are not the same."""
    if isinstance(source, dict) and dr == ABSENT and source:
        dr = {}
    if isinstance(dr, dict) and source == ABSENT and dr:
        source = {}
    if isinstance(source, dict) and isinstance(dr, dict):
        for key in sorted({*source, *dr}):
            yield from differences(source.get(key, ABSENT), dr.get(key, ABSENT), (*at, key))
    elif isinstance(source, list) and isinstance(dr, list) and len(source) == len(dr):
        for index, (one, other) in enumerate(zip(source, dr, strict=True)):
            yield from differences(one, other, (*at, index))
    elif source != dr or type(source) is not type(dr):
        yield at, (source, dr)


def compared(source: Mapping[str, Object], dr: Mapping[str, Object]) -> Differences:
    """Return everything that differs between two clusters; an object that one of them lacks differs at its root."""
    found: Differences = {}
    for key in sorted({*source, *dr}):
        one, other = (normal(key, side[key]) if key in side else ABSENT for side in (source, dr))
        if (one == ABSENT) != (other == ABSENT):
            found[key] = {(): ("missing", "there") if one == ABSENT else ("there", "missing")}
        elif there := dict(differences(one, other)):
            found[key] = there
    return found


def merged(*parts: Differences) -> Differences:
    """Return all that `parts` say; for the same path the last one counts."""
    result: Differences = {}
    for part in parts:
        for key, paths in part.items():
            result.setdefault(key, {}).update(paths)
    return result
