"""What differs between a volume as a manifest describes it and what is there after a restore.

A difference is one path and one field of it. What is not compared is counted and said: what changed while the backup
ran (nobody knows what the snapshot has of it), sockets (restic does not keep them), and content that nobody hashed.
The ctime and the inode are never the same after a restore. The root's mtime is not compared: whatever is put into the
volume beside the data changes it, such as the file system's own lost+found.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from volumes.inspecting import entries, is_within
from volumes.manifest import ROOT, Entry, Kind, Reader, Unsure, escape, joined

MOST: Final = 100  # differences that are listed; all are counted
_LONGEST = 200  # characters of a value
_ROOT = "."


class Field(StrEnum):
    """What of a path differs."""

    MISSING = "missing"
    EXTRA = "extra"
    TYPE = "type"
    SIZE = "size"
    CONTENT = "content"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTRS = "xattrs"
    TARGET = "target"
    DEVICE = "device"
    LINKS = "links"
    UNREADABLE = "unreadable"


class Skipped(StrEnum):
    """Why something was not compared."""

    UNSURE = "changed while the backup ran, or could not be read then"
    SOCKET = "sockets are not kept by restic"
    CONTENT = "the manifest has no hash of the content"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one path, which is escaped as in the manifest. Values are texts for people."""

    path: str
    field: Field
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        path = _spelled(self.path)
        if self.field in (Field.MISSING, Field.EXTRA):
            return f"{path}: {self.field}"
        return f"{path}: {self.field}: expected {self.expected or 'nothing'}, found {self.found or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a folder compares with a manifest."""

    entries: int  # of the manifest
    contents: int  # files whose content was compared
    differences: tuple[Difference, ...]  # the first ones
    totals: dict[Field, int]  # all of them
    skipped: dict[Skipped, int]
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing that was compared differs."""
        return not self.totals

    @property
    def total(self) -> int:
        """How many differences there are."""
        return sum(self.totals.values())


class _Comparing:
    def __init__(self, *, content: bool, whole: bool) -> None:
        self.content = content
        self.whole = whole  # else names of an inode may be elsewhere
        self.entries = self.contents = 0
        self.differences: list[Difference] = []
        self.totals: Counter[Field] = Counter()
        self.skipped: Counter[Skipped] = Counter()
        self.groups: dict[tuple[int, int], tuple[tuple[int, int], str]] = {}  # inode there: inode here, first path
        self.unsure: set[str] = set()  # folders: what came to them and went again may be in the snapshot
        self.owners: dict[tuple[int, int], tuple[int, int]] = {}  # inode here: inode there

    def add(self, difference: Difference) -> None:
        self.totals[difference.field] += 1
        if len(self.differences) < MOST:
            self.differences.append(difference)

    def pair(self, expected: Entry | None, found: Entry | None) -> None:
        self.entries += expected is not None
        if expected is None:
            assert found is not None
            self._extra(found)
        elif expected.unsure is not Unsure.NO:
            self.skipped[Skipped.UNSURE] += 1
            if expected.type is Kind.DIR:
                self.unsure.add(expected.path)
        elif expected.type is Kind.SOCKET:
            self.skipped[Skipped.SOCKET] += 1
        elif found is None:
            self.add(Difference(expected.path, Field.MISSING, expected.type, ""))
        elif found.type is not expected.type:
            self.add(Difference(expected.path, Field.TYPE, expected.type, found.type))
        elif found.unsure is not Unsure.NO:
            self.add(Difference(expected.path, Field.UNREADABLE, "", found.unsure))
        else:
            self._fields(expected, found)

    def _extra(self, found: Entry) -> None:
        if (found.path.rpartition("/")[0] or _ROOT) not in self.unsure:
            self.add(Difference(found.path, Field.EXTRA, "", found.type))
            return
        self.skipped[Skipped.UNSURE] += 1
        if found.type is Kind.DIR:
            self.unsure.add(found.path)

    def _fields(self, expected: Entry, found: Entry) -> None:
        for difference in differences(expected, found):
            self.add(difference)
        if expected.type is Kind.FILE and self.content and expected.size == found.size:
            self._content(expected, found)
        if expected.links > 1 or found.links > 1:
            self._links(expected, found)

    def _content(self, expected: Entry, found: Entry) -> None:
        if not expected.sha256:
            self.skipped[Skipped.CONTENT] += 1
            return
        self.contents += 1
        if expected.sha256 != found.sha256:
            self.add(Difference(expected.path, Field.CONTENT, expected.sha256, found.sha256))

    def _links(self, expected: Entry, found: Entry) -> None:
        """Names of one inode there must be names of one inode here, and of no other."""
        there, here = (expected.device, expected.inode), (found.device, found.inode)
        linked, first = self.groups.setdefault(there, (here, expected.path))
        if linked != here:
            self.add(Difference(expected.path, Field.LINKS, f"another name of {_cut(first)}", "a file of its own"))
        elif self.owners.setdefault(here, there) != there:
            self.add(Difference(expected.path, Field.LINKS, "a file of its own", "another name of a different file"))
        elif self.whole and expected.links != found.links:
            self.add(Difference(expected.path, Field.LINKS, _names(expected.links), _names(found.links)))


def differences(expected: Entry, found: Entry) -> Iterator[Difference]:
    """Yield what differs between two entries of the same path and type, but for content and hard links."""
    path, is_root = expected.path, expected.path == _ROOT
    if expected.size != found.size:
        yield Difference(path, Field.SIZE, f"{expected.size} bytes", f"{found.size} bytes")
    if expected.target != found.target:
        yield Difference(path, Field.TARGET, _cut(expected.target), _cut(found.target))
    if expected.rdev != found.rdev:
        yield Difference(path, Field.DEVICE, _device(expected.rdev), _device(found.rdev))
    if expected.mode != found.mode and expected.type is not Kind.SYMLINK:  # all that a link's mode says is 0777
        yield Difference(path, Field.MODE, f"{expected.mode:04o}", f"{found.mode:04o}")
    if (expected.uid, expected.gid) != (found.uid, found.gid):
        yield Difference(path, Field.OWNER, f"{expected.uid}:{expected.gid}", f"{found.uid}:{found.gid}")
    if expected.mtime != found.mtime and not is_root:
        yield Difference(path, Field.MTIME, _time(expected.mtime), _time(found.mtime))
    if expected.xattrs != found.xattrs:
        yield Difference(path, Field.XATTRS, *_xattrs(expected.xattrs, found.xattrs))


def compare(expected: Iterable[Entry], found: Iterable[Entry], *, content: bool, whole: bool = True) -> Comparison:
    """Return how `found` differs from `expected`; both in the order of a manifest. Pure.

    `content`: whether `found` has hashes, so that a file without one differs. `whole`: whether both are whole volumes,
    and not a part of them.
    """
    comparing = _Comparing(content=content, whole=whole)
    for one, other in joined(expected, found, left_path=_path, right_path=_path):
        comparing.pair(one, other)
    return Comparison(
        entries=comparing.entries,
        contents=comparing.contents,
        differences=tuple(comparing.differences),
        totals=dict(comparing.totals),
        skipped=dict(comparing.skipped),
    )


def compare_folder(
    manifest: Path,
    root: Path,
    *,
    content: bool,
    goes_on: Callable[[], bool] = lambda: True,
    within: bytes = ROOT,
) -> Comparison:
    """Return how the folder `root` differs from what the file `manifest` says; `content`: read all files, too.

    `within`: only this path and what is below it is compared, and nothing else is read.

    Raises Damaged for a manifest that is none, OSError when it or the root cannot be read, and Interrupted when
    `goes_on`, which is asked again and again, says no.
    """
    unread: list[Difference] = []

    def missed(path: bytes, error: OSError) -> None:
        if is_within(path, within):
            unread.append(Difference(escape(path), Field.UNREADABLE, "", error.strerror or str(error)))

    with manifest.open("rb") as file:
        reader = Reader(file)
        content_too = content and reader.header.content
        looking, there = entries(root, content=content_too, missed=missed, goes_on=goes_on, within=within)
        listed = (entry for entry in reader if is_within(entry.name, within))
        comparison = compare(listed, there, content=content_too, whole=within == ROOT)
    notes = [
        f"{_cut(escape(path))}: the file system here has no extended attributes" for path in looking.without_xattrs
    ]
    if content and not reader.header.content:
        notes.append("the manifest has no hashes, so the content of files was not compared")
    if reader.footer is not None and reader.footer.unread:
        notes.append(f"at the source, {reader.footer.unread} paths could not be read; nothing is known of them")
    totals = Counter(comparison.totals)
    totals.update(difference.field for difference in unread)
    return replace(
        comparison,
        differences=(*unread, *comparison.differences)[:MOST],
        totals=dict(totals),
        notes=tuple(notes),
    )


def _xattrs(expected: dict[str, bytes], found: dict[str, bytes]) -> tuple[str, str]:
    """Return the names of the attributes that differ; values may be long, binary or secret."""
    lost = [name for name in expected if name not in found]
    new = [name for name in found if name not in expected]
    other = [f"{name} with another value" for name in expected if name in found and expected[name] != found[name]]
    return _cut(", ".join(sorted(lost + other))), _cut(", ".join(sorted(new + other)))


def _spelled(path: str) -> str:
    """Return an escaped path on one line, with control characters escaped as bytes are."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in path)


def _escaped(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode())


def _path(entry: Entry) -> bytes:
    return entry.name


def _names(links: int) -> str:
    return "1 name" if links == 1 else f"{links} names"


def _device(rdev: int) -> str:
    return f"{os.major(rdev)}:{os.minor(rdev)}"


def _time(nanoseconds: int) -> str:
    """Return a time as people read it, with all its digits; as a number where no calendar has it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (OverflowError, ValueError, OSError):
        return f"{nanoseconds} ns since 1970"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
