"""`python -m tests.bench.high_water FILE ARGUMENTS…`: `dr-syncer ARGUMENTS…`, then its peak memory in FILE.

Two numbers in KiB: the high-water mark before anything of the program was imported, and the one at its end.
"""

from __future__ import annotations

import sys
from pathlib import Path


def _mark() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    start = _mark()
    file, *arguments = sys.argv[1:]

    from cli.main import run

    code = run(arguments)
    Path(file).write_text(f"{start} {_mark()}\n")
    sys.exit(code)
