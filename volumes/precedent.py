"""The history that the last prune went by, remembered where it outlives pods and clones: on a Lease in the cluster.

A clone knows that a branch was rewritten when it is the clone that saw the branch before, and says so once. Whoever
prunes from a new one would take any history for the only one there ever was. Not the Lease that a prune holds is
written to: that would come between its renewals. And not by the names of repository, branch and path: what must go on
is the history that decides about a restic repository, wherever it is kept.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster, urls
from drsyncer.cluster.lease import LEASES
from drsyncer.errors import Conflict, NotFound
from drsyncer.json import encode
from drsyncer.manifest import Manifest, metadata
from drsyncer.manifest import annotations as annotations_of
from drsyncer.recovery.git import Clone
from drsyncer.recovery.refs import COMMIT_ID
from volumes.sharing import Meeting

_TRIES: Final = 3


class Precedent(msgspec.Struct, frozen=True):
    """The head of the branch, and the folder in it, that a prune went by."""

    commit: str
    path: str


def departed(clone: Clone, meeting: Meeting, repository: str, now: Precedent) -> str:
    """Return in a clause how `now` is not what the last prune of a restic repository went by, gone on; "" when it is.

    Also "" when none is remembered. As of the last fetch. Raises ClusterError, GitError.
    """
    text = annotations_of(_read(meeting)).get(_key(repository))
    if text is None:
        return ""
    before = _decoded(text)
    if before is None:
        return f"what the last prune went by cannot be read (Lease {meeting.namespace}/{_name(meeting)})"
    if before.path != now.path:
        return f"the last prune went by repository.path {before.path!r:.200}, and it is {now.path!r:.200} now"
    if clone.lineage.follows(now.commit, before.commit):
        return ""
    return (
        f"the last prune went by commit {before.commit[:12]}, which is not in the history of {now.commit[:12]}: the "
        "branch was rewritten, or is another one"
    )


def remember(meeting: Meeting, repository: str, now: Precedent) -> None:
    """Remember what a prune goes by. For whoever is alone with the restic repository; raises ClusterError."""
    noted = {_key(repository): msgspec.json.encode(now).decode()}
    for attempt in range(1, _TRIES + 1):
        try:
            found = _read(meeting)
            if not found:
                _make(meeting, noted)
            elif not noted.items() <= annotations_of(found).items():
                _write(meeting.cluster, found, noted)
            return
        except Conflict:  # somebody made it at this moment, or the answer to our own request was lost
            if attempt == _TRIES:
                raise


def _name(meeting: Meeting) -> str:
    """Return the Lease's name, which must not begin as those do of who shares the repository."""
    return f"{own.OWN_NAME}-pruned-{hashlib.sha256(meeting.repository.encode()).hexdigest()[:10]}"


def _key(repository: str) -> str:
    return f"{own.PRUNED}{repository[:32]}"


def _decoded(text: str) -> Precedent | None:
    try:
        found = msgspec.json.decode(text, type=Precedent)
    except msgspec.DecodeError:
        return None
    return found if COMMIT_ID.fullmatch(found.commit) else None


def _read(meeting: Meeting) -> Manifest:
    """Return the Lease, {} when there is none."""
    try:
        return meeting.cluster.read(LEASES, namespace=meeting.namespace, name=_name(meeting))
    except NotFound:
        return {}


def _make(meeting: Meeting, noted: dict[str, str]) -> None:
    name = _name(meeting)
    meta = {"name": name, "namespace": meeting.namespace, "labels": {own.PART_OF: own.OWN_NAME}, "annotations": noted}
    lease = encode({"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": {}})
    meeting.cluster.create(LEASES, lease, namespace=meeting.namespace, name=name)


def _write(cluster: Cluster, found: Manifest, noted: dict[str, str]) -> None:
    """Write the Lease as it was found, which the API server refuses when it is another one by now."""
    meta = metadata(found)
    lease = {**found, "metadata": {**meta, "annotations": {**annotations_of(found), **noted}}}
    cluster.request(
        "PUT",
        urls.path_of(LEASES, namespace=meta["namespace"], name=meta["name"]),
        what=f"update {meta['namespace']}/{LEASES.key}/{meta['name']}",
        body=encode(lease),
    )
