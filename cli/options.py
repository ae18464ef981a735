"""The options that commands share. Each decorator adds its flags; together they make the command's Context.

A command function takes the Context first:

    @click.command("import")
    @options.config
    @options.output
    @options.verbosity
    def import_(ctx: Context, ...) -> None: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.context import Context

Command = TypeVar("Command", bound=Callable[..., Any])

_CHOSEN = "drsyncer.chosen"  # click's meta: what the shared flags were set to
_WRAPPED = "__takes_context__"


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    ctx.meta.setdefault(_CHOSEN, {})[parameter.name] = value


def _shared(*declared: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds the `declared` flags and, once per command, hands over the Context."""

    def decorate(command: Command) -> Command:
        wanted: Any = command if hasattr(command, _WRAPPED) else _given_context(command)
        for declare in reversed(declared):
            wanted = declare(wanted)
        return wanted  # type: ignore[no-any-return]

    return decorate


def _given_context(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        context = Context(**click.get_current_context().meta.get(_CHOSEN, {}))
        context.configure_logging()
        return command(context, *args, **kwargs)

    setattr(call, _WRAPPED, True)
    return call


def _flag(*names: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, expose_value=False, callback=_remember, **settings)


config = _shared(
    _flag(
        "-c",
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar="DR_SYNCER_CONFIG",
        help="Configuration. Default: $DR_SYNCER_CONFIG, else dr-syncer.yaml.",
    ),
)

cluster = _shared(
    _flag(
        "--kubeconfig",
        metavar="FILE",
        default="",
        envvar="DR_SYNCER_KUBECONFIG",
        help="Kubeconfig to use instead of the configured one.",
    ),
    _flag(
        "--context",
        "kube_context",
        metavar="NAME",
        default="",
        envvar="DR_SYNCER_CONTEXT",
        help="Context to use instead of the configured one.",
    ),
)

output = _shared(
    _flag(
        "-o",
        "--output",
        type=click.Choice(["text", "json", "yaml"]),
        default="text",
        envvar="DR_SYNCER_OUTPUT",
        help="Form of the result on stdout. Default: text.",
    ),
)

verbosity = _shared(
    _flag(
        "-v",
        "--verbose",
        "verbosity",
        count=True,
        envvar="DR_SYNCER_VERBOSE",
        help="Say more on stderr; -vv for details and tracebacks.",
    ),
    _flag(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        envvar="DR_SYNCER_LOG_FORMAT",
        help="Form of the log on stderr. Default: text.",
    ),
)

namespaces = click.option(
    "-n",
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    help="Only this namespace, as Git names it; repeatable.",
)
revision = click.option(
    "--revision", metavar="REV", default="", help="Commit, tag or branch. Default: the configured one."
)
