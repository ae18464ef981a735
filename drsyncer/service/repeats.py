"""A failure that repeats is told once, then ever more seldom, and its end is told too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drsyncer import durations
from drsyncer.log import Logger

_FIRST = 60.0  # seconds until a failure that goes on is told again; then each time twice as long
_LONGEST = 3600.0
_KINDS = 1_000  # remembered at a time; what fails in more ways than that is told each time


@dataclass(slots=True)
class _Trouble:
    text: str
    since: float
    told: float
    pause: float
    count: int = 1


class Listener(Protocol):
    """Is told of each failure, and when it is over. It must return at once and must not raise."""

    def trouble(self, key: str, text: str) -> None: ...

    def over(self, key: str) -> None: ...


class Repeats:
    """Keeps the log readable. `key` names what fails (a remote, a type); safe to use from several threads.

    `listener` hears of every failure, also of those that the log does not repeat.
    """

    def __init__(
        self, log: Logger, *, listener: Listener | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._listener = listener
        self._clock = clock
        self._troubles: dict[str, _Trouble] = {}
        self._lock = threading.Lock()

    def failed(self, key: str, text: str) -> None:
        """`key` failed as `text` says: told when it is news, or was told long ago."""
        if self._listener is not None:
            self._listener.trouble(key, text)
        now = self._clock()
        with self._lock:
            trouble = self._troubles.get(key)
            if trouble is None or trouble.text != text:
                if trouble is None and len(self._troubles) >= _KINDS:
                    self._troubles.pop(next(iter(self._troubles)))
                since = trouble.since if trouble else now
                count = trouble.count + 1 if trouble else 1
                self._troubles[key] = _Trouble(text, since, now, _FIRST, count)
                self._log.warning(text)
                return
            trouble.count += 1
            if now - trouble.told < trouble.pause:
                return
            trouble.told = now
            trouble.pause = min(2 * trouble.pause, _LONGEST)
            self._log.warning(text, since=_age(now - trouble.since), times=trouble.count)

    def worked(self, key: str) -> None:
        """`key` works: told when it had failed."""
        with self._lock:
            trouble = self._troubles.pop(key, None)
        if trouble is not None:
            age = _age(self._clock() - trouble.since)
            self._log.warning(f"{key} works again", after=age, failures=trouble.count)
            if self._listener is not None:
                self._listener.over(key)


def _age(seconds: float) -> str:
    return durations.text(float(round(max(seconds, 0))))
