"""In which versions to ask for a type, the best first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drsyncer.cluster import Discovery
from drsyncer.manifest import Manifest, ResourceType

CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def storage_version(crd: Manifest) -> tuple[str, str] | None:
    """Return (`plural.group`, stored version) of a CRD that converts by webhook, else None.

    In DR the operator is parked, so its conversion webhook does not answer and no version but the
    stored one can be written.
    """
    spec: Mapping[str, Any] = crd.get("spec") or {}
    if (spec.get("conversion") or {}).get("strategy") != "Webhook":
        return None
    for version in spec.get("versions") or []:
        if version.get("storage"):
            return f"{spec['names']['plural']}.{spec['group']}", str(version["name"])
    return None


def established(crd: Manifest) -> ResourceType | None:
    """Return the type that a CRD defines, when it is established and some version of it is to be served, else None.

    A server that has just started shows its custom types some moments later: until then their objects are not gone.
    """
    spec, status = crd.get("spec") or {}, crd.get("status") or {}
    done = any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in status.get("conditions") or []
    )
    served = [str(version["name"]) for version in spec.get("versions") or [] if version.get("served")]
    if not done or not served:
        return None
    names = spec["names"]
    namespaced = spec.get("scope") == "Namespaced"
    return ResourceType(spec["group"], served[0], names["plural"], names["kind"], namespaced, frozenset({"list"}))


def candidates(key: str, discovery: Discovery, stored: Mapping[str, str]) -> tuple[ResourceType, ...]:
    """Return the served, listable versions of the type `key` in the order to try them.

    The stored version comes first where `stored` names one, then the server's own preference: a
    version whose conversion fails for ever must not hide the objects that another version can show.
    """
    listable = [type_ for type_ in discovery.served.get(key, ()) if "list" in type_.verbs]
    return tuple(sorted(listable, key=lambda type_: type_.version != stored.get(key, type_.version)))
