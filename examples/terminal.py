"""How the demonstration talks: headings, the commands as a person would type them, and as much output as helps."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

INDENT = "  "
CONTINUED = " " * 5
ONE_STYLE = re.compile(r"(?P<begin>(?:\x1b\[[0-9;]*m)?)(?P<text>[^\x1b]*)(?P<end>(?:\x1b\[0m)?)")
WIDEST = 100


class StepFailed(RuntimeError):
    """A command of the demonstration did not end as it should; the message holds what it said."""


@dataclass
class Terminal:
    """Runs commands in `folder` with `environment` and shows them on stdout; coloured only where that is a terminal."""

    folder: Path
    environment: Mapping[str, str]
    _steps: int = field(default=0, init=False)

    @property
    def colours(self) -> bool:
        """Whether stdout shows colours."""
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    @property
    def width(self) -> int:
        """Columns to write in."""
        return min(shutil.get_terminal_size((80, 24)).columns, WIDEST) if sys.stdout.isatty() else 80

    def heading(self, title: str, explanation: str) -> None:
        """Begin the next step: its title and what it shows."""
        self._steps += 1
        text = f"━━ {self._steps}. {title} "
        self._print()
        self._print(text + "━" * max(self.width - len(text), 0), bold=True)
        self.say(explanation)

    def say(self, text: str) -> None:
        """Print a sentence, wrapped."""
        for line in textwrap.wrap(text, self.width, break_on_hyphens=False):
            self._print(line)

    def run(
        self,
        command: str,
        *,
        head: int = 1000,
        tail: int = 0,
        codes: Collection[int] = (0,),
        warnings: bool = True,
        because: str = "",
    ) -> None:
        """Show and run `command`, then the first `head` and last `tail` rows of what it prints.

        `because` is a remark above the command; `warnings` says whether its stderr is shown, too. Raises StepFailed
        when it ends with a code that is not in `codes`.
        """
        self._print()
        typed = textwrap.wrap(f"$ {command}", self.width - 2, subsequent_indent="    ", break_on_hyphens=False)
        if because:
            self._echo(click.style(f"# {because}", dim=True))
        self._echo(click.style(" \\\n".join(typed), fg="cyan", bold=True))
        lines, errors = self._output(command, codes)
        for line in (*shortened(lines, head, tail), *(errors if warnings else ())):
            for part in self._fitted(line):
                self._echo(INDENT + part if part.strip() else "")

    def _fitted(self, line: str) -> list[str]:
        """Return the line, broken at blanks when it is a long sentence in one colour; tables and diffs fit already."""
        found = ONE_STYLE.fullmatch(line)
        if len(click.unstyle(line)) <= self.width - len(INDENT) or not found or found["text"].startswith(" "):
            return [line]
        parts = textwrap.wrap(
            found["text"], self.width - len(INDENT), subsequent_indent=INDENT * 2, break_on_hyphens=False
        )
        return [found["begin"] + part + found["end"] for part in parts]

    def quietly(self, command: str) -> list[str]:
        """Run `command` unseen and return its lines. Raises StepFailed when it fails."""
        return self._output(command, (0,))[0]

    def _output(self, command: str, codes: Collection[int]) -> tuple[list[str], list[str]]:
        env = {**os.environ, **self.environment, "COLUMNS": str(self.width - len(INDENT)), "GIT_PAGER": "cat"}
        with tempfile.TemporaryFile() as errors:
            code, output = _on_terminal(command, self.folder, env, errors.fileno(), colours=self.colours)
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if code not in codes:
            raise StepFailed(f"{command}: exit {code}\n{output}{said}")
        return output.splitlines(), said.splitlines()

    def _print(self, text: str = "", *, bold: bool = False) -> None:
        self._echo(click.style(text, bold=True) if bold else text)

    def _echo(self, text: str) -> None:
        click.echo(text, color=self.colours)


def shortened(lines: Sequence[str], head: int, tail: int) -> list[str]:
    """Return the first `head` and last `tail` rows, and a mark where others are left out.

    A row of a table may go on in lines below, which begin with blanks; it is never cut.
    """
    rows: list[list[str]] = []
    for line in lines:
        if rows and click.unstyle(line).startswith(CONTINUED):
            rows[-1].append(line)
        else:
            rows.append([line])
    left = len(rows) - head - tail
    shown = rows if left < 2 else [*rows[:head], ["⋮"], *rows[len(rows) - tail :]]
    return [line for row in shown for line in row]


def _on_terminal(command: str, folder: Path, env: Mapping[str, str], errors: int, *, colours: bool) -> tuple[int, str]:
    """Run `command` with a terminal of its own as stdout when it shall use colours; return its code and output."""
    if not colours:
        done = subprocess.run(
            shlex.split(command), cwd=folder, env=env, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )
        return done.returncode, done.stdout
    ours, theirs = os.openpty()
    process = subprocess.Popen(shlex.split(command), cwd=folder, env=env, stdout=theirs, stderr=errors)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    return process.wait(), b"".join(parts).decode(errors="replace").replace("\r\n", "\n")
