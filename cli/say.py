"""What is said on stderr: errors with their hints, and warnings."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable

import click

from cli.render import WIDTH, wrapped
from drsyncer.wording import printable

_DEEPER = "    "


def complain(message: str, *, hint: str = "") -> None:
    """Write `message` to stderr, red on a terminal, and the hint below it."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    with contextlib.suppress(OSError):  # nobody is left to tell
        for part in message.splitlines() or [""]:
            for line in _lines(part):
                click.echo(click.style(line, fg="red") if colour else line, err=True, color=colour)
        for part in hint.splitlines():
            for line in _lines(part, indent="  "):
                click.echo(line, err=True)


def warn(messages: Iterable[str]) -> None:
    """Write each message to stderr. They may hold names that anybody wrote into a cluster or a repository."""
    for message in messages:
        for line in _lines(f"warning: {message}"):
            click.echo(line, err=True)


def _lines(text: str, *, indent: str = "") -> list[str]:
    """Return `text` as it is shown: on a terminal broken at blanks, elsewhere one line, for grep and for logs."""
    whole = indent + printable(text)
    if not sys.stderr.isatty():
        return [whole]
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    first = wrapped(whole, width)[0]
    rest = whole[len(first) :].lstrip(" ")
    return [first, *(_DEEPER + line for line in wrapped(rest, width - len(_DEEPER)))] if rest else [first]
