"""`python -m tests.soak`: both services under churn and bad weather, for half an hour unless told otherwise."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.control_plane import ControlPlane
from tests.soak.scene import Plan, Report, soak

GROWTH = 0.10  # of memory between a third of the time and the end
IDLE = 0.02  # of one core


def main() -> int:
    """Soak; print what was seen; return 1 when something did not hold."""
    options = _options()
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.0f} s] {text}", flush=True)

    seconds = options.minutes * 60
    # An interval as people have it: what polls all the time is not idle.
    plan = Plan(seconds, rate=options.rate, pause=min(10.0, seconds / 25), hang=20.0, interval="30s")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dr-syncer-soak-")))
        planes = [ControlPlane("source"), ControlPlane("dr")]
        for plane in planes:
            stack.push(lambda *exc, plane=plane: plane.stop(keep_logs=exc[0] is not None))
        with ThreadPoolExecutor(len(planes)) as pool:
            source, dr = pool.map(lambda plane: plane.start(), planes)
        report = soak(source, dr, folder, plan=plan, seed=options.seed, say=say)
    for line in lines(report):
        say(line)
    wrong = faults(report)
    for line in wrong:
        say(f"WRONG: {line}")
    return 1 if wrong else 0


def lines(report: Report) -> list[str]:
    """Return what was seen, for people."""
    return [
        f"changes: {dict(report.changes)}",
        f"weather: {dict(report.blows)}",
        f"{report.commits} commits, {report.objects} files; complaints in the logs: {report.complaints}",
        f"Git as the source after {report.to_git:.1f} s, DR as Git after {report.to_dr:.1f} s",
        *(
            f"{side}: {before} → {report.after[side]}, memory {report.growth(side):+.1%} since a third, "
            f"idle {report.idle[side]:.2%} of a core"
            for side, before in report.before.items()
        ),
    ]


def faults(report: Report) -> list[str]:
    """Return what does not hold. That Git and DR are as the source has been seen by then."""
    found = [f"this never happened: {name}" for name in sorted(report.missing)]
    for side, before in report.before.items():
        after = report.after[side]
        for what in ("threads", "files", "sockets"):
            # A custom type that came makes for a watch more, a poll that is under way for a process.
            if getattr(after, what) > getattr(before, what) + 6:
                found.append(f"the {side} has more {what}: {before} → {after}")
        if report.growth(side) > GROWTH:
            found.append(f"the {side}'s memory has grown by {report.growth(side):.0%}")
        if report.idle[side] > IDLE:
            found.append(f"the idle {side} uses {report.idle[side]:.1%} of a core")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=20.0, help="changes per second")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the changes and of the weather")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
