"""How far long work has come: a live line on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from drsyncer import log

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID

INTERVAL = 10.0  # seconds between two log lines of one task


class Task(Protocol):
    """One piece of work under way. May be told of progress from several threads; after its end, nobody listens."""

    def advance(self, n: int = 1, *, detail: str = "") -> None:
        """Say that `n` more are done, and what is being worked on (kept until another is named)."""

    def expect(self, total: int) -> None:
        """Say how many there will be, once that is known."""


class Shape(Protocol):
    """One way to show tasks: Silent, Logged or Live."""

    def task(self, name: str, *, total: int | None = None) -> AbstractContextManager[Task]: ...


class Progress:
    """Shows tasks on `stream` (default: standard error): live on a terminal, by log lines elsewhere, not if `silent`.

    The log lines are of level info, so on the command line they need -v.
    """

    def __init__(self, stream: TextIO | None = None, *, silent: bool = False) -> None:
        stream = stream or sys.stderr
        self._shape: Shape
        if silent:
            self._shape = Silent()
        elif stream.isatty() and os.environ.get("TERM") != "dumb":
            self._shape = Live(stream)
        else:
            self._shape = Logged()

    def task(self, name: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        """Show a task while the block runs, and its end, also when that is an exception.

        `name` says what is done ("Reading"); `total` is how many there are to do, None while unknown.
        """
        return self._shape.task(name, total=total)


class _SilentTask:
    def advance(self, n: int = 1, *, detail: str = "") -> None:
        pass

    def expect(self, total: int) -> None:
        pass


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, *, total: int | None = None) -> Iterator[Task]:
        yield _SilentTask()


class Logged:
    """Writes a log line per task at most every `interval` seconds, and one at its end."""

    def __init__(
        self,
        *,
        write: Callable[..., None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self._write = write or log.get(__name__).info
        self._clock = clock
        self._interval = interval

    @contextmanager
    def task(self, name: str, *, total: int | None = None) -> Iterator[Task]:
        task = _LoggedTask(name, total, write=self._write, clock=self._clock, interval=self._interval)
        try:
            yield task
        except BaseException:
            task.end("stopped")
            raise
        task.end("done")


class _LoggedTask:
    def __init__(
        self,
        name: str,
        total: int | None,
        *,
        write: Callable[..., None],
        clock: Callable[[], float],
        interval: float,
    ) -> None:
        self._name = name
        self._total = total
        self._write = write
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._count = 0
        self._detail = ""
        self._started = self._written = clock()

    def advance(self, n: int = 1, *, detail: str = "") -> None:
        with self._lock:
            self._count += n
            self._detail = detail or self._detail
            now = self._clock()
            if now - self._written < self._interval:
                return
            self._written = now
            told = self._told()
        # Outside the lock: a slow reader of the log must hold up only the thread that writes.
        self._write(self._name, **told, **({"detail": self._detail} if self._detail else {}))

    def expect(self, total: int) -> None:
        with self._lock:
            self._total = total

    def end(self, how: str) -> None:
        with self._lock:
            told = self._told()
        self._write(f"{self._name}: {how}", **told, seconds=round(self._clock() - self._started, 1))

    def _told(self) -> dict[str, int]:
        return {"count": self._count} if self._total is None else {"count": self._count, "of": self._total}


class Live:
    """Draws a line per running task at the bottom of a terminal, and leaves none behind.

    Log lines written meanwhile to sys.stderr appear above it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._display: Display | None = None
        self._running = 0

    @contextmanager
    def task(self, name: str, *, total: int | None = None) -> Iterator[Task]:
        display = self._open()
        line = display.add_task(name, total=total, detail="")
        try:
            yield _LiveTask(display, line)
        finally:
            display.remove_task(line)
            self._close()

    def _open(self) -> Display:
        with self._lock:
            if self._display is None:
                self._display = _display(self._stream)
                self._display.start()
            self._running += 1
            return self._display

    def _close(self) -> None:
        with self._lock:
            self._running -= 1
            if not self._running and self._display is not None:
                self._display.stop()
                self._display = None


class _LiveTask:
    def __init__(self, display: Display, line: TaskID) -> None:
        self._display = display
        self._line = line

    def advance(self, n: int = 1, *, detail: str = "") -> None:
        # Its line is gone with its end: a KeyError of the display.
        with suppress(KeyError):
            if detail:
                self._display.update(self._line, advance=n, detail=detail)
            else:
                self._display.update(self._line, advance=n)

    def expect(self, total: int) -> None:
        with suppress(KeyError):
            self._display.update(self._line, total=total)


def _display(stream: TextIO) -> Display:
    # Loading rich takes longer than `--help` may.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Display

    return Display(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=Console(file=stream),
        transient=True,
    )
