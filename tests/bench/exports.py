"""An export to a pushed commit against `kubectl get -o yaml` of the same types, and the memory that it takes."""

from __future__ import annotations

from tests.bench.population import populate
from tests.bench.report import Figure, median
from tests.bench.sides import Sides

MEMORY_GOAL = 150  # MiB above the interpreter's start


def measure(sides: Sides, *, objects: int, rounds: int) -> list[Figure]:
    """Export `objects` objects `rounds` times into an empty repository, and once more each time; medians count."""
    populate(sides.source, objects)
    types = _types_of_an_export(sides)
    dump = sides.folder / "dump.yaml"
    first: list[float] = []
    second: list[float] = []
    theirs: list[float] = []
    count = 0

    def export() -> None:
        nonlocal count
        sides.fresh_remote()
        done, result = sides.export()
        count = len(result["created"])
        first.append(done.seconds)
        done, result = sides.export()
        if result["commit"] or result["unchanged"] != count:
            raise RuntimeError(f"the second export found changes, so its time says nothing: {result['commit']}")
        second.append(done.seconds)

    def get() -> None:
        done = sides.kubectl(sides.source, "get", types, "--all-namespaces", "-o", "yaml", output=dump)
        theirs.append(done.seconds)

    for number in range(rounds):
        for turn in (export, get) if number % 2 == 0 else (get, export):
            turn()
    what = f"kubectl get of the same {types.count(',') + 1} types: {median(theirs):.1f} s"
    shares = median(first) / median(theirs), median(second) / median(theirs)
    return [
        Figure(
            what=f"export of {count:,} objects to a pushed commit",
            ours=f"{median(first):.1f} s",
            theirs=what,
            ratio=f"{shares[0]:.2f} of its time",
            goal="≤ 1",
            reached=shares[0] <= 1,
            raw={"ours_seconds": first, "theirs_seconds": theirs},
        ),
        Figure(
            what="the same again, unchanged",
            ours=f"{median(second):.1f} s",
            theirs=what,
            ratio=f"{shares[1]:.2f} of its time",
            raw={"ours_seconds": second, "theirs_seconds": theirs},
        ),
    ]


def measure_memory(sides: Sides, *, objects: int) -> list[Figure]:
    """Export `objects` objects and return the peak of memory, the first time and the second."""
    populate(sides.source, objects)
    sides.fresh_remote()
    figures = []
    for what in (f"peak memory of an export of {objects:,} objects", "the same again, unchanged"):
        peak = sides.memory_of("export", sides.source)
        figures.append(
            Figure(
                what=what,
                ours=f"{peak.above:.0f} MiB",
                theirs=f"interpreter's start: {peak.interpreter:.0f} MiB; git beside it: {peak.git:.0f} MiB",
                goal=f"≤ {MEMORY_GOAL} MiB",
                reached=peak.above <= MEMORY_GOAL,
                raw={"above_mib": [peak.above], "interpreter_mib": [peak.interpreter], "git_mib": [peak.git]},
            )
        )
    return figures


def _types_of_an_export(sides: Sides) -> str:
    """Return the types that an export reads, as kubectl takes them, by the API server's own audit log.

    This export also warms what the operating system caches, for both sides.
    """
    sides.fresh_remote()
    mark = sides.source.audit.mark()
    sides.export()
    listed = {event.type for event in sides.source.audit.requests(user="admin", since=mark) if event.verb == "list"}
    return ",".join(sorted(listed))
