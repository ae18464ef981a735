"""Which claims a workload mounts, and whether it would run: what tells that a volume is used, or is going to be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest, metadata
from transforms.pods import POD_SPECS

# Claims of a template are called `<template>-<workload>-<ordinal>`.
_TEMPLATED = frozenset({"statefulsets.apps", "statefulsets.apps.kruise.io"})


@dataclass(frozen=True, slots=True)
class Mounted:
    """The claims that a workload mounts: by name, and those of its templates as a pattern."""

    names: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.names) or self.pattern is not None

    def holds(self, name: str) -> bool:
        """Return whether the claim `name`, in the workload's namespace, is one of them."""
        return name in self.names or (self.pattern is not None and self.pattern.fullmatch(name) is not None)


def mounted(type_key: str, manifest: Manifest) -> Mounted:
    """Return the claims that the pods of a workload mount; none for what has no pods."""
    if type_key not in POD_SPECS:
        return Mounted()
    spec: Any = manifest
    for key in POD_SPECS[type_key]:
        spec = _mapping(spec, key)
    owner = str(metadata(manifest).get("name", ""))
    names = frozenset(of_pod(spec, pod=owner if type_key == "pods" else ""))
    templates = _mapping(manifest, "spec").get("volumeClaimTemplates") if type_key in _TEMPLATED else None
    found = [str(metadata(one).get("name", "")) for one in templates or () if isinstance(one, dict)]
    if not found:
        return Mounted(names)
    written = "|".join(re.escape(f"{name}-{owner}-") for name in found)
    return Mounted(names, re.compile(f"(?:{written})[0-9]+"))


def of_pod(spec: Mapping[str, Any], *, pod: str = "") -> Iterator[str]:
    """Yield the names of the claims that a PodSpec mounts, with those that are made for the pod of that name."""
    volumes = spec.get("volumes")
    for volume in volumes if isinstance(volumes, list) else ():
        if not isinstance(volume, dict):
            continue
        if name := _mapping(volume, "persistentVolumeClaim").get("claimName"):
            yield str(name)
        elif pod and volume.get("ephemeral"):
            yield f"{pod}-{volume.get('name')}"


def runs(type_key: str, manifest: Manifest) -> bool:
    """Return whether a workload has pods, now or when its time comes: not scaled to 0, suspended or parked."""
    if type_key not in POD_SPECS or type_key == "podtemplates":
        return False
    spec = _mapping(manifest, "spec")
    if spec.get("replicas") == 0 or spec.get("suspend") is True:
        return False
    selector = _mapping(_mapping(_mapping(spec, "template"), "spec"), "nodeSelector")
    return own.PARKED not in selector


def _mapping(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
