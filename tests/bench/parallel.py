"""Many volumes, a few at a time, with a dispatcher: beside restic alone, and beside movers alone.

All go into repositories of their own on the same rest-server. The first backup of each volume, with data that is the
same for nobody else. Nodes are tests/cluster/kubelet.py, which starts a mover as soon as its pod is there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.fleet import Dispatched, Fleet, environment, fleet
from tests.bench.report import Figure, median
from tests.bench.stopwatch import Run, run, spent
from tests.cluster.tools import find
from tests.integration.backups import PASSWORD, Backups
from tests.integration.movers import Mover
from tests.integration.restic_backends import Backend
from volumes import commands
from volumes.task import Access, BackupTask, Volume

AT_ONCE = 5
_FIRST = "first"  # repository
_FILES = 8  # in each volume
_BYTES = 500_000  # of each file


@dataclass(slots=True)
class Times:
    """What was run, once a round."""

    dispatched: list[Run] = field(default_factory=list)  # the dispatcher with its movers
    movers: list[Run] = field(default_factory=list)
    together: list[Run] = field(default_factory=list)  # restic alone, as many at a time
    in_turn: list[Run] = field(default_factory=list)  # restic alone, one after the other
    dispatchers: list[Dispatched] = field(default_factory=list)  # by itself


def measure(folder: Path, *, volumes: int, rounds: int) -> list[Figure]:
    """Back up so many volumes in each of the ways, `rounds` times in alternating order; medians count."""
    times = Times()
    with fleet(folder) as made:
        made.fill(volumes, _write)
        _movers(made, 1, "compiled", Times())  # as installed: with its bytecode
        ways: list[Callable[[Fleet, int, str, Times], None]] = [_dispatched, _movers, _together, _in_turn]
        for number in range(rounds):
            for way in ways if number % 2 == 0 else reversed(ways):
                os.sync()
                way(made, volumes, f"{way.__name__.strip('_')}-{number}", times)
    return _figures(volumes, times)


def _write(folder: Path, _: int) -> None:
    for number in range(_FILES):
        (folder / f"file-{number}").write_bytes(os.urandom(_BYTES))


# The ways


def _dispatched(made: Fleet, volumes: int, name: str, times: Times) -> None:
    backups = _with_repository(made, name)
    done = replace(made, backups=backups).back_up(volumes, parallel=AT_ONCE, jitter="1ms")
    times.dispatchers.append(done)
    times.dispatched.append(Run(done.run.seconds, done.cpu, ""))


def _movers(made: Fleet, volumes: int, name: str, times: Times) -> None:
    server = made.backups.server
    _with_repository(made, name)
    backend = Backend(server.url(name), server.root / name, server.environment, server.ca_file, password=PASSWORD)
    mover = Mover(made.folder / name, backend)

    def move(claim: tuple[str, str]) -> None:
        ran = mover.backup(made.backups.volumes.folder / claim[0] / claim[1], volume=_volume(claim))
        if not ran.state.whole:
            raise RuntimeError(f"the backup is {ran.state}: {ran.result.message}")

    times.movers.append(_all(move, made.claims(volumes), at_once=AT_ONCE))


def _together(made: Fleet, volumes: int, name: str, times: Times) -> None:
    times.together.append(_all(_restic(made, name), made.claims(volumes), at_once=AT_ONCE))


def _in_turn(made: Fleet, volumes: int, name: str, times: Times) -> None:
    times.in_turn.append(_all(_restic(made, name), made.claims(volumes), at_once=1))


def _restic(made: Fleet, name: str) -> Callable[[tuple[str, str]], object]:
    """Return what backs up a claim's volume with restic alone, as somebody would type it."""
    backups, server = _with_repository(made, name), made.backups.server
    work = made.folder / name
    work.mkdir()
    access = Access(repository=server.url(name))
    before = commands.surroundings(access, ca_file=str(server.ca_file), cache=str(work / "cache"))
    env = environment() | server.environment
    env |= {"RESTIC_REPOSITORY": access.repository, "RESTIC_PASSWORD": PASSWORD}

    def back_up(claim: tuple[str, str]) -> Run:
        root = backups.volumes.folder / claim[0] / claim[1]
        asked = BackupTask(access=access, volume=_volume(claim), run="1", root=str(root))
        argv = [str(find("restic")), *before, *commands.backup(asked, root=root)]
        return run(argv, env=env, output=work / "-".join(claim), cwd=root)

    return back_up


def _with_repository(made: Fleet, name: str) -> Backups:
    """Return what uses an empty repository of this name.

    restic makes a key that costs the processor time of half a second's wait, which is less on a busy machine. So all of
    them are copies of one: opening them costs the same.
    """
    server, backups = made.backups.server, replace(made.backups, repository=name)
    first = server.root / _FIRST
    if not first.exists():
        replace(backups, repository=_FIRST).restic("init")
    shutil.copytree(first, server.root / name)
    return backups


def _volume(claim: tuple[str, str]) -> Volume:
    return Volume(host="prod", namespace=claim[0], name=claim[1])


def _all(work: Callable[[tuple[str, str]], object], claims: list[tuple[str, str]], *, at_once: int) -> Run:
    before, begun = spent(), time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, claims))
    return Run(time.perf_counter() - begun, spent() - before, "")


# The figures


def _figures(volumes: int, times: Times) -> list[Figure]:
    size = f"{_FILES * _BYTES / 1e6:.0f} MB"
    what = f"back up {volumes:,} volumes of {size}, {AT_ONCE} at a time"
    return [
        _beside(what, f"restic alone, {AT_ONCE} at a time", times.dispatched, times.together),
        _beside("the same", "restic alone, one after the other", times.dispatched, times.in_turn),
        _beside("the same", f"movers alone, {AT_ONCE} at a time", times.dispatched, times.movers),
        _overhead(times.dispatchers),
    ]


def _beside(what: str, name: str, ours: list[Run], theirs: list[Run]) -> Figure:
    return Figure(
        what,
        _said(ours),
        f"{name}: {_said(theirs)}",
        f"{_seconds(ours) / _seconds(theirs):.2f} of its time, {_cpu(ours) / _cpu(theirs):.2f} of its CPU",
        raw={
            "seconds": [one.seconds for one in ours],
            "cpu_seconds": [one.cpu for one in ours],
            "beside_seconds": [one.seconds for one in theirs],
            "beside_cpu_seconds": [one.cpu for one in theirs],
        },
    )


def _overhead(done: list[Dispatched]) -> Figure:
    cpu, asked = median([one.cpu_each for one in done]), median([one.requests_each for one in done])
    return Figure(
        "dispatching, for each volume",
        f"CPU {cpu * 1000:.0f} ms, {asked:.1f} API requests",
        raw={"cpu_seconds": [one.cpu_each for one in done], "requests": [one.requests_each for one in done]},
    )


def _said(runs: list[Run]) -> str:
    return f"{_seconds(runs):.1f} s (CPU {_cpu(runs):.1f} s)"


def _seconds(runs: list[Run]) -> float:
    return median([one.seconds for one in runs])


def _cpu(runs: list[Run]) -> float:
    return median([one.cpu for one in runs])
