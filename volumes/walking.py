"""A walk through a volume: every path with its `lstat`, folder by folder, in the order of a manifest.

Folders are opened relative to their parent and without following links, so no path is too long, and nobody who swaps a
folder for a link during the walk leads it out of the volume. Few folders are open at a time, however deep the tree, and
little of a folder is held at a time, however large it is.

`lost+found` at the root is left out, as it is out of the backup: it is the file system's, not the volume's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from volumes.manifest import ROOT

LEFT_OUT: Final = b"lost+found"  # at the root
_OPEN_FOLDERS = 64
_BATCH = 1000  # paths
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """One path of a walk. `folder` is the open parent, only until the walk goes on; the root's is the root itself."""

    path: bytes
    folder: int
    name: bytes
    stat: os.stat_result


class Batch(NamedTuple):
    """Some neighbours in one folder: they are many, and what they have in common is said once."""

    prefix: bytes  # the folder's path and a slash, "" for the root's
    folder: int  # open until the walk goes on
    names: list[bytes]
    stats: list[os.stat_result]

    def found(self) -> Iterator[Found]:
        """Yield them one by one."""
        for name, about in zip(self.names, self.stats, strict=True):
            yield Found(self.prefix + name, self.folder, name, about)


@dataclass(slots=True)
class _Level:
    fd: int
    identity: tuple[int, int]
    path: bytes  # with a slash at its end, "" for the root
    folders: Iterator[tuple[bytes, os.stat_result]] = field(default_factory=lambda: iter(()))  # still to come


@dataclass(slots=True)
class Walk:
    """Iterate over it for every path below `root`, the root first. Once.

    `missed(path, error)` is told what could not be looked at; the walk goes on beside it. Only a root that cannot be
    read raises OSError.
    """

    root: Path
    missed: Callable[[bytes, OSError], None]
    mounts: list[bytes] = field(default_factory=list)  # where another file system begins, as far as was walked

    def __iter__(self) -> Iterator[Found]:
        for batch in self.batches():
            yield from batch.found()

    def batches(self) -> Iterator[Batch]:
        """As iterating, with many paths at a time."""
        levels: list[_Level] = []
        try:
            fd = os.open(self.root, _FOLDER & ~os.O_NOFOLLOW)
            levels.append(_Level(fd, _identity(fd), b""))
            names = [name for name in _names(fd) if name != LEFT_OUT]
            yield Batch(b"", fd, [ROOT], [os.fstat(fd)])
            yield from self._inside(levels[0], names)
            while levels:
                level = levels[-1]
                name, about = next(level.folders, (b"", None))
                if about is None:
                    self._leave(levels)
                elif (names_inside := self._enter(levels, name, about)) is not None:
                    yield from self._inside(levels[-1], names_inside)
        finally:
            for level in levels:
                if level.fd >= 0:
                    os.close(level.fd)

    def _inside(self, level: _Level, names: list[bytes]) -> Iterator[Batch]:
        """Yield what is directly in a folder, and remember its folders."""
        folders: list[tuple[bytes, os.stat_result]] = []
        for start in range(0, len(names), _BATCH):
            some = names[start : start + _BATCH]
            try:
                stats = [os.stat(name, dir_fd=level.fd, follow_symlinks=False) for name in some]
            except OSError:
                some, stats = self._one_by_one(level, some)
            folders += [(name, about) for name, about in zip(some, stats, strict=True) if stat.S_ISDIR(about.st_mode)]
            yield Batch(level.path, level.fd, some, stats)
        level.folders = iter(folders)

    def _one_by_one(self, level: _Level, names: list[bytes]) -> tuple[list[bytes], list[os.stat_result]]:
        there, stats = [], []
        for name in names:
            try:
                about = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
            except OSError as error:
                self.missed(level.path + name, error)
                continue
            there.append(name)
            stats.append(about)
        return there, stats

    def _enter(self, levels: list[_Level], name: bytes, about: os.stat_result) -> list[bytes] | None:
        """Open a folder in the last of `levels`, and return the names in it; None when that cannot be."""
        parent = levels[-1]
        path = parent.path + name
        fd = -1
        try:
            if parent.fd < 0:
                raise FileNotFoundError(errno.ENOENT, "moved elsewhere while it was read")
            fd = os.open(name, _FOLDER, dir_fd=parent.fd)
            # Another folder took its place since: what is in it belongs to an entry that nobody has seen.
            if _identity(fd) != (about.st_dev, about.st_ino):
                raise FileNotFoundError(errno.ENOENT, "replaced by another folder")
            names = _names(fd)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            self.missed(path, error)
            return None
        if about.st_dev != parent.identity[0]:
            self.mounts.append(path)
        levels.append(_Level(fd, (about.st_dev, about.st_ino), path + b"/"))
        # Never the root: the way back down begins there.
        if len(levels) > _OPEN_FOLDERS and levels[-_OPEN_FOLDERS].fd >= 0:
            os.close(levels[-_OPEN_FOLDERS].fd)
            levels[-_OPEN_FOLDERS].fd = -1
        return names

    def _leave(self, levels: list[_Level]) -> None:
        level = levels.pop()
        try:
            if levels and levels[-1].fd < 0:
                levels[-1].fd = _open_again(level, levels[-1], levels[0].fd)
        except OSError as error:
            self.missed(levels[-1].path[:-1], error)
        finally:
            if level.fd >= 0:
                os.close(level.fd)


def _open_again(child: _Level, folder: _Level, root: int) -> int:
    """Open `folder` once more: by the way up from `child`, else by the way down from the root. Raises OSError."""
    if child.fd >= 0:
        fd = os.open("..", _FOLDER, dir_fd=child.fd)
        if _identity(fd) == folder.identity:
            return fd
        os.close(fd)
    fd = os.dup(root)
    for name in folder.path[:-1].split(b"/"):
        try:
            below = os.open(name, _FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    if _identity(fd) != folder.identity:
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "moved elsewhere while it was read")
    return fd


def _identity(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino


def _names(fd: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(fd)))
