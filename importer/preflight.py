"""Questions that only the DR cluster can answer, asked before a plan is made. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster, Discovery
from drsyncer.errors import ClusterError, ClusterUnreachable, Conflict
from drsyncer.json import decode, encode_for_apply
from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.wording import some
from importer.known_names import NAMESPACES
from importer.types import Definition, definition
from importer.wishes import Wish
from transforms.pods import CLAIMS, EACH, POD_SPECS, Path
from transforms.stages import DEFINITIONS

_SLICES = ResourceType("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True)
_STORAGE, _INGRESS = "storageclasses.storage.k8s.io", "ingressclasses.networking.k8s.io"
_PRIORITY, _RUNTIME = "priorityclasses.scheduling.k8s.io", "runtimeclasses.node.k8s.io"
_CLASSES = {
    _STORAGE: ResourceType("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False),
    _INGRESS: ResourceType("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False),
    _PRIORITY: ResourceType("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False),
    _RUNTIME: ResourceType("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False),
}
# Where objects name a class: type to (kind of class, path). A pod whose class is missing is refused when it is made,
# which for a workload in standby is at activation.
_NAMES: Mapping[str, tuple[tuple[str, Path], ...]] = {
    "ingresses.networking.k8s.io": ((_INGRESS, ("spec", "ingressClassName")),),
    "persistentvolumeclaims": ((_STORAGE, ("spec", "storageClassName")),),
    **{
        type_key: (
            (_PRIORITY, (*pod, "priorityClassName")),
            (_RUNTIME, (*pod, "runtimeClassName")),
            *((_STORAGE, (*claim, "spec", "storageClassName")) for claim in CLAIMS[type_key]),
        )
        for type_key, pod in POD_SPECS.items()
    },
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
    """Return a warning for each class (storage, ingress, priority, runtime) that objects name and DR does not have."""
    wanted: dict[tuple[str, str], list[ObjectRef]] = {}
    coming = {(wish.ref.type, wish.ref.name) for wish in wishes if wish.ref.type in _CLASSES}
    for wish in wishes:
        for kind, name in _named_classes(wish):
            if (kind, name) not in coming:
                wanted.setdefault((kind, name), []).append(wish.ref)
    warnings: list[str] = []
    there: dict[str, set[str]] = {}
    for kind in sorted({kind for kind, _ in wanted}):
        try:
            there[kind] = {
                msgspec.json.decode(raw)["metadata"]["name"]
                for page in cluster.pages(_CLASSES[kind], metadata_only=True)
                for raw in page.items
            }
        except ClusterUnreachable:
            raise
        except ClusterError as error:
            warnings.append(f"whether {kind} exist in DR is not known: {error}")
    return warnings + [
        f"{_CLASSES[kind].kind} {name} does not exist in DR; named by {some(refs)}"
        for (kind, name), refs in sorted(wanted.items())
        if kind in there and name not in there[kind]
    ]


def _named_classes(wish: Wish) -> Iterable[tuple[str, str]]:
    names = _NAMES.get(wish.ref.type, ())
    manifest = decode(wish.data) if names else {}
    return {(kind, name) for kind, path in names for name in _texts_at(manifest, path) if name}


def _texts_at(node: Any, path: Path) -> Iterator[str]:
    """Yield the texts at a path; of what is not as it should be the API server says what is wrong."""
    if not path:
        if isinstance(node, str):
            yield node
    elif path[0] == EACH:
        for item in node if isinstance(node, list) else ():
            yield from _texts_at(item, path[1:])
    elif isinstance(node, dict):
        yield from _texts_at(node.get(path[0]), path[1:])
