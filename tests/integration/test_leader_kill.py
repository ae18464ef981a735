"""Leaders that are killed, or stopped for a while, under churn: another one takes over, nothing is lost, and never do
two of them write.

DR_SYNCER_KILLS says how often; `make soak-kills` does it twenty times.
"""

from __future__ import annotations

import os
import random
import signal
import time
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Service, Services, until
from tests.soak.churn import Churn, prepare
from tests.soak.scene import UNGUARDED, Scene

SEED = 20_261_126
KILLS = int(os.environ.get("DR_SYNCER_KILLS", "3"))
ELECTED = {"leaderElection": True}
TAKES_OVER = 60.0  # seconds; 15 are promised, for a machine that is not busy, and printed is what it was
BULK = 400  # objects of the first import
WRITERS = 2  # threads of a replica that write
ARRIVED = "/api/v1/namespaces/bulk/configmaps"
AFTERWARDS = 4.0  # seconds in which one who leads no more could write
FAST = {"exporter": {"quietPeriod": "300ms", "maxDelay": "1s"}, "importer": {"interval": "1s"}}


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

    def start(self, **section: Any) -> None:
        number = len(self._started)
        self._started.append(
            self._services.start(
                self.side,
                self._cluster,
                server=ELECTED,
                author=f"replica-{number}",
                kubeconfig=str(self._cluster.kubeconfig_for(f"replica-{number}")),
                **FAST[self.side],
                **section,
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

    def someone_stands_by(self) -> bool:
        """Whether one of them waits to take over."""
        return any(self._started[number].ask("/readyz") == (200, "standing by\n") for number in self.alive)

    def kill(self) -> None:
        self._lose(signal.SIGKILL).process.wait()

    def stop(self) -> Service:
        """Stop the leader as a machine that sleeps would; return it. It counts as lost."""
        return self._lose(signal.SIGSTOP)

    def _lose(self, number: int) -> Service:
        leader = self.leaders[-1]
        self._started[leader].process.send_signal(number)
        self.killed_at.append(time.time())
        self.alive.remove(leader)
        return self._started[leader]

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


@pytest.mark.timeout(300 + 60 * KILLS)
def test_killed_leaders_are_replaced_without_loss_and_never_do_two_write(
    clean_source: ControlPlane, clean_dr: ControlPlane, scene: Recovery, services: Services, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    sides = [Replicas("exporter", services, clean_source), Replicas("importer", services, clean_dr)]
    mark = clean_dr.audit.mark()
    with Churn(clean_source, seed=SEED, rate=10.0):
        for side in sides:
            side.start()
            until(side.leads, f"an {side.side} to lead", patience=TAKES_OVER)
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


def test_a_leader_that_was_stopped_and_goes_on_after_another_one_took_over_starts_no_write_any_more(
    clean_source: ControlPlane, clean_dr: ControlPlane, scene: Recovery, services: Services
) -> None:
    scene.git("config", "core.logAllRefUpdates", "always")
    exporters, importers = (
        Replicas("exporter", services, clean_source),
        Replicas("importer", services, clean_dr),
    )
    sides = (exporters, importers)
    clean_source.apply([namespace("bulk"), *(configmap("bulk", f"n{number}", a="b") for number in range(BULK))])
    with Churn(clean_source, seed=SEED, rate=10.0):
        for side in (importers, exporters):
            side.start(workers=WRITERS)
            until(side.leads, f"an {side.side} to lead", patience=TAKES_OVER)
            side.start()
            until(side.someone_stands_by, f"another {side.side} to stand by")
        until(lambda: "replica-0" in pushers(scene, "main"), "the first export")
        until(lambda: len(clean_dr.list(ARRIVED)) > BULK / 20, "the first import to be under way")

        stopped = [side.stop() for side in reversed(sides)]  # an importer in the middle of its work
        print(f"stopped when {len(clean_dr.list(ARRIVED))} of {BULK} had arrived")
        until(
            lambda: sum(side.taken_over() for side in sides) == len(sides), "others to take over", patience=TAKES_OVER
        )
        mark = clean_dr.audit.mark()
        until(lambda: pushers(scene, "main")[0] == "replica-1", "the other exporter to push")
        until(lambda: written_by(clean_dr, "replica-1", since=mark), "the other importer to write")
        mark = clean_dr.audit.mark()
        before = [len(pushers(scene, ref)) for ref in refs(scene)]
        for service in stopped:
            service.process.send_signal(signal.SIGCONT)
        for service in stopped:
            until(lambda one=service: one.ask("/readyz") == (200, "standing by\n"), "it to know that it leads no more")
        time.sleep(AFTERWARDS)

    print("hand-overs:", {side.side: [round(seconds, 1) for seconds in side.hand_overs] for side in sides})
    # No client can call back bytes that the kernel has: a thread that was stopped right there has one write out.
    assert len(written_by(clean_dr, "replica-0", since=mark)) <= WRITERS
    assert written_by(clean_dr, "replica-1", since=mark) != []
    pushed = [
        pushers(scene, ref)[: len(pushers(scene, ref)) - old] for ref, old in zip(refs(scene), before, strict=True)
    ]
    assert {name for names in pushed for name in names} == {"replica-1"}
    for service in stopped:
        assert service.ask("/healthz") == (200, "ok\n")
        assert service.end() == 0


def refs(recovery: Recovery) -> list[str]:
    """Return the refs that exporters write: the branch and the heartbeat's."""
    return ["refs/heads/main", *recovery.git("for-each-ref", "--format=%(refname)", "refs/dr-syncer").split()]


def pushers(recovery: Recovery, ref: str) -> list[str]:
    """Return whose commits were pushed to `ref`, the newest first, those that others took the place of too."""
    if not recovery.head():
        return []
    return recovery.git("log", "--walk-reflogs", "--format=%an", ref).split()


def written_by(dr: ControlPlane, user: str, *, since: int) -> list[str]:
    """Return what one replica wrote in DR; that it stands for election, and what it tells, is no work."""
    found = dr.audit.writes(user=user, since=since)
    return [f"{one.verb} {one.uri}" for one in found if one.resource not in ("leases", "events")]


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
