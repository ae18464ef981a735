"""What a continuous export has to do next, and when. Times are seconds of the monotonic clock."""

from __future__ import annotations

import threading
import time

from drsyncer.service.quiet import Quiet


class Agenda:
    """For several threads: the watches' note what is to be done, one loop does it. `bell` rings for what is new."""

    def __init__(self, quiet: Quiet) -> None:
        self.bell = threading.Event()
        self._quiet = quiet
        self._full: float | None = time.monotonic()
        self._discovery: float | None = None
        self._lists: dict[str, float] = {}
        self._lock = threading.Lock()

    def want_full(self, delay: float = 0.0) -> None:
        """A full export is to be made, after `delay` seconds at the latest."""
        with self._lock:
            self._full = _sooner(self._full, delay)
        self.bell.set()

    def want_discovery(self, delay: float = 0.0) -> None:
        """Types may have come or gone: look, after `delay` seconds at the latest."""
        with self._lock:
            self._discovery = _sooner(self._discovery, delay)
        self.bell.set()

    def want_list(self, key: str, delay: float = 0.0) -> None:
        """A type is to be listed, after `delay` seconds at the latest."""
        with self._lock:
            self._lists[key] = _sooner(self._lists.get(key), delay)
        self.bell.set()

    def changed(self) -> None:
        """Something waits to be committed."""
        with self._lock:
            self._quiet.note(time.monotonic())
        self.bell.set()

    def take_full(self) -> bool:
        """Return whether a full export is due; then it, and all that it includes, is taken off."""
        with self._lock:
            if not _due(self._full):
                return False
            self._full = self._discovery = None
            self._lists.clear()
            self._quiet.clear()
            return True

    def take_discovery(self) -> bool:
        """Return whether a look at the types is due; then it is taken off."""
        with self._lock:
            if not _due(self._discovery):
                return False
            self._discovery = None
            return True

    def take_lists(self) -> list[str]:
        """Return the types that are due to be listed, and take them off."""
        with self._lock:
            found = [key for key, when in self._lists.items() if _due(when)]
            for key in found:
                del self._lists[key]
            return sorted(found)

    def take_changes(self) -> bool:
        """Return whether what waits is due to be committed; then that is taken off."""
        with self._lock:
            if not self._quiet.due(time.monotonic()):
                return False
            self._quiet.clear()
            return True

    def forget(self, key: str) -> None:
        """A type is no longer to be listed."""
        with self._lock:
            self._lists.pop(key, None)

    def unread(self) -> list[str]:
        """Return the types that are due to be listed."""
        with self._lock:
            return [key for key, when in self._lists.items() if _due(when)]

    def behind(self) -> bool:
        """Return whether something of the cluster is known to be unread now."""
        with self._lock:
            return any(map(_due, (self._full, *self._lists.values())))

    def wait(self) -> float | None:
        """Return the seconds until something is due, None when nothing is."""
        now = time.monotonic()
        with self._lock:
            times = [when - now for when in (self._full, self._discovery, *self._lists.values()) if when is not None]
            if (quiet := self._quiet.wait(now)) is not None:
                times.append(quiet)
        return max(0.0, min(times)) if times else None


def _sooner(when: float | None, delay: float) -> float:
    asked = time.monotonic() + delay
    return asked if when is None else min(when, asked)


def _due(when: float | None) -> bool:
    return when is not None and when <= time.monotonic()
