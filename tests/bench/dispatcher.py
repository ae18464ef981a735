"""The dispatcher of backups with many volumes: what it holds, what it asks the API server, and how both grow.

The movers are none: each ends at once with the last words of one that had a whole volume. All else is as ever: Jobs,
their pods, Secrets, results on the claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from drsyncer.snapshot import Snapshot, State
from tests.bench.fleet import TOGETHER, Dispatched, fleet
from tests.bench.report import Figure
from volumes import result
from volumes.result import Result

_WORDS = "last-words.json"
# As a mover is called: --folder FOLDER --termination-log FILE
_PROGRAM = 'cat "$0" > "$4"'


def measure(folder: Path, *, counts: Sequence[int]) -> list[Figure]:
    """Return memory, requests and time of the dispatcher for these numbers of volumes, the smallest first."""
    done = _run(folder, sorted(counts), together=TOGETHER)
    (crowded,) = _run(folder, [max(counts)], together=max(counts))
    return [
        *(figure for one in done for figure in _figures(one, f"{one.volumes:,} volumes")),
        _slope(done[0], done[-1]),
        *_figures(crowded, f"{crowded.volumes:,} volumes in one namespace"),
    ]


def _run(folder: Path, counts: Sequence[int], *, together: int) -> list[Dispatched]:
    words, done = folder / _WORDS, []
    with fleet(folder, program=("/bin/sh", "-c", _PROGRAM, str(words)), together=together) as made:
        for count in counts:
            made.fill(count, lambda *_: None)
            words.write_bytes(result.encode(_whole()))
            done.append(made.back_up(count, jitter="1ms"))
    return done


def _whole() -> Result:
    now = datetime.now(UTC)
    snapshot = Snapshot(
        id="a1" * 32,
        tree="b2" * 32,
        manifest="c3" * 32,
        host="prod",
        state=State.COMPLETE,
        start=now,
        end=now,
        files=1_000,
        bytes=5_000_000_000,
    )
    return Result(
        state=State.COMPLETE,
        start=now,
        end=now,
        repository="d4" * 32,
        snapshot=snapshot,
        files_new=1_000,
        bytes_added=5_000_000_000,
    )


def _figures(done: Dispatched, volumes: str) -> list[Figure]:
    about = f"of a dispatcher of {volumes}"
    return [
        Figure(
            f"peak memory {about}",
            f"{done.peak / 1024:.0f} MiB",
            f"interpreter's start: {done.start / 1024:.0f} MiB",
            raw={"peak_kib": [done.peak], "start_kib": [done.start]},
        ),
        Figure(
            f"requests {about}",
            f"{sum(done.requests.values()):,} ({done.requests_each:.1f} per volume)",
            raw={what: [count] for what, count in done.requests.items()},
        ),
        Figure(
            f"time {about}",
            f"{done.run.seconds:.0f} s (CPU {done.run.cpu:.1f} s)",
            f"{done.run.seconds / done.volumes * 1000:.0f} ms per volume (CPU {done.cpu_each * 1000:.0f} ms)",
            raw={"seconds": [done.run.seconds], "cpu_seconds": [done.run.cpu]},
        ),
    ]


def _slope(few: Dispatched, many: Dispatched) -> Figure:
    """What each further volume costs: as much as the first ones, when nothing grows faster than they do."""
    more = many.volumes - few.volumes
    memory = (many.peak - few.peak) / more
    requests = (sum(many.requests.values()) - sum(few.requests.values())) / more
    cpu = (many.run.cpu - few.run.cpu) / more
    return Figure(
        f"each further volume, from {few.volumes:,} to {many.volumes:,}",
        f"{memory:.1f} KiB, {requests:.1f} requests, CPU {cpu * 1000:.0f} ms",
        raw={"kib": [memory], "requests": [requests], "cpu_seconds": [cpu]},
    )
