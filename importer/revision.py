"""Whether a recovery point may go into this cluster at all."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from drsyncer.errors import Refused, UsageError
from drsyncer.recovery import identity, layout
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.recovery.identity import Identity
from importer.inventory import Inventory
from importer.plan import NAMESPACES
from importer.rules import Rules


def rewritten(clone: Clone) -> list[str]:
    """Return a warning when the branch lost commits since the last look: recovery points are never taken back."""
    if clone.rewritten is None:
        return []
    before, now = clone.rewritten
    return [
        f"the branch was rewritten: it was at {before[:12]} and now is {f'at {now[:12]}' if now else 'gone'}; "
        "find out who did it before you rely on this recovery point"
    ]


def check_clusters(source: Identity, inventory: Inventory, dr_uid: str, *, adopt: bool) -> None:
    """Refuse to import a cluster into itself, or another cluster than before."""
    if source.uid == dr_uid:
        raise Refused(
            f"this cluster is {source.cluster} itself, the one that the recovery point was exported from",
            hint="Name the DR cluster with --kubeconfig and --context.",
        )
    if inventory.source_uid:
        identity.check_same(Identity(inventory.source, inventory.source_uid), source, adopt=adopt)


def check_scope(only: Collection[str], files: Mapping[str, TreeFile], inventory: Inventory, rules: Rules) -> None:
    """Refuse a namespace that neither the recovery point nor an earlier import knows: nothing would happen."""
    if not only:
        return
    places = [place for path in files if (place := layout.place_of(path)) is not None]
    known = {place.namespace or place.stem for place in places if place.namespace or place.type == NAMESPACES}
    for name in only:
        if name in known or rules.settings.namespace_map.target(name) in inventory.namespaces:
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1)
        raise UsageError(
            f"the recovery point holds no namespace {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint="Write it as Git has it, not as it is mapped to.",
        )
