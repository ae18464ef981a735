"""What became of a mover, told from its Job and its pods: pure judgement, no I/O.

Only what the mover itself wrote, in the last words of its container, can make a run good. Everything else is a failure
with the reason that Kubernetes has for it (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from drsyncer.manifest import Manifest, metadata
from drsyncer.snapshot import State
from volumes import result as results
from volumes.jobs import CONTAINER
from volumes.result import Reason, Result

_MEMORY = "raise volumes.mover.resources.limits.memory, or what the namespace's LimitRange allows"

# Seconds after which a pod that should be gone is not waited for. The clocks of two machines are compared here.
_OVERDUE = 120.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A Job and its pods as they were last seen; `job` is None once it is gone."""

    job: Manifest | None
    pods: tuple[Manifest, ...] = ()

    @property
    def node(self) -> str:
        """The node that its pod was put on, "" before that."""
        return next((node for pod in self.pods if (node := str(_mapping(pod.get("spec")).get("nodeName") or ""))), "")

    @property
    def suspended(self) -> bool:
        """Whether the Job was never let run."""
        return bool(self.job and _mapping(self.job.get("spec")).get("suspend"))

    @property
    def started(self) -> bool:
        """Whether its container ever ran, as far as can be seen."""
        return any("running" in state or "terminated" in state for pod in self.pods for state in _states(pod))


def ending(seen: Seen, *, since: datetime, now: datetime) -> Result | None:
    """Return how a mover ended, None while it may still end well.

    `since` is when the Job was let run, for what has no times of its own.
    """
    for pod in seen.pods:
        for state in _states(pod):
            if "terminated" in state:
                return _last_words(_mapping(state["terminated"]), pod, since=since, now=now)
    for pod in seen.pods:
        if pod.get("status", {}).get("phase") in ("Failed", "Succeeded"):
            # Evicted before or while it ran, or its node is gone: the kubelet had no chance to tell of the container.
            return _pod_failed(pod, seen, since=since, now=now)
        if overdue(pod, now):
            why = _disruption(pod) or "it was deleted"
            text = f"{why}; its node {seen.node} does not say that it ended"
            return failure(Reason.LOST, text, start=since, end=now, ran=seen.started)
    if seen.job is None:
        return failure(Reason.LOST, "its Job was deleted by somebody else", start=since, end=now, ran=seen.started)
    failed = _condition(seen.job, "Failed")
    if failed is None:
        return None
    if failed.get("reason") == "DeadlineExceeded":
        reason = Reason.TIMED_OUT if seen.started else Reason.NOT_STARTED
        return failure(reason, f"its Job ran out of time: {_text(failed)}", start=since, end=now)
    return failure(Reason.LOST, f"its pod was deleted: {_text(failed)}", start=since, end=now, ran=seen.started)


def is_good(result: Result) -> bool:
    """Return whether the mover did all that it was told. Without a reason, Empty is what was meant."""
    return result.state.whole or (result.state is State.EMPTY and result.reason is Reason.NONE)


def overdue(pod: Manifest, now: datetime) -> bool:
    """Return whether a pod should have been gone for long: nobody on its node ends it."""
    gone_by = time_of(metadata(pod).get("deletionTimestamp"))
    return gone_by is not None and (now - gone_by).total_seconds() > _OVERDUE


def why_not_started(seen: Seen, events: Sequence[Manifest] = ()) -> str:
    """Return what keeps a pod from running, in Kubernetes' own words. `events` are those of the Job, oldest first."""
    for pod in seen.pods:
        for state in _states(pod):
            waiting = _mapping(state.get("waiting"))
            if waiting.get("message") or waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return _text(waiting)
        for condition in _list(_mapping(pod.get("status")).get("conditions")):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return _text(condition)
    warnings = [event for event in events if event.get("type") == "Warning"]
    if warnings:
        return _text(warnings[-1])
    if not seen.pods:
        return "no pod was made for its Job; is kube-controller-manager well?"
    return f"its pod is {_mapping(seen.pods[0].get('status')).get('phase') or 'Pending'} and says no more"


def failure(reason: Reason, message: str, *, start: datetime, end: datetime, ran: bool = True) -> Result:
    """Return the result of a mover that could not give one itself. `ran`: it was seen to run."""
    return Result(state=State.FAILED, start=start, end=end, reason=reason, message=message, ran=ran)


def _last_words(terminated: Mapping[str, Any], pod: Manifest, *, since: datetime, now: datetime) -> Result:
    start, end = time_of(terminated.get("startedAt")) or since, time_of(terminated.get("finishedAt")) or now
    code, why = terminated.get("exitCode"), str(terminated.get("reason") or "")
    try:
        result = results.decode(str(terminated.get("message") or "").encode())
    except (msgspec.MsgspecError, ValueError):
        return failure(Reason.LOST, _without_a_word(code, why, pod), start=start, end=end)
    if not is_good(result):
        return result
    if code != 0:
        text = f"the mover said {result.state} and then ended with exit code {code} ({why or 'no reason given'})"
        return failure(Reason.FAILED, text, start=result.start, end=result.end)
    return result


def _without_a_word(code: object, why: str, pod: Manifest) -> str:
    if why == "OOMKilled":
        return f"the mover was killed for want of memory (OOMKilled): {_MEMORY}"
    if disturbed := _disruption(pod):
        return f"the mover's pod was ended: {disturbed}"
    return f"the mover ended without a result: exit code {code}, {why or 'no reason given'}"


def _pod_failed(pod: Manifest, seen: Seen, *, since: datetime, now: datetime) -> Result:
    status = _mapping(pod.get("status"))
    if status.get("reason") == "DeadlineExceeded":
        reason = Reason.TIMED_OUT if seen.started else Reason.NOT_STARTED
        return failure(reason, f"its pod ran out of time: {_text(status)}", start=since, end=now)
    why = _disruption(pod) or _text(status)
    text = f"the mover's pod ended without a result: {why}"
    return failure(Reason.LOST, text, start=since, end=now, ran=seen.started)


def _disruption(pod: Manifest) -> str:
    """Return who ended a pod and why: an eviction, a node that is gone or shuts down."""
    status = _mapping(pod.get("status"))
    if status.get("reason"):
        return _text(status)
    found = _condition(pod, "DisruptionTarget")
    return _text(found) if found else ""


def _condition(manifest: Manifest, type_: str) -> Mapping[str, Any] | None:
    for condition in _list(_mapping(manifest.get("status")).get("conditions")):
        if condition.get("type") == type_ and condition.get("status") == "True":
            return condition
    return None


def _states(pod: Manifest) -> Iterator[Mapping[str, Any]]:
    """Yield the state of the mover's container. A sidecar that was injected says nothing about the data."""
    for status in _list(_mapping(pod.get("status")).get("containerStatuses")):
        if status.get("name") == CONTAINER:
            yield _mapping(status.get("state"))


def _text(found: Mapping[str, Any]) -> str:
    """Return `Reason: message` of a condition, a status or an Event."""
    words = [str(found[key]) for key in ("reason", "message") if found.get(key)]
    return ": ".join(words) or "no reason given"


def time_of(text: object) -> datetime | None:
    """Return a time as Kubernetes writes it, in UTC; None for anything else."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _list(found: Any) -> list[dict[str, Any]]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def name_of(manifest: Manifest) -> tuple[str, str]:
    """Return namespace and name of an object."""
    meta = metadata(manifest)
    return str(meta.get("namespace", "")), str(meta.get("name", ""))
