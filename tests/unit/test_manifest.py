"""The manifest as a file: any path survives, any cut is noticed, sorted sequences come together."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumes.manifest import ROOT, Damaged, Entry, Kind, Reader, Unsure, Writer, escape, joined, order, unescape

names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"-"))
    .filter(lambda name: name not in (b".", b".."))
)
paths = st.lists(names, min_size=1, max_size=5).map(b"/".join)
numbers = st.integers(0, 2**32 - 1)
times = st.integers(-(2**62), 2**63 - 1)
entries = st.builds(
    Entry,
    path=paths.map(escape),
    type=st.sampled_from(Kind),
    mode=st.integers(0, 0o7777),
    uid=numbers,
    gid=numbers,
    mtime=times,
    ctime=times,
    inode=st.integers(0, 2**64 - 1),
    size=st.integers(0, 2**63 - 1),
    links=st.integers(1, 65000),
    device=st.integers(0, 2**64 - 1),
    rdev=numbers,
    target=paths.map(escape),
    xattrs=st.dictionaries(names.map(escape), st.binary(max_size=40), max_size=3),
    sha256=st.sampled_from(["", "ab" * 32]),
    unsure=st.sampled_from(Unsure),
)


def written(listed: list[Entry]) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, content=True, start=7)
    for entry in listed:
        writer.add(entry)
    writer.close(unread=2, mounts=[b"m\xff"], without_xattrs=[ROOT])
    return file.getvalue()


@given(st.binary(max_size=300))
def test_any_bytes_come_back_from_their_text(path: bytes) -> None:
    assert unescape(escape(path)) == path


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_different_bytes_have_different_texts(one: bytes, other: bytes) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(st.lists(entries, max_size=5))
def test_what_is_written_is_read_again(listed: list[Entry]) -> None:
    reader = Reader(io.BytesIO(written(listed)))

    assert list(reader) == listed
    assert reader.header.content
    assert reader.header.start == 7
    assert reader.footer is not None
    assert reader.footer.mounts == ("m\\xff",)
    assert reader.footer.unread == 2
    assert reader.footer.unsure == sum(entry.unsure is not Unsure.NO for entry in listed)


def test_files_and_bytes_are_counted_once_per_name_as_restic_does() -> None:
    file = io.BytesIO()
    writer = Writer(file, content=False, start=0)
    for name in (b"a", b"b"):
        writer.add(entry(name, size=5, links=2))
    writer.add(entry(b"s", type_=Kind.SOCKET))
    footer = writer.close()

    assert (footer.entries, footer.files, footer.bytes, footer.sockets) == (3, 2, 10, 1)


@given(st.lists(entries, min_size=1, max_size=4), st.data())
def test_a_manifest_that_was_cut_off_is_refused(listed: list[Entry], data: st.DataObject) -> None:
    whole = written(listed)
    short = whole[: data.draw(st.integers(0, len(whole) - 2))]

    with pytest.raises(Damaged):
        list(Reader(io.BytesIO(short)))


@pytest.mark.parametrize("change", [lambda data: data + b"{}\n", lambda data: b"\n".join(data.split(b"\n")[2:])])
def test_a_manifest_with_too_much_or_without_its_head_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Damaged):
        list(Reader(io.BytesIO(change(written([entry(b"a"), entry(b"b")])))))


def test_a_manifest_of_a_newer_version_names_the_way_on() -> None:
    with pytest.raises(Damaged, match="version 99") as caught:
        Reader(io.BytesIO(b'{"manifest":99,"content":true,"start":1}\n'))

    assert "newer" in caught.value.hint


@given(st.lists(paths, max_size=8))
def test_paths_are_ordered_folder_by_folder_and_by_their_names(listed: list[bytes]) -> None:
    by_names = sorted(listed, key=lambda path: (path.split(b"/")[:-1], path.split(b"/")[-1]))

    assert sorted(listed, key=order) == by_names
    assert all(order(ROOT) < order(path) for path in listed)


@given(st.sets(paths, max_size=8), st.sets(paths, max_size=8))
def test_joining_brings_equal_paths_together_and_keeps_the_rest(left: set[bytes], right: set[bytes]) -> None:
    ordered = (sorted(side, key=order) for side in (left, right))
    pairs = list(joined(*ordered, left_path=bytes, right_path=bytes))

    assert {one for one, other in pairs if one is not None and other is not None} == left & right
    assert {one for one, other in pairs if other is None} == left - right
    assert {other for one, other in pairs if one is None} == right - left
    assert len(pairs) == len(left | right)


def entry(name: bytes, *, type_: Kind = Kind.FILE, size: int = 0, links: int = 1) -> Entry:
    return Entry(
        path=escape(name),
        type=type_,
        mode=0o644,
        uid=os.getuid(),
        gid=0,
        mtime=1,
        ctime=2,
        inode=3,
        size=size,
        links=links,
    )
