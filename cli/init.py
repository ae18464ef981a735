"""`dr-syncer init`: write a commented configuration."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from cli import options
from cli.context import Context, write_result
from drsyncer.errors import DrSyncerError, Refused


@click.command("init", short_help="Write a commented configuration.")
@click.argument("file", required=False, default="dr-syncer.yaml", envvar="DR_SYNCER_CONFIG")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@options.verbosity
def init(_ctx: Context, file: str, force: bool) -> None:
    """Write a commented configuration to FILE.

    FILE is dr-syncer.yaml unless given; `-` prints to stdout. Required keys stand there live, all others as
    comments with their defaults. A file that is there is kept.

    \b
    Examples:
      dr-syncer init
      dr-syncer init /etc/dr-syncer/dr-syncer.yaml
      dr-syncer init - | less
    """
    from drsyncer.config.sample import sample

    if file == "-":
        write_result(sample())
        return
    write(Path(file), sample(), force=force)
    then = f"then run `dr-syncer config validate{_flag(file)}`"
    write_result(f"{file}: written. Fill in repository.url and exporter.secrets, {then}.\n")


def write(path: Path, text: str, *, force: bool) -> None:
    """Write `text` to `path`, whole or not at all.

    Raises Refused when the file exists and `force` is false, DrSyncerError when it cannot be written.
    """
    try:
        # Beside the target, so that moving it into place is one step; with the rights of any new file.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        beside = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            beside.chmod(0o644)
            if force:
                beside.replace(path)
            else:
                path.hardlink_to(beside)
        finally:
            beside.unlink(missing_ok=True)
    except FileExistsError:
        raise Refused(f"{path}: is there already and was kept", hint="Use --force to overwrite it.") from None
    except OSError as error:
        raise DrSyncerError(f"{path}: cannot be written: {error.strerror}") from None


def _flag(file: str) -> str:
    return "" if file == "dr-syncer.yaml" else f" -c {file}"
