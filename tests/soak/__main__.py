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
from tests.soak.scene import Idle, Plan, Report, soak

GROWTH = 0.10  # of memory between a third of the time and the end
IDLE = 0.02  # of one core
MOST_ASKED = 5  # requests a minute to each cluster


def main() -> int:
    """Soak; print what was seen; return 1 when something did not hold."""
    options = _options()
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.0f} s] {text}", flush=True)

    seconds = options.minutes * 60
    # An interval as people have it: what polls all the time is not idle.
    plan = Plan(seconds, rate=options.rate, pause=min(10.0, seconds / 25), hang=20.0, interval="30s", idle=60.0)
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
            f"{side}: {before} → {report.after[side]}, memory {report.growth(side):+.1%} since a third"
            for side, before in report.before.items()
        ),
        *idle_lines(report.idle),
    ]


def idle_lines(idle: Idle | None) -> list[str]:
    """Return what the services did while nothing changed, for people."""
    if idle is None:
        return []
    cpu = ", ".join(f"{side} {share:.2%}" for side, share in idle.cpu.items())
    counted = [
        f"{name}: {len(asked)} requests, {len(idle.written[name])} writes, {idle.told[name]} late Events"
        for name, asked in idle.asked.items()
    ]
    return [
        f"{idle.seconds:.0f} s without a change: {idle.commits} commits, {idle.beats} heartbeats, {'; '.join(counted)} "
        f"(without watches and the election); of a core: {cpu}",
        *(f"  {name} {one}" for name, asked in idle.asked.items() for one in asked),
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
    return [*found, *idle_faults(report.idle)]


def idle_faults(idle: Idle | None) -> list[str]:
    """Return what services that have nothing to do did all the same."""
    if idle is None:
        return ["nobody looked at what the services do while nothing changes"]
    found = [f"the idle {side} uses {share:.1%} of a core" for side, share in idle.cpu.items() if share > IDLE]
    if idle.commits:
        found.append(f"{idle.commits} commits without a change")
    for name, asked in idle.asked.items():
        if len(asked) >= MOST_ASKED * max(idle.seconds / 60, 1.0):
            found.append(f"{len(asked)} requests to the {name} without a change")
        if idle.written[name]:
            found.append(f"the {name} was written to without a change: {idle.written[name]}")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=20.0, help="changes per second")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the changes and of the weather")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
