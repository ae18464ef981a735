"""Moves, Jobs and pods as a cluster would show them, for tests of what runs movers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drsyncer.config.volumes import Mover
from drsyncer.snapshot import Snapshot, State
from volumes.jobs import CONTAINER, Dispatcher, Move, Placement
from volumes.result import Result, encode
from volumes.task import Access, BackupTask, RestoreTask, Volume

WHEN = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
BY = Dispatcher(run="3f2c1a90-0000-4000-8000-000000000001", presence="dr-syncer/dr-syncer-volumes-3f2c1a90")
ACCESS = Access(repository="rest:https://backup.example.com/prod")


def mover(**keys: Any) -> Mover:
    """Return the section volumes.mover with these keys, in their YAML spelling."""
    return Mover.model_validate({"image": "registry.example.com/dr-syncer:1", **keys})


def snapshot(state: State = State.COMPLETE) -> Snapshot:
    """Return a snapshot of prod's shop/data."""
    return Snapshot(id="a" * 64, tree="b" * 64, host="prod", state=state, start=WHEN, end=WHEN, files=3, bytes=1000)


def backup(claim: str = "data", *, namespace: str = "shop", node: str = "", **keys: Any) -> Move:
    """Return the backup of a claim."""
    volume = Volume(host="prod", namespace=namespace, name=claim)
    task = BackupTask(access=ACCESS, volume=volume, run=BY.run)
    return Move(task, namespace, claim, placement=Placement(node), **keys)


def restore(claim: str = "data", *, namespace: str = "shop") -> Move:
    """Return the restore of a claim."""
    volume = Volume(host="prod", namespace=namespace, name=claim)
    task = RestoreTask(access=ACCESS, volume=volume, repository_id="c" * 64, snapshot=snapshot())
    return Move(task, namespace, claim, read_only=False)


def said(result: Result) -> str:
    """Return the last words of a mover that had this result."""
    return encode(result).decode()


def complete() -> Result:
    """Return the result of a backup that got everything."""
    return Result(state=State.COMPLETE, start=WHEN, end=WHEN, repository="c" * 64, snapshot=snapshot())


def pod(state: dict[str, Any] | None = None, *, phase: str = "Running", **status: Any) -> dict[str, Any]:
    """Return a mover's pod; `state` is that of its container, None while it has none."""
    containers = [{"name": CONTAINER, "state": state}] if state is not None else []
    return {
        "metadata": {"name": "mover-x", "namespace": "shop"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }


def terminated(message: str = "", *, code: int = 0, reason: str = "Completed") -> dict[str, Any]:
    """Return the state of a container that ended."""
    times = {"startedAt": "2026-03-01T02:00:00Z", "finishedAt": "2026-03-01T02:05:00Z"}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


def job(*conditions: dict[str, str], suspend: bool = False) -> dict[str, Any]:
    """Return a Job with conditions that hold."""
    held = [{"status": "True", **condition} for condition in conditions]
    return {
        "metadata": {"name": "mover", "namespace": "shop", "uid": "u"},
        "spec": {"suspend": suspend},
        "status": {"conditions": held},
    }
