"""A comparison finds every single change of a tree, and says of what it knows nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_manifest import entries as any_entry
from tests.unit.test_manifest import entry
from tests.unit.volume_trees import make_odd
from volumes.comparing import MOST, Comparison, Field, Skipped, compare, compare_folder
from volumes.describing import describing
from volumes.failure import Interrupted
from volumes.manifest import Entry, Kind, Unsure, order

trees = st.lists(any_entry, max_size=5, unique_by=lambda one: one.path).map(
    lambda listed: sorted(listed, key=lambda one: order(one.name))
)
sure_files = any_entry.map(
    lambda one: msgspec.structs.replace(one, type=Kind.FILE, unsure=Unsure.NO, links=1, rdev=0, target="", sha256="ab")
)

MUTATIONS: dict[Field, Callable[[Entry], dict[str, object]]] = {
    Field.TYPE: lambda _: {"type": Kind.DIR},
    Field.SIZE: lambda one: {"size": one.size + 1},
    Field.CONTENT: lambda _: {"sha256": "cd"},
    Field.MODE: lambda one: {"mode": one.mode ^ 0o100},
    Field.OWNER: lambda one: {"gid": one.gid ^ 1},
    Field.MTIME: lambda one: {"mtime": one.mtime - 1},
    Field.XATTRS: lambda one: {"xattrs": one.xattrs | {"user.new": b""}},
    Field.LINKS: lambda _: {"links": 2},
}


@given(trees)
def test_nothing_differs_from_itself(tree: list[Entry]) -> None:
    tree = [msgspec.structs.replace(one, inode=number) for number, one in enumerate(tree)]
    comparison = compare(tree, tree, content=True)

    assert {found.field for found in comparison.differences} == set()
    assert comparison.equal
    assert comparison.entries == len(tree)


@given(trees, sure_files, st.sampled_from(sorted(MUTATIONS)))
def test_any_single_change_is_found_and_nothing_else(tree: list[Entry], file: Entry, field: Field) -> None:
    rest = [msgspec.structs.replace(one, inode=number) for number, one in enumerate(tree) if one.path != file.path]
    changed = msgspec.structs.replace(file, **MUTATIONS[field](file))
    whole, other = ([*rest, one] for one in (file, changed))

    comparison = compare(_sorted(whole), _sorted(other), content=True)

    assert [(one.path, one.field) for one in comparison.differences] == [(file.path, field)]


@given(trees, sure_files)
def test_what_is_missing_and_what_is_too_much_is_found(tree: list[Entry], file: Entry) -> None:
    rest = [msgspec.structs.replace(one, inode=number) for number, one in enumerate(tree) if one.path != file.path]
    whole = _sorted([*rest, file])

    assert compare(whole, rest, content=True).totals == {Field.MISSING: 1}
    assert compare(rest, whole, content=True).totals == {Field.EXTRA: 1}


def test_hard_links_must_join_the_same_names() -> None:
    def names(*inodes: int) -> list[Entry]:
        return [
            msgspec.structs.replace(entry(b"%c" % (97 + at), links=inodes.count(inode)), inode=inode)
            for at, inode in enumerate(inodes)
        ]

    assert compare(names(1, 1, 2, 2), names(8, 8, 9, 9), content=False).equal
    assert set(compare(names(1, 1, 2, 2), names(8, 9, 8, 9), content=False).totals) == {Field.LINKS}
    assert set(compare(names(1, 1), names(8, 9), content=False).totals) == {Field.LINKS}
    assert set(compare(names(1, 2), names(8, 8), content=False).totals) == {Field.LINKS}


def test_what_changed_while_the_backup_ran_is_counted_and_not_compared() -> None:
    expected = [msgspec.structs.replace(entry(b"a"), unsure=Unsure.CHANGED), entry(b"s", type_=Kind.SOCKET)]

    for found in ([], [entry(b"a", size=9)], expected):
        comparison = compare(expected, found, content=True)
        assert comparison.equal
        assert comparison.skipped == {Skipped.UNSURE: 1, Skipped.SOCKET: 1}


def test_what_came_to_a_changing_folder_and_went_again_is_counted_and_no_difference() -> None:
    changing = msgspec.structs.replace(entry(b"a", type_=Kind.DIR), unsure=Unsure.CHANGED)
    quiet = entry(b"b", type_=Kind.DIR)
    came = [entry(b"a/d", type_=Kind.DIR), entry(b"a/d/file")]

    comparison = compare([changing, quiet], [changing, quiet, *came, entry(b"b/new")], content=True)

    assert comparison.skipped == {Skipped.UNSURE: 3}
    assert [str(one) for one in comparison.differences] == ["b/new: extra"]


def test_content_that_nobody_hashed_is_counted_and_content_that_cannot_be_read_differs() -> None:
    without = entry(b"a")
    hashed = msgspec.structs.replace(without, sha256="ab")

    assert compare([without], [hashed], content=True).skipped == {Skipped.CONTENT: 1}
    assert compare([hashed], [without], content=True).totals == {Field.CONTENT: 1}
    assert compare([hashed], [without], content=False).equal


def test_many_differences_are_counted_and_the_first_ones_listed() -> None:
    tree = [entry(b"%05d" % number) for number in range(1000)]
    comparison = compare(tree, [], content=True)

    assert comparison.total == 1000
    assert [one.path for one in comparison.differences] == [f"{number:05}" for number in range(MOST)]


def test_a_difference_is_one_readable_line_whatever_the_name() -> None:
    odd = entry(b"two\nlines \xff \x1b[31m back\\slash \xe2\x80\xae", size=1)
    other = msgspec.structs.replace(odd, mtime=1_234_567_890_000_000_001, mode=0o4755, uid=7, gid=8)
    comparison = compare([odd], [other], content=True)

    spelled = "two\\x0alines \\xff \\x1b[31m back\\\\slash \\xe2\\x80\\xae"
    assert [str(one) for one in comparison.differences] == [
        f"{spelled}: mode: expected 0644, found 4755",
        f"{spelled}: owner: expected {os.getuid()}:0, found 7:8",
        f"{spelled}: mtime: expected 1970-01-01T00:00:00.000000001Z, found 2009-02-13T23:31:30.000000001Z",
    ]


@pytest.fixture
def described(tmp_path: Path) -> tuple[Path, Path]:
    """A manifest, and a copy of the folder that it describes, made by other means."""
    root, scratch, copy = tmp_path / "volume", tmp_path / "scratch", tmp_path / "copy"
    root.mkdir()
    scratch.mkdir()
    make_odd(root)
    with describing(root, scratch=scratch, content=True) as manifest:
        file = manifest.finish().file
    if os.system(f"cp -a {root} {copy}"):
        pytest.skip("cp cannot copy all of this here")
    return file, copy


def compared(described: tuple[Path, Path]) -> Comparison:
    return compare_folder(described[0], described[1], content=True)


def test_a_faithful_copy_has_no_differences(described: tuple[Path, Path]) -> None:
    comparison = compared(described)

    assert [str(one) for one in comparison.differences] == []
    assert comparison.contents > 20
    assert comparison.skipped == {Skipped.SOCKET: 1}


def test_of_a_part_nothing_else_is_compared_or_read(tmp_path: Path) -> None:
    root, scratch = tmp_path / "volume", tmp_path / "scratch"
    for folder in (root / "a" / "b", root / "ab", scratch):
        folder.mkdir(parents=True)
    for name in ("a/file", "a/b/file", "ab/file"):
        (root / name).write_text("x")
    os.link(root / "a" / "b" / "file", root / "ab" / "link")
    with describing(root, scratch=scratch, content=True) as manifest:
        file = manifest.finish().file
    (root / "ab" / "file").write_text("y")
    (root / "ab" / "link").unlink()  # as where only a part was restored: a name of an inode is missing elsewhere

    def part(path: bytes) -> Comparison:
        return compare_folder(file, root, content=True, within=path)

    assert (part(b"a/b").equal, part(b"a/b").contents) == (True, 1)
    assert (part(b"a/b/file").equal, part(b"a/b/file").entries) == (True, 1)
    assert part(b"a").contents == 2
    assert {one.path for one in part(b"ab").differences} >= {"ab/file", "ab/link"}
    (root / "a" / "b" / "file").unlink()
    assert [str(one) for one in part(b"a/b/file").differences] == ["a/b/file: missing"]


def test_a_comparison_that_is_told_to_stop_stops(described: tuple[Path, Path]) -> None:
    left = iter(range(10))
    with pytest.raises(Interrupted):
        compare_folder(described[0], described[1], content=True, goes_on=lambda: next(left, None) is not None)


def kept_time(path: Path, content: bytes) -> None:
    about = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(0, about.st_mtime_ns))


def swapped_for(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    make(path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda copy: kept_time(copy / "a-b", b"CONTENT of a-b"), Field.CONTENT),
        (lambda copy: kept_time(copy / "a-b", b"content"), Field.SIZE),
        (lambda copy: (copy / "setuid").chmod(0o755), Field.MODE),
        (lambda copy: (copy / "empty-folder").chmod(0o755), Field.MODE),
        (lambda copy: os.chown(copy / "broken-link", 7, 9, follow_symlinks=False), Field.OWNER),
        (lambda copy: os.utime(copy / "broken-link", ns=(0, 5), follow_symlinks=False), Field.MTIME),
        (lambda copy: os.utime(copy / "empty-folder"), Field.MTIME),
        (lambda copy: swapped_for(copy / "broken-link", lambda path: path.symlink_to("elsewhere")), Field.TARGET),
        (lambda copy: swapped_for(copy / "empty-file", os.mkfifo), Field.TYPE),
        (lambda copy: swapped_for(copy / "zz-linked", lambda path: shutil.copy2(copy / "linked", path)), Field.LINKS),
        (lambda copy: os.removexattr(copy / "plain", "user.comment"), Field.XATTRS),
        (lambda copy: os.removexattr(copy / "empty-folder", "system.posix_acl_default"), Field.XATTRS),
        (lambda copy: os.removexattr(copy / "setuid", "security.capability"), Field.XATTRS),
        (lambda copy: (copy / "empty-file").unlink(), Field.MISSING),
        (lambda copy: (copy / "empty-folder" / "new").touch(), Field.EXTRA),
        (
            lambda copy: swapped_for(copy / "zero", lambda path: os.mknod(path, 0o20666, os.makedev(1, 3))),
            Field.DEVICE,
        ),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make all of this")
def test_every_kind_of_damage_is_found(
    described: tuple[Path, Path], change: Callable[[Path], object], field: Field
) -> None:
    change(described[1])

    assert field in compared(described).totals


def _sorted(listed: list[Entry]) -> list[Entry]:
    return sorted(listed, key=lambda one: order(one.name))
