"""A manifest is sure of a path only when nothing happened to it between the start of a backup and its end."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drsyncer.snapshot import Folder
from tests.unit.volume_trees import make_odd
from volumes import inspecting
from volumes.describing import Described, Describing, describing
from volumes.failure import Interrupted
from volumes.inspecting import Looking, entries
from volumes.manifest import Entry, Reader, Unsure
from volumes.walking import Found

Change = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def make(root: Path, scratch: Path, meanwhile: Change | None = None, *, previous: Path | None = None) -> Described:
    """Make a manifest; `meanwhile` is done when everything has been read once."""
    since = None if previous is None else start_of(previous)
    with describing(root, scratch=scratch, content=True, since=since) as manifest:
        if meanwhile is not None:
            assert manifest._thread is not None
            manifest._thread.join()
            meanwhile(root)
        return manifest.finish(previous)


def start_of(manifest: Path) -> int:
    with manifest.open("rb") as file:
        return Reader(file).header.start


def read(described: Described) -> list[Entry]:
    with described.file.open("rb") as file:
        return list(Reader(file))


def there(root: Path) -> list[Entry]:
    def missed(path: bytes, error: OSError) -> None:
        raise AssertionError(path) from error

    return list(entries(root, content=True, missed=missed)[1])


def unsure(described: Described) -> dict[bytes, Unsure]:
    return {entry.name: entry.unsure for entry in read(described) if entry.unsure}


def fill(root: Path) -> None:
    for name in ("appended", "truncated", "rewritten", "replaced", "removed", "chmod", "still"):
        (root / name).write_text("before ")
    (root / "folder" / "inner").mkdir(parents=True)
    (root / "folder" / "inner" / "file").write_text("1")
    (root / "other").mkdir()


def test_a_quiet_volume_is_described_as_it_is(root: Path, scratch: Path) -> None:
    make_odd(root)

    described = make(root, scratch)

    assert described.sure
    assert described.names == ()
    assert read(described) == there(root)
    assert [file.name for file in scratch.iterdir()] == [described.file.name]


def appended_to(root: Path) -> None:
    with (root / "appended").open("a") as file:
        file.write("more")


def rewritten_with_its_old_time(root: Path) -> None:
    before = (root / "rewritten").stat()
    (root / "rewritten").write_text("BEFORE ")  # as long as it was
    os.utime(root / "rewritten", ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_a_likeness(root: Path) -> None:
    before = (root / "replaced").stat()
    (root / "new").write_text("BEFORE ")
    os.utime(root / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "new").rename(root / "replaced")


def written_and_put_back(root: Path) -> None:
    before = (root / "rewritten").stat()
    (root / "rewritten").write_text("BEFORE ")
    (root / "rewritten").write_text("before ")
    os.utime(root / "rewritten", ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGED = Unsure.CHANGED


CHANGES: list[tuple[Change, dict[bytes, Unsure]]] = [
    (appended_to, {b"appended": CHANGED}),
    (lambda root: os.truncate(root / "truncated", 2), {b"truncated": CHANGED}),
    (rewritten_with_its_old_time, {b"rewritten": CHANGED}),
    (written_and_put_back, {b"rewritten": CHANGED}),
    (replaced_by_a_likeness, {b".": CHANGED, b"replaced": CHANGED}),
    (lambda root: (root / "chmod").chmod(0o600), {b"chmod": CHANGED}),
    (lambda root: os.setxattr(root / "still", "user.x", b"1"), {b"still": CHANGED}),
    (lambda root: (root / "removed").unlink(), {b".": CHANGED, b"removed": Unsure.VANISHED}),
    (lambda root: (root / "new").touch(), {b".": CHANGED, b"new": Unsure.APPEARED}),
    (
        lambda root: (root / "folder" / "inner").rename(root / "other" / "inner"),
        {
            b"folder": CHANGED,
            b"folder/inner": Unsure.VANISHED,
            b"folder/inner/file": Unsure.VANISHED,
            b"other": CHANGED,
            b"other/inner": Unsure.APPEARED,
            b"other/inner/file": Unsure.APPEARED,
        },
    ),
    (
        lambda root: (root / "one-more-name").hardlink_to(root / "still"),
        {b".": CHANGED, b"still": CHANGED, b"one-more-name": Unsure.APPEARED},
    ),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_what_changes_while_the_backup_runs_is_unsure(
    root: Path, scratch: Path, change: Change, expected: dict[bytes, Unsure]
) -> None:
    fill(root)

    described = make(root, scratch, change)

    assert unsure(described) == expected
    assert not described.sure
    assert described.changed == len(expected)
    assert len(described.names) == len(expected)
    assert not any(entry.sha256 for entry in read(described) if entry.unsure)


@pytest.mark.parametrize(("change", "expected"), CHANGES)
@pytest.mark.parametrize("again", [False, True])
def test_what_changes_before_it_was_read_is_unsure_too(
    root: Path,
    scratch: Path,
    change: Change,
    expected: dict[bytes, Unsure],
    again: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is gone by then has no entry, but its folder has changed. The manifest before knows its name."""
    fill(root)
    previous = make(root, scratch).file.rename(scratch / "previous") if again else None
    changed = threading.Event()
    look_behind = Describing._look_behind

    def later(self: Describing) -> None:
        changed.wait()
        look_behind(self)

    monkeypatch.setattr(Describing, "_look_behind", later)
    since = None if previous is None else start_of(previous)
    with describing(root, scratch=scratch, content=True, since=since) as manifest:
        change(root)
        changed.set()
        described = manifest.finish(previous)

    assert unsure(described) == {
        path: why for path, why in expected.items() if why is not Unsure.VANISHED or previous is not None
    }
    assert not described.sure


def test_a_file_that_is_only_read_stays_sure(root: Path, scratch: Path) -> None:
    fill(root)

    assert make(root, scratch, lambda _: (root / "still").read_text()).sure


def test_what_a_change_in_the_very_tick_of_the_first_look_left_is_described(root: Path, scratch: Path) -> None:
    """Whoever starts a backup right after a change gets that change, whatever the resolution of times."""
    for number in range(20):
        (root / "file").write_text(f"{number:04}")
        described = make(root, scratch)
        assert described.sure
        assert read(described)[-1] == there(root)[-1]


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of somebody who may not read everything, and be that one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "volume").mkdir()
        (folder / "scratch").mkdir()
        if os.geteuid() != 0:
            yield folder
            return
        for path in (folder, folder / "volume", folder / "scratch"):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


def test_what_cannot_be_read_is_unsure(nobody: Path) -> None:
    root = nobody / "volume"
    fill(root)
    (root / "still").chmod(0)
    (root / "folder").chmod(0)
    try:
        described = make(root, nobody / "scratch")
    finally:
        (root / "folder").chmod(0o755)

    assert unsure(described) == {b"still": Unsure.UNREADABLE}
    assert described.footer.unread == 1
    assert described.names == ("still (unreadable)", "folder (Permission denied)")
    assert not described.sure


def test_hashes_of_unchanged_files_are_taken_over(root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root)
    first = make(root, scratch)
    previous = first.file.rename(scratch / "previous")
    before = read(Described(previous, first.footer, ()))
    rewritten_with_its_old_time(root)
    opened: list[bytes] = []
    read_file = inspecting.Looking._file

    def counted(self: Looking, found: Found) -> tuple[str, dict[str, bytes]]:
        opened.append(found.path)
        return read_file(self, found)

    monkeypatch.setattr(inspecting.Looking, "_file", counted)
    described = make(root, scratch, previous=previous)

    assert opened == [b"rewritten"]
    now = read(described)
    assert [entry.name for entry in now if entry.sha256 not in {one.sha256 for one in before}] == [b"rewritten"]
    monkeypatch.undo()
    assert now == there(root)


def test_the_volumes_own_folder_is_told_unless_it_changes_meanwhile(root: Path, scratch: Path) -> None:
    fill(root)
    root.chmod(0o2750)
    about = root.stat()

    with describing(root, scratch=scratch, content=True) as manifest:
        folder = manifest.folder()
        root.chmod(0o700)
        changed = manifest.folder()

    assert folder == Folder(mode=0o2750, uid=about.st_uid, gid=about.st_gid, changed=about.st_ctime_ns)
    assert changed is None


def test_where_nothing_is_newer_nothing_is_read_or_walked_beside_restic(root: Path, scratch: Path) -> None:
    fill(root)
    previous = make(root, scratch).file.rename(scratch / "previous")
    time.sleep(0.05)

    with describing(root, scratch=scratch, content=True, since=time.time_ns()) as manifest:
        assert not manifest.is_newer
        assert read(manifest.finish(previous)) == there(root)
    (root / "new").touch()
    with describing(root, scratch=scratch, content=True, since=start_of(previous)) as manifest:
        assert manifest.is_newer


@pytest.mark.parametrize("looks", [0, 3, 200])
def test_a_mover_that_is_told_to_stop_stops_wherever_it_is(root: Path, scratch: Path, looks: int) -> None:
    """In the first walk, while it waits for hours of hashing, and in the last walk."""
    for number in range(150):
        (root / f"file-{number}").write_text("x")
    with (root / "zz-sparse").open("wb") as file:
        file.truncate(1 << 40)
    left = iter(range(looks))

    with (
        pytest.raises(Interrupted),
        describing(root, scratch=scratch, content=True, goes_on=lambda: next(left, None) is not None) as manifest,
    ):
        manifest.finish()

    assert list(scratch.iterdir()) == []


def test_a_previous_manifest_may_come_early_or_late(root: Path, scratch: Path) -> None:
    fill(root)
    previous = make(root, scratch).file.rename(scratch / "previous")
    late = read(make(root, scratch, previous=previous))
    with describing(root, scratch=scratch, content=True, previous=previous) as manifest:
        early = read(manifest.finish())

    assert early == late == there(root)


def test_a_clock_that_is_wrong_costs_time_and_nothing_else(root: Path, scratch: Path) -> None:
    """`since` only says what is worth reading early: a file server may have another time than we."""
    fill(root)
    previous = make(root, scratch).file.rename(scratch / "previous")
    rewritten_with_its_old_time(root)
    replaced_by_a_likeness(root)

    for since in (0, 2**62):
        with describing(root, scratch=scratch, content=True, since=since) as manifest:
            described = manifest.finish(previous)
        assert described.sure
        assert read(described) == there(root)


def test_what_changes_while_it_is_read_after_restic_has_ended_is_unsure(
    root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root)
    read_file = inspecting.Looking._file

    def disturbed(self: Looking, found: Found) -> tuple[str, dict[str, bytes]]:
        if found.path == b"rewritten":
            rewritten_with_its_old_time(root)
        return read_file(self, found)

    with describing(root, scratch=scratch, content=True, since=2**62) as manifest:
        assert manifest._thread is not None
        manifest._thread.join()
        monkeypatch.setattr(inspecting.Looking, "_file", disturbed)
        described = manifest.finish()

    assert unsure(described) == {b"rewritten": CHANGED}


def test_a_previous_manifest_without_hashes_is_no_reason_to_have_none(root: Path, scratch: Path) -> None:
    fill(root)
    with describing(root, scratch=scratch, content=False) as manifest:
        previous = manifest.finish().file.rename(scratch / "previous")

    assert read(make(root, scratch, previous=previous)) == there(root)


@pytest.mark.parametrize("length", [10, 400])
def test_a_damaged_previous_manifest_is_said_and_not_believed(root: Path, scratch: Path, length: int) -> None:
    fill(root)
    first = make(root, scratch)
    previous = first.file.rename(scratch / "previous")
    previous.write_bytes(previous.read_bytes()[:length])

    with describing(root, scratch=scratch, content=True, previous=previous) as manifest:
        described = manifest.finish()

    assert "previous manifest" in described.warning
    assert described.sure
    assert read(described) == there(root)


def test_a_backup_that_fails_leaves_nothing_behind_and_does_not_wait_for_hashes(root: Path, scratch: Path) -> None:
    fill(root)
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)  # hours of hashing

    with pytest.raises(RuntimeError, match="restic failed"), describing(root, scratch=scratch, content=True):
        raise RuntimeError("restic failed")

    assert list(scratch.iterdir()) == []


def test_a_large_file_is_not_read_far_ahead_of_restic_and_to_its_end_afterwards(root: Path, scratch: Path) -> None:
    with (root / "sparse").open("wb") as file:
        file.truncate(300 << 20)

    with describing(root, scratch=scratch, content=True) as manifest:
        manifest.reached(0)
        assert manifest._thread is not None
        manifest._thread.join(1.0)
        assert manifest._thread.is_alive()
        described = manifest.finish()

    assert read(described) == there(root)


def test_a_backup_that_fails_while_hashing_waits_for_restic_ends_at_once(root: Path, scratch: Path) -> None:
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)

    def failing() -> None:
        with describing(root, scratch=scratch, content=True) as manifest:
            manifest.reached(0)
            raise RuntimeError("restic failed")

    with pytest.raises(RuntimeError, match="restic failed"):
        failing()
    assert list(scratch.iterdir()) == []


def test_without_content_nothing_is_opened(root: Path, scratch: Path) -> None:
    fill(root)
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)

    with describing(root, scratch=scratch, content=False) as manifest:
        described = manifest.finish()

    assert described.sure
    assert not any(entry.sha256 for entry in read(described))


def test_an_error_of_the_second_walk_is_not_swallowed(
    root: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root)

    def broken(self: Looking, found: Found) -> tuple[str, dict[str, bytes]]:
        raise MemoryError

    monkeypatch.setattr(inspecting.Looking, "_file", broken)
    with pytest.raises(MemoryError):
        make(root, scratch)
