"""Running a program and measuring it from the outside."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROC = Path("/proc")
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """One process that ended well. `seconds` are from start to end, `cpu` its own and its children's processor time."""

    seconds: float
    cpu: float
    output: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Peaks in MiB: of the Python process above its interpreter's start, and of the largest git beside it."""

    interpreter: float
    above: float
    git: float


def dr_syncer(*arguments: str) -> list[str]:
    """The command line of `dr-syncer`, as installed in this environment."""
    return [sys.executable, "-m", "cli.main", *arguments]


def run(argv: Sequence[str], *, env: Mapping[str, str], output: Path | None = None, cwd: Path = ROOT) -> Run:
    """Run `argv` to its end; its output goes to the file `output`, or comes back. Raises RuntimeError when it fails."""
    log = output or Path(env["BENCH_OUTPUT"])
    errors = log.with_suffix(".err")
    with log.open("wb") as out, errors.open("wb") as err:
        begun = time.perf_counter()
        process = subprocess.Popen(list(argv), stdout=out, stderr=err, env=dict(env), cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = errors.read_text(errors="replace")[-4000:]
        raise RuntimeError(f"{' '.join(argv[:6])} … ended with {process.returncode}: {said}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, "" if output else log.read_text())


def spent() -> float:
    """Return the seconds of processor time of all programs that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_for_memory(arguments: Sequence[str], *, env: Mapping[str, str]) -> Memory:
    """Run `dr-syncer` with `arguments` and return its peak memory.

    Not by `getrusage` of the child: Linux counts the memory of the parent that a child was split off from as the
    child's own. The process itself reports its high-water mark (see high_water.py); git's is sampled.
    """
    report = Path(env["BENCH_OUTPUT"]).with_suffix(".memory")
    argv = [sys.executable, "-m", "tests.bench.high_water", str(report), *arguments]
    ended = threading.Event()
    peaks = [0]

    def sample(pid: int) -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            peaks[0] = max([peaks[0], *_git_below(pid)])

    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(env), cwd=ROOT)
    watcher = threading.Thread(target=sample, args=(process.pid,))
    watcher.start()
    _, errors = process.communicate()
    ended.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"dr-syncer ended with {process.returncode}: {errors.decode(errors='replace')[-4000:]}")
    start, peak = map(int, report.read_text().split())
    return Memory(start / 1024, (peak - start) / 1024, peaks[0] / 1024)


def high_water(pid: int | str = "self") -> tuple[str, int]:
    """Return a process's name and the most memory that it ever held, in KiB."""
    lines = (_PROC / str(pid) / "status").read_text().splitlines()
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return fields["Name"], int(fields.get("VmHWM", "0 kB").split()[0])


def _git_below(pid: int) -> Iterator[int]:
    for child in _children(pid):
        try:
            name, peak = high_water(child)
        except (OSError, KeyError):
            continue  # it has just ended
        if name.startswith("git"):
            yield peak
        yield from _git_below(child)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for task in (_PROC / f"{pid}/task").iterdir() for child in _listed(task / "children")]
    except OSError:
        return []


def _listed(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
