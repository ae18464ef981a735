"""How the lab runs programs and keeps what it made: with signs of life, logs in files, and nothing half made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster.tools.build import POLL_SECONDS, Progress

TAIL_LINES = 30
SHORT = 120.0  # seconds, for what answers at once on a quiet machine


class LabFailed(RuntimeError):
    """A step of the lab did not work; the message holds the program's own words."""


class LabImpossible(RuntimeError):
    """This machine cannot have a lab; the message says what is missing."""


def home() -> Path:
    """Return the folder where the lab keeps what it made: `$XDG_CACHE_HOME/dr-syncer/kind`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "dr-syncer" / "kind"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: bytes) -> str:
    """Return a short name for `parts`."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def answer(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = SHORT) -> str:
    """Run a program to its end and return its stdout, stripped. Raises `LabFailed` with its last words."""
    command = [str(part) for part in argv]
    try:
        result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise LabFailed(f"{command[0]} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise LabFailed(f"{' '.join(command)}: no end after {timeout:.0f} s") from error
    if result.returncode:
        last = f"{result.stdout}{result.stderr}".strip().splitlines()[-TAIL_LINES:]
        raise LabFailed("\n".join([f"{' '.join(command)}: exit {result.returncode}", *last]))
    return result.stdout.strip()


def watched(
    argv: Sequence[str | Path], *, title: str, log: Path, env: Mapping[str, str] | None = None, doing: str = "working"
) -> None:
    """Run a long program with signs of life. Raises `LabFailed` with the end of `log`, where its output goes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(title, sys.stdout, doing=doing)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )
        try:
            while process.poll() is None:
                progress.tick()
                time.sleep(POLL_SECONDS)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        progress.done("failed")
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise LabFailed("\n".join([f"{title}: exit {process.returncode}; {log} ends with", *lines]))
    progress.done("done")


def kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`; when it is not there, `make` fills another one, which gets the name in the end."""
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    make(part)
    part.rename(folder)
    return folder


def wait_until(ready: Callable[[], bool], *, what: str, seconds: float) -> None:
    """Poll `ready`. Raises `LabFailed` when it is not true after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise LabFailed(f"no {what} after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
