"""An import against `kubectl apply --server-side` of the very same objects, into equally empty clusters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.population import populate
from tests.bench.report import Figure, median
from tests.bench.sides import Sides
from tests.bench.stopwatch import Run

_DEFINITIONS = "cluster/customresourcedefinitions.apiextensions.k8s.io/"
_NAMESPACES = "cluster/namespaces/"


@dataclass
class _Times:
    first: list[Run] = field(default_factory=list)
    second: list[Run] = field(default_factory=list)


def measure(sides: Sides, *, objects: int, rounds: int) -> list[Figure]:
    """Import and apply `objects` objects, each `rounds` times and in alternating order; medians count."""
    populate(sides.source, objects)
    sides.fresh_remote()
    sides.export()
    files = sides.exported_files()
    definitions, stream = _kubectl_files(sides.folder, files)
    ours, theirs = _Times(), _Times()
    for number in range(rounds):
        for tool in ("dr-syncer", "kubectl") if number % 2 == 0 else ("kubectl", "dr-syncer"):
            sides.dr.reset()
            sides.dr.settle(timeout=120.0)
            if tool == "kubectl":
                _apply(sides, theirs, definitions, stream)
            else:
                _import(sides, ours, len(files))
    sides.dr.reset()
    return _figures(ours, theirs, count=len(files))


def _kubectl_files(folder: Path, files: dict[str, bytes]) -> tuple[Path, Path]:
    """Write one file with the CRDs and one with everything else, namespaces first; return both.

    kubectl cannot apply a CRD and its custom resources in one go.
    """
    definitions, stream = folder / "definitions.yaml", folder / "objects.yaml"
    order = sorted(files, key=lambda path: not path.startswith(_NAMESPACES))
    definitions.write_bytes(b"---\n".join(files[path] for path in order if path.startswith(_DEFINITIONS)))
    stream.write_bytes(b"---\n".join(files[path] for path in order if not path.startswith(_DEFINITIONS)))
    return definitions, stream


def _import(sides: Sides, times: _Times, count: int) -> None:
    sides.forget_clone()
    done, result = sides.import_()
    # The namespace `default` is in every cluster, so it is never created.
    _expect(result["summary"], {"create": count - 1, "unchanged": 1})
    times.first.append(done)
    sides.dr.settle(timeout=120.0)
    done, result = sides.import_()
    _expect(result["summary"], {"unchanged": count})
    times.second.append(done)


def _apply(sides: Sides, times: _Times, definitions: Path, stream: Path) -> None:
    """Apply with kubectl. Its CRDs go in before the clock starts, so that the wait for them is not counted."""
    sides.kubectl(sides.dr, "apply", "--server-side", "-f", str(definitions))
    sides.kubectl(sides.dr, "wait", "--for=condition=Established", "--timeout=60s", "-f", str(definitions))
    times.first.append(sides.kubectl(sides.dr, "apply", "--server-side", "-f", str(stream)))
    sides.dr.settle(timeout=120.0)
    times.second.append(sides.kubectl(sides.dr, "apply", "--server-side", "-f", str(stream)))


def _expect(summary: dict[str, int], wanted: dict[str, int]) -> None:
    if summary != wanted:
        raise RuntimeError(f"the import did {summary}, not {wanted}: its time says nothing")


def _figures(ours: _Times, theirs: _Times, *, count: int) -> list[Figure]:
    first, second = _seconds(ours.first), _seconds(ours.second)
    applied, again = _seconds(theirs.first), _seconds(theirs.second)
    speed = median(applied) / median(first)
    share = median(second) / median(again)
    return [
        Figure(
            what=f"import of {count:,} objects into an empty cluster",
            ours=f"{count / median(first):,.0f}/s ({median(first):.1f} s)",
            theirs=f"kubectl apply: {count / median(applied):,.0f}/s ({median(applied):.1f} s)",
            ratio=f"{speed:.2f} times as fast",
            goal="≥ 1.5",
            reached=speed >= 1.5,
            raw={
                "ours_seconds": first,
                "theirs_seconds": applied,
                "ours_cpu_seconds": [run.cpu for run in ours.first],
                "theirs_cpu_seconds": [run.cpu for run in theirs.first],
            },
        ),
        Figure(
            what="the same again, unchanged",
            ours=f"{median(second):.2f} s",
            theirs=f"kubectl apply: {median(again):.1f} s",
            ratio=f"{share:.3f} of its time",
            goal="≤ 0.1",
            reached=share <= 0.1,
            raw={
                "ours_seconds": second,
                "theirs_seconds": again,
                "ours_cpu_seconds": [run.cpu for run in ours.second],
                "theirs_cpu_seconds": [run.cpu for run in theirs.second],
            },
        ),
    ]


def _seconds(runs: list[Run]) -> list[float]:
    return [run.seconds for run in runs]
