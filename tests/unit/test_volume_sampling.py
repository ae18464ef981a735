"""Holding what a snapshot has against the list of its files, without a restore."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_volume_retention import listed
from volumes import sampling
from volumes.answers import Summary
from volumes.inspecting import entries
from volumes.manifest import Entry, Kind, Unsure, Writer, escape, order
from volumes.sampling import Inside, Pair, choose, differences, nested


def entry(path: bytes, kind: Kind = Kind.FILE, *, content: bytes = b"", **more) -> Entry:
    given_ = {"mode": 0o644, "uid": 0, "gid": 0, "mtime": 0, "ctime": 0, "inode": 1, **more}
    if kind is Kind.FILE:
        given_ = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **given_}
    return Entry(path=escape(path), type=kind, **given_)


def inside(path: bytes, kind: Kind = Kind.FILE, *, content: bytes = b"", target: bytes = b"") -> Inside:
    if kind is not Kind.FILE:
        return Inside(path, kind, target=target)
    return Inside(path, kind, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def told(expected, found, *, content: bool = True) -> list[str]:
    return [f"{one.path}: {one.field}" for one in differences(iter(expected), iter(found), content=content)]


ROOT = entry(b".", Kind.DIR)


def test_what_is_as_the_list_says_is_no_difference():
    expected = [
        entry(b"a", Kind.DIR),
        entry(b"a/b", content=b"x"),
        entry(b"l", Kind.SYMLINK, target=escape(b"a/\xff")),
        entry(b"s", Kind.SOCKET),
        entry(b"z", Kind.FIFO),
    ]
    found = [inside(b"a", Kind.DIR), inside(b"a/b", content=b"x"), inside(b"l", Kind.SYMLINK, target=b"a/\xff")]

    assert told(expected, found) == []


@pytest.mark.parametrize(
    ("expected", "found", "field"),
    [
        (entry(b"a", content=b"x"), None, "missing"),
        (None, inside(b"a", content=b"x"), "extra"),
        (entry(b"a", content=b"x"), inside(b"a", content=b"y"), "content"),
        (entry(b"a", content=b"x"), inside(b"a", content=b"xy"), "size"),
        (entry(b"a", content=b""), inside(b"a", Kind.DIR), "type"),
        (entry(b"a", Kind.SYMLINK, target="b"), inside(b"a", Kind.SYMLINK, target=b"c"), "target"),
    ],
)
def test_what_differs_is_told(expected, found, field):
    assert told(filter(None, [expected]), filter(None, [found])) == [f"a: {field}"]


def test_what_changed_while_it_was_read_is_not_judged():
    expected = [entry(b"a", content=b"x", unsure=Unsure.CHANGED), entry(b"d", Kind.DIR, unsure=Unsure.CHANGED)]

    assert told(expected, []) == []
    found = [inside(b"a", content=b"y"), inside(b"d", Kind.DIR), inside(b"d/new", Kind.DIR), inside(b"d/new/x")]
    assert told(expected, found) == []


def test_without_hashes_the_size_decides():
    assert told([entry(b"a", content=b"x")], [inside(b"a", content=b"y")], content=False) == []


def test_the_placeholder_of_an_empty_volume_is_no_file():
    assert told([], [inside(b".dr-syncer-empty")]) == []


NAMES = st.binary(min_size=1, max_size=4).filter(lambda name: not set(name) & {0, 0x2F} and name not in (b".", b".."))
TREES = st.dictionaries(
    NAMES, st.recursive(st.binary(max_size=3), lambda below: st.dictionaries(NAMES, below, max_size=3))
)


def packed_order(path: bytes) -> bytes:
    """Of a tar stream: what is in a folder comes right behind it."""
    return path.replace(b"/", b"\0")


def written(expected) -> io.BytesIO:
    paper = io.BytesIO()
    writer = Writer(paper, content=True, start=0)
    for one in expected:
        writer.add(one)
    writer.close()
    paper.seek(0)
    return paper


@given(TREES)
def test_a_manifest_is_read_in_the_order_of_a_tar_stream(tree):
    there = flat(tree)
    expected = [
        ROOT,
        *(
            entry(path, Kind.DIR if content is None else Kind.FILE)
            for path, content in sorted(there.items(), key=lambda item: order(item[0]))
        ),
    ]
    paper = written(expected)

    _, found = nested(paper)

    assert [one.name for one in found] == sorted(there, key=packed_order)


def test_a_tree_as_deep_as_one_likes_is_read():
    paths = [b"/".join([b"d"] * depth) for depth in range(1, 1500)]
    paper = written([ROOT, *(entry(path, Kind.DIR) for path in paths)])

    assert [one.name for one in nested(paper)[1]] == paths


def flat(tree, above=b"") -> dict[bytes, bytes | None]:
    found = {}
    for name, value in tree.items():
        path = above + name
        found[path] = None if isinstance(value, dict) else value
        if isinstance(value, dict):
            found |= flat(value, path + b"/")
    return found


@given(TREES, TREES)
def test_a_tree_equals_itself_and_every_difference_is_told(one, other):
    there, here = flat(one), flat(other)
    expected = [
        entry(path, Kind.DIR) if content is None else entry(path, content=content)
        for path, content in sorted(there.items(), key=lambda item: packed_order(item[0]))
    ]
    found = [
        inside(path, Kind.DIR) if content is None else inside(path, content=content)
        for path, content in sorted(here.items(), key=lambda item: packed_order(item[0]))
    ]

    paths = {one.path for one in differences(iter(expected), iter(found), content=True)}
    assert paths == {
        escape(path)
        for path in there.keys() | here.keys()
        if there.get(path, b"?") != here.get(path, b"?") or (path in there) != (path in here)
    }


def test_a_tar_stream_tells_what_is_inside(tmp_path: Path):
    root = tmp_path / "root"
    (root / "folder" / "empty").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"x" * 3_000_000)
    (root / ("n" * 200)).write_bytes(b"")
    (root / "link").symlink_to("folder/file")
    (Path(root) / "odd\udcff\nname").write_bytes(b"y")
    packed = subprocess.run(
        ["tar", "--format=pax", "--sort=name", "-cf", "-", "."], cwd=root, check=True, capture_output=True
    ).stdout

    found = sorted(sampling._inside(io.BytesIO(packed)), key=lambda one: packed_order(one.path))

    _, expected = entries(root, content=True, missed=lambda path, error: pytest.fail(str(error)))
    header, inside_out = nested(written(expected))
    assert header.content
    assert list(differences(inside_out, iter(found), content=True)) == []


def pair(seed: int, size: int | None) -> Pair:
    summary = None if size is None else Summary(total_bytes_processed=size)
    return Pair("shop/data", msgspec.structs.replace(listed(seed, age=1), summary=summary), f"{seed + 50:064x}")


def test_a_sample_holds_nothing_too_large_and_all_is_all():
    pairs = [pair(1, 5), pair(2, sampling.LARGEST), pair(3, sampling.LARGEST + 1), pair(4, None)]
    dice = random.Random(1)

    assert {one.manifest for one in choose(pairs, 9, dice=dice)} == {pairs[0].manifest, pairs[1].manifest}
    assert len(choose(pairs, 1, dice=dice)) == 1
    assert choose(pairs, 0, dice=dice) == []
    assert choose(pairs, None, dice=dice) == pairs
