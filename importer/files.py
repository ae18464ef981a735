"""The files of one commit, read with care: the repository is not trusted with the machine."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.yaml import LIMITS
from importer.opening import Opened, Opener

MAX_FILE = LIMITS.max_bytes


class Files:
    """All that one commit holds, by path. `opener` decrypts."""

    def __init__(self, *, clone: Clone, files: Mapping[str, TreeFile], opener: Opener) -> None:
        self._clone = clone
        self._files = files
        self._opener = opener

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def blob_id(self, path: str) -> str:
        """Return what stands for the content at `path`, "" when there is none."""
        return self._files[path].blob_id if path in self._files else ""

    def unreadable(self, path: str) -> str:
        """Return why the entry at `path` is not read, or ""."""
        file = self._files[path]
        if not stat.S_ISREG(int(file.mode, 8)):
            kind = "a symbolic link" if file.mode == "120000" else "no regular file"
            return f"is {kind}; expected a file with one object"
        if file.size > MAX_FILE:
            return f"has {file.size:,} bytes; the most that one object may have is {MAX_FILE:,}"
        return ""

    def contents(
        self, paths: Iterable[str], refused: Callable[[str, str], None] = lambda path, reason: None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the content of regular files of bearable size; `refused` is told the others, each with the reason."""
        by_blob: dict[str, list[str]] = {}
        for path in paths:
            if reason := self.unreadable(path):
                refused(path, reason)
            else:
                by_blob.setdefault(self._files[path].blob_id, []).append(path)
        for blob_id, data in self._clone.read(by_blob, max_size=MAX_FILE):
            assert data is not None  # the sizes were looked at above
            for path in by_blob[blob_id]:
                yield path, data

    def open(self, path: str, data: bytes) -> Opened:
        """Return the object in `data`, the content of `path`, decrypted. Raises DrSyncerError when it cannot be had."""
        place = layout.place_of(path)
        return self._opener.open(path, data, type_key=place.type if place else "")
