"""`python -m tests.bench`: measure everything and print it. See `--help`."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import cpu, dispatcher, encryption, exports, imports, latency, machine, parallel, report, volumes
from tests.bench.report import Figure
from tests.bench.sides import Sides
from tests.cluster.control_plane import ControlPlane

# Volumes first, before there are API servers: they take processor time also when nobody asks them anything. Those of
# `parallel` and `dispatcher` are their own.
PARTS = ("volumes", "parallel", "dispatcher", "import", "export", "memory", "cpu", "encryption", "latency")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many objects, and how often."""

    imported: int = 2_000
    exported: int = 5_000
    in_memory: int = 20_000
    rounds: int = 3
    followed: int = 1_000
    changes: int = 200
    large_files: int = 1_000
    large_bytes: int = 5_000_000  # each
    small_files: int = 100_000
    parallel: int = 50
    dispatched: tuple[int, ...] = (100, 1_000)


QUICK = Sizes(
    imported=300,
    exported=600,
    in_memory=1_200,
    rounds=1,
    followed=300,
    changes=20,
    large_files=20,
    small_files=2_000,
    parallel=10,
    dispatched=(10, 50),
)


def main() -> int:
    """Measure, print the table, and write the JSON file when one is named. Times never make this fail."""
    options = _options()
    sizes = QUICK if options.quick else Sizes(rounds=options.rounds)
    parts = options.only or PARTS
    about = machine.describe()
    for name, value in about.items():
        print(f"{name + ':':<12}{value}")
    print(flush=True)
    figures: list[Figure] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dr-syncer-bench-")))
        _forget_the_machine(folder)
        figures += _measure(stack, folder, sizes, parts)
    print(report.table(figures))
    if options.json:
        report.write_json(options.json, machine=about, sizes=asdict(sizes), figures=figures)
    return 0


def _measure(stack: ExitStack, folder: Path, sizes: Sizes, parts: Sequence[str]) -> list[Figure]:
    sides = functools.cache(lambda: _start(stack, folder))
    large = sizes.large_files, sizes.large_bytes
    work: dict[str, Callable[[], list[Figure]]] = {
        "volumes": lambda: volumes.measure(folder, large=large, small=sizes.small_files, rounds=sizes.rounds),
        "parallel": lambda: parallel.measure(folder, volumes=sizes.parallel, rounds=sizes.rounds),
        "dispatcher": lambda: dispatcher.measure(folder, counts=sizes.dispatched),
        "import": lambda: imports.measure(sides(), objects=sizes.imported, rounds=sizes.rounds),
        "export": lambda: exports.measure(sides(), objects=sizes.exported, rounds=sizes.rounds),
        "cpu": lambda: cpu.measure(sides()),
        "encryption": lambda: encryption.measure(folder, rounds=sizes.rounds),
        "latency": lambda: latency.measure(sides(), objects=sizes.followed, changes=sizes.changes),
        "memory": lambda: exports.measure_memory(sides(), objects=sizes.in_memory),
    }
    figures: list[Figure] = []
    for part, measure in work.items():
        if part in parts:
            begun = time.monotonic()
            figures += measure()
            print(f"{part}: measured in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure against kubectl and restic, side by side."
    )
    parser.add_argument("--quick", action="store_true", help="few objects, one round: to try the bench, not to quote")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="medians of so many rounds (default 3)")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure only this; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, single rounds too, to FILE")
    return parser.parse_args()


def _forget_the_machine(folder: Path) -> None:
    """Nobody's Git settings, hooks or kubeconfig take part."""
    config = folder / ".gitconfig"
    config.write_text("[init]\n\tdefaultBranch = main\n")
    os.environ.pop("KUBECONFIG", None)
    os.environ |= {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}


def _start(stack: ExitStack, folder: Path) -> Sides:
    planes = [ControlPlane("source"), ControlPlane("dr")]
    for plane in planes:
        stack.callback(plane.stop)
    with ThreadPoolExecutor(len(planes)) as pool:
        list(pool.map(lambda plane: plane.start(), planes))
    sides = Sides(source=planes[0], dr=planes[1], folder=folder)
    sides.write_config()
    return sides


if __name__ == "__main__":
    sys.exit(main())
