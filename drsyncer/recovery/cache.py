"""The folder of a local clone: one process at a time, and whole again after one was killed in it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from drsyncer.errors import Abandoned, GitError

_DAMAGED = "dr-syncer-damaged"
_POLL = 0.1  # seconds between two looks at a lock that another one holds
# What a killed git leaves behind. No other git is at work here while we hold the lock.
_LEFTOVER = re.compile(
    r".*\.lock|packed-refs\.new|gc\.pid|gc\.log|tmp_(pack|idx|rev|obj|bitmap|mtimes|graph)_.*|\.tmp-.*"
    r"|fast_import_crash_\d+|shallow_.*|tmp_objdir-.*"
)
_FAST_IMPORT_KEEP = b"fast-import"


class Lock:
    """An exclusive lock on one clone. It is the kernel's, so it can't outlive its holder and the holder's git."""

    def __init__(self, file: Path, *, wait: float, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Take the lock, waiting up to `wait` seconds, for as long as `goes_on` says.

        Raises `GitError` naming the holder when it stays taken, `Abandoned` when the wait was not to go on.
        """
        self._goes_on = goes_on
        self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._take(file, wait)
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(self.descriptor)
            raise

    def release(self) -> None:
        """Give the lock back, also in the name of a git that went on in the background."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)

    def _take(self, file: Path, wait: float) -> None:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise GitError(f"recovery.git: {file} can't be locked: {error.strerror}") from error
            else:
                return
            if not self._goes_on():
                raise Abandoned(f"recovery.git: {file.with_suffix('')} is in use, and the wait for it was given up")
            if time.monotonic() >= end:
                holder = os.pread(self.descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise GitError(
                    f"recovery.git: {file.with_suffix('')} is in use by another dr-syncer (process {holder}, or a git"
                    f" that it started); waited {wait:g} s",
                    hint="Wait for it to end, or give each one its own repository.cacheDir.",
                )
            time.sleep(_POLL)


def prepare(cache: Path) -> None:
    """Make the folder for clones, for our eyes only. Raises `GitError` when it can't be made or is another user's."""
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        if cache.stat().st_uid != os.geteuid() and not os.access(cache, os.W_OK | os.X_OK):
            raise GitError(f"recovery.git: {cache} belongs to another user", hint="Set repository.cacheDir.")
    except OSError as error:
        raise GitError(
            f"recovery.git: {cache} can't be made: {error.strerror}",
            hint="Set repository.cacheDir to a folder that can be written.",
        ) from error


def sweep(folder: Path) -> None:
    """Remove what a killed git left in the clone: stale locks and half-written files. The lock must be held."""
    for parent, folders, files in os.walk(folder):
        for name in files:
            if _LEFTOVER.fullmatch(name) or (name.endswith(".keep") and _abandoned(Path(parent, name))):
                Path(parent, name).unlink(missing_ok=True)
        for name in [name for name in folders if _LEFTOVER.fullmatch(name) and not name.endswith(".lock")]:
            shutil.rmtree(Path(parent, name))
            folders.remove(name)


def is_damaged(folder: Path) -> bool:
    """Return whether somebody came upon damage in this clone before."""
    return (folder / _DAMAGED).exists()


def mark_damaged(folder: Path) -> None:
    """Leave word for the next one who opens this clone."""
    if folder.is_dir():
        (folder / _DAMAGED).touch()


def remove(folder: Path) -> None:
    """Remove a clone, or whatever else has its name. The lock must be held."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _abandoned(keep: Path) -> bool:
    """Return whether this mark says that a fast-import is at work on a pack: a killed one leaves it for ever."""
    return keep.read_bytes().strip().startswith(_FAST_IMPORT_KEEP)
