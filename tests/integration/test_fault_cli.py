"""Wrong input to the command line: one clear message each, the right exit code, and never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import run
from drsyncer.errors import ExitCode
from drsyncer.yaml.emit import emit
from tests.cluster.certificates import Authority
from tests.cluster.claims import claim_port
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    stdout: str
    stderr: str


Say = Callable[..., Said]


@pytest.fixture
def config(recovery: Recovery) -> Path:
    """A configuration that tries a dead server few times."""
    fast = {"retry": {"initial": "50ms", "max": "100ms", "attempts": 2}}
    file = recovery.folder / "dr-syncer.yaml"
    file.write_bytes(emit(recovery.config(exporter=fast, importer=fast)))
    return file


@pytest.fixture
def say(config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """`say("export", …)` runs the command line in this process, with the test's configuration."""
    monkeypatch.setenv("DR_SYNCER_CONFIG", str(config))
    monkeypatch.setenv("HOME", str(config.parent / "home"))

    def say(*args: str) -> Said:
        capfd.readouterr()
        code = run(list(args))
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        assert "internal error" not in captured.err
        return Said(code, captured.out, captured.err)

    return say


def wrong(said: Said, *words: str, code: ExitCode = ExitCode.USAGE) -> None:
    """Check a refusal: its exit code, nothing on stdout, one message with `words`."""
    assert (said.code, said.stdout) == (code, ""), said
    for word in words:
        assert word in said.stderr, said.stderr
    first, *more = said.stderr.splitlines()
    assert first.startswith("dr-syncer: ")
    assert all(line.startswith("  ") for line in more), said.stderr


@pytest.fixture
def kubeconfigs(source: ControlPlane, tmp_path: Path) -> dict[str, Path]:
    """Kubeconfigs with one thing wrong each."""
    content = json.loads(source.kubeconfig.read_text())
    other = json.loads(source.kubeconfig.read_text())
    other["clusters"][0]["cluster"]["certificate-authority"] = str(Authority(tmp_path / "pki", name="other").file)
    files = {"garbage": "{", "words": "just words", "other-authority": json.dumps(other), "whole": json.dumps(content)}
    found = {"missing": tmp_path / "missing.yaml", "folder": tmp_path}
    for name, text in files.items():
        found[name] = tmp_path / f"{name}.yaml"
        found[name].write_text(text)
    return found


@pytest.mark.parametrize("command", ["export", "import", "diff"])
def test_a_wrong_kubeconfig_is_named_with_the_way_on(
    command: str, say: Say, kubeconfigs: dict[str, Path], source: ControlPlane
) -> None:
    # `diff` answers 1 for "differs", so an error is never 1 there.
    failed = ExitCode.USAGE if command == "diff" else ExitCode.FAILED

    def given(name: str, *more: str) -> Said:
        return say(command, "--kubeconfig", str(kubeconfigs[name]), *more)

    wrong(given("missing"), str(kubeconfigs["missing"]), "no such file", "Check --kubeconfig")
    wrong(given("folder"), "no such file")
    wrong(given("garbage"), str(kubeconfigs["garbage"]))
    wrong(given("words"), str(kubeconfigs["words"]))
    wrong(given("whole", "--context", "nothing"), "nothing", "get-contexts")
    wrong(say(command), "no cluster given", "--kubeconfig FILE")
    if command == "export":  # the import's first question is for the recovery point, and there is none yet
        expired = source.kubeconfig_for("expired-token")
        wrong(say(command, "--kubeconfig", str(expired)), "Unauthorized", "renew the token", code=failed)
        wrong(given("other-authority"), "certificate verify failed", "certificate-authority", code=failed)
        port = claim_port()
        dead = source.kubeconfig_for("admin", server=f"https://127.0.0.1:{port.value}")
        wrong(say(command, "--kubeconfig", str(dead)), "Connection refused", "Check that", code=failed)
        port.release()


def test_a_wrong_flag_or_command_is_named(say: Say) -> None:
    wrong(say("exprot"), "there is no command `exprot`; did you mean `export`?", "--help")
    wrong(say("export", "--frobnicate"), "--frobnicate", "dr-syncer export --help")
    wrong(say("export", "extra"), "extra")
    wrong(say("export", "-o", "xml"), "xml", "json")
    wrong(say("import", "--revision"), "--revision")
    wrong(say("log", "--limit", "0"), "--limit")
    wrong(say("log", "--limit", "many"), "many")


def test_a_wrong_configuration_is_named_with_file_and_line(say: Say, config: Path, recovery: Recovery) -> None:
    def refused(*args: str) -> str:
        said = say(*args)
        assert (said.code, said.stdout) == (ExitCode.USAGE, ""), said
        return said.stderr

    text = config.read_text()
    config.write_text(text.replace("exporter:", "exporter:\n  clutser: prod", 1))
    assert f"{config}:" in (stderr := refused("export"))
    assert "clutser" in stderr
    assert "did you mean" in stderr
    config.write_text("apiVersion: dr-syncer.io/v1\nrepository: {url: /x}\n")
    assert "exporter: this command needs this section" in refused("export")
    assert "importer: this command needs this section" in refused("import")
    config.write_text("repository: [")
    assert f"{config}:1" in refused("log")
    config.unlink()
    assert str(config) in refused("diff")


def test_a_wrong_object_or_time_is_named(say: Say, source: ControlPlane, recovery: Recovery) -> None:
    kubeconfig = ("--kubeconfig", str(source.kubeconfig))

    def explain(text: str) -> Said:
        return say("export", *kubeconfig, "--explain", text)

    wrong(explain("nonsense"), "names no object", "TYPE/NAME")
    wrong(explain("a/b/c/d"), "names no object")
    wrong(explain("shop/frobs/web"), "the cluster serves no type 'frobs'")
    wrong(explain("configmaps/web"), "need a namespace", "NAMESPACE/configmaps/web")
    wrong(explain("shop/nodes/web"), "have no namespace")
    wrong(explain("shop/configmaps/nothing"), "shop/configmaps/nothing does not exist")

    recovery.commit({"README.md": "x"})
    wrong(say("log", "--object", "nonsense"), "names no object")
    wrong(say("log", "--since", "yesterday-ish"), "no such time", "7d")
    wrong(say("log", "--since", "99999999999999d"), "no such time")
    wrong(say("log", "--object", "shop/configmaps/.."), "..")


@pytest.mark.parametrize("command", ["import", "diff", "log"])
def test_a_wrong_revision_is_named(command: str, say: Say, source: ControlPlane, recovery: Recovery) -> None:
    recovery.export(source)
    kubeconfig = () if command == "log" else ("--kubeconfig", str(source.kubeconfig))
    for revision in ("no-such-branch", "0123456789abcdef", "-x", "a..b", "v1^{tree}", "refs/heads/../x"):
        wrong(say(command, *kubeconfig, f"--revision={revision}"), revision)


def test_a_cluster_is_not_imported_into_itself_and_an_empty_repository_says_so(
    say: Say, source: ControlPlane, dr: ControlPlane, recovery: Recovery
) -> None:
    into_dr = ("import", "--kubeconfig", str(dr.kubeconfig))
    wrong(say(*into_dr), "main")
    recovery.commit({"README.md": "x"})
    wrong(say(*into_dr), "no dr-syncer.yaml", "repository.url", code=ExitCode.REFUSED)
    recovery.export(source)
    wrong(say("import", "--kubeconfig", str(source.kubeconfig)), "prod itself", code=ExitCode.REFUSED)


def test_a_repository_that_is_none_is_named(say: Say, source: ControlPlane, recovery: Recovery) -> None:
    shutil.rmtree(recovery.remote)
    kubeconfig = ("--kubeconfig", str(source.kubeconfig))
    wrong(say("export", *kubeconfig), str(recovery.remote), "repository.url", code=ExitCode.FAILED)
    wrong(say("import", *kubeconfig), str(recovery.remote), code=ExitCode.FAILED)
    wrong(say("log"), str(recovery.remote), code=ExitCode.FAILED)
    wrong(say("diff", *kubeconfig), str(recovery.remote), code=ExitCode.USAGE)


def test_a_namespace_that_is_not_in_the_recovery_point_is_said(
    say: Say, clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), deployment("shop", "web")])
    recovery.export(clean_source)
    clean_dr.audit.mark()

    said = say("import", "--kubeconfig", str(clean_dr.kubeconfig), "--namespace", "shpo")

    wrong(said, "shpo", "did you mean")
    assert clean_dr.audit.writes() == []
