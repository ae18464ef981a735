"""A failure that repeats is told once, then ever more seldom, and its end is told too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from drsyncer import durations
from drsyncer.log import Logger

_FIRST = 60.0  # seconds until a failure that goes on is told again; then each time twice as long
_LONGEST = 3600.0
_KINDS = 1_000  # remembered at a time; what fails in more ways than that is told each time


Listener = Callable[[str, str | None], None]


@dataclass(slots=True)
class _Trouble:
    text: str
    since: float
    told: float
    pause: float
    count: int = 1


class Repeats:
    """Keeps the log readable. `key` names what fails (a remote, a type); safe to use from several threads.

    `listener` is told each time, also when the log is not: what fails and how, or None for what works again.
    """

    def __init__(
        self, log: Logger, *, clock: Callable[[], float] = time.monotonic, listener: Listener = lambda *_: None
    ) -> None:
        self._log = log
        self._clock = clock
        self._listener = listener
        self._troubles: dict[str, _Trouble] = {}
        self._lock = threading.Lock()

    def failed(self, key: str, text: str) -> None:
        """`key` failed as `text` says: told when it is news, or was told long ago."""
        now = self._clock()
        self._listener(key, text)
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
            self._listener(key, None)
            age = _age(self._clock() - trouble.since)
            self._log.warning(f"{key} works again", after=age, failures=trouble.count)


def _age(seconds: float) -> str:
    return durations.text(float(round(max(seconds, 0))))
