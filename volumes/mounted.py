"""The folder that a volume is mounted at: whether it is there, how full it is, and what lies where in it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from volumes.commands import LOST_AND_FOUND
from volumes.failure import NoSuchPath, VolumeMissing, VolumeUnreadable
from volumes.manifest import Entry, unescape

_BLOCK = 512  # bytes; st_blocks counts these
_libc = ctypes.CDLL(None, use_errno=True)


def root_of(folder: str) -> Path:
    """Return the volume's folder without symlinks, as restic gets to see it. Raises `VolumeMissing`."""
    try:
        root = Path(folder).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise VolumeMissing(f"the volume is not mounted at {folder}") from error
    if not root.is_dir():
        raise VolumeMissing(f"the volume at {folder} is no folder")
    return root


def is_empty(root: Path) -> bool:
    """Whether there is nothing in the volume but what the file system made. Raises `VolumeUnreadable`."""
    try:
        with os.scandir(root) as entries:
            return all(entry.name == LOST_AND_FOUND for entry in entries)
    except OSError as error:
        raise VolumeUnreadable(
            f"the volume's folder {root} can't be read: {error.strerror}",
            hint="Let movers run as a user that can (`volumes.mover.user`).",
        ) from error


def in_the_way(root: Path, path: str) -> list[str]:
    """Return what is in the volume, or in `path` in it, by name: what a restore to there would replace or delete.

    Nothing is there also where there is an empty folder. Raises `VolumeUnreadable`, `NoSuchPath`.
    """
    parts = parts_of(path) if path else ()
    if missing_folders(root, parts[:-1]):
        return []
    here = root.joinpath(*parts)
    try:
        if parts and not stat.S_ISDIR(here.lstat().st_mode):
            return [path]
        with os.scandir(here) as entries:
            found = [os.fsdecode(entry.name) for entry in entries]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VolumeUnreadable(
            f"the volume's folder {here} can't be read: {error.strerror}",
            hint="Let movers run as a user that can (`volumes.mover.user`).",
        ) from error
    return [name for name in found if parts or name != LOST_AND_FOUND]


def free(root: Path) -> int:
    """Return the bytes that this user can still write to the volume."""
    found = os.statvfs(root)
    return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize


@contextlib.contextmanager
def settling(root: Path) -> Iterator[Callable[[], None]]:
    """Hand out what waits until all that was written to the volume since is on its disk.

    That raises OSError when the disk did not take it: a thin one, or one that fails, says so no earlier, and what is
    only in memory is gone when the node is. The kernel tells of such errors whoever had the volume open before, see
    syncfs(2); so it is open from here on.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def settle() -> None:
        if _libc.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))

    try:
        yield settle
    finally:
        os.close(fd)


def used(root: Path) -> int:
    """Return the bytes on the disk of all files that can be seen in the volume."""
    total, seen, folders = 0, set(), [str(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
                    elif found.st_nlink == 1 or found.st_ino not in seen:
                        seen.add(found.st_ino)
                        total += found.st_blocks * _BLOCK
        except OSError:
            # What cannot be looked into cannot be made room of either.
            continue
    return total


def parts_of(path: str) -> tuple[str, ...]:
    """Return the names in a path inside a volume. Raises `NoSuchPath` for one that would lead out of it."""
    parts = tuple(part for part in path.split("/") if part)
    if not parts or any(part in (".", "..") or "\0" in part for part in parts):
        raise NoSuchPath(f"{path!r} is no path inside a volume")
    return parts


def missing_folders(root: Path, parts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return those of the folders on the way to `root/parts` that are not there, from the top down.

    Raises `NoSuchPath` where something else is in the way: a link could lead out of the volume.
    """
    for depth in range(1, len(parts) + 1):
        here = root.joinpath(*parts[:depth])
        try:
            found = here.lstat()
        except FileNotFoundError:
            return tuple(parts[:further] for further in range(depth, len(parts) + 1))
        if not stat.S_ISDIR(found.st_mode):
            raise NoSuchPath(f"in the volume, {'/'.join(parts[:depth])} is no folder, but one in the snapshot")
    return ()


def give_back(root: Path, entry: Entry) -> None:
    """Give the root its mode, owner and attributes as `entry` has them; restic keeps only what is below it.

    What this user may not do is left, and found by the comparison. Its time changes with each file beside the data.
    """
    wanted = {os.fsdecode(unescape(name)): value for name, value in entry.xattrs.items()}
    # The owner first: a change of it takes away bits of the mode.
    attempts: list[Callable[[], object]] = [
        lambda: os.chown(root, entry.uid, entry.gid),
        lambda: root.chmod(entry.mode),
    ]
    with contextlib.suppress(OSError):
        there = set(os.listxattr(root)) - {"security.selinux"}
        attempts += [partial(os.removexattr, root, name) for name in sorted(there - wanted.keys())]
    attempts += [partial(os.setxattr, root, name, value) for name, value in sorted(wanted.items())]
    for attempt in attempts:
        with contextlib.suppress(OSError):
            attempt()
