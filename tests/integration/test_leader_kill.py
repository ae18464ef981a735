"""Leaders that are killed under churn: another one takes over, nothing is lost, and never do two of them write."""

from __future__ import annotations

import random
import time
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, namespace
from tests.integration.services import Service, Services, until
from tests.soak.churn import Churn, prepare
from tests.soak.scene import UNGUARDED, Scene

SEED = 20_261_126
KILLS = 3
ELECTED = {"leaderElection": True}
TAKES_OVER = 30.0  # seconds; 15 are promised for a machine that is not busy


class Replicas:
    """The replicas of one side: two at a time, each known by a user of its own, or as an author of its own."""

    def __init__(self, side: str, services: Services, cluster: ControlPlane) -> None:
        self.side = side
        self._services, self._cluster = services, cluster
        self._started: list[Service] = []
        self.alive: list[int] = []
        self.leaders: list[int] = []
        self.hand_overs: list[float] = []
        self.killed_at: list[float] = []

    def start(self) -> None:
        number = len(self._started)
        self._started.append(
            self._services.start(
                self.side,
                self._cluster,
                server=ELECTED,
                author=f"replica-{number}",
                kubeconfig=str(self._cluster.kubeconfig_for(f"replica-{number}")),
                **({"quietPeriod": "300ms", "maxDelay": "1s"} if self.side == "exporter" else {"interval": "1s"}),
            )
        )
        self.alive.append(number)

    def leads(self) -> bool:
        """Whether one of them works; remember which."""
        for number in self.alive:
            if self._started[number].ask("/readyz") == (200, "working\n"):
                if not self.leaders or self.leaders[-1] != number:
                    self.leaders.append(number)
                return True
        return False

    def kill(self) -> None:
        number = self.leaders[-1]
        self._started[number].process.kill()
        self._started[number].process.wait()
        self.killed_at.append(time.time())
        self.alive.remove(number)

    def taken_over(self) -> bool:
        """Whether the last one that was killed has a successor by now; remember how long that took."""
        done = self.leads() and self.leaders[-1] in self.alive
        if done and len(self.hand_overs) < len(self.killed_at):
            self.hand_overs.append(time.time() - self.killed_at[-1])
        return done


@pytest.fixture
def scene(clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery) -> Recovery:
    for cluster in (clean_source, clean_dr):
        cluster.apply([namespace("dr-syncer")])
    prepare(clean_source)
    recovery.exporter |= {"guard": UNGUARDED}
    recovery.importer |= {"prune": UNGUARDED}
    return recovery


def test_killed_leaders_are_replaced_without_loss_and_never_do_two_write(
    clean_source: ControlPlane, clean_dr: ControlPlane, scene: Recovery, services: Services, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    sides = [Replicas("exporter", services, clean_source), Replicas("importer", services, clean_dr)]
    mark = clean_dr.audit.mark()
    with Churn(clean_source, seed=SEED, rate=10.0):
        for side in sides:
            side.start()
            until(side.leads, f"an {side.side} to lead")
            side.start()
        until(scene.head, "the first export")
        for _ in range(KILLS):
            time.sleep(rng.uniform(1.0, 4.0))
            for side in sides:
                assert side.leads()
                side.kill()
                side.start()
            for side in sides:
                until(side.taken_over, f"an {side.side} to take over", patience=TAKES_OVER)
        time.sleep(3.0)
    print("hand-overs:", {side.side: [round(seconds, 1) for seconds in side.hand_overs] for side in sides})
    settled(clean_source, clean_dr, scene, tmp_path)

    exporters, importers = sides
    commits = [line.split() for line in scene.git("log", "--reverse", "--format=%an %ct", "main").splitlines()]
    wrote(exporters, [name for name, _ in commits])
    for before, after in pairwise(exporters.leaders):
        killed = exporters.killed_at[exporters.leaders.index(before)]
        assert all(int(at) >= int(killed) for name, at in commits if name == f"replica-{after}")
    writes = [event for event in clean_dr.audit.writes(since=mark) if event.resource not in ("leases", "events")]
    wrote(importers, [event.user for event in writes if event.user.startswith("replica-")])


def wrote(side: Replicas, writers: list[str]) -> None:
    """See that the leaders wrote one after the other, each in his time and nobody else in it."""
    leaders = [f"replica-{number}" for number in side.leaders]
    print(f"the {side.side}'s writers: {[(name, len(list(group))) for name, group in groupby(writers)]}")
    assert [name for name, _ in groupby(writers)] == [name for name in leaders if name in writers]


def settled(source: ControlPlane, dr: ControlPlane, recovery: Recovery, folder: Path) -> None:
    """Wait until Git is as the source and DR is as Git."""
    scene = Scene(source, dr, folder)
    scene.recovery = recovery
    print("settled after", scene.settled())
