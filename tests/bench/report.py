"""The figures, and how they are shown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ratio` is ours against theirs, or against the goal where nothing stands beside it."""

    what: str
    ours: str
    theirs: str = ""
    ratio: str = ""
    goal: str = ""
    reached: bool | None = None
    raw: Mapping[str, Sequence[float]] = field(default_factory=dict)  # every round, in the unit that its name says


def median(values: Sequence[float]) -> float:
    """The middle of the rounds."""
    return statistics.median(values)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table, which is also readable as it is."""
    rows = [("", "dr-syncer", "beside it", "ratio", "goal", "")]
    rows += [
        (
            figure.what,
            figure.ours,
            figure.theirs,
            figure.ratio,
            figure.goal,
            "" if figure.reached is None else "reached" if figure.reached else "MISSED",
        )
        for figure in figures
    ]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_json(
    file: Path, *, machine: Mapping[str, str], sizes: Mapping[str, object], figures: Sequence[Figure]
) -> None:
    """Write everything, the single rounds too, for comparisons over time."""
    content = {
        "machine": machine,
        "sizes": sizes,
        "figures": [
            {
                "what": figure.what,
                "ours": figure.ours,
                "theirs": figure.theirs,
                "ratio": figure.ratio,
                "goal": figure.goal,
                "reached": figure.reached,
                "raw": {name: [round(value, 4) for value in values] for name, values in figure.raw.items()},
            }
            for figure in figures
        ],
    }
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
