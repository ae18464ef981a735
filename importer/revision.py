"""Which recovery point to import, and whether it may go into this cluster at all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from drsyncer.config.schema import Revision
from drsyncer.errors import GitError, Refused, RevisionNotFound, UsageError
from drsyncer.recovery import identity, layout
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.recovery.identity import Identity
from importer.inventory import Inventory
from importer.plan import NAMESPACES
from importer.rules import Rules
from importer.wishes import MAX_FILE

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def configured(revision: Revision) -> str:
    """Return the configured revision as git names it: a tag may be called like a branch."""
    if revision.branch:
        return f"refs/heads/{revision.branch}"
    return f"refs/tags/{revision.tag}" if revision.tag else revision.commit


def resolve(clone: Clone, revision: str) -> tuple[str, list[str]]:
    """Return the commit of `revision`. A commit that is here already needs no remote; a branch does."""
    try:
        exported = clone.fetch()
    except GitError as error:
        if not _COMMIT.fullmatch(revision):
            error.hint = (
                f"{error.hint} A commit that was fetched before can be imported without the remote: "
                "--revision with its full id."
            ).strip()
            raise
        return clone.resolve(revision), [f"the remote was not asked: {error}"]
    try:
        return clone.resolve(revision), []
    except RevisionNotFound as error:
        if exported is None:
            error.hint = "The recovery repository has no such branch yet: run `dr-syncer export` first."
        raise


def rewritten(clone: Clone) -> list[str]:
    """Return a warning when the branch lost commits since the last look: recovery points are never taken back."""
    if clone.rewritten is None:
        return []
    before, now = clone.rewritten
    return [
        f"the branch was rewritten: it was at {before[:12]} and now is {f'at {now[:12]}' if now else 'gone'}; "
        "find out who did it before you rely on this recovery point"
    ]


def identity_of(clone: Clone, commit: str, files: Mapping[str, TreeFile]) -> Identity:
    file = files.get(identity.FILE)
    if file is None or not file.regular:
        raise Refused(
            f"recovery point {commit[:12]} holds no {identity.FILE}: it is not an export of DR-Syncer",
            hint="Check repository.url, repository.branch and repository.path.",
        )
    ((_, data),) = clone.read([file.blob_id], max_size=MAX_FILE)
    return identity.read(data or b"")


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
