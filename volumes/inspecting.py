"""What one path of a volume is: its `lstat`, and what is behind it: content, extended attributes, a link's target.

restic's rules are ours: what it does not keep (sockets) is listed all the same, since it is in the volume. The label of
SELinux is nobody's data: the node's policy gives it to a volume at each mount.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from volumes.failure import Interrupted
from volumes.manifest import ROOT, Entry, Kind, Unsure, escape
from volumes.pacing import Pace
from volumes.walking import Batch, Found, Walk

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SMALL = 1 << 16
_BUFFER = 1 << 20
_FOREIGN_XATTRS = frozenset({"security.selinux"})
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP})
# What a path answers that is not any more what it was a moment ago.
GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP})

_NONE: Final[dict[str, bytes]] = {}
_BEFORE_TIMES = 7  # fields of a stat: mode, inode, device, links, owner, group, size; the seconds of the atime follow
_sha256 = hashlib.sha256

_KIND = 0o170000
_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}
_DEVICES = frozenset({Kind.CHAR, Kind.BLOCK})


@dataclass(slots=True)
class Looking:
    """Makes the entries of one walk. Files with several names are read once.

    `goes_on` is asked for each path and each MiB of a file. When it says no, `Interrupted` is raised.
    """

    device: int  # of the volume's root
    content: bool  # whether the content of files is read
    goes_on: Callable[[], bool] = lambda: True
    pace: Pace = field(default_factory=Pace)
    without_xattrs: list[bytes] = field(default_factory=list)  # where a file system begins that has none
    _devices: set[int] = field(default_factory=set)  # those file systems
    _hashed: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)  # names to come, and SHA-256

    def entry(self, found: Found) -> Entry:
        """Return all of a path. What cannot be read of it makes the entry unsure."""
        self.require()
        kind = _KINDS[found.stat.st_mode & _KIND]
        target = sha256 = ""
        try:
            if kind is Kind.FILE and self.content:
                sha256, xattrs = self._file(found)
            else:
                xattrs = self._xattrs(found, _behind(found))
                if kind is Kind.SYMLINK:
                    target = escape(os.readlink(found.name, dir_fd=found.folder))
        except OSError as error:
            why = Unsure.CHANGED if error.errno in GONE else Unsure.UNREADABLE
            return self.bare(found, unsure=why)
        return self.bare(found, target=target, sha256=sha256, xattrs=xattrs)

    def require(self) -> None:
        """Raise Interrupted when it is time to stop."""
        if not self.goes_on():
            raise Interrupted("looking through the volume: stopped, since it is time to stop")

    def is_same(self, entry: Entry, found: Found) -> bool:
        """Whether nobody wrote to a path since it was as `entry` says.

        The kernel sets the ctime at every change of content or metadata, and nobody can set it to a chosen time.
        """
        about = found.stat
        return (
            entry.ctime == about.st_ctime_ns
            and entry.inode == about.st_ino
            and entry.mtime == about.st_mtime_ns
            and entry.type is _KINDS[about.st_mode & _KIND]
            and entry.mode == about.st_mode & 0o7777
            and entry.uid == about.st_uid
            and entry.gid == about.st_gid
            and (entry.type is not Kind.FILE or entry.size == about.st_size)
            and (entry.type is Kind.DIR or entry.links == about.st_nlink)
            and (entry.device or self.device) == about.st_dev
        )

    def bare(
        self,
        found: Found,
        *,
        target: str = "",
        sha256: str = "",
        xattrs: dict[str, bytes] = _NONE,
        unsure: Unsure = Unsure.NO,
    ) -> Entry:
        """Return what `lstat` says of a path, and what is given beside it."""
        about = found.stat
        mode = about.st_mode
        kind = _KINDS[mode & _KIND]
        return Entry(
            path=escape(found.path),
            type=kind,
            mode=mode & 0o7777,
            uid=about.st_uid,
            gid=about.st_gid,
            mtime=about.st_mtime_ns,
            ctime=about.st_ctime_ns,
            inode=about.st_ino,
            size=about.st_size if kind is Kind.FILE else 0,
            links=1 if kind is Kind.DIR else about.st_nlink,
            device=0 if about.st_dev == self.device else about.st_dev,
            rdev=about.st_rdev if kind in _DEVICES else 0,
            target=target,
            xattrs=xattrs,
            sha256=sha256,
            unsure=unsure,
        )

    def _xattrs(self, found: Found, where: int | bytes) -> dict[str, bytes]:
        """Return the extended attributes, ACLs and capabilities among them, of the path or open file `where`.

        Those in `trusted.` are seen by processes with CAP_SYS_ADMIN only.
        """
        device = found.stat.st_dev
        if device in self._devices:
            return _NONE
        follow = isinstance(where, int)
        try:
            names = os.listxattr(where, follow_symlinks=follow)
            if not names:
                return _NONE
            return {
                escape(os.fsencode(name)): os.getxattr(where, name, follow_symlinks=follow)
                for name in names
                if name not in _FOREIGN_XATTRS
            }
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                raise
            self._devices.add(device)
            self.without_xattrs.append(found.path)
            return _NONE

    def _file(self, found: Found) -> tuple[str, dict[str, bytes]]:
        """Return the SHA-256 of a regular file's content, and its extended attributes.

        Raises OSError, also when another file has taken its place, or it has another size than its `lstat` said.
        """
        about = found.stat
        fd = os.open(found.name, _FILE, dir_fd=found.folder)
        try:
            now = os.fstat(fd)
            inode = now.st_dev, now.st_ino
            if inode != (about.st_dev, about.st_ino):
                raise OSError(errno.ESTALE, "replaced by another file")
            xattrs = self._xattrs(found, fd)
            if about.st_nlink == 1:
                return self._sha256(fd, about.st_size), xattrs
            left, sha256 = self._hashed.pop(inode, (about.st_nlink, ""))
            sha256 = sha256 or self._sha256(fd, about.st_size)
            if left > 1:
                self._hashed[inode] = (left - 1, sha256)
            return sha256, xattrs
        finally:
            os.close(fd)

    def _sha256(self, fd: int, size: int) -> str:
        """Return the SHA-256 of an open file that has `size` bytes. Raises OSError where it has not."""
        if size <= _SMALL:
            self.pace.passed(size)
            data = os.read(fd, size + 1)
            read, digest = len(data), _sha256(data)
        else:
            read, digest = 0, _sha256()
        if read < size:
            buffer = memoryview(bytearray(_BUFFER))
            while read <= size and (count := os.readv(fd, [buffer])):
                self.pace.passed(count)
                self.require()
                digest.update(buffer[:count])
                read += count
        if read != size:
            raise OSError(errno.ESTALE, "changed while it was read")
        return digest.hexdigest()


def entries(
    root: Path,
    *,
    content: bool,
    missed: Callable[[bytes, OSError], None],
    goes_on: Callable[[], bool] = lambda: True,
    within: bytes = ROOT,
) -> tuple[Looking, Iterator[Entry]]:
    """Return what the entries of the folder `root` are made by, and those entries, in the order of a manifest.

    `within`: only those of this path and what is below it. See `Walk` for `missed`. Raises OSError for a root that
    cannot be read.
    """
    looking = Looking(root.stat().st_dev, content, goes_on)
    return looking, (looking.entry(found) for found in Walk(root, missed) if is_within(found.path, within))


def is_within(path: bytes, folder: bytes) -> bool:
    """Whether a path is `folder` or below it."""
    return folder == ROOT or path == folder or path.startswith(folder + b"/")


def marks(batch: Batch) -> Iterator[tuple[int, int]]:
    """Yield two numbers for each path: the first tells paths apart, the second also the states of a path.

    The state is what `Looking.is_same` compares. They are numbers of 64 bits that mean nothing to another process.
    """
    for name, about in zip(batch.names, batch.stats, strict=True):
        path = hash((batch.prefix, name))
        yield path, hash((path, about[:_BEFORE_TIMES], about.st_mtime_ns, about.st_ctime_ns))


def path_mark(path: bytes) -> int:
    """Return the first of these numbers."""
    folder, slash, name = path.rpartition(b"/")
    return hash((folder + slash, name))


def _behind(found: Found) -> bytes:
    """Return a path for the calls that take none relative to a folder. It is never longer than a name and a number."""
    return b"/proc/self/fd/%d/%s" % (found.folder, found.name)
