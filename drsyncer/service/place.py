"""The ConfigMap that holds the status of a side: where it is, how it is read, and how a run is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster, urls
from drsyncer.errors import Forbidden, NotFound, UsageError
from drsyncer.json import decode as decode_json
from drsyncer.json import encode_for_apply, items_of
from drsyncer.manifest import Manifest, ResourceType, metadata
from drsyncer.service import status, verification
from drsyncer.service.status import Status
from drsyncer.service.verification import Verification

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
KEY = "status.json"
VERIFICATION = "verification.json"  # whoever verifies writes it, and not the service: each has a key of its own
REQUESTED_AT = own.PREFIX + "requested-at"
_WRITER = own.FIELD_MANAGER + "-status"
_VERIFIER = own.FIELD_MANAGER + "-verify"
_ASKER = own.FIELD_MANAGER + "-trigger"
_LONGEST_REQUEST = 200  # characters


@dataclass(frozen=True, slots=True)
class Place:
    """The namespace and the name of a side's ConfigMap, and of its Lease."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/configmaps/{self.name}"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the ConfigMap holds: the status (None when there is none yet, or none that can be read), and a request."""

    status: Status | None = None
    verification: Verification | None = None
    requested: str = ""
    resource_version: str = ""


def notice_of(manifest: Mapping[str, Any]) -> Notice:
    """Given the ConfigMap return what it holds."""
    found = dict(manifest)
    data = found.get("data")
    text, verified = (data.get(key, "") if isinstance(data, dict) else "" for key in (KEY, VERIFICATION))
    noted = metadata(found).get("annotations")
    requested = str(noted.get(REQUESTED_AT, ""))[:_LONGEST_REQUEST] if isinstance(noted, dict) else ""
    told, known = status.parse(text), verification.parse(verified)
    if known is not None and told is not None:
        told = msgspec.structs.replace(told, verification=known)  # it is news to the service, too
    known = known or (told.verification if told is not None else None)
    return Notice(told, known, requested, str(metadata(found).get("resourceVersion", "")))


def read(cluster: Cluster, place: Place) -> Notice:
    """Return what is there now, nothing when there is no ConfigMap. Raises ClusterError."""
    try:
        return notice_of(cluster.read(CONFIGMAPS, namespace=place.namespace, name=place.name))
    except NotFound:
        return Notice()


def write(cluster: Cluster, place: Place, told: Status) -> None:
    """Write the status; what others wrote beside it stays. Raises ClusterError."""
    _apply(cluster, place, {"data": {KEY: status.text_of(told)}}, manager=_WRITER)


def tell_verification(cluster: Cluster, place: Place, known: Verification, *, version: str) -> None:
    """Leave word of a verification. Raises Conflict unless `version` is the ConfigMap's ("": there is none yet).

    Raises ClusterError.
    """
    content: Manifest = {"data": {VERIFICATION: verification.text_of(known)}}
    if version:
        content["metadata"] = {"resourceVersion": version}
    _apply(cluster, place, content, manager=_VERIFIER)


def request(cluster: Cluster, place: Place, value: str) -> None:
    """Ask for a run: any value that was not there before does. Raises ClusterError."""
    _apply(cluster, place, {"metadata": {"annotations": {REQUESTED_AT: value}}}, manager=_ASKER)


def found(cluster: Cluster, place: Place) -> Place:
    """Return where the ConfigMap is: in its own namespace, else wherever one of that name is; there is none: `place`.

    A service in a pod uses the pod's namespace, which whoever looks from elsewhere may not know. Raises UsageError when
    there are several, and ClusterError.
    """
    there = _find(cluster, place)
    if len(there) > 1:
        raise UsageError(
            f"there are several services of that name: in {', '.join(one.namespace for one in there)}",
            hint="Say which is meant with --namespace.",
        )
    return there[0] if there else place


def _find(cluster: Cluster, place: Place) -> list[Place]:
    try:
        cluster.read(CONFIGMAPS, namespace=place.namespace, name=place.name)
    except NotFound:
        pass
    else:
        return [place]
    try:
        answer = cluster.request(
            "GET",
            urls.path_of(CONFIGMAPS),
            what=f"look for {place.name} in all namespaces",
            query={"fieldSelector": f"metadata.name={place.name}", "labelSelector": f"{own.PART_OF}={own.OWN_NAME}"},
        )
    except Forbidden:
        return []
    every = [metadata(decode_json(bytes(raw))) for raw in items_of(answer.body).items]
    return [Place(str(meta.get("namespace", "")), place.name) for meta in every]


def _apply(cluster: Cluster, place: Place, content: Manifest, *, manager: str) -> None:
    given = content.get("metadata", {})
    meta = {"name": place.name, "namespace": place.namespace, "labels": {own.PART_OF: own.OWN_NAME}, **given}
    body = {"apiVersion": "v1", "kind": "ConfigMap", **content, "metadata": meta}
    cluster.apply(
        CONFIGMAPS,
        encode_for_apply(body),
        namespace=place.namespace,
        name=place.name,
        force=True,
        metadata_only=True,
        manager=manager,
    )
