"""The manifest of a backup: made beside restic, of the very state that restic read, or saying where that is not so.

restic reads the files itself, and nobody sees what it saw. So the volume is walked three times:

1. before restic starts, for everything's `lstat`;
2. while restic runs, for what is behind it: SHA-256, xattrs, link targets;
3. after restic has ended, for everything's `lstat` again.

The kernel sets the ctime of an inode whenever its content or its metadata changes, and there is no call that sets it to
a chosen time: `touch -d` gives a file its old mtime back, not its ctime. So a path whose lstat is the same in 1 and 3
(inode, ctime, mtime, size, mode, owner, links) was the same all the time between, for restic and for us, whenever
either of us read it. Two changes in the same tick of the kernel's clock have the same ctime; therefore a pause longer
than a tick lies between 1 and the start of restic: what changed in the tick of the first look was there before either
of us read it. The times are compared with each other, never with our clock, so a clock that is set and the clock of a
file server do no harm. What moves with its folder keeps its ctime, and is found at another path.

Everything else (changed, appeared, vanished, replaced, moved) is in the manifest as `unsure`, and makes the backup
Partial: whether restic saw the old, the new, or half of each is not known. That is strict on purpose, and wrong in one
direction only: a file that changed after restic was through with it counts, too.

What this does not prove: programs that write through a memory map change pages without a new ctime until the kernel
writes these pages out (half a minute or so), which restic's own detection of changes does not see either; file servers
(NFS) tell changes of other machines late. And that restic kept what it read: that is what comparing a restore proves.

After the first backup, nothing is read that the manifest before knows in the same state, as restic does not read it
either: the second walk is left to files that are newer (`since`), and made only where there are any; the third looks
the others up. When restic's root tree is the one of the snapshot before, restic found every path, owner, mode, time,
inode and attribute as it was, and read nothing: then nothing need be walked again, and the manifest before is this
snapshot's, too, if the volume's own folder is as it was (`folder`), which is in no tree of restic's.

The second walk keeps near to restic where it is told how far that is (`reached`), and the kernel lets restic go first.

In memory there are two numbers per path (`marks`): 16 MB for a million, and some more where something has changed.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple, Self

import msgspec

from drsyncer.snapshot import Folder
from volumes.inspecting import GONE, Looking, marks, path_mark
from volumes.manifest import NAME, Damaged, Entry, Footer, Kind, Reader, Unsure, Writer, escape, joined
from volumes.pacing import Pace
from volumes.walking import Found, Walk

MOST_NAMES: Final = 100
_TICK = 0.05  # seconds; the kernel's is 10 ms at most (CONFIG_HZ=100)
_WHOLE_SECONDS_TICK = 2.0  # where a file system keeps no fractions of seconds
_SECOND = 1_000_000_000
_NICEST = 19
_GLANCE = 0.25  # seconds between two looks at whether to go on


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
class _Seen:
    """What a walk has seen: the marks of paths and of their states, in its order, and what it could not look at."""

    paths: array[int] = field(default_factory=lambda: array("q"))
    states: array[int] = field(default_factory=lambda: array("q"))
    newest: int = 0  # the latest ctime, in nanoseconds
    missed: list[tuple[bytes, OSError]] = field(default_factory=list)

    def miss(self, path: bytes, error: OSError) -> None:
        self.missed.append((path, error))

    def same_as(self, other: _Seen) -> bool:
        """Whether both have seen the same, and all of it."""
        return not self.missed and not other.missed and self.states == other.states


class _Marks:
    """A set of marks that needs eight bytes for each."""

    def __init__(self, listed: array[int]) -> None:
        self._sorted = array("q", sorted(listed))

    def __contains__(self, mark: int) -> bool:
        at = bisect_left(self._sorted, mark)
        return at < len(self._sorted) and self._sorted[at] == mark


class _Known(NamedTuple):
    """What is known of a path from before, newest first."""

    draft: Entry | None
    previous: Entry | None

    @property
    def path(self) -> bytes:
        entry = self.draft or self.previous
        return b"" if entry is None else entry.name


class _There(NamedTuple):
    """A path in the third walk, with its marks."""

    found: Found
    path: int
    state: int


class _Writing:
    """Writes a manifest, and remembers the names of what it is not sure of."""

    def __init__(self, file: IO[bytes], making: Describing) -> None:
        self._writer = Writer(file, content=making.content, start=making.start)
        self._names: list[str] = []

    def add(self, entry: Entry) -> None:
        self._writer.add(entry)
        if entry.unsure and len(self._names) < MOST_NAMES:
            self._names.append(f"{entry.path} ({entry.unsure})")

    def close(self, file: Path, *, seen: _Seen, walk: Walk, looking: Looking, warning: str = "") -> Described:
        unread = [f"{escape(path)} ({error.strerror})" for path, error in seen.missed if error.errno not in GONE]
        footer = self._writer.close(unread=len(unread), mounts=walk.mounts, without_xattrs=looking.without_xattrs)
        return Described(file, footer, tuple([*self._names, *unread][:MOST_NAMES]), warning)


@dataclass(slots=True)
class Describing:
    """A manifest in the making; see the module. Use it in a `with` block, which ends with all that it started."""

    root: Path
    scratch: Path
    content: bool
    previous: Path | None = None
    goes_on: Callable[[], bool] = lambda: True
    since: int | None = None
    start: int = field(default_factory=time.time_ns)
    is_newer: bool = False  # whether the first walk has found anything that is newer than `since`
    _stop: threading.Event = field(default_factory=threading.Event)
    _pace: Pace = field(default_factory=Pace)
    _folder: Folder = field(init=False)
    _looking: Looking = field(init=False)
    _before: _Seen = field(init=False)
    _meanwhile: _Seen = field(default_factory=_Seen)
    _draft: Described | None = None
    _failure: BaseException | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def look(self) -> None:
        """Make the first walk. restic must not read before. Raises OSError for a root that cannot be read."""
        about = self.root.stat()
        self._folder = _folder(about)
        self._looking = Looking(about.st_dev, self.content, self._is_wanted, self._pace)
        self._before, fractions = self._seen()
        time.sleep(_TICK if fractions else _WHOLE_SECONDS_TICK)

    def begin(self, since: int | None = None) -> None:
        """Start the second walk. `since`: when the backup before began, whose manifest `finish` will be given."""
        self.since = since
        self.is_newer = self._before.newest >= (since or 0)
        self._thread = threading.Thread(target=self._run, name="manifest")
        self._thread.start()

    def reached(self, bytes_done: int) -> None:
        """Tell how far restic is, as often as it says so (`bytes_done`): files are then read from the disk once."""
        self._pace.reached(bytes_done)

    def finish(self, previous: Path | None = None) -> Described:
        """Wait for the second walk, make the third, and return the manifest. restic has ended before.

        `previous` is the manifest of the snapshot before, unless it was given before. Raises OSError when it cannot be
        read; one that is damaged is not used, and a warning.
        """
        if self._thread is None:
            raise RuntimeError("finish comes after begin")
        self._pace.end()
        while self._thread.is_alive():
            self._thread.join(_GLANCE)
            self._looking.require()
        if self._failure is not None:
            raise self._failure
        if self._draft is None:
            raise RuntimeError("the second walk was stopped")
        previous = previous or self.previous
        if self.since is None and self._before.same_as(self._meanwhile) and self._before.same_as(self._seen()[0]):
            target = self._draft.file.replace(self.scratch / NAME)
            return Described(target, self._draft.footer, self._draft.names)
        return self._merged(self._draft.file, previous)

    def folder(self) -> Folder | None:
        """Return what the volume's own folder is, None when that has changed since the first walk."""
        return self._folder if _folder(self.root.stat()) == self._folder else None

    def end(self) -> None:
        """Stop what is still running and remove what is in between; the finished manifest stays."""
        self._stop.set()
        self._pace.end()
        if self._thread is not None:
            self._thread.join()
        self._draft_file.unlink(missing_ok=True)

    def _is_wanted(self) -> bool:
        return not self._stop.is_set() and self.goes_on()

    @property
    def _draft_file(self) -> Path:
        return self.scratch / "draft.jsonl"

    def _seen(self) -> tuple[_Seen, bool]:
        """Walk; return what was seen, and whether the file system keeps fractions of seconds, as far as one can see."""
        seen, fractions = _Seen(), False
        for batch in Walk(self.root, seen.miss).batches():
            self._looking.require()
            for path, state in marks(batch):
                seen.paths.append(path)
                seen.states.append(state)
            seen.newest = max(seen.newest, *(about.st_ctime_ns for about in batch.stats))
            fractions = fractions or any(about.st_ctime_ns % _SECOND for about in batch.stats)
        return seen, fractions

    def _run(self) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)  # restic first
            self._look_behind()
        except BaseException as error:  # noqa: BLE001 - raised again by finish
            self._failure = error

    def _look_behind(self) -> None:
        """Describe everything, or the files that are newer than `since`."""
        seen = self._meanwhile
        walk = Walk(self.root, seen.miss)
        with self._draft_file.open("wb") as file:
            writing = _Writing(file, self)
            for batch in walk.batches() if self.is_newer else ():
                self._looking.require()
                if self.since is None:
                    seen.states.extend(state for _, state in marks(batch))
                for found in batch.found():
                    if self.since is None or self._is_to_be_read(found, self.since):
                        writing.add(self._looking.entry(found))
                    elif stat.S_ISREG(found.stat.st_mode):
                        self._pace.passed(found.stat.st_size)  # restic counts what it need not read, too
            self._draft = writing.close(self._draft_file, seen=seen, walk=walk, looking=self._looking)

    def _is_to_be_read(self, found: Found, since: int) -> bool:
        return self.content and found.stat.st_ctime_ns >= since and stat.S_ISREG(found.stat.st_mode)

    def _merged(self, draft: Path, previous: Path | None) -> Described:
        """Walk, and take each path from what knows it in its present state, or describe it now."""
        paths, states = _Marks(self._before.paths), _Marks(self._before.states)
        seen = _Seen()
        walk = Walk(self.root, seen.miss)
        target = self.scratch / NAME
        earlier = _Earlier(previous)
        with draft.open("rb") as drafted, target.open("wb") as file:
            known = joined(Reader(drafted), earlier, left_path=_name, right_path=_name)
            writing = _Writing(file, self)
            for before, there in joined(
                map(_Known._make, known), _there(walk), left_path=_path, right_path=_path_there
            ):
                if there is None:
                    if before is not None and path_mark(before.path) in paths:
                        writing.add(_vanished(before))
                elif there.state in states:
                    writing.add(self._described(there, before))
                else:
                    why = Unsure.CHANGED if there.path in paths else Unsure.APPEARED
                    writing.add(_unsure(self._looking.bare(there.found), why))
            return writing.close(target, seen=seen, walk=walk, looking=self._looking, warning=earlier.warning)

    def _described(self, there: _There, before: _Known | None) -> Entry:
        """Return the entry of a path that is as it was before restic started."""
        found = there.found
        for entry in before or ():
            if entry is not None and self._is_enough(entry) and self._looking.is_same(entry, found):
                return entry
        entry = self._looking.entry(found)
        try:
            now = os.stat(found.name, dir_fd=found.folder, follow_symlinks=False)
        except OSError:
            return _unsure(entry, Unsure.CHANGED)
        is_same = self._looking.is_same(entry, found._replace(stat=now))
        return entry if is_same else _unsure(entry, Unsure.CHANGED)

    def _is_enough(self, entry: Entry) -> bool:
        return not entry.unsure and (not self.content or entry.type is not Kind.FILE or entry.sha256 != "")


class _Earlier:
    """The entries of the previous manifest. One that is damaged has none any more."""

    def __init__(self, file: Path | None) -> None:
        self.warning = ""
        self._file = file

    def __iter__(self) -> Iterator[Entry]:
        if self._file is None:
            return
        with self._file.open("rb") as file:
            try:
                yield from Reader(file)
            except Damaged as error:
                self.warning = f"the previous manifest cannot be used, so files are read anew: {error}"


@contextmanager
def describing(
    root: Path,
    *,
    scratch: Path,
    content: bool,
    since: int | None = None,
    previous: Path | None = None,
    goes_on: Callable[[], bool] = lambda: True,
) -> Iterator[Describing]:
    """Hand out the manifest in the making, once the first walk is done: restic starts after that.

    `scratch` is a folder that is not in the volume, with room for two lists of all paths. `previous` is the manifest
    of the snapshot before. Who would rather fetch it later, when it turns out to be needed, says with `since` when that
    backup began, in nanoseconds, and gives it to `finish`. `goes_on` is asked again and again; when it says no,
    `Interrupted` is raised. Raises OSError for a root that cannot be read, and when `scratch` is full.
    """
    if since is None and previous is not None:
        since = _start_of(previous)
    with Describing(root, scratch, content, previous, goes_on) as manifest:
        manifest.look()
        manifest.begin(since)
        yield manifest


def _folder(about: os.stat_result) -> Folder:
    return Folder(mode=about.st_mode & 0o7777, uid=about.st_uid, gid=about.st_gid, changed=about.st_ctime_ns)


def _start_of(manifest: Path) -> int:
    try:
        with manifest.open("rb") as file:
            return Reader(file).header.start
    except Damaged:
        return 0  # so everything is read; `finish` says why


def _unsure(entry: Entry, why: Unsure) -> Entry:
    """Nobody knows whether the snapshot has `entry` as it is here. Sockets it never has."""
    return entry if entry.type is Kind.SOCKET else msgspec.structs.replace(entry, unsure=why, sha256="")


def _vanished(known: _Known) -> Entry:
    entry = known.draft or known.previous
    assert entry is not None
    return _unsure(entry, Unsure.VANISHED)


def _there(walk: Walk) -> Iterator[_There]:
    for batch in walk.batches():
        for found, (path, state) in zip(batch.found(), marks(batch), strict=True):
            yield _There(found, path, state)


def _name(entry: Entry) -> bytes:
    return entry.name


def _path(known: _Known) -> bytes:
    return known.path


def _path_there(there: _There) -> bytes:
    return there.found.path
