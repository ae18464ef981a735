"""Where golden cases lie: in `tests/`, below the folder of the rules that they are about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drsyncer.errors import ConfigurationError, Fault, UsageError

if TYPE_CHECKING:
    from drsyncer.config.golden import GoldenCase
    from importer.rulebook import Written

_CASES = "tests"


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of one file, each with its line, and the rules of the folder that they belong to."""

    file: str
    rules: Sequence[Written]
    cases: Sequence[tuple[int, GoldenCase]]


def gathered(paths: Sequence[Path]) -> list[Group]:
    """Return the cases of all `paths`: folders with rules, or files with cases.

    Raises ConfigurationError with the faults of all files, UsageError for what is not there and when there are no
    cases at all: a run without any would prove nothing.
    """
    from drsyncer.config import golden

    groups: list[Group] = []
    faults: list[Fault] = []
    for folder, files in _folders(paths):
        try:
            rules = _rules_of(folder) if folder else []
        except ConfigurationError as error:
            faults += error.faults
            continue
        for file in files:
            try:
                groups.append(Group(str(file), rules, golden.parse(_read(file), file=str(file))))
            except ConfigurationError as error:
                faults += error.faults
    if faults:
        raise ConfigurationError(faults)
    if not any(group.cases for group in groups):
        raise UsageError(
            f"no cases in {', '.join(map(str, paths))}",
            hint="Cases are files below the folder `tests` beside the rules, as in transforms/tests/heap.yaml.",
        )
    return groups


def _folders(paths: Sequence[Path]) -> Iterator[tuple[Path | None, list[Path]]]:
    """Yield each folder of rules with the files of cases that belong to it."""
    for path in paths:
        if path.is_dir():
            yield path, sorted(file for file in (path / _CASES).rglob("*.yaml") if file.is_file())
        elif path.is_file():
            above = [parent for parent in path.absolute().parents if parent.name == _CASES]
            yield (_shown(above[0].parent) if above else None), [path]
        else:
            raise UsageError(f"{path}: there is no such file or folder")


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _rules_of(folder: Path) -> list[Written]:
    from importer import rulebook

    names = sorted(file for file in folder.glob("*.yaml") if file.is_file() and not file.name.startswith("."))
    return rulebook.parsed((str(file), _read(file)) for file in names)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or type(error).__name__}") from None
