"""`dr-syncer volumes list`: what there is of each volume, by the recovery repository and by restic itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

from drsyncer.config.volumes import VolumeSelect
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from volumes import in_git, points, repository
from volumes.listing import Listing, Stored, listing
from volumes.points import Point
from volumes.restic import Restic


def review(
    clone: Clone,
    *,
    head: str,
    revision: str = "",
    namespaces: Collection[str] = (),
    select: VolumeSelect,
    max_age: float | None,
    restic: Restic | None,
    now: datetime,
    unasked: str = "",
    asking: Callable[[], object] = lambda: None,
) -> Listing:
    """Return what there is of each volume of the recovery point `revision`, else of the newest up to `head`.

    `namespaces` limit it, when there are any. `restic` None: nobody asks it, for the reason `unasked`; else `asking` is
    called right before it is asked. Raises GitError, Refused and RevisionNotFound as `points.choose` does, UsageError
    for a namespace that the recovery point does not know, and what comes of asking restic.
    """
    choice = points.choose(clone, head=head, revision=revision, needs_complete=False)
    point = _only(choice.point, namespaces)
    stored = None
    if restic is not None:
        asking()
        stored = stored_in(restic)
    wanted = tuple(in_git.never_recorded(clone, point, select))
    return listing(
        point,
        wanted=wanted,
        new=_new(clone, point, wanted, since=now - timedelta(seconds=max_age)) if wanted and max_age else (),
        stored=stored,
        max_age=max_age,
        now=now,
        unasked=unasked,
        warnings=tuple(clone.notices),
    )


def stored_in(restic: Restic) -> Stored:
    """Return what a restic repository says of itself. Raises `ResticError`."""
    id_ = repository.repository_id(restic)
    return Stored(id_, frozenset(found.id for found in repository.snapshots(restic)))


def _only(point: Point, namespaces: Collection[str]) -> Point:
    """Return the point as it is for some namespaces. Raises UsageError for one without volumes.

    What is wrong with files that are no records stays in.
    """
    if not namespaces:
        return point
    known = {claim.namespace for claim in (*point.volumes, *point.unrecorded)}
    points.check_names(point, namespaces, known, "namespace with volumes")
    volumes = {claim: record for claim, record in point.volumes.items() if claim.namespace in namespaces}
    unrecorded = tuple(claim for claim in point.unrecorded if claim.namespace in namespaces)
    return replace(point, records=points.Records(volumes, point.records.faults), unrecorded=unrecorded)


def _new(clone: Clone, point: Point, claims: Collection[ObjectRef], *, since: datetime) -> frozenset[ObjectRef]:
    """Return those of the claims that the source did not have yet at `since`, by what was exported then."""
    before = points.at_or_before(clone.history(point.commit), since)
    files = clone.files(before.id) if before is not None else {}
    return frozenset(claim for claim in claims if layout.path_of(claim) not in files)
