"""How a mover ended: good only by its own words, and otherwise for the reason that Kubernetes has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drsyncer.snapshot import State
from tests.unit.movers import WHEN, complete, job, pod, said, terminated
from volumes.endings import Seen, ending, why_not_started
from volumes.result import Reason, Result

LATER = WHEN + timedelta(minutes=10)


def _ending(*pods: dict[str, Any], of: dict[str, Any] | None = None, gone: bool = False) -> Result | None:
    return ending(Seen(None if gone else of or job(), pods), since=WHEN, now=LATER)


def _failed(*pods: dict[str, Any], of: dict[str, Any] | None = None, gone: bool = False) -> Result:
    found = _ending(*pods, of=of, gone=gone)
    assert found is not None
    assert found.state is State.FAILED
    return found


def test_a_mover_that_runs_has_not_ended() -> None:
    assert _ending(pod({"running": {}})) is None
    assert _ending(pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending")) is None
    assert _ending() is None


def test_the_last_words_of_a_mover_are_its_result() -> None:
    assert _ending(pod(terminated(said(complete())), phase="Succeeded")) == complete()


def test_a_partial_result_counts_whatever_the_exit_code() -> None:
    partial = Result(state=State.PARTIAL, start=WHEN, end=LATER, reason=Reason.UNREADABLE)

    assert _ending(pod(terminated(said(partial), code=3, reason="Error"), phase="Failed")) == partial


def test_a_mover_that_says_complete_and_then_dies_is_not_believed() -> None:
    found = _failed(pod(terminated(said(complete()), code=137, reason="OOMKilled"), phase="Failed"))

    assert found.reason is Reason.FAILED
    assert "137" in found.message


@pytest.mark.parametrize(
    "words", ["", "Traceback (most recent call last)", '{"state": "Complete"', '{"state": "Splendid"}', "[]", "null"]
)
def test_a_mover_without_a_result_is_lost_even_with_exit_code_zero(words: str) -> None:
    assert _failed(pod(terminated(words), phase="Succeeded")).reason is Reason.LOST


def test_a_mover_killed_for_memory_says_what_to_raise() -> None:
    found = _failed(pod(terminated(code=137, reason="OOMKilled"), phase="Failed"))

    assert found.reason is Reason.LOST
    assert "OOMKilled" in found.message
    assert "volumes.mover.resources.limits.memory" in found.message


def test_an_evicted_mover_is_lost_for_the_reason_of_the_eviction() -> None:
    evicted = pod(None, phase="Failed", reason="Evicted", message="The node was low on resource: memory.")

    found = _failed(evicted)

    assert found.reason is Reason.LOST
    assert "low on resource: memory" in found.message


def test_a_pod_that_should_be_gone_for_long_is_lost_with_its_node() -> None:
    stuck = pod({"running": {}}, conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "Taint"}])
    stuck["metadata"]["deletionTimestamp"] = "2026-03-01T02:01:00Z"

    found = _failed(stuck)

    assert found.reason is Reason.LOST
    assert "node-1" in found.message


def test_a_pod_that_is_just_being_deleted_may_still_say_how_it_ended() -> None:
    leaving = pod({"running": {}})
    leaving["metadata"]["deletionTimestamp"] = LATER.isoformat()

    assert _ending(leaving) is None


def test_a_deleted_pod_and_a_deleted_job_are_lost() -> None:
    failed = job({"type": "Failed", "reason": "BackoffLimitExceeded", "message": "Job has reached its limit"})

    assert _failed(of=failed).reason is Reason.LOST
    assert _failed(gone=True).reason is Reason.LOST


def test_a_deadline_is_a_timeout_of_what_ran_and_a_failed_start_of_what_did_not() -> None:
    overdue = job({"type": "Failed", "reason": "DeadlineExceeded", "message": "Job was active longer than"})

    assert _failed(pod({"running": {}}), of=overdue).reason is Reason.TIMED_OUT
    assert _failed(pod(None, phase="Pending"), of=overdue).reason is Reason.NOT_STARTED


def test_a_sidecars_end_says_nothing_of_the_data() -> None:
    with_sidecar = pod({"running": {}})
    with_sidecar["status"]["containerStatuses"].insert(0, {"name": "proxy", "state": terminated(said(complete()))})

    assert _ending(with_sidecar) is None


def test_what_keeps_a_pod_from_starting_is_said_in_kubernetes_words() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    refused = {"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota: small"}

    assert "0/3 nodes fit" in why_not_started(Seen(job(), (pod(None, phase="Pending", conditions=[scheduled]),)))
    assert "Back-off pulling image" in why_not_started(Seen(job(), (pod(waiting, phase="Pending"),)))
    assert "exceeded quota: small" in why_not_started(Seen(job()), [refused])
    assert "no pod was made" in why_not_started(Seen(job()))
