"""Read the configuration: find the file, check it as a whole, report every fault with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drsyncer.config import document, explain, leaks
from drsyncer.config.document import Document, dotted
from drsyncer.config.schema import Config
from drsyncer.config.section import Loc, Section
from drsyncer.config.values import FOLDER
from drsyncer.errors import ConfigurationError, Fault

FILE_VARIABLE = "DR_SYNCER_CONFIG"
DEFAULT_FILE = "dr-syncer.yaml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and the file it came from, as its reader would name it."""

    config: Config
    file: str


Check = Callable[[Config], Iterable[tuple[Loc, str]]]  # what else is wrong, and where


def _nothing_else(_: Config) -> Iterable[tuple[Loc, str]]:
    return ()


def load(path: Path | None, *, environ: Mapping[str, str], check: Check = _nothing_else) -> Loaded:
    """Return the configuration in `path`, else in the file that $DR_SYNCER_CONFIG names, else in ./dr-syncer.yaml.

    Relative paths inside start from the folder of the file. Raises ConfigurationError with all faults, by line; `check`
    finds those that the schema cannot know.
    """
    chosen = path or Path(environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    return Loaded(parse(_read(chosen), file=str(chosen), folder=chosen.absolute().parent, check=check), str(chosen))


def parse(data: bytes, *, file: str, folder: Path, check: Check = _nothing_else) -> Config:
    """Return the configuration in `data`; `file` names it in faults, relative paths start from `folder`.

    Raises ConfigurationError with all faults, by line; see `load` for `check`.
    """
    found = document.read(data, file=file)
    faults = list(found.faults)
    leaked = {dotted(loc): fault for loc, fault in _leaks(found, file=file)}
    faults.extend(leaked.values())
    config = None
    # A file that is not YAML has one fault that matters; what the schema would say about the rest is noise.
    if found.value is not None:
        config, wrong = _validate(found, file=file, folder=folder)
        already = {(fault.line, fault.path) for fault in faults}
        faults.extend(fault for fault in wrong if (fault.line, fault.path) not in already and fault.path not in leaked)
    if config is not None:
        faults.extend(Fault(file, found.line(loc), dotted(loc), message) for loc, message in check(config))
    if config is None or faults:
        clean = {_without_secrets(fault) for fault in faults}
        raise ConfigurationError(sorted(clean, key=lambda fault: (fault.line, fault.path, fault.message)))
    return config


def _read(path: Path) -> bytes:
    hint = f"Write one with `dr-syncer init`, or name yours with -c FILE or ${FILE_VARIABLE}."
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError([Fault(str(path), 0, "", "there is no such file")], hint=hint) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigurationError([Fault(str(path), 0, "", message)]) from None


def _validate(found: Document, *, file: str, folder: Path) -> tuple[Config | None, list[Fault]]:
    """Return the configuration, or None and what the schema finds wrong."""
    if not isinstance(found.value, dict):
        return None, [Fault(file, found.line(()), "", "expected keys such as apiVersion and repository")]
    try:
        return Config.model_validate(found.value, context={FOLDER: folder}), []
    except ValidationError as error:
        return None, list(faults_of(error, found, file=file, root=Config))


def faults_of(error: ValidationError, found: Document, *, file: str, root: type[Section]) -> Iterator[Fault]:
    """Yield what the validation of `found` against `root` finds wrong, each with its line."""
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its entries are wrong and have faults of their own
        loc = explain.location(detail)
        # A missing key has no line of its own; its section has.
        line = found.line(loc[:-1] if detail["type"] == "missing" else loc)
        yield Fault(file, line, dotted(loc), explain.message(detail, root=root))


def _leaks(found: Document, *, file: str) -> Iterator[tuple[Loc, Fault]]:
    for loc, text in _texts(found.value, ()):
        wrong = leaks.found_in(text)
        if wrong:
            yield loc, Fault(file, found.line(loc), dotted(loc), wrong)


def _without_secrets(fault: Fault) -> Fault:
    """Return `fault` with nothing in it that looks like a secret: a key can be one, and so a path can repeat it."""
    path = "…" if leaks.found_in(fault.path) else fault.path
    message = "holds a secret" if leaks.found_in(fault.message) else fault.message
    return Fault(fault.file, fault.line, path, message)


def _texts(value: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    """Yield every text below `value`, keys included."""
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _texts(entry, (*loc, index))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield (*loc, key), key
            yield from _texts(entry, (*loc, key))
