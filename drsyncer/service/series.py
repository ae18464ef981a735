"""Which Events to write when: repeats become counts, and no reason is told more often than people can read.

The rules are those of client-go's recorder (https://github.com/kubernetes/client-go, tools/record/events_cache.go):
what repeats raises the count of the Event that is there, and a token bucket bounds what is written. Two things differ.
What the bucket does not let through is not dropped but counted, and told with the next write. And what only repeats is
written ever more seldom, as the log does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from drsyncer.service.reasons import REASONS, Reason

_FIRST, _LONGEST = 60.0, 1800.0  # seconds between two writes of what only repeats: twice as long each time
_EPISODE = 3600.0  # seconds of silence after which the same thing is a new Event; the API server forgets one as soon
_BURST, _REFILL = 10, 60.0  # writes of one reason at once; seconds until there is another one
_MOST = 200  # kept at a time
_LONGEST_MESSAGE = 1024  # bytes, as events.k8s.io has it


@dataclass(frozen=True, slots=True)
class Draft:
    """An Event as it is to be written now. `exists`: it was written before, with another count or message."""

    key: tuple[str, str]
    name: str
    exists: bool
    reason: Reason
    message: str
    count: int
    first: datetime
    last: datetime


@dataclass(slots=True)
class _Series:
    """One Event: what happened, and what of it was written (`written`: message and count) when."""

    reason: Reason
    name: str
    first: datetime
    last: datetime
    message: str = ""
    count: int = 0
    seen: float = 0.0
    written: tuple[str, int] = ("", 0)
    at: float = 0.0
    pause: float = 0.0

    @property
    def dirty(self) -> bool:
        return self.written != (self.message, self.count)


@dataclass(slots=True)
class _Bucket:
    tokens: float = _BURST
    at: float = field(default_factory=time.monotonic)

    def wait(self, now: float) -> float:
        """Return the seconds until there is a token."""
        self.tokens = min(_BURST, self.tokens + (now - self.at) / _REFILL)
        self.at = now
        return max(0.0, (1 - self.tokens) * _REFILL)


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """The Events of one service. For one thread at a time. Names of Events begin with `prefix`."""

    def __init__(
        self, prefix: str, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = _now
    ) -> None:
        self._prefix = prefix
        self._clock = clock
        self._now = now
        self._series: dict[tuple[str, str], _Series] = {}
        self._buckets = {reason.name: _Bucket(at=clock()) for reason in REASONS}
        self._newest = 0  # the number in the newest name
        self.lost = 0  # forgotten before they were written

    def note(self, reason: Reason, message: str, subject: str = "") -> None:
        """Something happened."""
        key, seen, now = (reason.name, subject), self._clock(), self._now()
        series = self._series.get(key)
        if series is None or seen - series.seen > _EPISODE:
            self._series.pop(key, None)
            self._make_room()
            # No two of them, also where several begin in the same microsecond.
            self._newest = max(int(now.timestamp() * 1_000_000), self._newest + 1)
            name = f"{self._prefix}.{self._newest:x}"
            series = self._series[key] = _Series(reason, name, first=now, last=now)
        series.message, series.count = _clean(message), series.count + 1
        series.last, series.seen = now, seen
        # What changed between well and unwell and back is news, however often it was told before.
        for other in self._series.values():
            if other.reason.name == reason.ends or other.reason.ends == reason.name:
                other.pause = 0.0

    def due(self) -> Draft | None:
        """Return what to write now, None for nothing."""
        now = self._clock()
        for key, series in self._series.items():
            if series.dirty and self._wait(series, now) <= 0:
                return Draft(
                    key=key,
                    name=series.name,
                    exists=series.written[1] > 0,
                    reason=series.reason,
                    message=series.message,
                    count=series.count,
                    first=series.first,
                    last=series.last,
                )
        return None

    def wait(self) -> float | None:
        """Return the seconds until something is due, None when nothing waits."""
        now = self._clock()
        return min(
            (max(0.0, self._wait(series, now)) for series in self._series.values() if series.dirty), default=None
        )

    def written(self, draft: Draft) -> None:
        """`draft` was written, or never can be."""
        now, series = self._clock(), self._series.get(draft.key)
        bucket = self._buckets[draft.reason.name]
        bucket.wait(now)
        bucket.tokens -= 1
        if series is not None and series.name == draft.name:
            series.written, series.at = (draft.message, draft.count), now
            series.pause = min(max(2 * series.pause, _FIRST), _LONGEST)

    def gone(self, draft: Draft) -> None:
        """The API server has forgotten the Event: it is to be made again."""
        series = self._series.get(draft.key)
        if series is not None and series.name == draft.name:
            series.written = ("", 0)

    def _wait(self, series: _Series, now: float) -> float:
        only_repeats = series.message == series.written[0]
        pause = series.at + series.pause - now if only_repeats else 0.0
        return max(pause, self._buckets[series.reason.name].wait(now))

    def _make_room(self) -> None:
        while len(self._series) >= _MOST:
            clean = (key for key, series in self._series.items() if not series.dirty)
            oldest = _oldest(clean, self._series) or _oldest(self._series, self._series)
            assert oldest is not None
            self.lost += self._series.pop(oldest).dirty


def _oldest(keys: Iterable[tuple[str, str]], series: dict[tuple[str, str], _Series]) -> tuple[str, str] | None:
    return min(keys, key=lambda key: series[key].seen, default=None)


def _clean(message: str) -> str:
    """Return one line of printable text that fits into an Event."""
    line = " ".join("".join(char if char.isprintable() else " " for char in message).split())
    data = line.encode()
    if len(data) <= _LONGEST_MESSAGE:
        return data.decode()
    return data[: _LONGEST_MESSAGE - 3].decode("utf-8", "ignore") + "…"
