"""A commit in the making: contents first, one by one as they come, then the commit that names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from drsyncer.errors import GitError
from drsyncer.recovery import objects
from drsyncer.recovery.fast_import import Draft, FastImport, signature
from drsyncer.recovery.remote import Remote, inside

_REGULAR = "100644"
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Stage:
    """One commit, from `Clone.stage()`. For one thread."""

    def __init__(
        self,
        writer: FastImport,
        *,
        remote: Remote,
        object_format: str,
        base: Callable[[], str | None],
        advance: Callable[[str], str],
    ) -> None:
        """`base` tells the commit to build on; `advance` moves the local branch to a commit, which it signs
        where that is wanted, and returns its id."""
        self._writer = writer
        self._remote = remote
        self._object_format = object_format
        self._base = base
        self._advance = advance
        self._done = False

    def add(self, data: bytes) -> str:
        """Write one file's content at once and return its blob id. Nothing is kept in memory."""
        self._writer.blob(data)
        return objects.blob_id(data, object_format=self._object_format)

    def commit(
        self, *, parent: str | None, put: Mapping[str, str], delete: Iterable[str], message: str, when: datetime
    ) -> str | None:
        """Make the commit and move the local branch to it, once all of it is on disk; return its id.

        `parent` is what `Clone.base()` says. `put` maps paths, relative to `repository.path`, to blob ids from `add`
        or from the clone; `delete` names paths to remove first (a folder goes with all that is in it). `when` is aware.
        None: the files would be the same as in `parent`; then there is no commit and nothing moves.

        Raises `GitError` when `parent` is another one than the base: the commits between would be lost.
        """
        if self._done:
            raise GitError("recovery.git: a stage makes one commit; this one has made it")
        if parent != (base := self._base()):
            raise GitError(f"recovery.git: a commit on {parent or 'nothing'} would leave out {base or 'nothing'}")
        if strange := [blob_id for blob_id in put.values() if not _OBJECT_ID.fullmatch(blob_id)]:
            raise GitError(f"recovery.git: {strange[0]!r:.100} is no blob's id")
        self._done = True
        who = signature(self._remote.author_name, self._remote.author_email, when)
        draft = Draft(
            author=who,
            committer=who,
            message=message.encode("utf-8", "replace"),
            put={self._place(path): (_REGULAR, blob_id) for path, blob_id in put.items()},
            delete=frozenset(self._place(path) for path in delete),
        )
        commit = self._writer.commit(draft, parent=parent)
        if not commit:
            return None
        self._writer.finish()
        return self._advance(commit)

    def _place(self, path: str) -> bytes:
        return inside(path, self._remote.path).encode("utf-8", "surrogateescape")
