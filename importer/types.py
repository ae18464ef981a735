"""In which type, and version, an object of the recovery repository is written to the DR cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drsyncer.cluster import Discovery
from drsyncer.manifest import Manifest, ResourceType


@dataclass(frozen=True, slots=True)
class Definition:
    """What an import needs to know of a CustomResourceDefinition of the recovery point.

    `types` are its served versions as they will be once it is established; `scale_paths` maps a
    version to its specReplicasPath; `conversion` is the (namespace, name) of the Service that
    converts between versions, None without one.
    """

    types: tuple[ResourceType, ...]
    scale_paths: Mapping[str, str] = field(hash=False)
    storage: str
    conversion: tuple[str, str] | None


def definition(crd: Manifest) -> Definition:
    """Return what `crd` defines. Raises KeyError, TypeError or AttributeError when it is no valid CRD."""
    spec = crd["spec"]
    names = spec["names"]
    types, scale_paths, storage = [], {}, ""
    for version in spec["versions"]:
        name = str(version["name"])
        if version.get("storage"):
            storage = name
        scale = (version.get("subresources") or {}).get("scale")
        if scale:
            scale_paths[name] = str(scale["specReplicasPath"])
        if version.get("served"):
            types.append(
                ResourceType(
                    group=str(spec["group"]),
                    version=name,
                    plural=str(names["plural"]),
                    kind=str(names["kind"]),
                    namespaced=spec["scope"] == "Namespaced",
                    verbs=frozenset({"list", "patch"}),
                    short_names=tuple(map(str, names.get("shortNames") or ())),
                    singular=str(names.get("singular", "")),
                )
            )
    return Definition(tuple(types), scale_paths, storage, _conversion(spec))


def _conversion(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    conversion = spec.get("conversion") or {}
    if conversion.get("strategy") != "Webhook":
        return None
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    return (str(service["namespace"]), str(service["name"])) if service else None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A type to write in, or `reason` why there is none. `instead_of` is the version in Git when DR serves another."""

    type: ResourceType | None
    reason: str = ""
    instead_of: str = ""


def resolve(key: str, version: str, discovery: Discovery, definitions: Mapping[str, Definition]) -> Resolved:
    """Return how to write an object of type `key` that Git holds in `version`.

    DR's own discovery comes first, then the CRDs of the same recovery point, which are applied
    before their objects.
    """
    exact = discovery.get(key, version)
    coming = definitions.get(key)
    if exact is None and coming is not None:
        exact = next((type_ for type_ in coming.types if type_.version == version), None)
    if exact is not None:
        return Resolved(exact)
    group = key.partition(".")[2]
    failing = discovery.failing_group(group)
    if failing:
        return Resolved(None, f"the API group {group} does not answer in DR: {failing}")
    other = discovery.get(key)
    if other is not None:
        return Resolved(other, instead_of=version)
    return Resolved(
        None,
        f"DR does not serve {key}, and the recovery point holds no CustomResourceDefinition for it",
    )
