"""The walk of a volume: everything, in order, whatever its name, and never out of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.volume_trees import LONG, make_odd, make_too_deep, remove_too_deep
from volumes.inspecting import entries
from volumes.manifest import ROOT, Entry, Kind, order
from volumes.walking import Walk

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, and make what others may not read")


def surely(path: bytes, error: OSError) -> None:
    raise AssertionError(path) from error


def open_now() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def walked(root: Path) -> list[bytes]:
    return [found.path for found in Walk(root, surely)]


def described(root: Path) -> dict[bytes, Entry]:
    return {entry.name: entry for entry in entries(root, content=True, missed=surely)[1]}


def test_a_walk_finds_what_a_simple_one_finds_in_order(tmp_path: Path) -> None:
    make_odd(tmp_path)
    simple = [os.fsencode(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]

    assert walked(tmp_path) == [ROOT, *sorted(simple, key=order)]


def test_lost_and_found_is_left_out_at_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "lost+found" / "#12").touch()
    (tmp_path / "a" / "lost+found").mkdir(parents=True)

    assert walked(tmp_path) == [ROOT, b"a", b"a/lost+found"]


def test_a_tree_deeper_than_a_path_can_say_is_walked_with_few_open_folders(tmp_path: Path) -> None:
    make_too_deep(tmp_path)
    try:
        before = open_now()
        most = 0
        longest = b""
        for found in Walk(tmp_path, surely):
            longest = max(longest, found.path, key=len)
            if len(found.path) % 300 == 2:
                most = max(most, open_now() - before)
        assert len(longest) == 3000 * 3 + len("bottom")
        assert 2 < most < 100
        assert open_now() == before
    finally:
        remove_too_deep(tmp_path)


def test_what_comes_after_a_deep_branch_is_found_another_deep_one_too(tmp_path: Path) -> None:
    first, second = tmp_path / "/".join("d" * 150), tmp_path / "/".join("d" * 80) / "/".join("e" * 70)
    for folder in (first, second):
        folder.mkdir(parents=True)
        (folder / "bottom").touch()

    found = walked(tmp_path)

    assert len(found) == 1 + 150 + 70 + 2
    assert found == sorted(found, key=order)
    assert {os.fsencode(folder.relative_to(tmp_path) / "bottom") for folder in (first, second)} <= set(found)


@pytest.mark.parametrize("findable", [True, False])
def test_when_a_deep_branch_moves_away_during_the_walk_the_rest_is_found_or_said_to_be_missed(
    tmp_path: Path, findable: bool
) -> None:
    folder = tmp_path / "top"
    for level in range(150):
        folder = folder / "d"
        folder.mkdir(parents=True)
        if level == 10:
            (folder / "z-after").mkdir()
            (folder / "z-after" / "inside").touch()
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "inside").touch()
    missed: list[bytes] = []
    found = []
    for one in Walk(tmp_path, lambda path, _error: missed.append(path)):
        found.append(one.path)
        if one.path.count(b"d") == 150:
            (tmp_path / "elsewhere").mkdir()
            tmp_path.joinpath("top", *["d"] * 40).rename(tmp_path / "elsewhere" / "d")
            if not findable:
                (tmp_path / "top").rename(tmp_path / "top-2")

    after = b"/".join([b"top", *[b"d"] * 11, b"z-after", b"inside"])
    assert found[-1] == b"z/inside"
    assert (after in found) == findable
    assert bool(missed) == (not findable)


def test_links_are_not_followed_also_when_a_folder_becomes_one(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    root = tmp_path / "volume"
    (root / "a").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    missed: list[bytes] = []
    found = []
    for one in Walk(root, lambda path, _error: missed.append(path)):
        found.append(one.path)
        if one.path == b"a":
            (root / "a").rmdir()
            (root / "a").symlink_to(outside)

    assert found == [ROOT, b"a", b"link"]
    assert missed == [b"a"]


def test_a_folder_that_another_one_replaces_is_not_walked_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    missed: list[bytes] = []
    found = []
    for one in Walk(tmp_path, lambda path, _error: missed.append(path)):
        found.append(one.path)
        if one.path == b"a":
            (tmp_path / "a").rmdir()
            (tmp_path / "other").rename(tmp_path / "a")

    assert b"a/file" not in found
    assert missed == [b"a", b"other"]


def test_an_entry_says_all_of_a_path(tmp_path: Path) -> None:
    make_odd(tmp_path)
    listed = described(tmp_path)

    assert {entry.type for entry in listed.values()} >= {Kind.FILE, Kind.DIR, Kind.SYMLINK, Kind.FIFO, Kind.SOCKET}
    assert listed[b"empty-file"].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert listed[b"sparse"].size == 64 << 20
    assert listed[b"linked"].links == 3
    assert listed[b"linked"].inode == listed[b"zz-linked"].inode
    assert listed[b"linked"].sha256 == listed[b"zz-linked"].sha256 != ""
    assert listed[b"broken-link"].target == "nowhere/caf\\xe9 \\xff\\xfe"
    assert len(listed[b"long-link"].target) == 4000
    assert listed[b"setuid"].mode == 0o4755
    assert listed[b"a.b"].mtime == 1
    assert LONG in listed


@needs_root
def test_devices_and_privileged_attributes_are_described(tmp_path: Path) -> None:
    make_odd(tmp_path)
    listed = described(tmp_path)

    assert listed[b"zero"].rdev == os.makedev(1, 5)
    assert listed[b"disk"].type is Kind.BLOCK
    assert {"user.comment", "system.posix_acl_access"} <= set(listed[b"plain"].xattrs)
    assert set(listed[b"setuid"].xattrs) == {"security.capability"}
    assert set(listed[b"large"].xattrs) == {"trusted.overlay"}


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "inner"
    mount.mkdir()
    if shutil.which("mount") is None or os.system(f"mount -t ramfs none {mount} 2>/dev/null"):
        pytest.skip("nothing can be mounted here")
    yield mount
    os.system(f"umount {mount}")


@needs_root
def test_another_file_system_is_entered_and_said(mounted: Path) -> None:
    (mounted / "file").write_text("x")
    root = mounted.parent
    walk = Walk(root, surely)

    assert [found.path for found in walk] == [ROOT, b"inner", b"inner/file"]
    assert walk.mounts == [b"inner"]
    assert described(root)[b"inner/file"].device == mounted.stat().st_dev
