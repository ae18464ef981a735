"""`dr-syncer config`: the schema, a check of the file, and what is in effect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.context import Context, write_result
from drsyncer.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from drsyncer.config.load import Loaded


@click.group("config", short_help="Check and show the configuration.")
def config() -> None:
    """Check and show the configuration.

    \b
    Examples:
      dr-syncer config validate
      dr-syncer config show -o json
      dr-syncer config schema > dr-syncer.schema.json
    """


@config.command("schema", short_help="Print the JSON Schema of the configuration.")
@options.verbosity
def schema(_ctx: Context) -> None:
    """Print the JSON Schema of the configuration, draft 2020-12.

    \b
    Example:
      dr-syncer config schema > dr-syncer.schema.json
    """
    from drsyncer.config.json_schema import json_schema

    write_result(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


@config.command("validate", short_help="Check the configuration.")
@options.config
@options.output
@options.verbosity
def validate(ctx: Context) -> None:
    """Check the configuration, all of it, and report every fault with its line.

    Neither the recovery repository nor a cluster is asked. Exit code 0 when valid, 2 when not.

    \b
    Examples:
      dr-syncer config validate
      dr-syncer config validate -c staging.yaml -o json
    """
    try:
        loaded = ctx.load()
    except ConfigurationError as error:
        if ctx.output == "text":
            raise
        faults = [
            {"file": fault.file, "line": fault.line, "path": fault.path, "message": fault.message}
            for fault in error.faults
        ]
        ctx.show(lambda _: None, lambda: {"valid": False, "faults": faults})
        ctx.exit(error.exit_code)
    from cli import render

    ctx.show(
        lambda out: render.line(out, f"{loaded.file}: valid: {summary(loaded)}"),
        lambda: {"valid": True, "file": loaded.file, "faults": []},
    )


@config.command("show", short_help="Print the configuration in effect, with all defaults.")
@options.config
@options.cluster
@options.output
@options.verbosity
def show(ctx: Context) -> None:
    """Print the configuration in effect: the file, the flags over it, and all defaults.

    The text form is YAML that can be used as a configuration again.

    \b
    Examples:
      dr-syncer config show
      dr-syncer config show -o json | jq .importer
    """
    from cli import render
    from drsyncer.config.sample import plain

    config = ctx.load_config()
    effective: dict[str, Any] = config.model_dump(mode="json", by_alias=True, exclude_none=True)

    def text(out: Console) -> None:
        for part in plain(effective):
            render.line(out, part)

    ctx.show(text, lambda: effective)


def summary(loaded: Loaded) -> str:
    """Return in one line what the configuration is for."""
    config = loaded.config
    parts = [f"repository {config.repository.url}"]
    if config.exporter:
        parts.append(f"exporter of {config.exporter.cluster}")
    if config.importer:
        parts.append(f"importer into {config.importer.cluster} at {config.importer.revision.text}")
    return ", ".join(parts)
