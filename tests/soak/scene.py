"""The whole scene: two clusters, a remote, the two services, churn, bad weather, and what must hold after it."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from drsyncer.errors import ExitCode
from importer.outcome import Outcome
from importer.plan import WRITES
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.git_servers import HttpsRemote, bare_repository
from tests.cluster.state import restful, touched
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.integration.recovery import Recovery, namespace
from tests.integration.services import Footprint, Service, Services, until
from tests.soak.churn import Churn, prepare
from tests.soak.weather import STRANGER, Weather

UNGUARDED = {"maxDeletions": 1_000_000, "maxDeletionPercent": 100}
SETTLED = 300.0  # seconds in which everything must be where it belongs once the weather is good again
QUIET = 3.0  # seconds without a change after which DR's controllers are done, also those that had to back off
# Claims are written by an apply that changes nothing, too: the API server notes when it was.
_RESTLESS = re.compile(r"/persistentvolumeclaims/|/configmaps/dr-syncer-")
IDLE = 20.0  # seconds over which idle services are measured, unless a plan says otherwise


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard. `hang` is how many seconds a remote that hangs says nothing."""

    seconds: float
    rate: float = 20.0
    pause: float = 3.0
    hang: float = 3.0
    interval: str = "2s"
    idle: float = IDLE


@dataclass(frozen=True, slots=True)
class Idle:
    """What both services did in `seconds` without any change.

    `cpu` is by side, as a share of a core; `asked`, `written` and `told` by cluster: requests apart from watches and
    the election's, those of them that write, and how many Kubernetes Events were still to be written. `commits` and
    `beats` are what the exporter pushed.
    """

    seconds: float
    cpu: dict[str, float]
    asked: dict[str, list[str]]
    written: dict[str, list[str]]
    told: dict[str, int]
    commits: int
    beats: int


@dataclass
class Report:
    """What was seen. `memory` is by side: (seconds since the begin, bytes)."""

    changes: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    missing: set[str] = field(default_factory=set)
    commits: int = 0
    objects: int = 0
    to_git: float = 0.0
    to_dr: float = 0.0
    before: dict[str, Footprint] = field(default_factory=dict)
    after: dict[str, Footprint] = field(default_factory=dict)
    memory: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    idle: Idle | None = None
    complaints: dict[str, int] = field(default_factory=dict)

    def growth(self, side: str) -> float:
        """Return the memory at the end by that at a third, as a share: 0.0 is no growth."""
        samples = self.memory[side]
        third = next(size for at, size in samples if at >= samples[-1][0] / 3)
        return samples[-1][1] / third - 1


def tree(recovery: Recovery) -> dict[str, str]:
    """Return path → blob of the newest recovery point, without what somebody else put there."""
    lines = recovery.git("ls-tree", "-r", "main").splitlines()
    found = {path: meta.split()[2] for meta, _, path in (line.partition("\t") for line in lines)}
    return {path: blob for path, blob in found.items() if path != STRANGER}


class Scene:
    """Both services between two clusters, with a proxy before each thing that they talk to. A context manager."""

    def __init__(self, source: ControlPlane, dr: ControlPlane, folder: Path, *, interval: str = "2s") -> None:
        self.source, self.dr, self.folder = source, dr, folder
        self._interval = interval
        self._stack = ExitStack()

    def __enter__(self) -> Scene:
        enter = self._stack.enter_context
        self.proxies = {"source": enter(FaultProxy(self.source)), "dr": enter(FaultProxy(self.dr))}
        remote = enter(HttpsRemote(self.folder / "https"))
        self.line = enter(TcpFaultProxy(remote.port))
        for name, value in (("user", remote.user), ("token", remote.token)):
            (self.folder / name).write_text(value)
        auth = {name: str(self.folder / file) for name, file in (("usernameFile", "user"), ("tokenFile", "token"))}
        self.recovery = Recovery(
            remote=remote.path,
            folder=self.folder,
            repository={
                "url": remote.url.replace(f":{remote.port}/", f":{self.line.port}/"),
                "auth": {**auth, "caFile": str(remote.ca_file)},
                "timeout": "10s",
            },
            exporter={"guard": UNGUARDED},
            importer={"prune": UNGUARDED},
        )
        self.services = enter(Services(self.recovery))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.__exit__(*exc)

    def start(self) -> dict[str, Service]:
        """Start both services, by way of the proxies, and wait until DR has the first recovery point."""
        exporter = self.services.start(
            "exporter", self.source, kubeconfig=str(self.proxies["source"].kubeconfig), quietPeriod="1s", maxDelay="3s"
        )
        until(self.recovery.head, "the first export", patience=SETTLED)
        until(lambda: exporter.metric('dr_syncer_watches{state="connected"}') > 10, "the watches", patience=SETTLED)
        until(lambda: exporter.metric('dr_syncer_watches{state="lost"}') == 0, "all watches", patience=SETTLED)
        importer = self.services.start(
            "importer", self.dr, kubeconfig=str(self.proxies["dr"].kubeconfig), interval=self._interval
        )
        until(lambda: importer.metric('dr_syncer_runs_total{result="done"}') > 0, "the first import", patience=SETTLED)
        return {"exporter": exporter, "importer": importer}

    def settled(self) -> tuple[float, float]:
        """Wait until Git is as the source and DR is as Git; return how many seconds each took."""
        self.source.settle(timeout=60.0)
        begun = time.monotonic()
        wanted = self._fresh()
        until(
            lambda: tree(self.recovery) == wanted,
            lambda: f"Git to be as the source: {sorted(wanted.items() ^ tree(self.recovery).items())[:20]}",
            patience=SETTLED,
        )
        to_git = time.monotonic() - begun
        outcome = self._planned()
        while not nothing_to_do(outcome):
            rest = [f"{one.action} {one.step.ref} {one.reason}" for one in outcome.results if one.action in WRITES]
            assert time.monotonic() < begun + 2 * SETTLED, f"DR is not as Git: {outcome.summary} {rest[:20]}"
            time.sleep(1.0)
            outcome = self._planned()
        to_dr = time.monotonic() - begun
        # No record is believed: every object is applied once more, and none may change by that. DR's controllers
        # are let finish first; one that backed off for long in the weather may still report a status later.
        self.dr.settle(quiet=QUIET, timeout=60.0)
        before = restful(self.dr.api)
        audit = self.recovery.import_into(self.dr, audit=True)
        assert audit.exit_code is ExitCode.DONE, audit.summary
        changed = touched(before, restful(self.dr.api))
        assert not {key for key in changed if not _RESTLESS.search(key)}, changed
        return to_git, to_dr

    def heartbeat(self) -> str:
        """Return what the exporter's heartbeat is now."""
        return self.recovery.git("for-each-ref", "--format=%(objectname)", "refs/dr-syncer")

    def _fresh(self) -> dict[str, str]:
        """Return what an export of the source into an empty repository gives."""
        folder = Path(tempfile.mkdtemp(prefix="fresh-", dir=self.folder))
        fresh = Recovery(remote=bare_repository(folder / "fresh.git"), folder=folder)
        assert fresh.export(self.source).exit_code is ExitCode.DONE
        return tree(fresh)

    def _planned(self) -> Outcome:
        return self.recovery.import_into(self.dr, plan_only=True)


def nothing_to_do(outcome: Outcome) -> bool:
    """Whether an import would write nothing, and leaves nothing out."""
    return outcome.exit_code is ExitCode.DONE and not any(one.action in WRITES for one in outcome.results)


def soak(
    source: ControlPlane, dr: ControlPlane, folder: Path, *, plan: Plan, seed: int, say: Callable[[str], None]
) -> Report:
    """Let everything happen for as long as `plan` says; return what was seen once Git and DR are as the source."""
    report = Report()
    prepare(source)
    source.apply([namespace("dr-syncer")])  # for its Events
    with Scene(source, dr, folder, interval=plan.interval) as scene:
        services = scene.start()
        time.sleep(2.0)
        report.before = {side: service.footprint() for side, service in services.items()}
        say(f"seed {seed}; at rest: {report.before}")
        churn = Churn(source, seed=seed, rate=plan.rate)
        weather = Weather(
            clusters={"source": source, "dr": dr},
            proxies=scene.proxies,
            line=scene.line,
            recovery=scene.recovery,
            seed=seed,
            pause=plan.pause,
            hang=plan.hang,
        )
        begun = time.monotonic()
        with churn, weather:
            _watch(services, begun, plan.seconds, report, say, (churn.check, weather.check))
        report.changes, report.blows, report.missing = churn.counts, weather.counts, weather.missing()
        say(f"churned: {dict(churn.counts)}; {dict(weather.counts)}")
        report.to_git, report.to_dr = scene.settled()
        say(f"Git as the source after {report.to_git:.1f} s, DR as Git after {report.to_dr:.1f} s")
        _look_at_the_rest(scene, services, begun, report, plan.idle)
        report.commits = len(scene.recovery.git("log", "--format=%h", "main").split())
        report.objects = len(tree(scene.recovery))
        report.complaints = {side: len(service.complaints()) for side, service in services.items()}
        for side, service in services.items():
            assert "Traceback" not in service.log.read_text(), f"the {side} raised"
            assert service.end() == 0, f"the {side} did not end as it should"
    return report


def _watch(
    services: dict[str, Service],
    begun: float,
    seconds: float,
    report: Report,
    say: Callable[[str], None],
    checks: tuple[Callable[[], None], ...],
) -> None:
    """Look at both while it lasts: they live, and their loops turn; `checks` raise when the rest came to an end."""
    told = begun
    while time.monotonic() - begun < seconds:
        time.sleep(1.0)
        for check in checks:
            check()
        for side, service in services.items():
            assert service.process.poll() is None, f"the {side} has ended"
            assert service.ask("/healthz") == (200, "ok\n"), f"the {side} is not healthy"
            report.memory.setdefault(side, []).append((time.monotonic() - begun, service.footprint().memory))
        if time.monotonic() - told >= 60.0:
            told = time.monotonic()
            say(f"{told - begun:.0f} s: { ({side: service.footprint() for side, service in services.items()}) }")


def _look_at_the_rest(scene: Scene, services: dict[str, Service], begun: float, report: Report, seconds: float) -> None:
    """Measure what both hold and use once there is nothing left to do."""
    until(lambda: services["exporter"].metric('dr_syncer_watches{state="lost"}') == 0, "all watches to be back")
    time.sleep(3.0)
    report.idle = _idle(scene, services, seconds)
    report.after = {side: service.footprint() for side, service in services.items()}
    for side, samples in report.memory.items():
        samples.append((time.monotonic() - begun, report.after[side].memory))


def _idle(scene: Scene, services: dict[str, Service], seconds: float) -> Idle:
    """Let `seconds` pass without a change, and return what the services did."""
    clusters = {"source": scene.source, "dr": scene.dr}
    marks = {name: cluster.audit.mark() for name, cluster in clusters.items()}
    head, beat = scene.recovery.head(), scene.heartbeat()
    cpu = {side: service.cpu() for side, service in services.items()}
    time.sleep(seconds)
    shares = {side: (service.cpu() - cpu[side]) / seconds for side, service in services.items()}
    seen = {name: cluster.audit.requests(since=marks[name]) for name, cluster in clusters.items()}
    asked = {
        name: [one for one in found if one.verb != "watch" and one.resource not in ("leases", "events")]
        for name, found in seen.items()
    }
    return Idle(
        seconds=seconds,
        cpu=shares,
        asked={name: [f"{one.verb} {one.uri}" for one in found] for name, found in asked.items()},
        written={name: [f"{one.verb} {one.uri}" for one in found if one.is_write] for name, found in asked.items()},
        told={name: sum(one.resource == "events" for one in found) for name, found in seen.items()},
        commits=len(scene.recovery.git("log", "--format=%h", f"{head}..main").split()),
        beats=int(scene.heartbeat() != beat),
    )
