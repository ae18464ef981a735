"""Which types an API server serves: aggregated discovery (KEP-3352), with what fails named.

The kubernetes package's own discovery hides failing groups and caches to a predictable file, so
this reads /api and /apis itself: two requests for everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from drsyncer.manifest import ResourceType
from drsyncer.match import Match

ACCEPT = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)


@dataclass(frozen=True, slots=True)
class Discovery:
    """Every served type. `served` maps `plural.group` to its versions, the preferred first.

    The preferred version is per type: the first of its group's order that serves it, for a group's
    newest version need not serve everything. `failing` maps `group/version` to the reason why
    nothing is known about it.
    """

    served: Mapping[str, tuple[ResourceType, ...]] = field(default_factory=dict)
    failing: Mapping[str, str] = field(default_factory=dict)

    def preferred(self) -> Iterator[ResourceType]:
        """Yield each type once, in its preferred version, sorted by `plural.group`."""
        for key in sorted(self.served):
            yield self.served[key][0]

    def get(self, key: str, version: str = "") -> ResourceType | None:
        """Return the type `plural.group` in `version` (default: the preferred one), or None."""
        for type_ in self.served.get(key, ()):
            if not version or type_.version == version:
                return type_
        return None

    def find(self, word: str) -> list[ResourceType]:
        """Return the types that a person may mean by `word`, by the grammar of rules (`drsyncer.match`); no globs.

        An exact `plural.group` wins alone; otherwise every candidate, so that the caller can ask.
        """
        if word in self.served:
            return [self.served[word][0]]
        asked = Match(types=(word,))
        return [type_ for type_ in self.preferred() if asked.names_type(type_)]

    def failing_group(self, group: str) -> str:
        """Return why `group` is not fully known, or ""."""
        for group_version, reason in self.failing.items():
            if group_version.rpartition("/")[0] == group:
                return reason
        return ""


def parse(documents: Iterable[Mapping[str, Any]]) -> Discovery:
    """Given the decoded APIGroupDiscoveryLists of /api and /apis, return what they serve.

    Types without `list` are kept (their verbs tell); subresources are attached to their type.
    """
    served: dict[str, list[ResourceType]] = {}
    failing: dict[str, str] = {}
    for document in documents:
        for group in document.get("items") or []:
            name = (group.get("metadata") or {}).get("name", "")
            for version in group.get("versions") or []:
                if version.get("freshness", "Current") != "Current":
                    failing[f"{name}/{version['version']}"] = "its API server does not answer (stale discovery)"
                for resource in version.get("resources") or []:
                    type_ = _resource_type(name, version["version"], resource)
                    served.setdefault(type_.key, []).append(type_)
    return Discovery({key: tuple(types) for key, types in served.items()}, failing)


def _resource_type(group: str, version: str, resource: Mapping[str, Any]) -> ResourceType:
    return ResourceType(
        group=group,
        version=version,
        plural=resource["resource"],
        # A type without responseKind serves something else than objects; its verbs keep it out of reach.
        kind=(resource.get("responseKind") or {}).get("kind", ""),
        namespaced=resource.get("scope") == "Namespaced",
        verbs=frozenset(resource.get("verbs") or ()),
        short_names=tuple(resource.get("shortNames") or ()),
        singular=resource.get("singularResource", ""),
        subresources=frozenset(sub["subresource"] for sub in resource.get("subresources") or ()),
    )
