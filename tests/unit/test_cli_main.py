"""The frame of the command line: help, errors, exit codes, streams."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import pytest

from cli import main as frame
from cli import options
from cli.context import Context
from cli.say import warn
from drsyncer.errors import ClusterUnreachable, ConfigurationError, Fault, Refused

ROOT = Path(__file__).parents[2]
PROCESS = [sys.executable, "-c", "from cli.main import main; main()"]

Install = Callable[[Callable[[], None]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a command `probe` beside the real ones, which does what it is given."""

    def put(action: Callable[[], None]) -> None:
        @click.command("probe")
        @options.verbosity
        def probe(_ctx: Context) -> None:
            action()

        module = ModuleType("probe_of_the_frame")
        module.probe = probe  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        commands = {**frame.COMMANDS, "probe": frame.Entry(module.__name__, "probe", "Probe.")}
        monkeypatch.setattr(frame, "COMMANDS", commands)

    return put


def failing(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def process(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run([*PROCESS, *args], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_command_without_importing_it(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(sys.modules)

    assert frame.run(["--help"]) == 0

    shown = capsys.readouterr()
    assert all(f"  {name} " in shown.out for name in frame.COMMANDS)
    assert shown.err == ""
    assert not {entry.module for entry in frame.COMMANDS.values()} & (set(sys.modules) - before)


def test_what_encrypts_decrypts_and_renders_is_loaded_only_where_there_is_something_to_do() -> None:
    code = (
        "import sys; from pathlib import Path; import cli.export, cli.import_, cli.diff, cli.transforms; "
        "import exporter.action, importer.action, importer.explain, importer.funnel; "
        "from drsyncer.config.load import parse; from importer.opening import Opener; "
        "from drsyncer.templates.renderer import Renderer; "
        "parse(b'apiVersion: dr-syncer.io/v1\\nrepository: {url: /x}\\nimporter: {cluster: dr}\\n"
        "exporter: {cluster: prod, secrets: {mode: omit}}', file='f', folder=Path('/')); "
        "Opener(None).open('f', b'kind: Secret', type_key='secrets'); Renderer().close(); "
        "sys.exit(', '.join({'jinja2', 'pyrage', 'cryptography'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_help_and_version_load_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; from cli.main import run; assert run(['--help']) == 0; assert run(['--version']) == 0; "
        "sys.exit(', '.join({'pydantic', 'ruamel', 'rich', 'kubernetes', 'git', 'structlog'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_of_the_table_has_a_short_help_of_one_line() -> None:
    for name, entry in frame.COMMANDS.items():
        assert entry.help.endswith("."), name
        assert len(entry.help) <= 66


@pytest.mark.parametrize("name", sorted(frame.COMMANDS))
def test_the_help_of_every_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run([name, "--help"]) == 0
    assert "Example" in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["imprt"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "dr-syncer: there is no command `imprt`; did you mean `import`?\n  Try `dr-syncer --help`.\n"


def test_wrong_usage_exits_with_2_and_points_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["init", "--nonsense"]) == 2
    assert "Try `dr-syncer init --help`." in capsys.readouterr().err


def test_kubectl_plugins_show_the_name_that_people_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.program_name("/usr/local/bin/kubectl-dr_syncer") == "kubectl dr-syncer"
    assert frame.program_name("/usr/bin/dr-syncer") == "dr-syncer"
    assert frame.run(["init", "--nonsense"], program="kubectl dr-syncer") == 2
    assert "Try `kubectl dr-syncer init --help`." in capsys.readouterr().err


def test_a_command_that_is_missing_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {**frame.COMMANDS, "none": frame.Entry("cli.none_such", "none", "None.")}
    monkeypatch.setattr(frame, "COMMANDS", commands)

    assert frame.run(["none"]) == 1
    assert "there is no module cli.none_such" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (
            ClusterUnreachable("cluster dr: no answer", hint="Check it."),
            1,
            "dr-syncer: cluster dr: no answer\n  Check it.\n",
        ),
        (Refused("too much"), 4, "dr-syncer: too much\n"),
        (ConfigurationError([Fault("f", 1, "a", "b"), Fault("f", 2, "", "c")]), 2, "f:1: a: b\nf:2: c\n"),
        (click.BadParameter("Is wrong."), 2, "dr-syncer: invalid value: Is wrong\n  Try `dr-syncer probe --help`.\n"),
        (KeyboardInterrupt(), 130, "dr-syncer: interrupted; nothing more was done\n"),
        (Refused("a\x1b[31mb"), 4, "dr-syncer: a\\x1b[31mb\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_becomes_words_on_stderr_and_an_exit_code(
    error: BaseException, code: int, shown: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(failing(error))

    assert frame.run(["probe"]) == code
    assert capsys.readouterr() == ("", shown)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *, columns: int) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    return terminal


def test_on_a_terminal_long_messages_are_broken_at_blanks(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [Fault("dr-syncer.yaml", 12, "importer.adopt", "expected one of never, matching, always")]
    install(failing(ConfigurationError(faults, hint="The reference has them all, with their defaults.")))
    terminal = on_a_terminal(monkeypatch, columns=40)

    frame.run(["probe"])

    assert terminal.getvalue().splitlines() == [
        "dr-syncer.yaml:12: importer.adopt:",
        "    expected one of never, matching,",
        "    always",
        "  The reference has them all, with their",
        "    defaults.",
    ]


@pytest.mark.parametrize("columns", [0, 40])
def test_a_warning_cannot_write_to_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "StorageClass \x1b]0;owned\x07 does not exist in DR"
    terminal = on_a_terminal(monkeypatch, columns=columns) if columns else None

    warn([hostile])

    said = terminal.getvalue() if terminal else capsys.readouterr().err
    assert said.startswith("warning: StorageClass \\x1b]0;owned\\x07")
    assert not {"\x1b", "\x07"} & set(said)


def test_a_fault_of_the_program_is_one_line_without_its_text(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(failing(KeyError("hunter2")))

    assert frame.run(["probe"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("dr-syncer: internal error: KeyError in test_cli_main.py:")
    assert shown.endswith("; run it again with -vv for the details, and please report it\n")
    assert shown.count("\n") == 1
    assert "hunter2" not in shown


@pytest.mark.parametrize("args", [["-vv"], ["-v", "-v"], ["--verbose", "-v"]])
def test_the_traceback_is_shown_with_vv_only(
    args: list[str], install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(failing(ZeroDivisionError("x")))

    assert frame.run(["probe", *args]) == 1
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert shown.splitlines()[-1].startswith("dr-syncer: internal error: ZeroDivisionError")


def test_an_error_of_the_system_says_what_and_where(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(failing(OSError(28, "No space left on device", "/var/x")))

    assert frame.run(["probe"]) == 1
    assert "OSError (No space left on device: /var/x)" in capsys.readouterr().err


def test_a_command_can_choose_its_exit_code(install: Install) -> None:
    def action() -> None:
        Context().exit(3)

    install(action)

    assert frame.run(["probe"]) == 3


def test_sigterm_is_an_interruption_and_the_handler_is_put_back(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    before = signal.getsignal(signal.SIGTERM)
    install(action)

    assert frame.run(["probe"]) == 130
    assert capsys.readouterr().err == "dr-syncer: interrupted; nothing more was done\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_goes_away_is_no_reason_to_complain() -> None:
    command = f"{sys.executable} -c 'from cli.main import main; main()' init - | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")  # the sample may fit into the pipe before its reader is gone


def test_a_full_disk_behind_stdout_is_reported() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROCESS, "init", "-"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )

    assert done.returncode == 1
    assert done.stderr == "dr-syncer: the result cannot be written to stdout: No space left on device\n"


def test_flags_can_be_set_in_the_environment_but_help_and_version_cannot(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\n")
    done = process(
        "config", "validate", DR_SYNCER_CONFIG=str(tmp_path / "f.yaml"), DR_SYNCER_OUTPUT="json", DR_SYNCER_VERSION="1"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert '"valid": true' in done.stdout


def test_a_wrong_value_in_the_environment_is_wrong_usage() -> None:
    done = process("config", "show", DR_SYNCER_OUTPUT="xml")

    assert done.returncode == 2
    assert "xml" in done.stderr


def test_the_shell_is_offered_commands_and_flags() -> None:
    commands = process(_DR_SYNCER_COMPLETE="bash_complete", COMP_WORDS="dr-syncer ", COMP_CWORD="1")
    flags = process(_DR_SYNCER_COMPLETE="bash_complete", COMP_WORDS="dr-syncer init --f", COMP_CWORD="2")
    script = process(_DR_SYNCER_COMPLETE="bash_source")

    assert [line.split(",")[1] for line in commands.stdout.split()] == list(frame.COMMANDS)
    assert flags.stdout.split() == ["plain,--force"]
    assert "complete" in script.stdout


def test_stdout_that_is_closed_does_not_matter() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c 'from cli.main import main; main()' init - >&-"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
