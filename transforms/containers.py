"""The containers of every pod template, for transforms that work on one container after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drsyncer.manifest import Manifest
from transforms.pods import CONTAINERS, EACH, POD_SPECS, Ledger, Path, describe, rewrite

VisitContainer = Callable[[dict[str, Any], str, Path], dict[str, Any]]


def each_container(
    manifest: Manifest, type_key: str, visit: VisitContainer, *, ledger: Ledger, lists: tuple[str, ...] = CONTAINERS
) -> Manifest:
    """Return the object with each container replaced by `visit(container, its name, its path)`.

    The object itself comes back when `visit` gave back what it got. Raises TransformFailed for a container that is
    no mapping.
    """

    def visit_one(container: Any, at: Path) -> Any:
        if not isinstance(container, dict):
            raise ledger.fault(at, describe(container), "a mapping")
        return visit(container, str(container.get("name") or ""), at)

    def visit_pod(pod: Any, at: Path) -> Any:
        for name in lists:
            pod = rewrite(pod, (name, EACH), visit_one, ledger=ledger, at=at)
        return pod

    path = POD_SPECS.get(type_key)
    return manifest if path is None else rewrite(manifest, path, visit_pod, ledger=ledger)
