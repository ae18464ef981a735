"""Progress: live on a terminal, a line now and then elsewhere, silence when asked."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from drsyncer.progress import Live, Logged, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Lines:
    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, message: str, **context: Any) -> None:
        self.found.append((message, context))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> Lines:
    return Lines()


def test_off_a_terminal_a_line_comes_every_ten_seconds_and_one_at_the_end(clock, written):
    with Logged(write=written, clock=clock).task("Reading") as task:
        for _ in range(25):
            clock.now += 1
            task.advance(2, detail="deployments.apps")
    assert written.found == [
        ("Reading", {"count": 20, "detail": "deployments.apps"}),
        ("Reading", {"count": 40, "detail": "deployments.apps"}),
        ("Reading: done", {"count": 50, "seconds": 25.0}),
    ]


def test_the_total_is_shown_once_it_is_known(clock, written):
    with Logged(write=written, clock=clock).task("Applying") as task:
        task.expect(7)
        task.advance(3)
    assert written.found == [("Applying: done", {"count": 3, "of": 7, "seconds": 0.0})]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_task_that_fails_is_not_called_done(clock, written, error):
    def apply() -> None:
        with Logged(write=written, clock=clock).task("Applying", total=5) as task:
            task.advance()
            raise error

    with pytest.raises(error):
        apply()
    assert written.found == [("Applying: stopped", {"count": 1, "of": 5, "seconds": 0.0})]


def test_threads_lose_no_count(written):
    logged = Logged(write=written, interval=0.0)
    with logged.task("Applying") as task, ThreadPoolExecutor(8) as pool:
        for _ in range(2000):
            pool.submit(task.advance)
    assert written.found[-1][1]["count"] == 2000


def test_without_a_terminal_nothing_is_drawn():
    stream = io.StringIO()
    with Progress(stream).task("Reading") as task:
        task.advance()
    assert stream.getvalue() == ""


def test_silence_is_silent(capfd):
    with Progress(silent=True).task("Reading", total=2) as task:
        task.advance(detail="x")
        task.expect(3)
    assert capfd.readouterr() == ("", "")


class Screen:
    """A real terminal's other side."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w")
        self._seen = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 4096)
            except OSError:  # how Linux says that the other side is closed
                return
            if not data:
                return
            self._seen += data

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 10
        while text.encode() not in self._seen and time.monotonic() < deadline:
            time.sleep(0.01)

    def seen(self) -> str:
        """All that was written; closes the terminal."""
        self.stream.close()
        self._reader.join()
        os.close(self._ours)
        return self._seen.decode()


@pytest.fixture
def screen(monkeypatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Screen()


def test_on_a_terminal_a_line_lives_while_the_work_runs(screen):
    progress = Progress(screen.stream)
    with progress.task("Reading") as task:
        task.expect(10)
        task.advance(3, detail="weird[red]name")
        screen.wait_for("3/10")
    seen = screen.seen()
    assert "Reading" in seen
    assert "3/10" in seen
    assert "weird[red]name" in seen
    assert "\x1b[2K" in seen[seen.rindex("weird") :]  # the line is wiped at the end


def test_a_word_after_the_end_of_a_task_disturbs_nobody(screen):
    progress = Progress(screen.stream)
    with progress.task("Reading") as reading:
        pass
    reading.advance()
    with progress.task("Looking"):
        reading.advance(2, detail="late")
        reading.expect(7)
    assert "late" not in screen.seen()


def test_a_dumb_terminal_gets_no_live_line(screen, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with Progress(screen.stream).task("Reading") as task:
        task.advance()
    assert screen.seen() == ""


def test_tasks_can_run_side_by_side_and_one_after_another(screen):
    live = Live(screen.stream)
    with live.task("Reading") as first, live.task("Writing") as second:
        first.advance()
        second.advance()
    with pytest.raises(ValueError, match="stop"), live.task("Third"):
        raise ValueError("stop")
    seen = screen.seen()
    assert "Reading" in seen
    assert "Writing" in seen
    assert "Third" in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 2  # the cursor comes back each time


def test_a_log_line_stands_above_the_live_one(screen, monkeypatch):
    program = (
        "import sys; from drsyncer import log; from drsyncer.progress import Progress\n"
        "log.configure(format='text', verbosity=1, stream=sys.stderr)\n"
        "with Progress().task('Reading') as task:\n"
        "    task.advance()\n"
        "    log.get('a').warning('look here')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, stderr=screen.stream, env=environment)
    seen = screen.seen()
    before, after = seen.split("look here")
    assert "\x1b[2K" in before.rsplit("\n", 1)[-1]  # the live line was wiped before, and drawn again after
    assert "Reading" in after


def test_rich_is_loaded_on_a_terminal_only():
    program = "import sys; from drsyncer.progress import Progress; Progress(); sys.exit('rich' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
