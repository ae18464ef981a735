"""What Git has and what it does not have yet: path → mark, and the changes that wait for the next commit.

A *mark* tells whether an object is still the same: the id of its file's content, or the digest of an object that is
encrypted, and for a claim that was backed up its record's id beside it; "" stands for no file. Only changes that wait
keep their object in memory, and only up to a bound.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drsyncer.manifest import ObjectRef, ResourceType


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that Git does not have yet: the object as raw JSON and the type that it was read as; None to delete it.

    `seen` is when it was first seen (monotonic). `held`: the deletion guard said no, somebody must confirm.
    """

    ref: ObjectRef
    path: str
    mark: str
    seen: float
    type_: ResourceType | None = None
    raw: bytes = b""
    held: bool = False


@dataclass(slots=True)
class Ledger:
    """For several threads. A change is waiting, then in flight (taken for a commit), then part of what Git has."""

    most_bytes: int = 64 * 1024 * 1024
    _has: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, Waiting] = field(default_factory=dict)
    _flying: dict[str, Waiting] = field(default_factory=dict)
    _bytes: Counter[str] = field(default_factory=Counter)  # of what is waiting, by type
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self, has: Mapping[str, str]) -> None:
        """Begin anew: Git has `has`, and nothing waits."""
        with self._lock:
            self._has = dict(has)
            self._waiting.clear()
            self._flying.clear()
            self._bytes.clear()

    def note(self, change: Waiting) -> bool:
        """Take in what an object is now; return whether that is a change that waits from now on."""
        with self._lock:
            before = self._waiting.get(change.path)
            if before is not None and before.mark == change.mark:
                return False  # waiting already, and what was seen first counts
            self._drop(change.path)
            if change.mark == self._expected(change.path):
                return False
            self._put(change)
            return True

    def expected(self, path: str) -> str:
        """Return the mark that Git has, or will have once the commit that is under way is made; "" for no file."""
        with self._lock:
            return self._expected(path)

    def too_much(self) -> str | None:
        """Return the type to forget and to list again later, when what waits takes too much memory."""
        with self._lock:
            if self._bytes.total() <= self.most_bytes:
                return None
            return self._bytes.most_common(1)[0][0]

    def forget(self, type_: str) -> None:
        """Drop what waits of a type: it is listed again, which finds all of it."""
        with self._lock:
            for path in [path for path, change in self._waiting.items() if change.ref.type == type_]:
                self._drop(path)

    def take(self) -> list[Waiting]:
        """Return all that waits; it is in flight until `settle` or `put_back`."""
        with self._lock:
            self._flying = self._waiting
            self._waiting = {}
            self._bytes.clear()
            return list(self._flying.values())

    def put_back(self) -> None:
        """What was in flight was not committed: it waits again, unless something newer does."""
        with self._lock:
            flying, self._flying = self._flying, {}
            for change in flying.values():
                if change.path not in self._waiting:
                    self._put(change)
            self._drop_the_equal()

    def settle(self, *, put: Mapping[str, str], gone: Iterable[str], held: Iterable[Waiting]) -> None:
        """A commit was made: Git has `put` (path → mark) and no longer has `gone`; `held` waits for somebody."""
        with self._lock:
            self._flying = {}
            self._has |= put
            for path in gone:
                self._has.pop(path, None)
            for change in held:
                if change.path not in self._waiting:
                    self._put(change)
            self._drop_the_equal()

    def waiting(self) -> tuple[int, float | None]:
        """Return how many changes wait, those in flight too, and when the oldest that is not held was seen."""
        with self._lock:
            every = [*self._waiting.values(), *self._flying.values()]
            return len(every), min((change.seen for change in every if not change.held), default=None)

    def held(self) -> list[Waiting]:
        """Return the deletions that wait for a confirmation."""
        with self._lock:
            return [change for change in self._waiting.values() if change.held]

    def __len__(self) -> int:
        """Return how many files Git has."""
        with self._lock:
            return len(self._has)

    def _expected(self, path: str) -> str:
        """Return the mark that Git has once the commit that is under way, if any, is made."""
        flying = self._flying.get(path)
        return flying.mark if flying is not None else self._has.get(path, "")

    def _put(self, change: Waiting) -> None:
        self._waiting[change.path] = change
        self._bytes[change.ref.type] += len(change.raw)

    def _drop(self, path: str) -> None:
        change = self._waiting.pop(path, None)
        if change is not None:
            self._bytes[change.ref.type] -= len(change.raw)

    def _drop_the_equal(self) -> None:
        for path in [path for path, change in self._waiting.items() if change.mark == self._has.get(path, "")]:
            self._drop(path)
