"""The manifest of a backup: made beside restic, of the very state that restic read, or saying where that is not so.

restic reads the files itself, and nobody sees what it saw. So the volume is walked three times:

1. before restic starts, everything's `lstat`;
2. while restic runs: what is behind it (SHA-256, xattrs, link targets);
3. after restic has ended, everything's `lstat` again.

The kernel sets the ctime of an inode whenever its content or its metadata changes, and there is no call that sets it to
a chosen time: `touch -d` gives a file its old mtime back, not its ctime. So a path whose lstat is the same in 1 and 3
(`Entry.identity`: inode, ctime, mtime, size, mode, owner, links) was the same all the time between, for restic and for
us, whenever either of us read it. Two changes in the same tick of the kernel's clock have the same ctime; therefore a
pause longer than a tick lies between 1 and the start of restic: what changed in the tick of the first look was there
before either of us read it. The times are compared with each other, never with our clock, so a clock that is set and
the clock of a file server do no harm.

Everything else (changed, appeared, vanished, replaced, moved) is in the manifest as `unsure`, and makes the backup
Partial: whether restic saw the old, the new, or half of each is not known. That is strict on purpose, and wrong in one
direction only: a file that changed after restic was through with it counts, too.

What this does not prove: programs that write through a memory map change pages without a new ctime until the kernel
writes these pages out (half a minute or so), which restic's own detection of changes does not see either; file servers
(NFS) tell changes of other machines late. And that restic kept what it read: that is what comparing a restore proves.

A hash is taken over from the previous manifest where path and identity are the same. restic does likewise: it does not
read such a file either.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import msgspec

from volumes.inspecting import GONE, Looking, Stopped, entry_of
from volumes.manifest import NAME, Damaged, Entry, Footer, Kind, Reader, Unsure, Writer, escape, joined, order
from volumes.walking import Found, Walk

MOST_NAMES: Final = 100
_TICK = 0.05  # seconds; the kernel's is 10 ms at most (CONFIG_HZ=100)
_WHOLE_SECONDS_TICK = 2.0  # where a file system keeps no fractions of seconds
_SECOND = 1_000_000_000
_NICEST = 19


@dataclass(frozen=True, slots=True)
class Described:
    """A manifest that is finished. The state that it describes is the snapshot's, if `sure`."""

    file: Path
    footer: Footer
    names: tuple[str, ...]  # the first ones of which it is not sure, escaped, each with why
    warning: str = ""

    @property
    def sure(self) -> bool:
        """Whether nothing changed while the backup ran, and all could be read."""
        return not self.footer.unsure and not self.footer.unread

    @property
    def changed(self) -> int:
        """Of how many paths nobody knows whether the snapshot has them as they are listed."""
        return self.footer.unsure + self.footer.unread


@dataclass(slots=True)
class Describing:
    """A manifest in the making; see the module. The first walk was made when `describing` hands it out."""

    root: Path
    scratch: Path
    content: bool
    previous: Path | None
    _looking: Looking = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None
    _thread: threading.Thread | None = None
    _warning: str = ""
    _start: int = 0
    _device: int = 0

    @property
    def _before(self) -> Path:
        return self.scratch / "before.jsonl"

    @property
    def _meanwhile(self) -> Path:
        return self.scratch / "meanwhile.jsonl"

    def begin(self) -> None:
        """Make the first walk, and start the second. Raises OSError for a root that cannot be read."""
        self._start = time.time_ns()
        self._looking = Looking(self.content, self._stop)
        self._device = self.root.stat().st_dev
        fractions = False
        with self._before.open("wb") as file:
            writer = Writer(file, content=False, start=self._start)
            for found in Walk(self.root, missed=_ignored):
                fractions = fractions or found.stat.st_ctime_ns % _SECOND != 0
                writer.add(entry_of(found, self._device))
            writer.close()
        time.sleep(_TICK if fractions else _WHOLE_SECONDS_TICK)
        self._thread = threading.Thread(target=self._run, name="manifest")
        self._thread.start()

    def finish(self) -> Described:
        """Wait for the second walk, make the third, and return the manifest. restic has ended before."""
        if self._thread is None:
            raise RuntimeError("finish comes after begin")
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        unread: list[str] = []
        names: list[str] = []

        def missed(path: bytes, error: OSError) -> None:
            if error.errno not in GONE:
                unread.append(f"{escape(path)} ({error.strerror})")

        target = self.scratch / NAME
        walk = Walk(self.root, missed=missed)
        with self._meanwhile.open("rb") as source, target.open("wb") as file:
            writer = Writer(file, content=self.content, start=self._start)
            for known, found in joined(Reader(source), walk, left_path=_path, right_path=_found_path):
                entry = self._confirmed(known, found)
                writer.add(entry)
                if entry.unsure and len(names) < MOST_NAMES:
                    names.append(f"{entry.path} ({entry.unsure})")
            footer = writer.close(unread=len(unread), mounts=walk.mounts, without_xattrs=self._looking.without_xattrs)
        return Described(target, footer, tuple([*names, *unread][:MOST_NAMES]), self._warning)

    def end(self) -> None:
        """Stop what is still running and remove what is in between; the finished manifest stays."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for file in (self._before, self._meanwhile):
            file.unlink(missing_ok=True)

    def _confirmed(self, known: Entry | None, found: Found | None) -> Entry:
        if found is None:
            assert known is not None
            return _unsure(known, Unsure.VANISHED)
        now = entry_of(found, self._device)
        if known is None:
            return _unsure(now, Unsure.APPEARED)
        if known.identity == now.identity:
            return known
        return _unsure(now, Unsure.CHANGED)

    def _run(self) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)  # restic first
            self._look_behind()
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by finish
            self._failure = error

    def _look_behind(self) -> None:
        with self._before.open("rb") as source, self._meanwhile.open("wb") as file:
            writer = Writer(file, content=self.content, start=self._start)
            walk = Walk(self.root, missed=_ignored)
            both = joined(Reader(source), walk, left_path=_path, right_path=_found_path)
            with nullcontext() if self.previous is None else self.previous.open("rb") as previous:
                hashes = _Hashes(previous)
                for known, found in both:
                    if known is not None:  # what has only just appeared is found again by the third walk
                        writer.add(self._complete(known, found, hashes))
                self._warning = hashes.warning
            writer.close()

    def _complete(self, known: Entry, found: Found | None, hashes: _Hashes) -> Entry:
        if found is None:
            return _unsure(known, Unsure.VANISHED)
        if entry_of(found, self._device).identity != known.identity:
            return _unsure(known, Unsure.CHANGED)
        sha256 = hashes.of(known) if self.content and known.type is Kind.FILE else ""
        return self._looking.complete(known, found, sha256=sha256)


class _Hashes:
    """The hashes of the previous manifest, asked for in order. One that is damaged has none any more."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self.warning = ""
        self._entries: Iterator[Entry] = iter(()) if file is None else self._all(file)
        self._next = next(self._entries, None)

    def of(self, entry: Entry) -> str:
        """Return the SHA-256 that the same file had, "" when there was none, or it is not known to be the same."""
        wanted = order(entry.name)
        while self._next is not None and order(self._next.name) < wanted:
            self._next = next(self._entries, None)
        known = self._next
        if known is None or known.path != entry.path or known.unsure or known.identity != entry.identity:
            return ""
        return known.sha256

    def _all(self, file: IO[bytes]) -> Iterator[Entry]:
        try:
            yield from Reader(file)
        except Damaged as error:
            self.warning = f"the previous manifest cannot be used, so all files are read: {error}"


@contextmanager
def describing(root: Path, *, scratch: Path, content: bool, previous: Path | None = None) -> Iterator[Describing]:
    """Hand out the manifest in the making, once the first walk is done: restic starts after that.

    `scratch` is an empty folder that is not in the volume, with room for three lists of all paths. `previous` is the
    manifest of the snapshot before. Raises OSError for a root that cannot be read, and when `scratch` is full.
    """
    manifest = Describing(root, scratch, content, previous)
    try:
        manifest.begin()
        yield manifest
    finally:
        manifest.end()


def _unsure(entry: Entry, why: Unsure) -> Entry:
    """Nobody knows whether the snapshot has `entry` as it is here. Sockets it never has."""
    return entry if entry.type is Kind.SOCKET else msgspec.structs.replace(entry, unsure=why, sha256="")


def _ignored(_path: bytes, _error: OSError) -> None:
    """The third walk tells."""


def _path(entry: Entry) -> bytes:
    return entry.name


def _found_path(found: Found) -> bytes:
    return found.path
