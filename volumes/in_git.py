"""What a recovery point has of claims: their manifests, and which of them should have a record of their data."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from drsyncer.config.volumes import VolumeSelect
from drsyncer.errors import InvalidManifest
from drsyncer.manifest import Manifest, ObjectRef, labels
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from drsyncer.yaml import LIMITS
from drsyncer.yaml.read import read
from volumes.points import Point
from volumes.selecting import Choice, Selecting

_Name = TypeVar("_Name", bound=Hashable)
# Why a claim that is wanted is not backed up just now; whether it is bound, Git does not say.
_STILL_WANTED: Final = frozenset({"not-bound", "block", "lost"})


def manifests(
    clone: Clone, point: Point, claims: Mapping[_Name, str], spaces: Iterable[str] = ()
) -> tuple[dict[_Name, Manifest | None], dict[str, Manifest | None]]:
    """Return what Git has of claims, given by their paths, and of the namespaces `spaces`, each by its name.

    Nothing for no file, None for one that cannot be read. The recovery point is listed once. Raises GitError.
    """
    places = {space: layout.path_of(ObjectRef("namespaces", "", space)) for space in sorted(set(spaces))}
    found = _read(clone, point, {*claims.values(), *places.values()})
    return (
        {name: found[path] for name, path in claims.items() if path in found},
        {name: found[path] for name, path in places.items() if path in found},
    )


def _read(clone: Clone, point: Point, paths: Collection[str]) -> dict[str, Manifest | None]:
    if not paths:
        return {}
    files = clone.files(point.commit)
    there = {path: file for path in sorted(paths) if (file := files.get(path)) is not None and file.regular}
    contents = clone.read([file.blob_id for file in there.values()], max_size=LIMITS.max_bytes)
    return {path: _manifest(path, data) for path, (_, data) in zip(there, contents, strict=True)}


def never_recorded(clone: Clone, point: Point, select: VolumeSelect) -> Iterator[ObjectRef]:
    """Yield the claims without a record that should have one, by `volumes.select` and what Git has of them.

    One that cannot be read is among them: nobody can tell that it should have none. Raises GitError.
    """
    if not point.unrecorded:
        return
    paths = {claim: layout.path_of(claim) for claim in point.unrecorded}
    found, spaces = manifests(clone, point, paths, (claim.namespace for claim in point.unrecorded))
    selecting = Selecting(select)
    for claim in point.unrecorded:
        manifest = found.get(claim)
        chosen = selecting.choose(manifest, labels(spaces.get(claim.namespace) or {})) if manifest else None
        if chosen is None or chosen.choice is Choice.SELECTED or chosen.check in _STILL_WANTED:
            yield claim


def _manifest(path: str, data: bytes | None) -> Manifest | None:
    try:
        return read(data, file=path) if data is not None else None
    except InvalidManifest:
        return None  # an import tells of it
