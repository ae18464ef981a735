"""One background program of the harness: started under the supervisor, its output in a log file."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SUPERVISOR = Path(__file__).with_name("supervisor.py")
POLL_SECONDS = 0.05
TAIL_LINES = 25


class StartFailed(RuntimeError):
    """A program of the harness ended or did not become ready; the message holds the end of its log."""


class Process:
    """A running program. It ends with `stop()` and with the Python process that started it, however that ends."""

    def __init__(self, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Start `argv`; stdout and stderr are appended to `log`. `env` replaces the environment when given."""
        self.name = Path(argv[0]).name
        self.log = log
        command = [sys.executable, "-I", "-S", str(SUPERVISOR), *map(str, argv)]
        # A session of its own: Ctrl-C is for the test runner, which then ends its programs in order.
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process id of the supervisor; the program is its only child."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, what: str, timeout: float = 60.0) -> None:
        """Poll `ready` until it is true. Raises `StartFailed` after `timeout` seconds or when the program ends."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise StartFailed(f"{self.name} ended with {self._popen.returncode} before {what}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name}: no {what} within {timeout:.0f} s\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def tail(self) -> str:
        """The last lines of the log, with the file's name on top."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"--- {self.log}", *lines])

    def stop(self) -> None:
        """Kill the program and wait until it is gone. Stopping twice does nothing."""
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            self._popen.stdin.close()
        self._popen.wait()
