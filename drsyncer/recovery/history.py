"""The audit trail: the commits of the recovery repository, newest first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import IO

from drsyncer.recovery.process import Git

_CHUNK = 1 << 16
_FIELDS = ("%H", "%ct", "%an", "%s", "%b")
_STATUS = re.compile(rb"\n?([A-Z])")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, and what it changed below the recovery repository's path. All text is the committer's: untrusted."""

    id: str
    time: datetime  # when it was committed; UTC
    author: str
    subject: str
    body: str
    changes: tuple[tuple[str, str], ...]  # status (A added, M modified, D deleted, T type changed), relative path

    @property
    def message(self) -> str:
        """The message in full, as `message.parse` takes it."""
        return f"{self.subject}\n\n{self.body}"


def history(
    git: Git, commit: str, *, folder: str, paths: Sequence[str], since: datetime | None, limit: int | None
) -> Iterator[Commit]:
    """Yield the commits up to `commit`, newest first, that changed one of `paths` (relative to the repository).

    A merge counts with what it brought to its first parent. `changes` are relative to `folder`.
    """
    with git.talk(
        "log",
        "-z",
        "--name-status",
        "--no-renames",
        "--diff-merges=first-parent",
        "--no-color",
        "--no-show-signature",
        "--encoding=UTF-8",
        f"--format=tformat:{'%x00'.join(_FIELDS)}",
        *((f"--max-count={limit}",) if limit is not None and since is None else ()),
        commit,
        "--",
        *paths,
    ) as conversation:
        commits = _commits(_tokens(conversation.stdout), cut=len(f"{folder}/") if folder else 0)
        if since is not None:
            # Why not git's --since: it stops at the first older commit. One that had to wait for its push may lie on
            # top of newer ones.
            commits = islice((commit for commit in commits if commit.time >= since), limit)
        yield from commits
        if since is None or limit is None:
            conversation.finish()


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read1(_CHUNK):  # type: ignore[attr-defined]  # a pipe is a BufferedReader
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest


def _commits(tokens: Iterator[bytes], *, cut: int) -> Iterator[Commit]:
    """Given the NUL-separated output of git-log(1) yield its commits: the fields, then status and path in turn."""
    token = next(tokens, None)
    while token is not None:
        # Defaults are for output that breaks off: then git failed, and says why at its end.
        commit_id, (time, author, subject, body) = token, [next(tokens, b"") for _ in _FIELDS[1:]]
        changes = []
        while (token := next(tokens, None)) is not None and (status := _STATUS.fullmatch(token)):
            changes.append((status[1].decode(), next(tokens, b"").decode("utf-8", "surrogateescape")[cut:]))
        yield Commit(
            id=commit_id.decode("ascii"),
            time=_moment(time),
            author=author.decode("utf-8", "replace"),
            subject=subject.decode("utf-8", "replace"),
            body=body.decode("utf-8", "replace").rstrip("\n"),
            changes=tuple(changes),
        )


def _moment(seconds: bytes) -> datetime:
    """Return the time of a commit; 1970 for one that no calendar has, as a forged commit may."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
