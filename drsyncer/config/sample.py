"""The commented configuration that `dr-syncer init` writes, made from the schema.

Required keys stand there live, all others as comments with their defaults. A comment mark directly before a key
(`#branch: main`) is taken away to set it; explanations have a blank behind the mark.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from drsyncer.config.flow import flow
from drsyncer.config.schema import API_VERSION, Config
from drsyncer.config.section import Key, Section, keys

WIDTH = 100

# What must be filled in holds in a fresh file. URL and recipients stay empty, so that nobody runs against an invented
# repository, or encrypts for a key that nobody has.
_FIRST_VALUES: Mapping[tuple[str, ...], Any] = {
    ("apiVersion",): API_VERSION,
    ("repository", "url"): "",
    ("exporter", "cluster"): "prod",
    ("exporter", "secrets", "recipients"): [],
    ("importer", "cluster"): "dr",
    ("volumes", "restic", "repository"): "",
}

_LIVE_SECTIONS = (("exporter",), ("exporter", "secrets"), ("importer",))

_HEAD = """\
# The configuration of DR-Syncer: one file for both sides. A cluster that only exports needs no
# `importer`, one that only imports no `exporter`: delete the section.
# Keys that are commented out show their defaults; take away the `#` before a key to change it,
# and before the section that it is in.
# Durations are written 500ms, 30s, 5m or 1h30m. Relative paths start from the folder of this file.
# Secrets are never values here, always files. Check the file with `dr-syncer config validate`.
"""


def sample() -> str:
    """Return the text of the sample. It is valid once the repository's URL and the recipients are filled in."""
    lines = [_HEAD.rstrip()]
    for key in keys(Config):
        lines += ["", *_entry(key, path=(key.name,), indent="", mark="")]
    return "\n".join(lines) + "\n"


def _entry(key: Key, *, path: tuple[str, ...], indent: str, mark: str) -> Iterator[str]:
    """Yield the lines of one key. `mark` is what an outer, commented section puts before each line."""
    outer = indent + mark
    live = not mark and (key.required or path in _LIVE_SECTIONS or path in _FIRST_VALUES)
    own = outer if live or mark else f"{outer}#"
    # Inside a commented section the mark is there already; the nesting follows it.
    yield from _comment(key, before=outer)
    if key.section:
        yield f"{own}{key.name}:"
        yield from _section(key.section, path=path, indent=indent, mark=mark, live=live)
    elif path in _FIRST_VALUES:
        yield f"{own}{key.name}: {flow(_FIRST_VALUES[path])}"
    else:
        yield f"{own}{key.name}: {flow(key.default)}"


def _section(section: type[Section], *, path: tuple[str, ...], indent: str, mark: str, live: bool) -> Iterator[str]:
    below_indent = indent + "  " if live else indent
    below_mark = "" if live else (mark + "  " if mark else "#  ")
    for key in keys(section):
        yield from _entry(key, path=(*path, key.name), indent=below_indent, mark=below_mark)


def _comment(key: Key, *, before: str) -> Iterator[str]:
    text = key.description
    if key.entries:
        text += " Keys of an entry: " + ", ".join(key.name for key in keys(key.entries)) + "."
    yield from (
        f"{before}# {line}" for line in textwrap.wrap(text, width=WIDTH - len(before) - 2, break_on_hyphens=False)
    )
    if key.example is not None and not (key.required and key.name == "apiVersion"):
        yield f"{before}# Example: {flow(key.example)}"


def plain(value: Mapping[str, Any], *, indent: str = "") -> Iterator[str]:
    """Yield the lines of JSON-like `value` as YAML in its own order; lists and leaves take one line.

    A section that there is not (None) is left out: its name alone would be one that lacks what is required.
    """
    for name, entry in value.items():
        if entry is None:
            continue
        if isinstance(entry, Mapping) and entry:
            yield f"{indent}{flow(name)}:"
            yield from plain(entry, indent=indent + "  ")
        else:
            yield f"{indent}{flow(name)}: {flow(entry)}"
