"""The replica policy: how many replicas a workload has in DR once it lives, and how far its autoscaler may go.

It comes before standby, which then remembers DR's number instead of the source's. The label
`dr-syncer.io/scale-override` on an object goes before every entry, and what is at 0 in the source stays at 0:
somebody switched it off.
"""

from __future__ import annotations

from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest
from transforms.entries import ReplicaEntry, first
from transforms.pods import Ledger, Path, describe, lookup, put
from transforms.settings import Result, Subject
from transforms.standby import ANNOTATIONS, COUNT, OVERRIDE, SCALED, count_at, scale_of

NAME = "replicas"
AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
LEAST: Path = ("spec", "minReplicas")
MOST: Path = ("spec", "maxReplicas")
MEMORY: Path = (*ANNOTATIONS, own.REPLICAS)


def set_replicas(manifest: Manifest, subject: Subject) -> Result:
    """Give a workload, or an autoscaler's limits, the numbers that the first entry about it says."""
    scale = scale_of(subject.ref.type, subject.scale_path)
    if scale is None and subject.ref.type != AUTOSCALERS:
        return Result(manifest)
    entry = first(subject.settings.replicas, subject.seen(manifest))
    if entry is None:
        return Result(manifest)
    ledger = Ledger(NAME)
    if scale is None:
        return _autoscaler(manifest, entry, ledger)
    if lookup(manifest, OVERRIDE, ledger=ledger) is not None:
        return Result(manifest, used=(entry.label,))
    return _workload(manifest, entry, scale, ledger, has_default=subject.ref.type in SCALED)


def _workload(manifest: Manifest, entry: ReplicaEntry, scale: Path, ledger: Ledger, *, has_default: bool) -> Result:
    used = (entry.label,)
    count = count_at(manifest, scale, ledger)
    if count is None and not has_default:
        note = f"does not say how many replicas it has, so {entry.label} does not apply"
        return Result(manifest, notes=(note,), used=used)
    if count == 0:
        return _remembered(manifest, entry, ledger)
    return Result(_written(manifest, scale, count, entry.of(count or 1), ledger), ledger.applied, used=used)


def _remembered(manifest: Manifest, entry: ReplicaEntry, ledger: Ledger) -> Result:
    """The source itself was parked by this tool when it carries a memory: then that is its number."""
    memory = lookup(manifest, MEMORY, ledger=ledger)
    if not isinstance(memory, str) or not COUNT.fullmatch(memory) or int(memory) == 0:
        return Result(manifest, notes=(f"is at 0 in the source and stays so, whatever {entry.label} says",))
    new = str(entry.of(int(memory)))
    if new != memory:
        manifest = put(manifest, MEMORY, new, ledger=ledger)
        ledger.record(MEMORY, f"{memory} -> {new}")
    return Result(manifest, ledger.applied, used=(entry.label,))


def _autoscaler(manifest: Manifest, entry: ReplicaEntry, ledger: Ledger) -> Result:
    """Both limits grow with the source's, so the lower one stays the lower one."""
    if entry.count == 0:
        note = f"its limits stay: {entry.label} says 0, and its workload at 0 is what switches it off"
        return Result(manifest, notes=(note,), used=(entry.label,))
    least = _limit(manifest, LEAST, ledger)
    most = _limit(manifest, MOST, ledger)
    if most:
        manifest = _written(manifest, MOST, most, entry.of(most), ledger)
    if least != 0:  # 0: it may scale to nothing, by the feature gate HPAScaleToZero
        # The API's default is 1; it is written out only where that is not what DR is to have.
        manifest = _written(manifest, LEAST, 1 if least is None else least, entry.of(least or 1), ledger)
    return Result(manifest, ledger.applied, used=(entry.label,))


def _limit(manifest: Manifest, path: Path, ledger: Ledger) -> int | None:
    value: Any = lookup(manifest, path, ledger=ledger)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ledger.fault(path, describe(value), "a replica count")
    return value


def _written(manifest: Manifest, path: Path, old: int | None, new: int, ledger: Ledger) -> Manifest:
    if new == (1 if old is None else old):
        return manifest
    ledger.record(path, f"{'unset' if old is None else old} -> {new}")
    written: Manifest = put(manifest, path, new, ledger=ledger)
    return written
