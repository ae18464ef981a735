"""What a command is given: the shared flags, the configuration behind them, and the way to answer."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from drsyncer.errors import ConfigurationError, DrSyncerError, Fault, Refused

if TYPE_CHECKING:
    from rich.console import Console

    from drsyncer.config.load import Loaded
    from drsyncer.config.schema import Config, Exporter, Importer
    from drsyncer.progress import Progress

RESULT_VERSION = 1  # of the results in JSON and YAML: raised when a field changes its meaning or goes away


@dataclass(frozen=True, slots=True)
class Context:
    """The shared flags as they were given; those that a command does not have keep their defaults."""

    config_file: Path | None = None
    kubeconfig: str = ""
    kube_context: str = ""
    output: Literal["text", "json", "yaml"] = "text"
    verbosity: int = 0
    log_format: Literal["text", "json"] = "text"

    def configure_logging(self) -> None:
        """Send the log to stderr, as wordy and in the form that was asked for."""
        from drsyncer import log

        log.configure(format=self.log_format, verbosity=self.verbosity)

    def load(self) -> Loaded:
        """Return the configuration and its file, with --kubeconfig and --context over what the file says.

        Raises ConfigurationError with every fault of the file.
        """
        from cli.rules import faults
        from drsyncer.config.load import Loaded, load

        loaded = load(self.config_file, environ=os.environ, check=faults)
        given: dict[str, str] = {}
        if self.kubeconfig:
            given["kubeconfig"] = self.kubeconfig
        if self.kube_context:
            given["context"] = self.kube_context
        sections = {"exporter": loaded.config.exporter, "importer": loaded.config.importer}
        changed = {name: section.model_copy(update=given) for name, section in sections.items() if section and given}
        return Loaded(loaded.config.model_copy(update=changed), loaded.file)

    def load_config(self) -> Config:
        """Return the configuration; see `load`."""
        return self.load().config

    def load_exporter(self) -> tuple[Config, Exporter]:
        """Return the configuration and its exporter section. Raises ConfigurationError when there is none."""
        loaded = self.load()
        if loaded.config.exporter is None:
            raise _missing_section("exporter", file=loaded.file)
        return loaded.config, loaded.config.exporter

    def load_importer(self) -> tuple[Config, Importer]:
        """Return the configuration and its importer section. Raises ConfigurationError when there is none."""
        loaded = self.load()
        if loaded.config.importer is None:
            raise _missing_section("importer", file=loaded.file)
        return loaded.config, loaded.config.importer

    def show(self, text: Callable[[Console], None], data: Callable[[], dict[str, Any]]) -> None:
        """Print the result to stdout: `text` draws it for people, `data` gives it for machines, with its version.

        Only the one that is wanted is called. Raises DrSyncerError when stdout does not take it.
        """
        if self.output == "text":
            from cli import render

            write_result(render.drawn(text, stream=sys.stdout))
            return
        result = {"version": RESULT_VERSION, **data()}
        if self.output == "json":
            from drsyncer.json import encode_for_people

            write_result(encode_for_people(result) + "\n")
        else:
            from drsyncer.yaml.emit import emit

            write_result(emit(result).decode())

    @contextlib.contextmanager
    def refusals_shown(self) -> Iterator[None]:
        """Print a refusal of what runs inside as the result, where machines read it; it goes on as the error it is."""
        try:
            yield
        except Refused as refusal:
            if self.output != "text":
                words = {"refused": str(refusal), "hint": refusal.hint}
                self.show(lambda _: None, lambda: words)
            raise

    @property
    def progress(self) -> Progress:
        """A new Progress on stderr: live on a terminal, lines of the log elsewhere, silent there beside data."""
        from drsyncer.progress import Progress

        return Progress(silent=self.output != "text" and not sys.stderr.isatty())

    def exit(self, code: int) -> NoReturn:
        """End the command with this exit code."""
        raise click.exceptions.Exit(int(code))


def write_result(text: str) -> None:
    """Write `text` to stdout, all of it and now. Raises DrSyncerError when that fails, a broken pipe excepted."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except UnicodeEncodeError:
        # A terminal without UTF-8 still gets its answer.
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        raise DrSyncerError(f"the result cannot be written to stdout: {error.strerror}") from None


def _missing_section(name: str, *, file: str) -> ConfigurationError:
    fault = Fault(file, 0, name, "this command needs this section and it is missing")
    return ConfigurationError(
        [fault], hint=f"Add `{name}:` with `cluster: NAME`; `dr-syncer init -` shows all its keys."
    )
