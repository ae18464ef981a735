"""Making the snapshot of a volume: restic behind its gate, what is asked and looked at before, and the manifest.

    restic        opens the repository → gate → reads the volume, saves a snapshot unless nothing differs
    beside it     asks for the snapshot before, looks at everything → opens the gate → hashes what is new
    afterwards    asks for the snapshot made, looks at everything again

Each question costs restic half a second of a core for its key, so none is asked one after the other that need not be.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import msgspec

from drsyncer.snapshot import Folder, State
from volumes import attesting, commands, earlier, repository
from volumes.answers import BackupSummary, Listed
from volumes.describing import Described, Describing
from volumes.earlier import Earlier
from volumes.failure import DONE, INCOMPLETE, Interrupted, RepositoryDamaged, ResticError
from volumes.gate import Gate
from volumes.hearing import Message, Outcome
from volumes.restic import Restic
from volumes.task import BackupTask

_NOTHING = "snapshot is empty"  # restic's words


@dataclass(frozen=True, slots=True)
class Before:
    """What the repository, whose id is `repository`, has of the snapshot before: None when there is no such.

    `manifest` is how its manifest is listed, None when there is none to be had. `earlier` is what an earlier claim of
    this name has left, where nothing else is known to compare with.
    """

    repository: str
    snapshot: Listed | None = None
    manifest: Listed | None = None
    warnings: tuple[str, ...] = ()
    earlier: Earlier | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What restic made of the volume.

    `described` is its manifest, in a file; None where that of the snapshot before is this one's, too. `is_same`: restic
    has made no snapshot, since nothing below the volume's own folder differs from the one before; `is_unchanged`: and
    nothing of that folder does. `is_empty`: there was nothing to be saved.
    """

    outcome: Outcome
    summary: BackupSummary
    described: Described | None
    is_same: bool
    is_unchanged: bool
    is_empty: bool
    warnings: tuple[str, ...] = ()


class NoParent(Exception):
    """The snapshot before will not do: all is read anew. `before` says why."""

    def __init__(self, before: Before) -> None:
        super().__init__(*before.warnings)
        self.before = before


@dataclass(slots=True)
class Making:
    """One snapshot in the making. Use it in a `with` block.

    `made` first; then `listed`, which takes a while, so that something else can be done meanwhile.
    """

    task: BackupTask
    restic: Restic
    root: Path
    listener: Callable[[Message], None]
    _before: Before | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _pool: ThreadPoolExecutor = field(init=False)
    _description: Describing = field(init=False)
    _fetching: Future[tuple[Path | None, str]] | None = None
    _looking: Future[Listed] | None = None

    def __enter__(self) -> Self:
        self._pool = self._stack.enter_context(ThreadPoolExecutor(2, "asking"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def before(self) -> Before:
        """What there is of the snapshot before."""
        if self._before is None:
            raise RuntimeError("what was before is known once it was made")
        return self._before

    def made(self) -> Made | None:
        """Back up; return what that made. None: there was nothing, and nobody has confirmed that.

        Raises `MoverError`, and OSError when the volume or the folder for temporary files fails.
        """
        try:
            return self._made(parent=self.task.previous is not None)
        except NoParent as unfit:
            self._description.end()
            self._before = unfit.before
            return self._made(parent=False)

    @property
    def folder(self) -> Folder | None:
        """The volume's own folder, as it was all the time."""
        return self._description.folder()

    def listed(self) -> Listed:
        """Return the snapshot as the repository has it: only what can be found again is a backup."""
        if self._looking is not None:
            return self._looking.result()
        if self.before.snapshot is None:
            raise RuntimeError("listed comes after made")
        return self.before.snapshot

    def _made(self, *, parent: bool) -> Made | None:
        scratch = self.restic.scratch / ("manifest" if parent else "manifest-anew")
        scratch.mkdir()
        task = self.task
        self._description = self._stack.enter_context(
            Describing(self.root, scratch, task.manifest == "full", goes_on=self.restic.goes_on)
        )
        outcome, is_empty = self._run(parent=parent)
        if is_empty and not may_be_empty(task):
            return None
        if outcome.status not in (DONE, INCOMPLETE):
            raise outcome.failed()
        summary = outcome.counted(BackupSummary)
        if is_empty:  # but for the placeholder
            summary = msgspec.structs.replace(summary, total_files_processed=0, total_bytes_processed=0, files_new=0)
        is_same = parent and not summary.snapshot_id
        if is_same and (outcome.status == INCOMPLETE or outcome.complaints_total):
            # Something could not be read, and it does not show: a snapshot says what there is.
            raise NoParent(replace(self.before, snapshot=None, manifest=None, warnings=("all is read anew",)))
        is_unchanged = is_same and self._is_same_folder()
        if is_unchanged and self._has_manifest():
            return Made(outcome, summary, None, is_same, is_unchanged, is_empty, self.before.warnings)
        if not is_same:
            self._looking = self._pool.submit(_listed, self.restic, task, summary)
        previous, warning = self._manifest_before()
        described = self._description.finish(previous)
        warnings = (*self.before.warnings, *filter(None, (warning, described.warning)))
        return Made(outcome, summary, described, is_same, is_unchanged, is_empty, warnings)

    def _run(self, *, parent: bool) -> tuple[Outcome, bool]:
        """Back up; return how it ended, and whether there was nothing that restic could save: sockets are nothing, too.

        Of nothing restic makes no snapshot. If that may be, it is given a placeholder.
        """
        restic, task = self.restic, self.task
        id_ = task.previous.id if parent and task.previous else ""

        def both(message: Message) -> None:
            if isinstance(done := message.get("bytes_done"), int):
                self._description.reached(done)
            self.listener(message)

        with Gate(restic.scratch / "gate", lambda: self._prepare(parent=parent)) as gate:
            command = commands.backup(task, root=self.root, parent=id_, gate=gate.pipe)
            outcome = restic.run(command, doing="back up", cwd=self.root, listener=both, gate=gate)
        if gate.error is not None:  # it says better what is wrong than a restic that came to nothing by it
            raise gate.error
        is_empty = outcome.status != DONE and not outcome.complaints_total and _NOTHING in " ".join(outcome.tail)
        if not is_empty or not may_be_empty(task):
            return outcome, is_empty
        file = restic.scratch / commands.NOTHING
        file.write_bytes(b"The volume was empty.\n")  # without a byte restic complains again
        with file.open("rb") as placeholder:
            made = restic.run(commands.backup_nothing(task), doing="back up", stdin=placeholder, listener=self.listener)
        return made, True

    def _prepare(self, *, parent: bool) -> None:
        """Do what comes before restic reads the volume, while it opens the repository."""
        asking = None if self._before else self._pool.submit(look_before, self.task, self.restic)
        self.restic.version()
        self._description.look()
        if asking is not None:
            self._before = asking.result()
        if parent and self.before.snapshot is None:
            raise NoParent(self.before)
        self._description.begin(self._since())
        if self._since() is not None and self._description.is_newer:
            self._fetching = self._pool.submit(_manifest_before, self.task, self.restic, self.before)

    def _since(self) -> int | None:
        """Return when the backup before began, in nanoseconds; None where no manifest can say what was before that.

        Then everything is looked into beside restic, and not once it has ended.
        """
        previous, before = self.task.previous, self.before
        if previous is None or before.manifest is None:
            return None
        if self.task.manifest == "full" and not attesting.has_hashes(before.manifest):
            return None
        return int(previous.start.timestamp() * 1_000_000_000)

    def _is_same_folder(self) -> bool:
        previous = self.task.previous
        return previous is not None and previous.folder is not None and self.folder == previous.folder

    def _has_manifest(self) -> bool:
        """Whether there is a manifest of the snapshot before that says all that is wanted, and is sure of it."""
        manifest = self.before.manifest
        return (
            manifest is not None
            and manifest.tag(commands.CONTENT) == self.task.manifest
            and attesting.calls_whole(manifest)
        )

    def _manifest_before(self) -> tuple[Path | None, str]:
        if self._since() is None:
            return None, ""
        if self._fetching is None:
            return _manifest_before(self.task, self.restic, self.before)
        return self._fetching.result()


def may_be_empty(task: BackupTask) -> bool:
    """Whether somebody has confirmed, now or for the snapshot before, that nothing is to be expected."""
    return task.confirmed or (task.previous is not None and task.previous.state is State.EMPTY)


def look_before(task: BackupTask, restic: Restic) -> Before:
    """Return what there is of the snapshot before, if it is what it should be, and warnings if it is not.

    Raises what opening the repository raises, and `OtherRepository` when it is not the known one.
    """
    previous, known = task.previous, task.repository_id
    if previous is None:
        id_ = repository.repository_id(restic, known=known)
        is_asked = task.known is None and not task.tried and not task.confirmed
        return Before(id_, earlier=earlier.look_for(restic, task.volume) if is_asked else None)
    short = previous.id[:8]
    listed = repository.listed(restic, previous)
    found = listed.get(previous.id)
    # Ids are random and long: what has the snapshot that the known repository should have is the known one.
    id_ = known if found is not None and known else repository.repository_id(restic, known=known)
    if found is None:
        warning = f"the snapshot before, {short}, is not in the repository any more: all is read anew"
        return Before(id_, warnings=(warning,))
    if not repository.belongs(found, task.volume) or found.tree != previous.tree:
        return Before(id_, warnings=(f"the snapshot before, {short}, is not what the record says: all is read anew",))
    manifest = listed.get(previous.manifest)
    is_missed = previous.manifest and manifest is None and task.manifest == "full"
    warning = "the manifest before is not in the repository any more: all is hashed anew"
    return Before(id_, found, manifest, warnings=(warning,) if is_missed else ())


def _manifest_before(task: BackupTask, restic: Restic, before: Before) -> tuple[Path | None, str]:
    """Return the manifest of the snapshot before, as a file, or a warning: without it, files are hashed anew."""
    if before.manifest is None or task.previous is None:
        return None, ""
    try:
        return attesting.fetch(restic, before.manifest, task.previous, restic.scratch / "previous.jsonl"), ""
    except Interrupted:
        raise
    except (ResticError, attesting.NoManifest) as error:
        return None, f"all files are hashed anew: {error}"


def _listed(restic: Restic, task: BackupTask, summary: BackupSummary) -> Listed:
    if not summary.snapshot_id:
        raise ResticError("restic: back up: it ended without saying which snapshot it made")
    found = repository.snapshot(restic, summary.snapshot_id)
    if found is None:
        raise RepositoryDamaged(f"restic: the snapshot {summary.snapshot_id[:8]} just made is not in the repository")
    repository.require_ours(found, task.volume)
    return found
