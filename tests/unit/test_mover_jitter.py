"""Movers do not begin all at once: neither their pods nor their first requests to the backend."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from drsyncer.cluster import Cluster, connect
from drsyncer.retry import Schedule
from tests.unit.movers import BY, backup, mover
from volumes.result import Reason
from volumes.running import Movers, Way


class Clock(threading.Event):
    """Notes for how long it is waited for, and ends that: it is set by then."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.set()
        return True


@pytest.fixture
def nowhere(tmp_path: Path) -> Cluster:
    """A cluster that nobody answers for."""
    file = tmp_path / "kubeconfig.json"
    name = "nowhere"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": name, "user": {"token": "secret-token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    file.write_text(json.dumps(content))
    return connect(kubeconfig=str(file), schedule=Schedule(attempts=1))


def test_the_first_movers_begin_at_random_moments_within_the_jitter(nowhere: Cluster) -> None:
    clock = Clock()
    way = Way(
        mover=mover(jitter="30s", parallel=20),
        by=BY,
        credentials={},
        living=lambda _: False,
        record=lambda *_: None,
    )

    results = Movers(nowhere, way, interval=0.01, stopping=clock).run([backup(f"data-{n}") for n in range(20)])

    assert {result.reason for result in results} == {Reason.INTERRUPTED}  # since the clock said so
    assert len(clock.waits) == len(set(clock.waits)) == 20
    assert all(0.0 <= seconds <= 30.0 for seconds in clock.waits)
    assert max(clock.waits) - min(clock.waits) > 1.0
