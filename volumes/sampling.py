"""Comparing what restic has of a snapshot with the list of its files that was made at the source.

The snapshot comes as a tar stream and is hashed on the way: nothing of it is written anywhere. What a tar cannot say
exactly (times, extended attributes, devices) is left to the comparison after a restore.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

import msgspec

from volumes import commands, repository
from volumes.answers import Listed
from volumes.comparing import Difference, Field
from volumes.failure import AccessDenied, Interrupted, RepositoryUnreachable, ResticError
from volumes.manifest import FOOTER, ROOT, Damaged, Entry, Header, Kind, Reader, Unsure, escape
from volumes.restic import Restic

LARGEST: Final = 10 * 1024**3  # bytes of a snapshot that a sample may hold
MOST: Final = 20  # differences that are told of one snapshot
_CHUNK = 1 << 20
_UNDERSTOOD = (Damaged, tarfile.TarError, OSError, ValueError)  # what is wrong with what was read, and not with us
_KEPT = (Kind.FILE, Kind.DIR, Kind.SYMLINK)  # of the rest, a tar stream of restic's has nothing


@dataclass(frozen=True, slots=True)
class Pair:
    """A snapshot to compare and the snapshot with the list of its files."""

    claim: str
    snapshot: Listed
    manifest: str


@dataclass(frozen=True, slots=True)
class Inside:
    """One entry of a snapshot, as the stream has it. `path` and `target` are bytes."""

    path: bytes
    kind: Kind
    size: int = 0
    sha256: str = ""
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Compared:
    """How one snapshot compares; `differences` are the first ones of `total`."""

    pair: Pair
    entries: int
    differences: tuple[str, ...]
    total: int


def choose(pairs: Sequence[Pair], count: int | None, *, dice: random.Random) -> list[Pair]:
    """Return `count` of `pairs` at random, none of them too large to be read just for that; None: all of them."""
    if count is None:
        return list(pairs)
    small = [pair for pair in pairs if _size(pair.snapshot) <= LARGEST]
    return dice.sample(small, min(count, len(small)))


def compare(restic: Restic, pair: Pair) -> Compared:
    """Read a whole snapshot and return how it differs from its list.

    What cannot be read since it is damaged, and a list that is none, is a difference. Raises `ResticError` when the
    repository cannot be reached.
    """
    try:
        return _compare(restic, pair)
    except (Interrupted, RepositoryUnreachable, AccessDenied):
        raise
    except ResticError as error:
        return Compared(pair, 0, (str(error),), 1)


def _compare(restic: Restic, pair: Pair) -> Compared:
    doing = f"read snapshot {pair.snapshot.id[:8]}"
    file = restic.scratch / f"{pair.manifest}.jsonl"
    with file.open("w+b") as lines:
        repository.read_manifest(restic, pair.manifest, lines, doing=f"read the list {pair.manifest[:8]}")
        lines.seek(0)
        file.unlink()  # it is open, and needs no name any more
        stream = _Stream(lines)
        # A broken pipe: who reads has given up, and knows why.
        with contextlib.suppress(BrokenPipeError), stream:
            outcome = restic.run(commands.archive(pair.snapshot.id), doing=doing, into=stream.writer)
            if outcome.status:
                raise outcome.failed()
    return stream.result(pair, doing=doing)


def nested(file: IO[bytes]) -> tuple[Header, Iterator[Entry]]:
    """Return a manifest's header, and its entries in the order of a tar stream: what is in a folder right behind it.

    A manifest has all of a folder in one piece, so that only where these begin has to be remembered. Raises Damaged.
    """
    reader = Reader(file)
    begins: dict[bytes, int] = {}
    here = file.tell()
    for entry in reader:
        if entry.name != ROOT:
            begins.setdefault(_folder(entry.name), here)
        here = file.tell()
    return reader.header, _descend(file, begins)


def _descend(file: IO[bytes], begins: dict[bytes, int]) -> Iterator[Entry]:
    places = [(b"", begins[b""])] if b"" in begins else []
    while places:
        folder, here = places.pop()
        file.seek(here)
        line = file.readline()
        if line.startswith(FOOTER):
            continue
        entry = msgspec.json.decode(line, type=Entry)
        if _folder(entry.name) != folder:
            continue  # the next folder begins: this one is through
        places.append((folder, file.tell()))
        if entry.type is Kind.DIR and entry.name in begins:
            places.append((entry.name, begins[entry.name]))
        yield entry


def differences(expected: Iterator[Entry], found: Iterator[Inside], *, content: bool) -> Iterator[Difference]:
    """Yield how the entries of a snapshot differ from its list, both in the order of a tar stream."""
    unsure: set[bytes] = set()  # folders in which something came or went while they were read
    for entry, inside in _paired(expected, found):
        if entry is None:
            assert inside is not None
            above = _folder(inside.path)
            if above in unsure and inside.kind is Kind.DIR:
                unsure.add(inside.path)
            if above not in unsure and inside.path != commands.NOTHING.encode():
                yield Difference(escape(inside.path), Field.EXTRA)
        elif entry.unsure is not Unsure.NO:
            unsure.add(entry.name)
        elif entry.type not in _KEPT:
            continue
        elif inside is None:
            yield Difference(entry.path, Field.MISSING)
        else:
            yield from _of_entry(entry, inside, content=content)


def _paired(expected: Iterator[Entry], found: Iterator[Inside]) -> Iterator[tuple[Entry | None, Inside | None]]:
    """Bring together what is at the same path; None where one has nothing."""
    entry, inside = next(expected, None), next(found, None)
    while entry is not None or inside is not None:
        here = None if entry is None else entry.name.replace(b"/", b"\0")
        there = None if inside is None else inside.path.replace(b"/", b"\0")
        first = there is None or (here is not None and here <= there)
        second = here is None or (there is not None and there <= here)
        yield entry if first else None, inside if second else None
        entry = next(expected, None) if first else entry
        inside = next(found, None) if second else inside


def _folder(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _of_entry(entry: Entry, inside: Inside, *, content: bool) -> Iterator[Difference]:
    if entry.type is not inside.kind:
        yield Difference(entry.path, Field.TYPE, entry.type, inside.kind)
    elif entry.type is Kind.SYMLINK and entry.target != escape(inside.target):
        yield Difference(entry.path, Field.TARGET, entry.target, escape(inside.target))
    elif entry.size != inside.size and entry.type is Kind.FILE:
        yield Difference(entry.path, Field.SIZE, f"{entry.size} bytes", f"{inside.size} bytes")
    elif content and entry.sha256 and entry.sha256 != inside.sha256:
        yield Difference(entry.path, Field.CONTENT, entry.sha256, inside.sha256)


class _Stream:
    """Takes what is written to `writer` as a tar stream, in a thread, and holds it against the list in `lines`.

    The end of its `with` block raises whatever ended the thread that neither stream nor list is to blame for.
    """

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        reader, writer = os.pipe()
        self._reader = os.fdopen(reader, "rb")
        self.writer = os.fdopen(writer, "wb")
        self._entries = 0
        self._told: list[str] = []
        self._total = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="compare a snapshot", daemon=True)

    def __enter__(self) -> _Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.writer.close()
        self._thread.join()
        # Whatever restic said of a reader that was gone: this is why it was gone.
        if self._error is not None and not isinstance(self._error, _UNDERSTOOD):
            raise self._error

    def result(self, pair: Pair, *, doing: str) -> Compared:
        """Return what was found. Raises `ResticError` when the stream was none."""
        if isinstance(self._error, Damaged):
            return Compared(pair, self._entries, (f"the list of its files: {self._error}",), 1)
        if self._error is not None:
            raise ResticError(f"restic: {doing}: its answer is not understood: {self._error}") from self._error
        return Compared(pair, self._entries, tuple(self._told), self._total)

    def _work(self) -> None:
        try:
            with self._reader:
                header, lines = nested(self._lines)
                found = _inside(self._reader)
                for difference in differences(self._counted(lines), found, content=header.content):
                    self._total += 1
                    if len(self._told) < MOST:
                        self._told.append(str(difference))
        except BaseException as error:  # noqa: BLE001 - half a comparison is none: told by `result`, or raised again
            self._error = error

    def _counted(self, lines: Iterator[Entry]) -> Iterator[Entry]:
        for entry in lines:
            self._entries += 1
            yield entry


def _inside(stream: IO[bytes]) -> Iterator[Inside]:
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # or it would remember all of them
            path = member.name.removeprefix("./").strip("/").encode("utf-8", "surrogateescape")
            if member.isdir():
                if path not in (b"", b"."):
                    yield Inside(path, Kind.DIR)
            elif member.issym():
                yield Inside(path, Kind.SYMLINK, target=member.linkname.encode("utf-8", "surrogateescape"))
            elif member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                digest = hashlib.sha256()
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
                yield Inside(path, Kind.FILE, size=member.size, sha256=digest.hexdigest())
        while stream.read(_CHUNK):  # what fills the last block, or restic would find nobody there to take it
            pass


def _size(snapshot: Listed) -> int:
    return snapshot.summary.total_bytes_processed if snapshot.summary is not None else LARGEST + 1
