"""Run one program and end it together with the one who asked for it.

Started as a script of its own: `python supervisor.py PROGRAM ARGUMENT…`. Standard input is a pipe whose other
end the harness holds. When it closes, for whatever reason (a clean stop, an exception, kill -9 of the test
runner), the program is killed. A pipe rather than a death signal, because Linux sends the death signal when the
*thread* that forked ends, and fixtures start programs from threads. The death signal is used one step further
down, where this process forks from its only thread: it covers a kill of the supervisor itself.

Exits with the program's own code; a negative code (killed by a signal) becomes 128 + signal.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends. Elsewhere the pipe alone has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def supervise(argv: list[str]) -> int:
    """Run `argv` until it ends or standard input is closed; return its exit code."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    while process.poll() is None:
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if readable and not os.read(0, 1):
            process.kill()
            process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
