"""What one path of a volume is: its `lstat`, and what is behind it: content, extended attributes, a link's target.

restic's rules are ours: what it does not keep (sockets) is listed all the same, since it is in the volume. The label of
SELinux is nobody's data: the node's policy gives it to a volume at each mount.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from volumes.manifest import Entry, Kind, Unsure, escape
from volumes.walking import Found, Walk

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SMALL = 1 << 16
_BUFFER = 1 << 20
_FOREIGN_XATTRS = frozenset({"security.selinux"})
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP})
# What a path answers that is not any more what it was a moment ago.
GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP})

_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}


class Stopped(Exception):
    """Reading was told to end."""


@dataclass(slots=True)
class Looking:
    """Completes the entries of one walk. Files with several names are read once. Raises Stopped once `stop` is set."""

    content: bool  # whether the content of files is read
    stop: threading.Event = field(default_factory=threading.Event)
    without_xattrs: list[bytes] = field(default_factory=list)  # where a file system begins that has none
    _devices: set[int] = field(default_factory=set)  # those file systems
    _hashed: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)  # names to come, and SHA-256

    def complete(self, entry: Entry, found: Found, *, sha256: str = "") -> Entry:
        """Return `entry`, which is what `lstat` says of `found`, with what is behind it.

        `sha256` is the hash of its content, where that is known. What cannot be read makes the entry unsure.
        """
        if self.stop.is_set():
            raise Stopped
        target = ""
        try:
            if entry.type is Kind.SYMLINK:
                target = escape(os.readlink(found.name, dir_fd=found.folder))
            xattrs = self._xattrs(found)
            if self.content and entry.type is Kind.FILE:
                sha256 = sha256 or self._sha256(found)
        except OSError as error:
            why = Unsure.CHANGED if error.errno in GONE else Unsure.UNREADABLE
            return msgspec.structs.replace(entry, unsure=why)
        if not target and not sha256 and not xattrs:
            return entry
        return msgspec.structs.replace(entry, target=target, sha256=sha256, xattrs=xattrs)

    def _xattrs(self, found: Found) -> dict[str, bytes]:
        device = found.stat.st_dev
        if device in self._devices:
            return {}
        xattrs = _xattrs_of(found)
        if xattrs is None:
            self._devices.add(device)
            self.without_xattrs.append(found.path)
        return xattrs or {}

    def _sha256(self, found: Found) -> str:
        links = found.stat.st_nlink
        if links == 1:
            return self._read(found)
        inode = (found.stat.st_dev, found.stat.st_ino)
        left, sha256 = self._hashed.pop(inode, (links, ""))
        sha256 = sha256 or self._read(found)
        if left > 1:
            self._hashed[inode] = (left - 1, sha256)
        return sha256

    def _read(self, found: Found) -> str:
        """Return the SHA-256 of a regular file's content.

        Raises OSError, also when another file has taken its place, or it has another size than its `lstat` said.
        """
        fd = os.open(found.name, _FILE, dir_fd=found.folder)
        try:
            if found.stat.st_size <= _SMALL:
                data = os.read(fd, _SMALL + 1)
                read, digest = len(data), hashlib.sha256(data)
            else:
                read, digest = 0, hashlib.sha256()
            if read != found.stat.st_size:
                read += self._hash(fd, digest)
            about = os.fstat(fd)
            if (about.st_dev, about.st_ino) != (found.stat.st_dev, found.stat.st_ino) or read != found.stat.st_size:
                raise OSError(errno.ESTALE, "changed while it was read")
        finally:
            os.close(fd)
        return digest.hexdigest()

    def _hash(self, fd: int, digest: hashlib._Hash) -> int:
        """Add the rest of the file to `digest`; return how many bytes that were."""
        buffer = memoryview(bytearray(_BUFFER))
        total = 0
        while count := os.readv(fd, [buffer]):
            if self.stop.is_set():
                raise Stopped
            digest.update(buffer[:count])
            total += count
        return total


def entries(root: Path, looking: Looking, *, missed: Callable[[bytes, OSError], None]) -> Iterator[Entry]:
    """Yield what is in the folder `root`, complete, in the order of a manifest. See `Walk` for `missed`."""
    device = root.stat().st_dev
    for found in Walk(root, missed):
        yield looking.complete(entry_of(found, device), found)


def kind_of(mode: int) -> Kind:
    """Return what `st_mode` says that something is."""
    return _KINDS[stat.S_IFMT(mode)]


def entry_of(found: Found, root_device: int) -> Entry:
    """Return what `lstat` says of a path; what is behind it (`behind`) is left out."""
    about = found.stat
    kind = kind_of(about.st_mode)
    return Entry(
        path=escape(found.path),
        type=kind,
        mode=stat.S_IMODE(about.st_mode),
        uid=about.st_uid,
        gid=about.st_gid,
        mtime=about.st_mtime_ns,
        ctime=about.st_ctime_ns,
        inode=about.st_ino,
        size=about.st_size if kind is Kind.FILE else 0,
        links=1 if kind is Kind.DIR else about.st_nlink,
        device=0 if about.st_dev == root_device else about.st_dev,
        rdev=about.st_rdev if kind in (Kind.CHAR, Kind.BLOCK) else 0,
    )


def _xattrs_of(found: Found) -> dict[str, bytes] | None:
    """Return the extended attributes of a path, ACLs and capabilities among them. Raises OSError.

    None: its file system has none. Those in `trusted.` are seen by processes with CAP_SYS_ADMIN only.
    """
    # There is no listxattr relative to a folder; this path is never longer than a name and a number.
    path = b"/proc/self/fd/%d/%s" % (found.folder, found.name)
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {
            escape(os.fsencode(name)): os.getxattr(path, name, follow_symlinks=False)
            for name in names
            if name not in _FOREIGN_XATTRS
        }
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return None
        raise
