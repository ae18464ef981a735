"""Leader election on a real API server: never two leaders, and never none for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drsyncer.cluster import connect
from drsyncer.cluster.lease import Election, Timing
from drsyncer.retry import Schedule
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy

FAST = Timing(duration=3.0, deadline=2.0, renew=0.3)
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/exporter"
ONCE = Schedule(attempts=1)

MakeProxy = Callable[[ControlPlane], FaultProxy]


@dataclass
class Candidate:
    """An election in a thread of its own, with the moments at which it changed its mind."""

    election: Election
    changes: list[tuple[float, bool]] = field(default_factory=list)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.election.run)
        self.thread.start()

    def leave(self) -> None:
        self.election.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


Stand = Callable[..., Candidate]


@pytest.fixture
def stand() -> Iterator[Stand]:
    """`stand(kubeconfig, namespace, "a")` lets a candidate of that name stand for election."""
    with ExitStack() as stack:

        def begin(kubeconfig: Path, where: str, identity: str) -> Candidate:
            changes: list[tuple[float, bool]] = []
            election = Election(
                lambda: connect(kubeconfig=str(kubeconfig), connections=1, timeout=1.0, schedule=ONCE),
                namespace=where,
                name="exporter",
                identity=identity,
                timing=FAST,
                on_change=lambda leads: changes.append((time.monotonic(), leads)),
            )
            candidate = Candidate(election, changes)
            candidate.start()
            stack.callback(candidate.leave)
            return candidate

        yield begin


def spec(cluster: ControlPlane, where: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get(LEASE.format(where))["spec"]
    return found


def test_of_three_candidates_one_leads_and_goes_on_leading(
    source: ControlPlane, make_namespace: Callable[..., str], stand: Stand
) -> None:
    where = make_namespace(source)
    candidates = [stand(source.kubeconfig, where, name) for name in "abc"]
    source.wait_for(lambda: any(one.election.leading() for one in candidates), what="a leader")

    begun = time.monotonic()
    while time.monotonic() - begun < 1.5 * FAST.duration:
        assert sum(one.election.leading() for one in candidates) <= 1
        time.sleep(0.02)

    (leader,) = [one for one in candidates if one.election.leading()]
    assert sum(len(one.changes) for one in candidates) == 1
    assert spec(source, where)["holderIdentity"] in "abc"
    assert all(one.election.holder == leader.election.holder for one in candidates)
    assert spec(source, where)["leaseTransitions"] == 1


def test_a_leader_that_leaves_hands_over_at_once(
    source: ControlPlane, make_namespace: Callable[..., str], stand: Stand
) -> None:
    where = make_namespace(source)
    first = stand(source.kubeconfig, where, "first")
    source.wait_for(first.election.leading, what="the first to lead")
    second = stand(source.kubeconfig, where, "second")

    begun = time.monotonic()
    first.leave()
    source.wait_for(second.election.leading, what="the second to lead")

    assert time.monotonic() - begun < FAST.duration
    assert not first.election.leading()
    assert spec(source, where)["holderIdentity"] == "second"


def test_a_leader_that_is_cut_off_stops_before_the_next_one_starts(
    source: ControlPlane, make_namespace: Callable[..., str], stand: Stand, fault_proxy: MakeProxy
) -> None:
    where, proxy = make_namespace(source), fault_proxy(source)
    first = stand(proxy.kubeconfig, where, "first")
    source.wait_for(first.election.leading, what="the first to lead")
    second = stand(source.kubeconfig, where, "second")
    time.sleep(FAST.renew * 2)

    proxy.hang(60, times=None)
    while not second.election.leading():
        time.sleep(0.01)

    assert not first.election.leading()
    source.wait_for(lambda: first.changes[-1][1] is False, what="the first to know")
    assert first.changes[-1][0] < second.changes[0][0] + 1.5
    assert first.election.trouble


def test_a_lease_is_free_when_nobody_renewed_it_for_as_long_as_it_says(
    source: ControlPlane, make_namespace: Callable[..., str], stand: Stand
) -> None:
    where = make_namespace(source)
    gone = {"holderIdentity": "crashed", "leaseDurationSeconds": 2, "renewTime": "2999-01-01T00:00:00.000000Z"}
    meta = {"name": "exporter", "namespace": where}
    source.apply([{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": gone}])

    begun = time.monotonic()
    heir = stand(source.kubeconfig, where, "heir")
    source.wait_for(heir.election.leading, what="the heir to lead")

    # By the clock of the one who looks: what the Lease says about the time of day counts for nothing.
    assert 2.0 <= time.monotonic() - begun < 8.0
    assert spec(source, where)["leaseTransitions"] == 1


def test_a_lease_that_was_deleted_is_made_again(
    source: ControlPlane, make_namespace: Callable[..., str], stand: Stand
) -> None:
    where = make_namespace(source)
    only = stand(source.kubeconfig, where, "only")
    source.wait_for(only.election.leading, what="the only one to lead")

    source.delete(LEASE.format(where))

    source.wait_for(lambda: source.exists(LEASE.format(where)), what="the lease to be made again")
    source.wait_for(lambda: spec(source, where).get("holderIdentity") == "only", what="the lease to be held")
    assert only.election.leading()


@pytest.mark.parametrize("timing", [(3.0, 3.0, 1.0), (3.0, 2.0, 2.0)])
def test_times_that_would_let_two_lead_are_refused(timing: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="renew < deadline < duration"):
        Timing(*timing)
