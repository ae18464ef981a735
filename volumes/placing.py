"""Where a mover may run, so that it can mount the volume: a pure decision over the claim, its users and its volume.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drsyncer.manifest import Manifest
from volumes.claims import Claim, User, Volume
from volumes.jobs import Placement

_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_ONE_POD = "ReadWriteOncePod"
# A node that is being emptied still has the volume, and the pod that uses it, until that leaves.
_CORDONED: Manifest = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}


class CannotMount(Exception):
    """No mover can mount the volume as things are; the text is a sentence part for people."""


def place(claim: Claim, users: Sequence[User], volume: Volume, *, copied: bool = False) -> Placement:
    """Return where a mover can mount `claim`, or its copy. Raises CannotMount.

    A volume that one node at a time can mount is on the node of the pods that use it. All else is the scheduler's to
    say: it knows to which nodes a volume is bound.
    """
    tolerations = _tolerations(users)
    if copied:
        return Placement(tolerations=tolerations)
    if claim.modes & _SHARED:
        return Placement(tolerations=tolerations, counted=volume.node)
    placed = [user for user in users if user.node]
    if not placed:
        return Placement(tolerations=tolerations, counted=volume.node)
    if _ONE_POD in claim.modes:
        raise CannotMount(
            f"its access mode is {_ONE_POD} and the pod {placed[0].name} uses it: no second pod can mount it; "
            "only a copy of it can be read (volumes.copyMethod auto or snapshot)"
        )
    running = [user for user in placed if user.running] or placed
    return Placement(node=running[0].node, tolerations=(*tolerations, _CORDONED))


def groups(users: Sequence[User]) -> tuple[int, ...]:
    """Return the groups by which the users of a volume reach its files."""
    return tuple(sorted({group for user in users for group in user.groups}))


def _tolerations(users: Sequence[User]) -> tuple[Manifest, ...]:
    """Return the users' tolerations, each once: where they may run, so may a mover."""
    found: list[dict[str, Any]] = []
    for user in users:
        found += [one for one in user.tolerations if one not in found and not _is_default(one)]
    return tuple(found)


def _is_default(toleration: Manifest) -> bool:
    """Return whether every pod gets this one by itself."""
    return toleration.get("key") in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
