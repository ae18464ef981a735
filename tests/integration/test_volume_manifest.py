"""The manifest and the real restic: the same volume, the same files, and no claim that a restore belies."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drsyncer.snapshot import Snapshot, State
from tests.integration import plain_walk
from tests.integration.movers import Backend, Mover
from tests.integration.plain_restic import PlainRestic
from tests.unit.volume_trees import make_odd, make_too_deep, remove_too_deep
from volumes.comparing import Comparison, Field, Skipped, compare_folder
from volumes.describing import Described, describing
from volumes.manifest import NAME, Entry, Kind, Reader, Unsure

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives back other owners, devices and capabilities")


@dataclass(frozen=True, slots=True)
class Case:
    """A volume, a repository, and a place to restore to."""

    folder: Path
    restic: PlainRestic

    @property
    def volume(self) -> Path:
        return self.folder / "volume"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def target(self) -> Path:
        return self.folder / "target"

    def back_up(
        self, *words: str, meanwhile: Callable[[], None] | None = None, codes: tuple[int, ...] = (0,)
    ) -> tuple[dict[str, object], Described]:
        """Back up the volume, with its manifest; `meanwhile` runs beside restic."""
        with describing(self.volume, scratch=self.scratch, content=True) as manifest:
            beside = threading.Thread(target=meanwhile)
            beside.start()
            try:
                summary = self.restic.backup(self.volume, *words, codes=codes)
            finally:
                beside.join()
            return summary, manifest.finish()

    def restored(
        self, summary: dict[str, object], described: Described, *, codes: tuple[int, ...] = (0,)
    ) -> Comparison:
        self.restic.restore(str(summary["snapshot_id"]), self.target, codes=codes)
        return compare_folder(described.file, self.target, content=True)


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> PlainRestic:
    return PlainRestic(tmp_path_factory.mktemp("empty")).init()


@pytest.fixture
def case(tmp_path: Path, empty_repository: PlainRestic) -> Case:
    case = Case(tmp_path, empty_repository.copied_to(tmp_path / "restic"))
    case.volume.mkdir()
    case.scratch.mkdir()
    return case


def entries(described: Described) -> dict[bytes, Entry]:
    with described.file.open("rb") as file:
        return {entry.name: entry for entry in Reader(file)}


@needs_root
def test_everything_odd_comes_back_by_our_own_and_by_an_independent_comparison(case: Case) -> None:
    make_odd(case.volume)
    (case.volume / "lost+found").mkdir()
    (case.volume / "lost+found" / "#1").write_text("the file system's own")
    os.chown(case.volume, 0, 0)
    case.target.mkdir(mode=stat.S_IMODE(case.volume.stat().st_mode))

    summary, described = case.back_up()
    comparison = case.restored(summary, described)

    assert described.sure
    assert [str(one) for one in comparison.differences] == []
    assert comparison.skipped == {Skipped.SOCKET: 1}
    source, restored = plain_walk.describe(case.volume), plain_walk.describe(case.target)
    for left_out in (b"lost+found", b"lost+found/#1", b"socket"):
        del source[left_out]
    assert source == restored
    sparse = case.target / "sparse"
    assert sparse.stat().st_blocks * 512 < sparse.stat().st_size // 8


def test_the_manifest_has_the_very_paths_and_counts_of_the_snapshot(case: Case) -> None:
    make_odd(case.volume)

    summary, described = case.back_up()

    listed = case.restic.run("ls", "--json", str(summary["snapshot_id"])).splitlines()[1:]
    ours = [entry for entry in entries(described).values() if entry.type is not Kind.SOCKET and entry.path != "."]
    assert len(listed) == len(ours)
    assert summary["total_files_processed"] == described.footer.files
    assert summary["total_bytes_processed"] == described.footer.bytes


def rewritten_with_its_old_time(file: Path) -> None:
    about = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"new")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))


def appended(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")


def replaced(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(b"another file")
    new.rename(file)


def test_files_that_change_while_restic_reads_are_never_sure(case: Case) -> None:
    changes: dict[str, Callable[[Path], object]] = {
        "appended": appended,
        "truncated": lambda file: os.truncate(file, 100),
        "rewritten": rewritten_with_its_old_time,
        "replaced": replaced,
        "removed": Path.unlink,
    }
    for name in (*changes, "still"):
        (case.volume / name).write_bytes(random.Random(name).randbytes(5_000_000))

    def meanwhile() -> None:
        for name, change in changes.items():
            change(case.volume / name)

    _, described = case.back_up(meanwhile=meanwhile, codes=(0, 3))

    unsure = {entry.path for entry in entries(described).values() if entry.unsure}
    by_name = unsure - {"new", "removed"}  # of what is gone before we read it only the folder tells
    assert by_name == set(changes) - {"removed"} | {"."}


def test_whatever_is_sure_comes_back_as_it_is_listed_while_everything_changes(case: Case) -> None:
    """The one promise of a manifest: what it does not call unsure is in the snapshot, byte for byte."""
    chance = random.Random(4711)
    for number in range(300):
        folder = case.volume / f"folder-{number % 30}"
        folder.mkdir(exist_ok=True)
        (folder / f"file-{number}").write_bytes(chance.randbytes(chance.choice([10, 5_000, 300_000])))
    ended = threading.Event()
    changes = 0

    def churn() -> None:
        nonlocal changes
        while not ended.wait(0.002):
            file = case.volume / f"folder-{chance.randrange(0, 10)}" / f"file-{chance.randrange(0, 300)}"
            _disturb(file, chance)
            changes += 1

    with describing(case.volume, scratch=case.scratch, content=True) as manifest:
        beside = threading.Thread(target=churn)
        beside.start()
        try:
            summary = case.restic.backup(case.volume, codes=(0, 3))
            described = manifest.finish()
        finally:
            ended.set()
            beside.join()
    case.target.mkdir()
    comparison = case.restored(summary, described)

    assert changes > 20
    assert not described.sure
    listed = entries(described)
    assert sum(entry.unsure is Unsure.NO for entry in listed.values()) > 200
    assert [str(one) for one in comparison.differences if one.path != "."] == []
    assert comparison.skipped[Skipped.UNSURE] > 0


def _disturb(file: Path, chance: random.Random) -> None:
    """Do to a file what programs do to theirs; where it is not there, make it."""
    action = chance.randrange(6)
    if not file.exists() or action == 0:
        file.write_bytes(chance.randbytes(2000))
    elif action == 1:
        file.unlink()
    elif action == 2:
        appended(file)
    elif action == 3:
        rewritten_with_its_old_time(file)
    elif action == 4:
        os.truncate(file, file.stat().st_size // 2)
    else:
        file.rename(file.with_name(f"moved-{chance.randrange(100)}"))


def test_what_restic_cannot_reach_is_in_the_manifest_and_missing_in_the_comparison(case: Case) -> None:
    name = "d" * 240  # no folder's path ends near PATH_MAX, wherever the tests have their files
    make_too_deep(case.volume, levels=20, name=name)
    try:
        summary, described = case.back_up(codes=(3,))
        assert described.sure
        assert described.footer.entries == 1 + 20 + 1
        comparison = case.restored(summary, described)
        assert comparison.totals[Field.MISSING] > 0
    finally:
        remove_too_deep(case.volume, name=name)


@pytest.fixture
def mover(tmp_path: Path, empty_repository: PlainRestic) -> Mover:
    shutil.copytree(empty_repository.folder / "repository", tmp_path / "repository")
    return Mover(tmp_path / "movers", Backend(repository=str(tmp_path / "repository"), folder=tmp_path / "repository"))


def manifest_of(mover: Mover, snapshot: Snapshot) -> list[Entry]:
    text = mover.restic("dump", snapshot.manifest, f"/{NAME}")
    return list(Reader(io.BytesIO(text.encode())))


def test_a_mover_gives_each_snapshot_a_manifest_and_makes_neither_where_nothing_changed(
    mover: Mover, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    for name in ("changing", "still"):
        (volume / name).write_bytes(b"before")

    first = mover.backup(volume).snapshot
    second = mover.backup(volume, previous=first)
    rewritten_with_its_old_time(volume / "changing")
    third = mover.backup(volume, previous=second.snapshot)

    assert [second.state, third.state] == [State.UNCHANGED, State.COMPLETE]
    assert (first.id, first.manifest) == (second.snapshot.id, second.snapshot.manifest)
    assert (len(mover.snapshots()), len(mover.manifests())) == (2, 2)
    hashes = [{entry.path: entry.sha256 for entry in manifest_of(mover, one.snapshot)} for one in (second, third)]
    assert {path for path, sha256 in hashes[1].items() if sha256 != hashes[0][path]} == {"changing"}


def test_a_manifest_is_not_taken_over_when_the_volumes_own_folder_has_changed(mover: Mover, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)
    (volume / "file").touch()
    first = mover.backup(volume).snapshot
    volume.chmod(0o2770)

    second = mover.backup(volume, previous=first).snapshot

    assert (second.id, second.tree) == (first.id, first.tree)  # restic's has everything but that folder
    assert second.state is State.COMPLETE
    assert manifest_of(mover, second)[0].mode == 0o2770


def test_a_manifest_that_says_less_than_is_wanted_or_is_gone_is_made_anew_for_the_same_snapshot(
    mover: Mover, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_bytes(b"content")
    without = mover.backup(volume, manifest="metadata").snapshot
    full = mover.backup(volume, previous=without)
    mover.restic("forget", full.snapshot.manifest)
    again = mover.backup(volume, previous=full.snapshot)

    assert full.state is again.state is State.UNCHANGED
    assert without.id == full.snapshot.id == again.snapshot.id
    assert len({without.manifest, full.snapshot.manifest, again.snapshot.manifest}) == 3
    assert "all is hashed anew" in again.result.warnings[0]
    assert [bool(one.sha256) for one in manifest_of(mover, again.snapshot)] == [False, True]
    (tmp_path / "target").mkdir()
    assert mover.restore(again.snapshot, tmp_path / "target").result.verified == "all"


def test_a_manifest_without_hashes_stays_too_where_nothing_changed(mover: Mover, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_bytes(b"content")
    first = mover.backup(volume, manifest="metadata").snapshot
    again = mover.backup(volume, previous=first, manifest="metadata")
    (volume / "more").touch()
    more = mover.backup(volume, previous=again.snapshot, manifest="metadata").snapshot

    assert (again.state, again.snapshot.manifest) == (State.UNCHANGED, first.manifest)
    assert [entry.path for entry in manifest_of(mover, more)] == [".", "file", "more"]
    assert len(mover.manifests()) == 2
