"""What a command is given by the shared flags."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from cli import options
from cli.context import Context
from drsyncer.errors import ConfigurationError

FILE = """\
apiVersion: dr-syncer.io/v1
repository: {url: /srv/git}
importer: {cluster: dr, kubeconfig: /kube/dr, context: dr-admin}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dr-syncer.yaml"
    path.write_text(FILE)
    return path


def received(args: list[str], *, env: dict[str, str] | None = None) -> Context:
    contexts = []

    @click.command()
    @options.config
    @options.cluster
    @options.output
    @click.option("--own", default="x")
    @options.verbosity
    def command(ctx: Context, own: str) -> None:
        assert own
        contexts.append(ctx)

    CliRunner().invoke(command, args, env=env, catch_exceptions=False, standalone_mode=False)
    assert len(contexts) == 1
    return contexts[0]


def test_the_shared_flags_make_the_context() -> None:
    assert received([]) == Context()
    assert received(
        ["-c", "f", "--kubeconfig", "k", "--context", "x", "-o", "json", "-vv", "--log-format", "json", "--own", "y"]
    ) == Context(Path("f"), "k", "x", "json", 2, "json")


def test_the_environment_stands_in_for_flags_that_are_not_given() -> None:
    env = {"DR_SYNCER_CONFIG": "e", "DR_SYNCER_CONTEXT": "from-environment", "DR_SYNCER_VERBOSE": "1"}

    assert received(["-c", "f"], env=env) == Context(Path("f"), "", "from-environment", verbosity=1)


def test_a_command_takes_only_the_flags_that_it_declares() -> None:
    @click.command()
    @options.output
    def command(ctx: Context) -> None:
        click.echo(ctx.output)

    assert CliRunner().invoke(command, ["-o", "yaml"]).output == "yaml\n"
    assert CliRunner().invoke(command, ["--kubeconfig", "k"]).exit_code == 2


def test_the_flags_for_the_cluster_go_before_the_file(file: Path) -> None:
    _, from_file = Context(file).load_importer()
    _, with_kubeconfig = Context(file, kubeconfig="k").load_importer()
    config, with_both = Context(file, kubeconfig="k", kube_context="x").load_importer()

    assert (from_file.kubeconfig, from_file.context) == ("/kube/dr", "dr-admin")
    assert (with_kubeconfig.kubeconfig, with_kubeconfig.context) == ("k", "dr-admin")
    assert (with_both.kubeconfig, with_both.context) == ("k", "x")
    assert config.importer == with_both


def test_a_missing_section_is_an_error_of_the_configuration(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="exporter: this command needs this section") as caught:
        Context(file).load_exporter()

    assert "dr-syncer init -" in caught.value.hint


def test_the_result_is_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    Context().show(lambda out: out.print("done"), never)

    assert capsys.readouterr() == ("done\n", "")


def test_the_result_is_sorted_json_with_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    Context(output="json").show(never_drawn, lambda: {"b": "é", "a": [1]})

    shown = capsys.readouterr().out
    assert shown == '{\n  "a": [\n    1\n  ],\n  "b": "é",\n  "version": 1\n}\n'
    assert json.loads(shown)["version"] == 1


def test_the_result_is_yaml_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Context(output="yaml").show(never_drawn, lambda: {"b": "x\ny\n", "a": [{"n": 1}]})

    assert yaml.safe_load(capsys.readouterr().out) == {"version": 1, "a": [{"n": 1}], "b": "x\ny\n"}


def never() -> dict[str, object]:
    raise AssertionError


def never_drawn(_out: Console) -> None:
    raise AssertionError


def test_progress_never_reaches_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    for ctx in (Context(), Context(output="json")):
        with ctx.progress.task("Reading", total=1) as task:
            task.advance()

    assert capsys.readouterr().out == ""
