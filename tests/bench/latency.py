"""How long a change takes with both services running: from the source to Git, and from Git to DR."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.population import populate
from tests.bench.report import Figure
from tests.bench.sides import Sides
from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import bare_repository
from tests.integration.recovery import Recovery
from tests.integration.services import Service, Services, until

QUIET = 1.0  # seconds
INTERVAL = 1.0  # seconds between two looks of the importer that polls
SLACK = {"commit": 1.0, "webhook": 2.0, "poll": 2.0}  # seconds that are the goal, beside what is configured
_LOOK = 0.005  # seconds between two looks at where the branch is,
_ASK = 0.02  # and at what DR has
_PATIENCE = 60.0  # seconds after which a change counts as lost
_SECRET = b"0123456789abcdef0123456789abcdef"
_WHERE = "latency"
_CHANGED = "/api/v1/namespaces/latency/configmaps/changed"


@dataclass
class _Times:
    """Seconds of every change, the machine's load before and after, and seconds of processor time per change."""

    commit: list[float] = field(default_factory=list)
    import_: list[float] = field(default_factory=list)
    load: tuple[float, float] = (0.0, 0.0)
    exporter_cpu: float = 0.0
    importer_cpu: float = 0.0


def measure(sides: Sides, *, objects: int, changes: int) -> list[Figure]:
    """Change one of `objects` objects `changes` times, once with a webhook and once with an importer that polls."""
    populate(sides.source, objects)
    sides.source.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _WHERE}}, _config_map(0)])
    hooked = _run(sides, changes, hook=True)
    polled = _run(sides, changes, hook=False)
    sides.dr.reset()
    about = f"of {changes} changes among {objects:,} objects"
    return [
        _figure(f"change in the source → pushed commit, {about}", "commit", hooked.commit, QUIET, hooked),
        _figure(f"pushed commit → in DR by webhook, {about}", "webhook", hooked.import_, 0.0, hooked),
        _figure(f"pushed commit → in DR by polling, {about}", "poll", polled.import_, INTERVAL, polled),
    ]


def quantile(values: list[float], share: float) -> float:
    """Return the least value that `share` of all do not exceed."""
    return sorted(values)[max(0, -(-len(values) * round(share * 1000) // 1000) - 1)]


def _run(sides: Sides, changes: int, *, hook: bool) -> _Times:
    sides.dr.reset()
    folder = sides.folder / ("hooked" if hook else "polled")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    secret = folder / "secret"
    secret.write_bytes(_SECRET)
    recovery = Recovery(remote=bare_repository(folder / "recovery.git"), folder=folder)
    with Services(recovery, quiet=True) as services:
        exporter = services.start("exporter", sides.source, quietPeriod=f"{QUIET:g}s")
        until(recovery.head, "the first export", patience=_PATIENCE * 4)
        until(lambda: exporter.metric('dr_syncer_watches{state="lost"}') == 0, "all watches", patience=_PATIENCE)
        importer = services.start(
            "importer",
            sides.dr,
            server={"webhook": {"secretFile": str(secret)}} if hook else {},
            interval="1h" if hook else f"{INTERVAL:g}s",
        )
        done = 'dr_syncer_runs_total{result="done"}'
        until(lambda: importer.metric(done) > 0, "the first import", patience=_PATIENCE * 4)
        times, cpu = _Times(load=(os.getloadavg()[0], 0.0)), (exporter.cpu(), importer.cpu())
        for number in range(1, changes + 1):
            # Not in step with anybody's clock.
            time.sleep(0.05 + (number * 37 % 100) / 200)
            _change(sides, recovery, importer if hook else None, number, times)
        times.load = (times.load[0], os.getloadavg()[0])
        times.exporter_cpu = (exporter.cpu() - cpu[0]) / changes
        times.importer_cpu = (importer.cpu() - cpu[1]) / changes
    return times


def _change(sides: Sides, recovery: Recovery, hooked: Service | None, number: int, times: _Times) -> None:
    before = _branch(recovery.remote)
    begun = time.monotonic()
    sides.source.patch(_CHANGED, {"data": {"number": str(number)}})
    until(lambda: _branch(recovery.remote) != before, f"change {number} in Git", patience=_PATIENCE, pause=_LOOK)
    pushed = time.monotonic()
    if hooked is not None:
        _call(hooked, number)
    until(lambda: _has(sides.dr, number), f"change {number} in DR", patience=_PATIENCE, pause=_ASK)
    times.commit.append(pushed - begun)
    times.import_.append(time.monotonic() - pushed)


def _branch(remote: Path) -> str:
    try:
        return (remote / "refs" / "heads" / "main").read_text()
    except FileNotFoundError:  # in the middle of being replaced
        return ""


def _has(dr: ControlPlane, number: int) -> bool:
    found: Object = dr.get(_CHANGED)
    return bool(found["data"]["number"] == str(number))


def _call(importer: Service, number: int) -> None:
    """Call the webhook as a Git server does right after a push."""
    body = json.dumps({"ref": "refs/heads/main", "number": number}).encode()
    signature = hmac.digest(_SECRET, body, hashlib.sha256).hex()
    status = importer.call(body, {"X-Hub-Signature-256": f"sha256={signature}"})
    if status != 202:
        raise RuntimeError(f"the webhook answered {status}: the times would say nothing")


def _config_map(number: int) -> Object:
    meta = {"name": "changed", "namespace": _WHERE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"number": str(number)}}


def _figure(what: str, kind: str, values: list[float], given: float, times: _Times) -> Figure:
    goal, cpu = given + SLACK[kind], times.exporter_cpu if kind == "commit" else times.importer_cpu
    half, most = quantile(values, 0.5), quantile(values, 0.99)
    beside = f"{given:g} s of it are configured; " if given else ""
    return Figure(
        what=what,
        ours=f"p50 {half:.2f} s, p99 {most:.2f} s",
        theirs=f"{beside}{cpu * 1000:.0f} ms of processor time; load {times.load[0]:.1f} to {times.load[1]:.1f}",
        ratio=f"p99 {most / goal:.2f} of the goal",
        goal=f"p99 ≤ {goal:g} s",
        reached=most <= goal,
        raw={f"{kind}_seconds": values, "cpu_seconds_per_change": [cpu]},
    )
