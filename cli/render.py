"""How results look to people: tables that fit, colours on terminals only, nothing that could fool a terminal."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from drsyncer.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80  # columns where there is no terminal to ask
GAP = 2
NARROWEST = 8  # columns that a column keeps, however long the others are

# The words of plans, outcomes and diffs, and the colour of each.
STYLES: Mapping[str, str] = {
    "create": "green",
    "created": "green",
    "update": "yellow",
    "updated": "yellow",
    "recreate": "yellow",
    "recreated": "yellow",
    "prune": "red",
    "pruned": "red",
    "delete": "red",
    "deleted": "red",
    "blocked": "bold red",
    "failed": "bold red",
    "incomplete": "bold red",
    "held": "magenta",
    "skip": "cyan",
    "skipped": "cyan",
    "unchanged": "dim",
    "excluded": "dim",
}

_AFTER = "/.-_:,=@"  # where a long name may be broken, the sign staying on the upper line


def console(stream: IO[str]) -> Console:
    """Return a console on `stream`: colours only on a terminal and without NO_COLOR; 80 columns where none is.

    Whoever sets COLUMNS, as one who shows the output elsewhere, decides.
    """
    return _console(stream, like=stream)


def drawn(draw: Callable[[Console], None], *, stream: IO[str]) -> str:
    """Return what `draw` prints, with the width and colours that suit `stream`."""
    paper = io.StringIO()
    draw(_console(paper, like=stream))
    return paper.getvalue()


def _console(target: IO[str], *, like: IO[str]) -> Console:
    from rich.console import Console

    terminal = like.isatty()
    return Console(
        file=target,
        width=shutil.get_terminal_size((WIDTH, 24)).columns if terminal or "COLUMNS" in os.environ else WIDTH,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def line(out: Console, text: str, *, style: str = "") -> None:
    """Print one line as it is, never broken."""
    out.print(printable(text), style=style or None)


def paragraph(out: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    """Print text broken at blanks, to the console's width."""
    for part in wrapped(printable(text), out.width - indent):
        out.print(" " * indent + part, style=style or None)


def table(
    out: Console,
    rows: Iterable[Sequence[str]],
    *,
    headers: Sequence[str] = (),
    styles: Mapping[str, str] = STYLES,
) -> None:
    """Print rows in columns that fit the console's width; a cell that is a word of `styles` has its colour.

    Every row has as many cells as `headers`, when there are any. Long cells go on in lines below, broken where a
    name allows it. A table without rows prints nothing, headers included.
    """
    from rich.text import Text

    cells = [tuple(map(printable, row)) for row in rows]
    if not cells:
        return
    shown = [tuple(headers), *cells] if headers else cells
    widths = _widths(shown, out.width)
    for number, row in enumerate(shown):
        heading = bool(headers) and number == 0
        for parts in _lines(row, widths):
            text = Text()
            for index, part in enumerate(parts):
                style = "bold" if heading else styles.get(row[index], "")
                text.append(part, style=style or None)
                if index < len(parts) - 1:
                    text.append(" " * (widths[index] - _cells(part) + GAP))
            text.rstrip()
            out.print(text)


def diff(out: Console, lines: Iterable[str]) -> None:
    """Print the lines of a unified diff in its usual colours."""
    for raw in lines:
        text = raw.rstrip("\n")
        line(out, text.replace("\t", "    "), style=_diff_style(text))


def _diff_style(text: str) -> str:
    if text.startswith(("--- ", "+++ ", "diff ")):
        return "bold"
    if text.startswith("@@"):
        return "cyan"
    return {"+": "green", "-": "red"}.get(text[:1], "")


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return a width per column: as wide as its content where all fits, else the widest give way first."""
    widths = [max(_cells(row[index]) for row in rows) for index in range(len(rows[0]))]
    spare = width - GAP * (len(widths) - 1)
    while sum(widths) > spare:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """Return the lines of one row, each with a part of every cell."""
    columns = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, columns))
    return [[column[number] if number < len(column) else "" for column in columns] for number in range(height)]


def wrapped(text: str, width: int) -> list[str]:
    """Break `text` to lines of at most `width` columns: at blanks, else within a name, else anywhere."""
    lines = []
    rest = text
    while _cells(rest) > width:
        end = _fitting(rest, max(width, 2))
        blank = rest.rfind(" ", 1, end + 1)
        if blank > 0:
            lines.append(rest[:blank])
            rest = rest[blank + 1 :]
            continue
        joint = max(rest.rfind(sign, 0, end) for sign in _AFTER) + 1
        # A break near the start would leave a column of crumbs; then rather in the middle of a word.
        cut = joint if joint > end // 3 else end
        lines.append(rest[:cut])
        rest = rest[cut:]
    return [*lines, rest]


def _fitting(text: str, width: int) -> int:
    """Return how many characters of `text` fit in `width` columns, at least one."""
    if text[:width].isascii():
        return width
    used = 0
    for index, letter in enumerate(text):
        used += _cells(letter)
        if used > width:
            return max(index, 1)
    return len(text)


def _cells(text: str) -> int:
    """Return the columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
