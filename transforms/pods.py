"""Where pod templates live in each type, and how a field deep inside an object is rewritten.

Objects are never changed in place: a rewrite copies the mappings and lists on the way to the field
and shares all others with the original. An object that needs no change costs a few look-ups and is
returned itself.

Paths are tuples of keys; `*` (EACH) stands for every element of a list. Null counts as absent, as it
does for the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from transforms.settings import TransformFailed

Path = tuple[str, ...]
Visit = Callable[[Any, Path], Any]
EACH = "*"
MAX_NOTES = 20  # per object and transform; a text full of host names should not bury the report

TEMPLATE: Path = ("spec", "template", "spec")

# Type to the path of its PodSpec (Kubernetes API reference; the others: their projects' references).
POD_SPECS: dict[str, Path] = {
    "pods": ("spec",),
    "podtemplates": ("template", "spec"),
    "replicationcontrollers": TEMPLATE,
    "deployments.apps": TEMPLATE,
    "statefulsets.apps": TEMPLATE,
    "daemonsets.apps": TEMPLATE,
    "replicasets.apps": TEMPLATE,
    "jobs.batch": TEMPLATE,
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template", "spec"),
    "rollouts.argoproj.io": TEMPLATE,
    "deploymentconfigs.apps.openshift.io": TEMPLATE,
    "services.serving.knative.dev": TEMPLATE,
    "clonesets.apps.kruise.io": TEMPLATE,
    "statefulsets.apps.kruise.io": TEMPLATE,
    "daemonsets.apps.kruise.io": TEMPLATE,
}

# The container lists of a PodSpec.
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")

# The claim inside a volume of a PodSpec that lives as long as its pod.
EPHEMERAL_CLAIM: Path = ("volumes", EACH, "ephemeral", "volumeClaimTemplate")

# Type to the paths of everything in it that is a claim: metadata and a PersistentVolumeClaimSpec below `spec`.
_WITH_CLAIMS = ("statefulsets.apps", "statefulsets.apps.kruise.io", "clonesets.apps.kruise.io")
CLAIMS: dict[str, tuple[Path, ...]] = {
    "persistentvolumeclaims": ((),),
    **{type_key: ((*path, *EPHEMERAL_CLAIM),) for type_key, path in POD_SPECS.items()},
    **dict.fromkeys(_WITH_CLAIMS, (("spec", "volumeClaimTemplates", EACH), (*TEMPLATE, *EPHEMERAL_CLAIM))),
}


def pointer(path: Path) -> str:
    """Return the RFC 6901 pointer for a path of keys: `("a", "b/c")` is `/a/b~1c`."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def few(notes: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the notes; of very many the first ones, and how many more there are of `what`."""
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return (*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more {what}")


def describe(value: object) -> str:
    """Say what sort of value is there, never the value: it may be a secret."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "a number"),
        (float, "a number"),
        (dict, "a mapping"),
        (list, "a list"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "nothing")


@dataclass(slots=True)
class Ledger:
    """What one transform changed in one object, in order, and the one way it complains."""

    rule: str
    changed: dict[Path, str] = field(default_factory=dict)

    def record(self, at: Path, what: str) -> None:
        """Add a change at a path; `what` must not hold data that could be secret."""
        self.changed[at] = what

    def fault(self, at: Path, found: str, expected: str) -> TransformFailed:
        """Return the error for a value that is not what the API says it is."""
        return TransformFailed(rule=self.rule, path=pointer(at), found=found, expected=expected)

    @property
    def applied(self) -> tuple[str, ...]:
        """The changes as lines: pointer and what."""
        return tuple(f"{pointer(at)} {what}" for at, what in self.changed.items())


def rewrite(node: Any, path: Path, visit: Visit, *, ledger: Ledger, at: Path = ()) -> Any:
    """Return `node` with the value at `path` replaced by `visit(value, its path)`.

    The same object comes back when `visit` gave back what it got. What is absent is left absent.
    Raises TransformFailed when a step of the path is neither absent nor of the sort it must be.
    """
    parents: list[dict[str, Any]] = []
    here = node
    for depth, key in enumerate(path):
        if key == EACH:
            changed = _rewrite_each(here, path[depth + 1 :], visit, ledger=ledger, at=at + path[:depth])
            break
        if not isinstance(here, dict):
            raise ledger.fault(at + path[:depth], describe(here), "a mapping")
        child = here.get(key)
        if child is None:
            return node
        parents.append(here)
        here = child
    else:
        changed = visit(here, at + path)
    if changed is here:
        return node
    for depth in range(len(parents) - 1, -1, -1):
        changed = {**parents[depth], path[depth]: changed}
    return changed


def _rewrite_each(node: Any, path: Path, visit: Visit, *, ledger: Ledger, at: Path) -> Any:
    if not isinstance(node, list):
        raise ledger.fault(at, describe(node), "a list")
    changed = [rewrite(item, path, visit, ledger=ledger, at=(*at, str(index))) for index, item in enumerate(node)]
    return node if all(new is old for new, old in zip(changed, node, strict=True)) else changed


def replace(node: Any, path: Path, change: Callable[[str], str], *, ledger: Ledger, at: Path = ()) -> Any:
    """Rewrite the string at `path` by `change` and record old and new. Raises TransformFailed if it is no string."""

    def visit(value: Any, place: Path) -> Any:
        if not isinstance(value, str):
            raise ledger.fault(place, describe(value), "a string")
        new = change(value)
        if new == value:
            return value
        ledger.record(place, f"{value} -> {new}")
        return new

    return rewrite(node, path, visit, ledger=ledger, at=at)


def lookup(node: Any, path: Path, *, ledger: Ledger, at: Path = ()) -> Any:
    """Return the value at a path without EACH, None when absent. Raises TransformFailed as `rewrite` does."""
    found: list[Any] = []

    def visit(value: Any, _: Path) -> Any:
        found.append(value)
        return value

    rewrite(node, path, visit, ledger=ledger, at=at)
    return found[0] if found else None


def put(node: Any, path: Path, value: Any, *, ledger: Ledger, at: Path = ()) -> Any:
    """Return `node` with `value` at a path without EACH; absent mappings on the way are made."""
    if not path:
        return value
    if not isinstance(node, dict):
        raise ledger.fault(at, describe(node), "a mapping")
    head = path[0]
    child = node.get(head)
    if child is None:
        child = {}
    return {**node, head: put(child, path[1:], value, ledger=ledger, at=(*at, head))}


def drop(node: Any, path: Path, *, ledger: Ledger, tidy: bool = False) -> Any:
    """Return `node` without the key at `path`; with `tidy` also without the mapping that this leaves empty."""
    key = path[-1]

    def visit(value: Any, place: Path) -> Any:
        if not isinstance(value, dict):
            raise ledger.fault(place, describe(value), "a mapping")
        return {name: item for name, item in value.items() if name != key} if key in value else value

    changed = rewrite(node, path[:-1], visit, ledger=ledger)
    if tidy and changed is not node and not lookup(changed, path[:-1], ledger=ledger):
        return drop(changed, path[:-1], ledger=ledger)
    return changed
