"""Reading from the clone: what a commit holds, and the content of its files."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from drsyncer.recovery.failure import CloneDamaged
from drsyncer.recovery.process import Git

REGULAR_MODES = frozenset({"100644", "100755"})
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One entry of a commit's tree. Only `regular` ones are files; the others point somewhere else."""

    mode: str  # 100644, 100755; 120000 is a symbolic link, 160000 a submodule
    blob_id: str
    size: int  # bytes; -1 for a submodule, which has no content here

    @property
    def regular(self) -> bool:
        """Whether this is an ordinary file."""
        return self.mode in REGULAR_MODES


def listing(git: Git, commit: str, *, folder: str, under: str) -> dict[str, TreeFile]:
    """Return what `commit` holds below `folder`/`under`, by path relative to `folder`."""
    top = "/".join(part for part in (folder, under) if part)
    only = ("--", f"{top}/") if top else ()
    output = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit, *only)
    cut = len(f"{folder}/") if folder else 0
    return {path[cut:]: file for path, file in map(_entry, output.split(b"\0")[:-1])}


def contents(git: Git, blob_ids: Iterable[str], *, max_size: int) -> Iterator[tuple[str, bytes | None]]:
    """Return each blob's content, in the order asked for, from one process that is asked ahead.

    None stands for a blob larger than `max_size` bytes, of which no more than a chunk is ever in memory.
    Raises `CloneDamaged` when one is not there: each id should be from a `TreeFile` of this clone.
    """
    wanted = list(blob_ids)
    if strange := [id_ for id_ in wanted if not _OBJECT_ID.fullmatch(id_)]:
        raise CloneDamaged(f"recovery.git: cat-file: {strange[0]!r:.100} is no object's id")
    if not wanted:
        return
    with git.talk("cat-file", "--batch", "--buffer") as conversation:
        asked = threading.Thread(target=_ask, args=(conversation.stdin, wanted), name="git cat-file ids", daemon=True)
        asked.start()
        try:
            while header := conversation.stdout.readline():
                blob_id, *kind_and_size = header.decode("ascii", "replace").split()
                if len(kind_and_size) != 2 or kind_and_size[0] != "blob":
                    raise CloneDamaged(f"recovery.git: cat-file: {header.decode('ascii', 'replace').strip()}")
                yield blob_id, _content(conversation.stdout, int(kind_and_size[1]), max_size)
            conversation.finish()
        except EOFError:
            raise conversation.failed() from None
        finally:
            conversation.stop()
            asked.join()


def commits(git: Git, commit_ids: Sequence[str]) -> Iterator[bytes]:
    """Yield each commit's content, as git stores it, in the order asked for."""
    ids = "".join(f"{commit}\n" for commit in commit_ids).encode()
    rest = git.run("cat-file", "--batch", stdin=ids)
    for commit in commit_ids:
        about, _, rest = rest.partition(b"\n")
        kind, size = about.split()[1:] if about.count(b" ") == 2 else (b"", 0)
        if kind != b"commit":
            raise CloneDamaged(f"recovery.git: cat-file: {commit} is no commit")
        content, rest = rest[: int(size)], rest[int(size) + 1 :]
        yield content


def blob_id(data: bytes, *, object_format: str) -> str:
    """Return the id that git gives to a file's content; `object_format` is `sha1` or `sha256`."""
    digest = hashlib.new(object_format, b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def _entry(line: bytes) -> tuple[str, TreeFile]:
    about, _, path = line.partition(b"\t")
    mode, _, object_id, size = about.decode("ascii").split()
    return path.decode("utf-8", "surrogateescape"), TreeFile(mode, object_id, -1 if size == "-" else int(size))


def _content(stream: IO[bytes], size: int, max_size: int) -> bytes | None:
    left = size + 1  # a line feed follows
    if size <= max_size:
        data = stream.read(left)
        if len(data) < left:
            raise EOFError
        return data[:-1]
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise EOFError
        left -= len(chunk)
    return None


def _ask(stream: IO[bytes], blob_ids: list[str]) -> None:
    # A broken pipe means that the reader went away or git failed: the reader knows and says so.
    with contextlib.suppress(BrokenPipeError, ValueError):
        for blob_id_ in blob_ids:
            stream.write(f"{blob_id_}\n".encode())
        stream.close()
