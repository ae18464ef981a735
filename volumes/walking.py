"""A walk through a volume: every path with its `lstat`, in the order of a manifest.

Folders are opened relative to their parent and without following links, so no path is too long, and nobody who swaps a
folder for a link during the walk leads it out of the volume. Few folders are open at a time, however deep the tree.

`lost+found` at the root is left out, as it is out of the backup: it is the file system's, not the volume's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from volumes.manifest import ROOT

LEFT_OUT: Final = b"lost+found"  # at the root
_OPEN_FOLDERS = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    """One path of a walk. `folder` is the open parent, only until the walk goes on; the root's is the root itself."""

    path: bytes
    folder: int
    name: bytes
    stat: os.stat_result


@dataclass(slots=True)
class _Level:
    fd: int
    identity: tuple[int, int]
    path: bytes  # with a slash at its end, "" for the root
    names: Iterator[bytes]


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
        levels: list[_Level] = []
        try:
            yield from self._walk(levels)
        finally:
            for level in levels:
                if level.fd >= 0:
                    os.close(level.fd)

    def _walk(self, levels: list[_Level]) -> Iterator[Found]:
        fd = os.open(self.root, _FOLDER & ~os.O_NOFOLLOW)
        about = os.fstat(fd)
        levels.append(_Level(fd, (about.st_dev, about.st_ino), b"", iter(())))
        levels[0].names = iter([name for name in _names(fd) if name != LEFT_OUT])
        yield Found(ROOT, fd, ROOT, about)
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                self._leave(levels)
                continue
            path = level.path + name
            try:
                about = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
                yield Found(path, level.fd, name, about)
                if stat.S_ISDIR(about.st_mode):
                    self._enter(levels, path, name, about)
            except OSError as error:
                self.missed(path, error)

    def _enter(self, levels: list[_Level], path: bytes, name: bytes, about: os.stat_result) -> None:
        parent = levels[-1]
        fd = os.open(name, _FOLDER, dir_fd=parent.fd)
        try:
            now = os.fstat(fd)
            # Another folder took its place since: what is in it belongs to an entry that nobody has seen.
            if (now.st_dev, now.st_ino) != (about.st_dev, about.st_ino):
                raise FileNotFoundError(errno.ENOENT, "replaced by another folder")
            names = _names(fd)
        except OSError:
            os.close(fd)
            raise
        if about.st_dev != parent.identity[0]:
            self.mounts.append(path)
        levels.append(_Level(fd, (about.st_dev, about.st_ino), path + b"/", iter(names)))
        if len(levels) > _OPEN_FOLDERS:  # never the root: the way back down begins there
            os.close(levels[-_OPEN_FOLDERS].fd)
            levels[-_OPEN_FOLDERS].fd = -1

    def _leave(self, levels: list[_Level]) -> None:
        level = levels.pop()
        try:
            if levels and levels[-1].fd < 0:
                parent = levels[-1]
                parent.fd = _open_again(level, parent, levels[0].fd)
        except OSError as error:  # it has moved: the rest of it cannot be found
            parent.names = iter(())
            self.missed(parent.path[:-1], error)
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
