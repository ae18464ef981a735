"""`dr-syncer config`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cli.main import run

GOOD = "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\nimporter: {cluster: dr}\n"
BAD = "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\nimporter: {clustr: dr}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DR_SYNCER_CONFIG", raising=False)
    return tmp_path / "dr-syncer.yaml"


def test_a_valid_file_is_one_line_and_exit_code_0(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)

    assert run(["config", "validate"]) == 0
    assert capsys.readouterr() == ("dr-syncer.yaml: valid: repository /srv/git, importer into dr at main\n", "")


def test_an_invalid_file_has_all_its_faults_on_stderr_and_exit_code_2(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(BAD)

    assert run(["config", "validate"]) == 2
    assert capsys.readouterr() == (
        "",
        "dr-syncer.yaml:3: importer.cluster: this key is required and missing; for example `cluster: dr`\n"
        "dr-syncer.yaml:3: importer.clustr: unknown key; did you mean `cluster`?\n",
    )


def test_faults_are_a_result_for_machines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)

    assert run(["config", "validate", "-o", "json"]) == 2
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert shown.err == ""
    assert (result["version"], result["valid"], len(result["faults"])) == (1, False, 2)
    assert result["faults"][1] == {
        "file": "dr-syncer.yaml",
        "line": 3,
        "path": "importer.clustr",
        "message": "unknown key; did you mean `cluster`?",
    }


def test_validity_is_a_result_for_machines_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)

    assert run(["config", "validate", "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {
        "version": 1,
        "valid": True,
        "file": "dr-syncer.yaml",
        "faults": [],
    }


def test_a_missing_file_points_to_init(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not file.exists()
    assert run(["config", "validate"]) == 2
    assert capsys.readouterr().err.startswith(
        "dr-syncer.yaml: there is no such file\n  Write one with `dr-syncer init`"
    )


def test_show_gives_every_default_and_the_flags_over_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)

    assert run(["config", "show", "--context", "dr-admin"]) == 0
    text = yaml.safe_load(capsys.readouterr().out)
    assert run(["config", "show", "--context", "dr-admin", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert text["importer"]["context"] == "dr-admin"
    assert text["importer"]["timeouts"] == {"request": "30s", "crds": "1m", "namespaces": "2m"}
    assert text["importer"]["revision"]["branch"] == "main"
    assert "exporter" not in text
    assert data == {"version": 1, **text}


def test_what_is_shown_can_be_used_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    assert run(["config", "show"]) == 0
    shown = capsys.readouterr().out
    file.write_text(shown)

    assert run(["config", "show"]) == 0
    assert capsys.readouterr().out == shown


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "DR-Syncer configuration"


def test_rules_that_the_schema_cannot_judge_are_judged_all_the_same(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        "apiVersion: dr-syncer.io/v1\n"
        "repository: {url: /srv/git}\n"
        "exporter:\n"
        "  cluster: prod\n"
        "  select: {disable: [helm-release, ignore]}\n"
        "  clean:\n"
        "    strip: [{paths: [/metadata/labels, /metadata/name]}]\n"
        "    keep: [{paths: [/metadata/uid]}]\n"
        "importer: {cluster: dr, select: {disable: [infrastructur]}}\n"
    )

    assert run(["config", "validate"]) == 2
    assert [line.partition(";")[0] for line in capsys.readouterr().err.splitlines()] == [
        "dr-syncer.yaml:5: exporter.select.disable[0]: there is no built-in exclusion 'helm-release'",
        "dr-syncer.yaml:5: exporter.select.disable[1]: the built-in exclusion 'ignore' cannot be switched off: "
        "who owns the object has the last word",
        "dr-syncer.yaml:7: exporter.clean.strip[0].paths[1]: path '/metadata/name' would remove apiVersion, kind, name "
        "or namespace of an object",
        "dr-syncer.yaml:8: exporter.clean.keep[0].paths[0]: path '/metadata/uid' would keep uid: another cluster "
        "refuses that, or deletes the object for it",
        "dr-syncer.yaml:9: importer.select.disable[0]: there is no built-in exclusion 'infrastructur'",
    ]
