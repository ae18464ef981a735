"""Volumes: a mover beside restic alone, on the same files, with the same flags, into repositories in folders.

A mover is taken as a pod runs it: the start of Python, all that it asks the repository beside the backup, and the
manifest are in its time. restic alone is what somebody would type, and keeps its cache from run to run; a restore is
followed by `sync`, since a mover's is not over before the disk has it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from drsyncer.snapshot import Snapshot
from tests.bench.report import Figure, median
from tests.bench.stopwatch import ROOT, Run, run
from tests.cluster.tools import find
from volumes import commands, result, task
from volumes.answers import BackupSummary
from volumes.task import Access, BackupTask, RestoreTask, Volume

_PASSWORD = "bench"
_FOLDERS = 100  # files in one folder, of the small ones
_SMALL = 8_000  # bytes, at most
_BLOCK = 1 << 20
_SPACE = 3.2  # of the data: itself, a repository, what is restored
_VOLUME = Volume(host="bench", namespace="bench", name="data")


@dataclass(frozen=True, slots=True)
class Data:
    """Files to back up."""

    what: str
    root: Path
    files: int
    bytes: int


@dataclass(slots=True)
class Times:
    """What was run, once a round."""

    first: list[Run] = field(default_factory=list)
    again: list[Run] = field(default_factory=list)
    restore: list[Run] = field(default_factory=list)


def measure(folder: Path, *, large: tuple[int, int], small: int, rounds: int) -> list[Figure]:
    """Return backups and restores per second; `large`: how many files of how many bytes, `small`: how many files."""
    figures: list[Figure] = []
    sets: tuple[Callable[[Path], Data], ...] = (
        lambda root: _large(root, files=large[0], size=large[1]),
        lambda root: _small(root, files=small),
    )
    for make in sets:
        _require_space(folder, max(large[0] * large[1], small * _SMALL))
        data = make(folder / "volume")
        figures += _measured(folder, data, rounds=rounds)
        shutil.rmtree(data.root)
    return figures


def _measured(folder: Path, data: Data, *, rounds: int) -> list[Figure]:
    ours, bare, theirs = Times(), Times(), Times()
    for number in range(rounds):
        # Whoever is second finds the files in memory; so all do, and they take turns.
        _read(data.root)
        turns = [(_ours, ours), (_theirs, theirs), (_bare, bare)]
        for turn, times in turns if number % 2 == 0 else reversed(turns):
            os.sync()
            turn(folder, data, times)
    return [
        _throughput(f"back up {data.what}", data, ours.first, theirs.first),
        _throughput("without hashes (manifest: metadata)", data, bare.first, theirs.first),
        _time("the same again, unchanged", ours.again, theirs.again),
        _throughput(f"restore {data.what}", data, ours.restore, theirs.restore),
    ]


def _ours(folder: Path, data: Data, times: Times) -> None:
    repository = _Repository(folder / "ours")
    access = Access(repository=str(repository.folder / "repository"))
    asked = BackupTask(access=access, volume=_VOLUME, run="1", root=str(data.root))
    first = repository.move(asked, times.first)
    asked = msgspec.structs.replace(asked, run="2", previous=first.snapshot, repository_id=first.repository)
    again = repository.move(asked, times.again)
    target = repository.folder / "target"
    target.mkdir()
    wanted = RestoreTask(
        access=access,
        volume=_VOLUME,
        repository_id=first.repository,
        snapshot=_snapshot(again),
        root=str(target),
    )
    repository.move(wanted, times.restore)
    shutil.rmtree(repository.folder)


def _bare(folder: Path, data: Data, times: Times) -> None:
    repository = _Repository(folder / "bare")
    access = Access(repository=str(repository.folder / "repository"))
    asked = BackupTask(access=access, volume=_VOLUME, run="1", root=str(data.root), manifest="metadata")
    repository.move(asked, times.first)
    shutil.rmtree(repository.folder)


def _theirs(folder: Path, data: Data, times: Times) -> None:
    repository = _Repository(folder / "theirs")
    asked = BackupTask(access=Access(repository=""), volume=_VOLUME, run="1", root=str(data.root))
    first = repository.backup(commands.backup(asked, root=data.root), data.root, times.first)
    repository.backup(commands.backup(asked, root=data.root, parent=first), data.root, times.again)
    target = repository.folder / "target"
    repository.restic(commands.restore(first, target=target), repository.folder, times.restore, synced=target)
    shutil.rmtree(repository.folder)


class _Repository:
    """A repository in a folder of its own, with a key that restic made: opening it costs what it costs anybody.

    It is the same key in all of them: its price depends on how busy the machine was when it was made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._secret = folder / "secret"
        self._secret.mkdir()
        (self._secret / task.PASSWORD).write_text(_PASSWORD)
        self._log = folder / "out"
        self._environment = {
            "PATH": f"{find('restic').parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        empty = folder.parent / "empty"
        if not empty.exists():
            self.restic(commands.init(), folder, [])
            shutil.copytree(folder / "repository", empty)
        else:
            shutil.copytree(empty, folder / "repository")

    def restic(self, command: Sequence[str], cwd: Path, times: list[Run], *, synced: Path | None = None) -> str:
        """Run restic; add how it ran; return its last line. `synced`: a folder that the disk must have afterwards."""
        access = Access(repository="")
        before = commands.surroundings(access, cache=str(self.folder / "cache"))
        environment = self._environment | {
            "RESTIC_REPOSITORY": str(self.folder / "repository"),
            "RESTIC_PASSWORD": _PASSWORD,
            "RESTIC_PROGRESS_FPS": "5",  # as movers have it: sixty lines a second, restic's own choice, cost it much
        }
        argv = [str(find("restic")), *before, *command]
        if synced is not None:
            argv = ["sh", "-c", '"$@" && sync --file-system "$0"', str(synced), *argv]
        ran = run(argv, env=environment, output=self._log, cwd=cwd)
        times.append(ran)
        return self._log.read_text(errors="replace").splitlines()[-1]

    def backup(self, command: Sequence[str], root: Path, times: list[Run]) -> str:
        """Back up; return the snapshot's id."""
        return msgspec.json.decode(self.restic(command, root, times), type=BackupSummary).snapshot_id

    def move(self, asked: task.Task, times: list[Run]) -> result.Result:
        """Run a mover; add how it ran; return its result."""
        (self._secret / task.TASK).write_bytes(task.encode(asked))
        answer = self.folder / "termination-log"
        argv = [sys.executable, "-m", "volumes.mover", "--folder", str(self._secret), "--termination-log", str(answer)]
        ran = run(argv, env=self._environment, output=self._log)
        times.append(ran)
        return result.decode(answer.read_bytes())


def _snapshot(done: result.Result) -> Snapshot:
    if done.snapshot is None or not done.state.whole:
        raise RuntimeError(f"the backup is {done.state}: {done.message}")
    return done.snapshot


def _large(root: Path, *, files: int, size: int) -> Data:
    root.mkdir()
    for number in range(files):
        with (root / f"file-{number:05}").open("wb") as file:
            for start in range(0, size, _BLOCK):
                file.write(os.urandom(min(_BLOCK, size - start)))
    return Data(f"{files:,} files, {files * size / 1e9:.1f} GB", root, files, files * size)


def _small(root: Path, *, files: int) -> Data:
    root.mkdir()
    total = 0
    for number in range(files):
        folder = root / f"folder-{number // _FOLDERS:05}"
        if number % _FOLDERS == 0:
            folder.mkdir()
        content = os.urandom(100 + number * 7919 % (_SMALL - 100))
        (folder / f"file-{number:07}").write_bytes(content)
        total += len(content)
    return Data(f"{files:,} small files, {total / 1e6:.0f} MB", root, files, total)


def _read(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(_BLOCK):
                    pass


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size * _SPACE:
        raise RuntimeError(f"{folder} has {free / 1e9:.1f} GB free, and {size * _SPACE / 1e9:.1f} GB are needed")


def _throughput(what: str, data: Data, ours: list[Run], theirs: list[Run]) -> Figure:
    ratio = _seconds(theirs) / _seconds(ours)
    return Figure(
        what,
        _rate(data, ours),
        f"restic alone: {_rate(data, theirs)}",
        f"{ratio:.2f} of its throughput",
        "≥ 0.95",
        ratio >= 0.95,
        raw=_raw(ours, theirs),
    )


def _time(what: str, ours: list[Run], theirs: list[Run]) -> Figure:
    ratio = _seconds(ours) / _seconds(theirs)
    return Figure(
        what,
        f"{_seconds(ours):.1f} s ({_cpu(ours)})",
        f"restic alone: {_seconds(theirs):.1f} s ({_cpu(theirs)})",
        f"{ratio:.2f} of its time",
        "≤ 1.3",
        ratio <= 1.3,
        raw=_raw(ours, theirs),
    )


def _rate(data: Data, runs: list[Run]) -> str:
    seconds = _seconds(runs)
    return f"{data.bytes / seconds / 1e6:,.0f} MB/s, {data.files / seconds:,.0f} files/s ({_cpu(runs)})"


def _seconds(runs: list[Run]) -> float:
    return median([one.seconds for one in runs])


def _cpu(runs: list[Run]) -> str:
    """What it cost: on a machine that does other things, too, this says more than how long it took."""
    return f"CPU {median([one.cpu for one in runs]):.1f} s"


def _raw(ours: list[Run], theirs: list[Run]) -> dict[str, list[float]]:
    return {
        "seconds": [one.seconds for one in ours],
        "cpu_seconds": [one.cpu for one in ours],
        "restic_seconds": [one.seconds for one in theirs],
        "restic_cpu_seconds": [one.cpu for one in theirs],
    }
