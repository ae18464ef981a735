"""Questions that only the DR cluster can answer, asked before a plan is made. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster, Discovery
from drsyncer.errors import ClusterError, ClusterUnreachable, Conflict
from drsyncer.json import decode, encode_for_apply
from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.wording import some
from importer.types import Definition, definition
from importer.wishes import NAMESPACES, Wish
from transforms.stages import DEFINITIONS

_SLICES = ResourceType("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True)
_CLASSES = {
    "storageclasses.storage.k8s.io": ResourceType(
        "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
    ),
    "ingressclasses.networking.k8s.io": ResourceType(
        "networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False
    ),
}


def ready_services(cluster: Cluster, services: Iterable[tuple[str, str]], *, workers: int) -> set[tuple[str, str]]:
    """Return those of `services` (namespace, name) that have a ready endpoint now.

    A Service whose endpoints cannot be read counts as not ready: what depends on it then waits.
    """
    wanted = sorted(set(services))
    if not wanted:
        return set()
    with cluster.workers(workers, name="preflight") as pool:
        answers = pool.map(lambda service: _is_ready(cluster, *service), wanted)
        return {service for service, ready in zip(wanted, answers, strict=True) if ready}


def _is_ready(cluster: Cluster, namespace: str, name: str) -> bool:
    try:
        pages = list(cluster.pages(_SLICES, namespace=namespace, label_selector=f"kubernetes.io/service-name={name}"))
    except ClusterUnreachable:
        raise
    except ClusterError:
        return False
    # EndpointConditions: a missing `ready` means ready (discovery.k8s.io/v1).
    return any(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for page in pages
        for raw in page.items
        for endpoint in msgspec.json.decode(raw).get("endpoints") or []
    )


def definition_in_dr(cluster: Cluster, discovery: Discovery, key: str) -> Definition | None:
    """Return what DR's own CustomResourceDefinition of the type `key` says, or None when it cannot be read."""
    type_ = discovery.get(DEFINITIONS)
    if type_ is None:
        return None
    try:
        return definition(cluster.read(type_, namespace="", name=key))
    except ClusterUnreachable:
        raise
    except (ClusterError, KeyError, TypeError, AttributeError):
        return None


def foreign_fields(
    cluster: Cluster, wishes: Iterable[Wish], *, guest: str, workers: int
) -> dict[ObjectRef, Mapping[str, str]]:
    """Return per object of other hands the fields (path → manager) that our apply would take from them.

    Asked by an apply without force that is only tried, of Namespaces under the field manager
    `guest`. An object that cannot be tried for another reason is taken as matching here; its apply,
    without force too, then tells that reason.
    """

    def try_one(wish: Wish) -> Mapping[str, str]:
        body = encode_for_apply(decode(wish.data))
        try:
            cluster.apply(
                wish.type,
                body,
                namespace=wish.ref.namespace,
                name=wish.ref.name,
                force=False,
                dry_run=True,
                manager=guest if wish.ref.type == NAMESPACES else own.FIELD_MANAGER,
            )
        except Conflict as conflict:
            return conflict.owners or {"the object": "another writer"}
        except ClusterUnreachable:
            raise
        except ClusterError:
            return {}
        return {}

    asked = list(wishes)
    with cluster.workers(workers, name="preflight") as pool:
        return dict(zip((wish.ref for wish in asked), pool.map(try_one, asked), strict=True))


def missing_classes(cluster: Cluster, wishes: Iterable[Wish]) -> list[str]:
    """Return a warning for each storage class and ingress class that objects name and DR does not have."""
    wanted: dict[tuple[str, str], list[ObjectRef]] = {}
    coming = {(wish.ref.type, wish.ref.name) for wish in wishes if wish.ref.type in _CLASSES}
    for wish in wishes:
        for kind, name in _named_classes(wish):
            if (kind, name) not in coming:
                wanted.setdefault((kind, name), []).append(wish.ref)
    there: dict[str, set[str]] = {}
    for kind in {kind for kind, _ in wanted}:
        try:
            there[kind] = {
                msgspec.json.decode(raw)["metadata"]["name"]
                for page in cluster.pages(_CLASSES[kind], metadata_only=True)
                for raw in page.items
            }
        except ClusterUnreachable:
            raise
        except ClusterError as error:
            return [f"whether {kind} exist in DR is not known: {error}"]
    return [
        f"{_CLASSES[kind].kind} {name} does not exist in DR; named by {some(refs)}"
        for (kind, name), refs in sorted(wanted.items())
        if name not in there[kind]
    ]


def _named_classes(wish: Wish) -> Iterable[tuple[str, str]]:
    if wish.ref.type not in ("persistentvolumeclaims", "statefulsets.apps", "ingresses.networking.k8s.io"):
        return
    spec = decode(wish.data).get("spec")
    if not isinstance(spec, dict):
        return  # the API server says what is wrong with it
    if wish.ref.type == "ingresses.networking.k8s.io":
        kind, named = "ingressclasses.networking.k8s.io", [spec.get("ingressClassName")]
    elif wish.ref.type == "persistentvolumeclaims":
        kind, named = "storageclasses.storage.k8s.io", [spec.get("storageClassName")]
    else:
        templates = spec.get("volumeClaimTemplates")
        templates = templates if isinstance(templates, list) else []
        specs = [claim.get("spec") for claim in templates if isinstance(claim, dict)]
        kind = "storageclasses.storage.k8s.io"
        named = [claim.get("storageClassName") for claim in specs if isinstance(claim, dict)]
    for name in named:
        if name and isinstance(name, str):
            yield kind, name
