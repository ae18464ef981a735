"""What a recovery point has of claims: their manifests, and which of them should have a record of their data."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
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


def manifests(clone: Clone, point: Point, paths: Mapping[_Name, str]) -> dict[_Name, Manifest | None]:
    """Return what Git has at `paths`, by their names: nothing for no file, None for one that cannot be read.

    Raises GitError.
    """
    files = clone.files(point.commit)
    there = {name: file for name, path in paths.items() if (file := files.get(path)) is not None and file.regular}
    contents = clone.read([file.blob_id for file in there.values()], max_size=LIMITS.max_bytes)
    return {name: _manifest(paths[name], data) for name, (_, data) in zip(there, contents, strict=True)}


def namespaces(clone: Clone, point: Point, names: set[str]) -> dict[str, Manifest | None]:
    """Return the namespaces of these names, as `manifests` does."""
    return manifests(clone, point, {name: layout.path_of(ObjectRef("namespaces", "", name)) for name in sorted(names)})


def never_recorded(clone: Clone, point: Point, select: VolumeSelect) -> Iterator[ObjectRef]:
    """Yield the claims without a record that should have one, by `volumes.select` and what Git has of them.

    One that cannot be read is among them: nobody can tell that it should have none. Raises GitError.
    """
    if not point.unrecorded:
        return
    spaces = namespaces(clone, point, {claim.namespace for claim in point.unrecorded})
    found = manifests(clone, point, {claim: layout.path_of(claim) for claim in point.unrecorded})
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
