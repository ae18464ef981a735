"""The manifest of a volume: one line of JSON per file, folder, link and special file, as they were at the source.

    {"manifest":1,"content":true,"start":1790000000000000000}
    {"path":".","type":"dir","mode":493,"uid":0,"gid":0,"mtime":…,"ctime":…,"inode":2}
    {"path":"etc/app.conf","type":"file","mode":420,…,"size":512,"sha256":"9f86d0…"}
    {"entries":2,"files":1,"bytes":512}

The first line says what to expect, the last one how much there was: a manifest without it was cut off, and is refused.
Entries are in the order of a walk (`order`): all of a folder, then its folders one after the other, names sorted by
their bytes. So two manifests, or a manifest and a folder, are compared line by line, whatever their size.

Paths and link targets are bytes. In JSON they are text: UTF-8 as it is, any other byte as `\\xff`, a backslash twice.
The root of the volume is `.`. Times are nanoseconds since 1970.

What an entry says of a file is enough to know it again: the same path, size, mtime, ctime, inode, mode and owner mean
that nobody wrote to it since, so the next backup takes the SHA-256 over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import IO, Final, TypeVar

import msgspec

from drsyncer.errors import DrSyncerError

VERSION: Final = 1  # raised when a key changes its meaning or goes away
NAME: Final = "manifest.jsonl"  # of the file in the restic repository
ROOT: Final = b"."

Left = TypeVar("Left")
Right = TypeVar("Right")

_ESCAPED = re.compile(rb"\\(\\|x[0-9a-f]{2})")
_HINT = "Make a new backup of the volume; until then its restores can be made, and not compared."


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    CHAR = "chardev"
    BLOCK = "blockdev"


class Unsure(StrEnum):
    """Why nobody can say whether the snapshot holds what an entry says."""

    NO = ""
    CHANGED = "changed"  # something wrote to it while the backup ran
    APPEARED = "appeared"  # it came while the backup ran
    VANISHED = "vanished"  # it went while the backup ran
    UNREADABLE = "unreadable"


class Damaged(DrSyncerError):
    """A manifest that was cut off, or is none."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One path of a volume. `path` and `target` are escaped; `name` and `link` give their bytes."""

    path: str
    type: Kind
    mode: int  # the twelve bits of permissions
    uid: int
    gid: int
    mtime: int
    ctime: int
    inode: int
    size: int = 0  # of files: apparent, holes count
    links: int = 1  # of everything but folders: how many names the inode has
    device: int = 0  # st_dev, where that is not the root's
    rdev: int = 0  # of devices: which one
    target: str = ""  # of links
    xattrs: dict[str, bytes] = {}
    sha256: str = ""  # of files, in hexadecimal digits; "" where the content was not read
    unsure: Unsure = Unsure.NO

    @property
    def name(self) -> bytes:
        """The path as bytes."""
        return unescape(self.path)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    manifest: int = VERSION
    content: bool  # whether files have their SHA-256
    start: int  # when the walk began


class Footer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The last line. `files` and `bytes` count regular files as restic does: once per name."""

    entries: int
    files: int
    bytes: int
    unsure: int = 0  # entries
    unread: int = 0  # paths that could not even be looked at, so there is no entry
    sockets: int = 0  # listed, but never in a snapshot: restic leaves them out
    mounts: tuple[str, ...] = ()  # folders where another file system begins
    without_xattrs: tuple[str, ...] = ()  # folders on whose file system there are none


def escape(path: bytes) -> str:
    """Return `path` as text that `unescape` turns back: UTF-8 stays, other bytes and backslashes are escaped."""
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def unescape(text: str) -> bytes:
    """Return the bytes that `escape` made `text` of."""
    raw = text.encode()
    return _ESCAPED.sub(_byte, raw) if b"\\" in raw else raw


def _byte(match: re.Match[bytes]) -> bytes:
    return b"\\" if match[1] == b"\\" else bytes.fromhex(match[1][1:].decode())


def order(path: bytes) -> tuple[bytes, bytes]:
    """Return the key by which paths are sorted: all of a folder by their bytes, then its folders one by one."""
    if path == ROOT:
        return b"", b""
    folder, _, name = path.rpartition(b"/")
    return folder.replace(b"/", b"\0"), name


def joined(
    left: Iterable[Left],
    right: Iterable[Right],
    *,
    left_path: Callable[[Left], bytes],
    right_path: Callable[[Right], bytes],
) -> Iterator[tuple[Left | None, Right | None]]:
    """Bring together what is at the same path in two sequences that are both in `order`; None where one has nothing."""
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None and other is not None:
        here, there = left_path(one), right_path(other)
        if here == there:
            yield one, other
            one, other = next(lefts, None), next(rights, None)
        elif order(here) < order(there):
            yield one, None
            one = next(lefts, None)
        else:
            yield None, other
            other = next(rights, None)
    while one is not None:
        yield one, None
        one = next(lefts, None)
    while other is not None:
        yield None, other
        other = next(rights, None)


_encoder = msgspec.json.Encoder()
_headers = msgspec.json.Decoder(Header)
_entries = msgspec.json.Decoder(Entry)
_footers = msgspec.json.Decoder(Footer)
FOOTER: Final = b'{"entries":'


class Writer:
    """Writes a manifest to `file`, line by line, and counts."""

    def __init__(self, file: IO[bytes], *, content: bool, start: int) -> None:
        self._file = file
        self._lines = bytearray()
        self.entries = self.files = self.bytes = self.unsure = self.sockets = 0
        self._line(Header(content=content, start=start))

    def add(self, entry: Entry) -> None:
        """Write one entry; they must come in their `order`."""
        self.entries += 1
        if entry.type is Kind.FILE:
            self.files += 1
            self.bytes += entry.size
        elif entry.type is Kind.SOCKET:
            self.sockets += 1
        if entry.unsure:
            self.unsure += 1
        self._line(entry)

    def close(self, *, unread: int = 0, mounts: Iterable[bytes] = (), without_xattrs: Iterable[bytes] = ()) -> Footer:
        """Write the last line and return it; the file stays open."""
        footer = Footer(
            entries=self.entries,
            files=self.files,
            bytes=self.bytes,
            unsure=self.unsure,
            unread=unread,
            sockets=self.sockets,
            mounts=tuple(map(escape, mounts)),
            without_xattrs=tuple(map(escape, without_xattrs)),
        )
        self._line(footer)
        self._file.write(self._lines)
        self._lines.clear()
        return footer

    def _line(self, value: Header | Entry | Footer) -> None:
        _encoder.encode_into(value, self._lines, -1)
        self._lines += b"\n"
        if len(self._lines) > 1 << 18:
            self._file.write(self._lines)
            self._lines.clear()


class Reader:
    """Reads a manifest from `file`: its `header` at once, its entries by iteration, its `footer` after the last one.

    Raises Damaged for whatever is no whole manifest of a version that is known; `file` names it in the message.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.footer: Footer | None = None
        try:
            self.header = _headers.decode(file.readline())
        except msgspec.DecodeError as error:
            raise Damaged(f"this is not the manifest of a volume: {error}", hint=_HINT) from error
        if self.header.manifest != VERSION:
            raise Damaged(
                f"the manifest has version {self.header.manifest}, and only {VERSION} is known",
                hint="Restore with the version of DR-Syncer that made the backup, or a newer one.",
            )

    def __iter__(self) -> Iterator[Entry]:
        count = 0
        for line in self._file:
            try:
                if line.startswith(FOOTER):
                    self.footer = _footers.decode(line)
                    break
                yield _entries.decode(line)
            except msgspec.DecodeError as error:
                raise Damaged(f"line {count + 2} of the manifest is damaged: {error}", hint=_HINT) from error
            count += 1
        if self.footer is None or self.footer.entries != count or self._file.readline():
            raise Damaged(f"the manifest was cut off after {count} entries", hint=_HINT)
