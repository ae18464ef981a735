"""The namespaces and Services that a recovery point holds: what texts are searched for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from drsyncer.recovery.layout import Place
from importer.digests import digest

NAMESPACES = "namespaces"
SERVICES = "services"


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names in the source. `services` are (namespace, name)."""

    namespaces: frozenset[str]
    services: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, places: Collection[Place]) -> Self:
        """Return the names among the objects at `places`."""
        spaces = {place.namespace or place.stem for place in places if place.namespace or place.type == NAMESPACES}
        services = {(place.namespace, place.stem) for place in places if place.type == SERVICES}
        return cls(frozenset(spaces), frozenset(services))

    @property
    def digest(self) -> str:
        """Return what stands for all of them."""
        services = (f"{namespace}/{name}" for namespace, name in sorted(self.services))
        return digest(*sorted(self.namespaces), *services)
