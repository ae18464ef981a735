"""Standby: workloads that are there and do not run, and the way back.

`park` puts an object to rest and writes on it what to come back to; `wake` is how the same object looks in
an active DR cluster. `unpark(park(x))` is `wake(x)`, with the API's defaults written out. So an import
after an activation finds nothing to change. Both also read what the source carries when it was itself
parked (fenced) by this tool: the remembered number is the truth, not the 0.

Memory is two annotations, `dr-syncer.io/replicas` and `dr-syncer.io/suspend`. For a custom resource that
did not state its replicas, the first is the path that parking made, beginning with a dot (`.spec.replicas`), or `null`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from drsyncer import own
from drsyncer.manifest import Manifest, ObjectRef
from transforms.entries import MAX_REPLICAS
from transforms.pods import EACH, TEMPLATE, Ledger, Path, describe, drop, lookup, put, rewrite
from transforms.settings import Result, Subject

NAME = "standby"
ANNOTATIONS: Path = ("metadata", "annotations")
OVERRIDE: Path = ("metadata", "labels", own.SCALE_OVERRIDE)
KEEP = "true"  # the override that leaves an object as the source has it
COUNT = re.compile(r"0|[1-9][0-9]{0,9}")

REPLICAS: Path = ("spec", "replicas")
SUSPEND: Path = ("spec", "suspend")
NODE_SELECTOR: Path = (*TEMPLATE, "nodeSelector")

# Served with `replicas`, and 1 when it is absent (Kubernetes API reference).
SCALED: frozenset[str] = frozenset(
    {"deployments.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers"}
)

# Where a type that must not be live without its backend names its Service.
BACKENDS: Mapping[str, Path] = {
    "validatingwebhookconfigurations.admissionregistration.k8s.io": ("webhooks", EACH, "clientConfig", "service"),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": ("webhooks", EACH, "clientConfig", "service"),
    "apiservices.apiregistration.k8s.io": ("spec", "service"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One object's case: what the behaviours below decide by. `scale` is None for what has no replica count."""

    type_key: str
    scale: Path | None
    override: str | None
    autoscaled: bool
    daemon_sets: Literal["keep", "park"]
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a type comes to rest and how it wakes."""

    park: Callable[[Manifest, Case], Result]
    wake: Callable[[Manifest, Case], Result]


def standby(manifest: Manifest, subject: Subject) -> Result:
    """Park the object when the settings ask for standby, else give it the shape of an active cluster."""
    setting = subject.settings.standby
    type_key, scale_path = subject.ref.type, subject.scale_path
    if setting is None:
        return wake(manifest, type_key=type_key, scale_path=scale_path, autoscaled=subject.autoscaled)
    return park(
        manifest,
        type_key=type_key,
        scale_path=scale_path,
        autoscaled=subject.autoscaled,
        daemon_sets=setting.daemon_sets,
    )


def park(
    manifest: Manifest,
    *,
    type_key: str,
    scale_path: str | None = None,
    autoscaled: bool = False,
    daemon_sets: Literal["keep", "park"] = "keep",
) -> Result:
    """Return the object at rest. Doing it twice changes nothing more. An override keeps the object awake.

    Raises TransformFailed for a replica count, memory or override that is not what it must be.
    """
    behaviour = _behaviour(type_key, scale_path)
    if behaviour is None:
        return Result(manifest)
    case = _case(manifest, type_key, scale_path, autoscaled=autoscaled, daemon_sets=daemon_sets)
    awake = case.override == KEEP or (case.override is not None and case.scale is not None)
    return behaviour.wake(manifest, case) if awake else behaviour.park(manifest, case)


def wake(manifest: Manifest, *, type_key: str, scale_path: str | None = None, autoscaled: bool = False) -> Result:
    """Return the object as an active DR cluster has it: memory followed and removed, overrides in force.

    An `autoscaled` object comes without a replica count: it belongs to the autoscaler; but 0 stays 0,
    since that is how people switch an autoscaler off. Jobs stay suspended unless marked idempotent.
    Raises TransformFailed as `park` does.
    """
    behaviour = _behaviour(type_key, scale_path)
    if behaviour is None:
        return Result(manifest)
    return behaviour.wake(manifest, _case(manifest, type_key, scale_path, autoscaled=autoscaled, daemon_sets="keep"))


def unpark(manifest: Manifest, *, type_key: str, scale_path: str | None = None) -> Manifest:
    """Return a parked object brought to life: the inverse of `park`, except that Jobs never run twice."""
    return wake(manifest, type_key=type_key, scale_path=scale_path).manifest


def recalled(manifest: Manifest, *, type_key: str, scale_path: str | None = None) -> Manifest:
    """Return an object that its source has parked (fenced) as it was before; any other one itself.

    Parking the result gives what parking the object gives. General rules look at this: a rule about the replica count
    means that of the running source. Raises TransformFailed as `park` does.
    """
    case = _case(manifest, type_key, scale_path, autoscaled=False, daemon_sets="keep")
    if case.scale is not None and count_at(manifest, case.scale, case.ledger) == 0:
        memory = _memory(manifest, case.scale, case)
        if memory is not None and _is_count(memory):
            return _forgotten(_written(manifest, case.scale, int(memory), None, case), own.REPLICAS, case)
    if type_key == "cronjobs.batch" and _suspended(manifest, case):
        memory = _suspend_memory(manifest, case)
        if memory is not None:
            return _forgotten(_written(manifest, SUSPEND, memory == "true", None, case), own.SUSPEND, case)
    return manifest


def backends(manifest: Manifest, ref: ObjectRef) -> tuple[tuple[str, str], ...]:
    """Return the (namespace, name) of each Service that a webhook configuration or APIService stands on.

    Empty for other types and for backends given by URL. Ask after the namespace map. In standby such an object is
    held until these Services have ready endpoints: without them it would refuse writes or break discovery.
    """
    path = BACKENDS.get(ref.type)
    if path is None:
        return ()
    ledger = Ledger(NAME)
    found: dict[tuple[str, str], None] = {}

    def visit(service: Any, at: Path) -> Any:
        name, namespace = (lookup(service, (key,), ledger=ledger, at=at) for key in ("name", "namespace"))
        if not isinstance(name, str) or not isinstance(namespace, str):
            raise ledger.fault(at, "a service without name or namespace", "both, as strings")
        found[namespace, name] = None
        return service

    rewrite(manifest, path, visit, ledger=ledger)
    return tuple(found)


def scale_of(type_key: str, scale_path: str | None) -> Path | None:
    """Return where objects of a type have their replica count, None for what has none."""
    if type_key in SCALED:
        return REPLICAS
    return tuple(scale_path.removeprefix(".").split(".")) if scale_path and type_key not in BEHAVIOURS else None


def _behaviour(type_key: str, scale_path: str | None) -> Behaviour | None:
    return BEHAVIOURS.get(type_key) or (BEHAVIOUR_OF_SCALED if scale_path else None)


def _case(
    manifest: Manifest,
    type_key: str,
    scale_path: str | None,
    *,
    autoscaled: bool,
    daemon_sets: Literal["keep", "park"],
) -> Case:
    ledger = Ledger(NAME)
    override = lookup(manifest, OVERRIDE, ledger=ledger)
    if override is not None and override != KEEP and not _is_count(override):
        raise ledger.fault(OVERRIDE, repr(override), 'a replica count or "true"')
    return Case(type_key, scale_of(type_key, scale_path), override, autoscaled, daemon_sets, ledger)


def _is_count(text: object) -> bool:
    return isinstance(text, str) and COUNT.fullmatch(text) is not None and int(text) <= MAX_REPLICAS


# -- replicas ---------------------------------------------------------------------------------------


def _park_scaled(manifest: Manifest, case: Case) -> Result:
    scale = _scale(case)
    count = count_at(manifest, scale, case.ledger)
    memory = _memory(manifest, scale, case) if count == 0 else None
    notes: tuple[str, ...] = ()
    if memory is None:
        memory = str(count) if count is not None else _memory_of_absence(manifest, scale, case)
        if count is None and case.type_key not in SCALED:
            notes = (f"{_dotted(scale)} is not set; parking set it to 0 and activation takes that out again",)
    return Result(_written(manifest, scale, 0, (own.REPLICAS, memory), case), case.ledger.applied, notes)


def _wake_scaled(manifest: Manifest, case: Case) -> Result:
    scale = _scale(case)
    count = count_at(manifest, scale, case.ledger)
    if case.override is not None and case.override != KEEP:
        count = int(case.override)
        woken = _written(manifest, scale, count, None, case)
    else:
        memory = _memory(manifest, scale, case) if count == 0 else None
        woken = _restored(manifest, scale, memory, case)
        count = count_at(woken, scale, case.ledger)
    woken = _forgotten(woken, own.REPLICAS, case)
    if not case.autoscaled or count is None or count == 0:
        return Result(woken, case.ledger.applied)
    case.ledger.record(scale, f"{count} left to the autoscaler")
    notes: tuple[str, ...] = ()
    if case.override not in (None, KEEP):
        notes = (f"{own.SCALE_OVERRIDE}={case.override} has no effect: the autoscaler decides the replicas",)
    return Result(drop(woken, scale, ledger=case.ledger), case.ledger.applied, notes)


def _scale(case: Case) -> Path:
    return case.scale or REPLICAS


def count_at(manifest: Manifest, scale: Path, ledger: Ledger) -> int | None:
    """Return the replica count, None when absent or null. Raises TransformFailed for what is no count."""
    value = lookup(manifest, scale, ledger=ledger)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_REPLICAS:
        found = str(value) if isinstance(value, int) and not isinstance(value, bool) else describe(value)
        raise ledger.fault(scale, found, "a replica count")
    return value


def _memory(manifest: Manifest, scale: Path, case: Case) -> str | None:
    """Return what the object itself remembers, checked; None when nothing.

    A path is taken only if it leads to the replicas.
    """
    at = (*ANNOTATIONS, own.REPLICAS)
    memory = lookup(manifest, at, ledger=case.ledger)
    if memory is None or _is_count(memory):
        return memory if isinstance(memory, str) else None
    places = {_dotted(scale[: depth + 1]) for depth in range(len(scale))} | {"null"}
    if case.type_key in SCALED or memory not in places:
        raise case.ledger.fault(at, repr(memory), "a replica count")
    return str(memory)


def _memory_of_absence(manifest: Manifest, scale: Path, case: Case) -> str:
    """Return how to come back to a count that is not stated: the API's default, else the first thing to take out."""
    if case.type_key in SCALED:
        return "1"
    depth = 1
    while depth < len(scale) and lookup(manifest, scale[:depth], ledger=case.ledger) is not None:
        depth += 1
    parent = lookup(manifest, scale[: depth - 1], ledger=case.ledger)
    is_null = depth == len(scale) and isinstance(parent, dict) and scale[-1] in parent
    return "null" if is_null else _dotted(scale[:depth])


def _restored(manifest: Manifest, scale: Path, memory: str | None, case: Case) -> Manifest:
    if memory is None:
        return manifest
    if memory.startswith("."):
        case.ledger.record(scale, "0 -> as the operator decides")
        return _without(manifest, scale, made=len(memory[1:].split(".")), ledger=case.ledger)
    return _written(manifest, scale, None if memory == "null" else int(memory), None, case)


def _without(manifest: Manifest, scale: Path, *, made: int, ledger: Ledger) -> Manifest:
    """Take the count out, and the mappings that parking made around it (from depth `made`) if they are empty."""
    manifest = drop(manifest, scale, ledger=ledger)
    for depth in range(len(scale) - 1, made - 1, -1):
        if lookup(manifest, scale[:depth], ledger=ledger) == {}:
            manifest = drop(manifest, scale[:depth], ledger=ledger)
    return manifest


def _dotted(path: Path) -> str:
    return "." + ".".join(path)


# -- suspend ----------------------------------------------------------------------------------------


def _park_suspended(manifest: Manifest, case: Case) -> Result:
    suspended = _suspended(manifest, case)
    memory = _suspend_memory(manifest, case) if suspended else None
    if memory is None:
        memory = str(bool(suspended)).lower()
    return Result(_written(manifest, SUSPEND, True, (own.SUSPEND, memory), case), case.ledger.applied)


def _wake_suspended(manifest: Manifest, case: Case) -> Result:
    memory = _suspend_memory(manifest, case) if _suspended(manifest, case) else None
    woken = manifest if memory is None else _written(manifest, SUSPEND, memory == "true", None, case)
    return Result(_forgotten(woken, own.SUSPEND, case), case.ledger.applied)


def _wake_job(manifest: Manifest, case: Case) -> Result:
    """A Job may have run in the source: unless it says that twice is fine, a person decides."""
    if lookup(manifest, (*ANNOTATIONS, own.IDEMPOTENT), ledger=case.ledger) == "true":
        return _wake_suspended(manifest, case)
    notes: tuple[str, ...] = ()
    if not _suspended(manifest, case):
        notes = (f"the Job stays suspended: it may have run in the source (annotation {own.IDEMPOTENT} lets it run)",)
    woken = _forgotten(_written(manifest, SUSPEND, True, None, case), own.SUSPEND, case)
    return Result(woken, case.ledger.applied, notes)


def _suspended(manifest: Manifest, case: Case) -> bool | None:
    value = lookup(manifest, SUSPEND, ledger=case.ledger)
    if value is not None and not isinstance(value, bool):
        raise case.ledger.fault(SUSPEND, describe(value), "a boolean")
    return value


def _suspend_memory(manifest: Manifest, case: Case) -> str | None:
    at = (*ANNOTATIONS, own.SUSPEND)
    memory = lookup(manifest, at, ledger=case.ledger)
    if memory not in (None, "true", "false"):
        raise case.ledger.fault(at, repr(memory), '"true" or "false"')
    return str(memory) if memory is not None else None


# -- DaemonSets and bare Pods -----------------------------------------------------------------------


def _park_daemon_set(manifest: Manifest, case: Case) -> Result:
    if case.daemon_sets == "keep":
        return _wake_daemon_set(manifest, case)
    return Result(_written(manifest, (*NODE_SELECTOR, own.PARKED), "true", None, case), case.ledger.applied)


def _wake_daemon_set(manifest: Manifest, case: Case) -> Result:
    woken = drop(manifest, (*NODE_SELECTOR, own.PARKED), ledger=case.ledger, tidy=True)
    if woken is not manifest:
        case.ledger.record((*NODE_SELECTOR, own.PARKED), "removed")
    return Result(woken, case.ledger.applied)


def _hold_pod(manifest: Manifest, case: Case) -> Result:
    return Result(manifest, held="a bare Pod would run; it is created at activation")


def _unchanged(manifest: Manifest, case: Case) -> Result:
    return Result(manifest)


# -- writing ----------------------------------------------------------------------------------------


def _written(manifest: Manifest, path: Path, value: Any, memory: tuple[str, str] | None, case: Case) -> Manifest:
    """Return the object with `value` at `path` and the memory beside it; itself when both are there already."""
    before = lookup(manifest, path, ledger=case.ledger)
    if before is None or before != value:
        manifest = put(manifest, path, value, ledger=case.ledger)
        case.ledger.record(path, f"{_shown(before)} -> {_shown(value)}")
    if memory is not None and lookup(manifest, (*ANNOTATIONS, memory[0]), ledger=case.ledger) != memory[1]:
        manifest = put(manifest, (*ANNOTATIONS, memory[0]), memory[1], ledger=case.ledger)
        case.ledger.record((*ANNOTATIONS, memory[0]), f"remembers {memory[1]}")
    return manifest


def _forgotten(manifest: Manifest, key: str, case: Case) -> Manifest:
    forgotten: Manifest = drop(manifest, (*ANNOTATIONS, key), ledger=case.ledger, tidy=True)
    if forgotten is not manifest:
        case.ledger.record((*ANNOTATIONS, key), "removed")
    return forgotten


def _shown(value: Any) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


BEHAVIOUR_OF_SCALED = Behaviour(_park_scaled, _wake_scaled)
BEHAVIOURS: Mapping[str, Behaviour] = {
    **dict.fromkeys(SCALED, BEHAVIOUR_OF_SCALED),
    "cronjobs.batch": Behaviour(_park_suspended, _wake_suspended),
    "jobs.batch": Behaviour(_park_suspended, _wake_job),
    "daemonsets.apps": Behaviour(_park_daemon_set, _wake_daemon_set),
    "pods": Behaviour(_hold_pod, _unchanged),
}
