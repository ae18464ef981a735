"""The body of an apply: a wish with the inventory's label, adjusted to what DR already has."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from drsyncer import own
from drsyncer.manifest import Manifest
from importer.wishes import Wish

CLAIMS = "persistentvolumeclaims"
SERVICES = "services"

# Quantities of the Kubernetes API (resource.Quantity): decimal and binary suffixes.
_SUFFIXES = {
    "": Decimal(1),
    **{
        prefix: Decimal(10) ** (3 * power)
        for prefix, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)
    },
    **{f"{prefix}i": Decimal(1024) ** power for power, prefix in enumerate("KMGTPE", start=1)},
}

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def body_of(wish: Wish, *, applyset: str) -> Manifest:
    """Return the object to apply; `applyset` "" makes no member of it."""
    manifest: Manifest = msgspec.json.decode(wish.data)
    if applyset:
        meta = manifest.setdefault("metadata", {})
        meta["labels"] = {**(meta.get("labels") or {}), own.APPLYSET_MEMBER: applyset}
    return manifest


def quantity(text: object) -> Decimal:
    """Return the number that a Kubernetes quantity stands for. Raises ValueError."""
    written = str(text)
    digits = written.rstrip("numkKMGTPEi")
    suffix = written[len(digits) :]
    if suffix not in _SUFFIXES or not _NUMBER.fullmatch(digits):
        raise ValueError(f"{written!r} is no quantity")
    return Decimal(digits) * _SUFFIXES[suffix]


def never_smaller(body: Manifest, live: Mapping[str, Any]) -> tuple[Manifest, str]:
    """Given a claim and what DR has of it, return the claim that keeps the larger size, and a sentence if it differs.

    A volume cannot shrink; asking for less is refused by the API server for ever.
    """
    path = ("spec", "resources", "requests", "storage")
    wanted, there = _at(body, path), _at(live, path)
    if wanted is None or there is None:
        return body, ""
    try:
        smaller = quantity(wanted) < quantity(there)
    except (ValueError, ArithmeticError):
        return body, ""  # the API server will say what is wrong with it
    if not smaller:
        return body, ""
    kept = copy.deepcopy(body)
    kept["spec"]["resources"]["requests"]["storage"] = there
    return kept, f"keeps its {there} in DR: a claim never shrinks (Git asks for {wanted})"


def without_node_ports(body: Manifest) -> Manifest:
    """Return a Service whose node ports the API server is to choose."""
    free = copy.deepcopy(body)
    for port in free.get("spec", {}).get("ports") or []:
        port.pop("nodePort", None)
    free.get("spec", {}).pop("healthCheckNodePort", None)
    return free


def stayed_headless(body: Manifest, applied: Mapping[str, Any]) -> bool:
    """Return whether `applied` is a headless Service although the `body` of its apply is one with an address."""
    if body.get("kind") != "Service":
        return False
    spec = body.get("spec") or {}
    wants_none = "None" in (spec.get("clusterIP"), *(spec.get("clusterIPs") or ()))
    return not wants_none and _at(applied, ("spec", "clusterIP")) == "None"


def trial(body: Manifest, *, suffix: str) -> Manifest:
    """Return the object under another name, for a dry run of its creation while the old one still exists."""
    copied = without_node_ports(body) if body.get("kind") == "Service" else copy.deepcopy(body)
    meta = copied["metadata"]
    # 63 characters fit every kind of name.
    meta["name"] = f"{meta['name'][: 62 - len(suffix)]}-{suffix}"
    if copied.get("kind") == "Service" and copied.get("spec", {}).get("clusterIP") not in (None, "None"):
        copied["spec"].pop("clusterIP", None)
        copied["spec"].pop("clusterIPs", None)
    return copied


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value
