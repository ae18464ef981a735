"""The manifest of a snapshot where it is kept: in the repository, as a snapshot of its own beside that of the data."""

from __future__ import annotations

from pathlib import Path

from drsyncer.snapshot import Snapshot, State
from volumes import commands, repository
from volumes.answers import BackupSummary, Listed
from volumes.failure import DONE, NoSnapshot, ResticError
from volumes.hearing import Message
from volumes.restic import Restic
from volumes.task import BackupTask


class NoManifest(NoSnapshot):
    """The repository does not have the manifest of a snapshot."""


def store(task: BackupTask, restic: Restic, manifest: Path, *, snapshot: str, state: State) -> str:
    """Store the manifest of a snapshot; return the id of the snapshot that holds it. Raises `ResticError`."""
    with manifest.open("rb") as stream:
        outcome = restic.run(
            commands.backup_manifest(task, snapshot=snapshot, state=state),
            doing="store the manifest",
            stdin=stream,
            listener=_ignore,
        )
    if outcome.status != DONE or outcome.complaints_total:
        raise outcome.failed()
    id_ = outcome.counted(BackupSummary).snapshot_id
    if not id_:
        raise ResticError("restic: store the manifest: it ended without saying which snapshot it made")
    return id_


def has_hashes(listed: Listed | None) -> bool:
    """Whether the manifest that the repository lists so has the hashes of files."""
    return listed is not None and listed.tag(commands.CONTENT) != "metadata"


def fetch(restic: Restic, listed: Listed | None, snapshot: Snapshot, target: Path) -> Path:
    """Write the manifest of `snapshot`, which the repository lists as `listed`, to the file `target`; return that.

    Raises `NoManifest` when there is none, or it is another one's, and `ResticError`.
    """
    if listed is None or listed.id != snapshot.manifest or listed.tag(commands.MANIFEST_OF) != snapshot.id:
        raise NoManifest(f"the repository has no manifest {snapshot.manifest[:8]} of the snapshot {snapshot.id[:8]}")
    with target.open("wb") as stream:
        repository.read_manifest(restic, snapshot.manifest, stream, doing="read the manifest")
    return target


def _ignore(_message: Message) -> None:
    """Its summary is all that is wanted."""
