"""Build what `find` would not find. Finished programs stay when a build is interrupted; the next one goes on there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from tests.cluster.claims import lock_file
from tests.cluster.tools import PROGRAMS, Program, cache_folder, cache_home, kubernetes_version, missing
from tests.cluster.tools.go import build_environment, toolchain

TERMINAL_SECONDS = 1.0  # between two signs of life on a terminal,
LOG_SECONDS = 15.0  # and in a log file
POLL_SECONDS = 0.2
STAMPED = "k8s.io/kubernetes/"  # the packages whose programs are told their version when they are built


class BuildFailed(RuntimeError):
    """The Go compiler said no; its own words are on stderr."""


def build_missing(wanted: Sequence[Program] = PROGRAMS, *, out: TextIO = sys.stdout) -> None:
    """Build those of `wanted` that are missing into the cache. One build at a time per cache.

    Raises `ToolMissing` (no Go) or `BuildFailed`.
    """
    if not missing(wanted):
        return
    cache_home().mkdir(parents=True, exist_ok=True)
    lock = lock_file(cache_home() / ".lock")
    if lock is None:
        out.write("another build is running; waiting for it\n")
        out.flush()
        lock = lock_file(cache_home() / ".lock", wait=True)
    try:
        programs = missing(wanted)
        for number, program in enumerate(programs, start=1):
            go = toolchain(program.module)
            folder = cache_folder(program.module)
            folder.mkdir(parents=True, exist_ok=True)
            title = f"[{number}/{len(programs)}] {program.name}"
            _build(go, program, folder, progress=Progress(title, out))
    finally:
        if lock is not None:
            os.close(lock)


class Progress:
    """Signs of life: one line that counts the seconds on a terminal, a line now and then elsewhere."""

    def __init__(
        self, title: str, out: TextIO, *, doing: str = "building", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._out, self._doing, self._clock = title, out, doing, clock
        self._start = self._last = clock()
        self._terminal = out.isatty()
        self._say(doing)

    def tick(self) -> None:
        """Say something if it is time to."""
        now = self._clock()
        if now - self._last >= (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            self._last = now
            self._say(self._doing)

    def done(self, outcome: str) -> None:
        """Say how it ended."""
        self._say(outcome, end="\n")

    def _say(self, what: str, *, end: str = "") -> None:
        seconds = self._clock() - self._start
        line = f"{self._title}: {what}, {seconds:.0f} s"
        self._out.write(f"\r\x1b[K{line}{end}" if self._terminal else f"{line}\n")
        self._out.flush()


def build_command(go: Path, program: Program, target: Path) -> Sequence[str]:
    """The argv that builds `program` into `target`; Kubernetes' are stamped with the version that go.mod pins."""
    flags = ["-s", "-w"]
    if program.package.startswith(STAMPED):
        version = kubernetes_version()
        major, minor, _ = version.removeprefix("v").split(".", 2)
        stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        flags += [f"-X k8s.io/component-base/version.{name}={stamp}" for name, stamp in stamps.items()]
    tags = ["-tags", ",".join(program.tags)] if program.tags else []
    return [str(go), "build", "-trimpath", *tags, "-ldflags", " ".join(flags), "-o", str(target), program.package]


def _build(go: Path, program: Program, folder: Path, *, progress: Progress) -> None:
    part = folder / f"{program.name}.part"
    command = build_command(go, program, part)
    with subprocess.Popen(command, cwd=program.module, env=build_environment(os.environ)) as process:
        try:
            while process.poll() is None:
                progress.tick()
                time.sleep(POLL_SECONDS)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        progress.done("failed")
        raise BuildFailed(f"go build of {program.name} ended with {process.returncode}")
    part.rename(folder / program.name)
    progress.done("done")
