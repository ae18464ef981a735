"""The command `dr-syncer`: its subcommands, loaded when called, and the one place that turns errors into exit codes."""

from __future__ import annotations

import contextlib
import difflib
import gc
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem, shell_complete

from drsyncer import __version__
from drsyncer.errors import ConfigurationError, DrSyncerError, ExitCode

PROGRAM = "dr-syncer"
KUBECTL_PLUGIN = "kubectl-dr_syncer"
COMPLETION_VARIABLE = "_DR_SYNCER_COMPLETE"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a subcommand lives, and its line in `--help`, so that help needs no import."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "init": Entry("cli.init", "init", "Write a commented configuration."),
    "config": Entry("cli.config", "config", "Check and show the configuration."),
    "export": Entry("cli.export", "export", "Commit the source cluster to the recovery repository."),
    "import": Entry("cli.import_", "import_", "Bring the DR cluster to a recovery point."),
    "diff": Entry("cli.diff", "diff", "Show how the DR cluster differs from a recovery point."),
    "log": Entry("cli.log", "log", "Show who changed what, when, in which commit."),
    "trigger": Entry("cli.trigger", "trigger", "Let a service export or import now."),
    "status": Entry("cli.status", "status", "Show both sides at a glance, and what is wrong."),
    "serve": Entry("cli.serve", "serve", "Run as a service: the loop, metrics and health."),
    "volumes": Entry("cli.volumes", "volumes", "Back up and restore the data of volumes."),
    "transforms": Entry("cli.transforms", "transforms", "List, explain and test what happens to objects."),
}


class LazyGroup(click.Group):
    """A group whose subcommands stand in a table and are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError as error:
            if error.name != entry.module:
                raise
            message = f"`{cmd_name}` is not part of this installation: there is no module {entry.module}"
            raise DrSyncerError(message, hint=f"Install the distribution `{PROGRAM}` anew.") from None
        command = getattr(module, entry.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.attribute} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            raise click.UsageError(
                f"there is no command `{name}`" + (f"; did you mean `{near[0]}`?" if near else ""), ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


_EPILOG = f"""
\b
Examples:
  {PROGRAM} init
  {PROGRAM} config validate
  {PROGRAM} export --dry-run
  {PROGRAM} import --plan

\b
Every flag can also be set in the environment: --kubeconfig as
DR_SYNCER_KUBECONFIG, `import --revision` as DR_SYNCER_IMPORT_REVISION.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 partial,
4 refused, 130 interrupted. `diff`: 0 same, 1 differs, above 1 an error.

\b
Shell completion: eval "$({COMPLETION_VARIABLE}=bash_source {PROGRAM})"
(or zsh_source, fish_source).
"""


@click.group(
    PROGRAM,
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={
        "auto_envvar_prefix": "DR_SYNCER",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s", allow_from_autoenv=False)
def app() -> None:
    """Disaster recovery for Kubernetes through a Git repository."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `argv` (without the program's name; default: the process's own) and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller (`>&-`)
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long-lived as the process
    # Objects come by the ten thousand, with hardly a cycle among them: to look for some after every 700 new ones costs
    # a twentieth of the time.
    gc.set_threshold(50_000, 20, 20)
    args = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(args, program=program_name(sys.argv[0])))


def program_name(invoked_as: str) -> str:
    """Return how the person calls us: kubectl starts its plug-ins under a name of its own."""
    stem = Path(invoked_as).name.removesuffix(".exe")
    return "kubectl dr-syncer" if stem == KUBECTL_PLUGIN else PROGRAM


def run(args: list[str], *, program: str = PROGRAM) -> int:
    """Run `args` and return the exit code. Every error becomes words on stderr here, and nowhere else."""
    verbose = _verbosity(args)
    try:
        with _sigterm_interrupts():
            code = _invoke(args, program=program)
            sys.stdout.flush()
        return code
    except DrSyncerError as error:
        _complain(error, program=program)
        return int(error.exit_code)
    except click.UsageError as error:
        return _complain_of_usage(error, program=program)
    except click.ClickException as error:
        _say(f"{program}: {error.format_message()}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say(f"{program}: interrupted; nothing more was done")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        _forget_stdout()
        return int(ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever was not foreseen
        return _complain_of_ourselves(error, program=program, verbose=verbose)


def _invoke(args: list[str], *, program: str) -> int:
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        return shell_complete(app, {}, program, COMPLETION_VARIABLE, instruction)
    try:
        with app.make_context(program, args) as context:
            app.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return int(ExitCode.DONE)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C: the same way out, the same clean-up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before: Any = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: somebody else's process and signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _verbosity(args: Sequence[str]) -> int:
    """Return how many -v there are. Read by hand, since errors can come before the flags are parsed."""
    given = sum(len(arg) - 1 for arg in args if re.fullmatch("-v+", arg)) + list(args).count("--verbose")
    from_environment = os.environ.get("DR_SYNCER_VERBOSE", "")
    return given or (int(from_environment) if from_environment.isdecimal() else 0)


def _complain(error: DrSyncerError, *, program: str) -> None:
    # Faults name their file and line first, where editors and terminals look for them.
    before = "" if isinstance(error, ConfigurationError) else f"{program}: "
    _say(f"{before}{error}", hint=error.hint)


def _complain_of_usage(error: click.UsageError, *, program: str) -> int:
    message = error.format_message()
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        click.echo(message, err=True)
    else:
        path = error.ctx.command_path if error.ctx else program
        _say(f"{program}: {message[:1].lower()}{message[1:].rstrip('.')}", hint=f"Try `{path} --help`.")
    return int(ExitCode.USAGE)


def _complain_of_ourselves(error: Exception, *, program: str, verbose: int) -> int:
    """Report a fault of the program. Its text stays out unless asked for: it may hold anything, secrets included."""
    if verbose >= 2:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    what = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        what += f" ({error.strerror}{f': {error.filename}' if error.filename else ''})"
    advice = "" if verbose >= 2 else "; run it again with -vv for the details, and please report it"
    _say(f"{program}: internal error: {what}{place}{advice}")
    return int(ExitCode.FAILED)


def _say(message: str, *, hint: str = "") -> None:
    from cli.say import complain

    complain(message, hint=hint)


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter does not complain of the closed pipe when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    main()
