"""Paths of the Kubernetes API, as https://kubernetes.io/docs/reference/using-api/api-concepts/ defines them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from drsyncer.manifest import ResourceType


def path_of(type_: ResourceType, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the URL path of a type, of its objects in one namespace, or of one object.

    Names may hold `:` and other characters that a URL path must escape (RBAC names do).
    """
    parts = ["/apis", type_.group, type_.version] if type_.group else ["/api", type_.version]
    if namespace and type_.namespaced:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(type_.plural)
    if name:
        parts.append(quote(name, safe=""))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def with_query(path: str, query: dict[str, str]) -> str:
    """Return `path` with `query` appended; empty values are left out."""
    given = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
