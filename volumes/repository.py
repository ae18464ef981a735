"""What is in a restic repository, asked of restic and checked: its id, its snapshots, what one of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Final, TypeVar

import msgspec

from drsyncer.snapshot import Snapshot
from volumes import commands
from volumes.answers import Configuration, Listed, Node, Size
from volumes.failure import DONE, OtherRepository, OtherSnapshot, ResticError
from volumes.restic import Restic
from volumes.task import Volume

ID_LENGTH: Final = 64
_SIZE: Final = "ask for the size of the snapshot"
_LONG: Final = 3600.0  # seconds; trees may be large and far away

Answer = TypeVar("Answer")


def repository_id(restic: Restic, *, known: str = "") -> str:
    """Return the repository's id; it is what opens it first, so all that is wrong with it is told here.

    Raises `NoRepository`, `WrongPassword`, `RepositoryUnreachable`, …, and `OtherRepository` when the id is not the
    `known` one.
    """
    answer = restic.ask(commands.configuration(), doing="open the repository")
    id_ = _decoded(answer, Configuration, doing="open the repository").id
    if known and id_ != known:
        raise OtherRepository(
            f"restic: the repository is {id_[:8]}, and the known one was {known[:8]}",
            hint="Somebody moved it or made it anew: what recovery points name is in the known one, so a restore needs "
            "that. Backups go on in the new one, if that is meant, by `dr-syncer volumes backup --adopt`.",
        )
    return id_


def snapshots(restic: Restic, *ids: str, tags: Sequence[str] = (), host: str = "") -> tuple[Listed, ...]:
    """Return these snapshots, or all with all of these tags and this host; those that are not there are left out."""
    doing = "list snapshots"
    outcome = restic.run(commands.snapshots(*ids, tags=tags, host=host), doing=doing)
    if outcome.status:
        raise outcome.failed()
    return tuple(_decoded(outcome.out, list[Listed], doing=doing))


def snapshot(restic: Restic, id_: str) -> Listed | None:
    """Return the snapshot with this whole id, None when there is none. An abbreviation is nobody's id."""
    if len(id_) != ID_LENGTH:
        return None
    return next((found for found in snapshots(restic, id_) if found.id == id_), None)


def listed(restic: Restic, snapshot: Snapshot) -> dict[str, Listed]:
    """Return what the repository has of a snapshot that a record names, itself and its manifest, by their ids."""
    return {one.id: one for one in snapshots(restic, *filter(None, (snapshot.id, snapshot.manifest)))}


def belongs(found: Listed, volume: Volume) -> bool:
    """Whether a snapshot is one of this volume's data."""
    return found.hostname == volume.host and volume.tag in found.tags and not found.tag(commands.MANIFEST_OF)


def require_ours(found: Listed, volume: Volume) -> None:
    """Raise `OtherSnapshot` unless the snapshot is of this volume's data."""
    if not belongs(found, volume):
        theirs = found.tag(commands.CLAIM) or "nothing that DR-Syncer backs up"
        what = "a manifest" if found.tag(commands.MANIFEST_OF) else theirs
        raise OtherSnapshot(
            f"restic: snapshot {found.id[:8]} is of {what} on {found.hostname or 'no host'}, "
            f"not of {volume.namespace}/{volume.name} on {volume.host}",
            hint="The recovery point names a snapshot that is not this volume's. Choose another one.",
        )


def size(restic: Restic, id_: str) -> int:
    """Return the bytes of all files in the snapshot."""
    return _decoded(restic.ask(commands.size(id_), doing=_SIZE, limit=_LONG), Size, doing=_SIZE).total_size


def least_size(restic: Restic, id_: str) -> int:
    """Return the least bytes that a restore can take on a disk: holes in files count hardly anything."""
    answer = restic.ask(commands.size(id_, mode="blobs-per-file"), doing=_SIZE, limit=_LONG)
    return _decoded(answer, Size, doing=_SIZE).total_size


def entry(restic: Restic, id_: str, path: str) -> Node | None:
    """Return what is at `path` (without a leading slash) in the snapshot; None when there is nothing."""
    doing = f"look for {path} in the snapshot"
    outcome = restic.run(commands.tree(id_, path), doing=doing, limit=_LONG)
    if outcome.status:
        raise outcome.failed()
    nodes = (_decoded(line, Node, doing=doing) for line in outcome.out.splitlines())
    return next((node for node in nodes if node.struct_type == "node" and node.path == f"/{path}"), None)


def _decoded(answer: bytes, type_: type[Answer], *, doing: str) -> Answer:
    try:
        return msgspec.json.decode(answer, type=type_)
    except msgspec.DecodeError as error:
        raise ResticError(f"restic: {doing}: its answer is not understood: {error}") from error


def read_manifest(restic: Restic, id_: str, into: BinaryIO, *, doing: str) -> None:
    """Write the manifest that is in the snapshot `id_` to a file. Raises `ResticError`."""
    outcome = restic.run(commands.dump(id_), doing=doing, into=into)
    if outcome.status != DONE:
        raise outcome.failed()
