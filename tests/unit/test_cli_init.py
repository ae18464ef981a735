"""`dr-syncer init`."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cli.main import run
from drsyncer.config.sample import sample


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DR_SYNCER_CONFIG", raising=False)
    return tmp_path


def test_init_then_url_and_recipients_then_validate_works(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init"]) == 0
    assert "Fill in repository.url and exporter.secrets" in capsys.readouterr().out
    assert run(["config", "validate"]) == 2
    assert "dr-syncer.yaml:" in capsys.readouterr().err

    written = here / "dr-syncer.yaml"
    text = written.read_text().replace('url: ""', "url: ssh://git@git.example.com/dr.git")
    written.write_text(text.replace("#mode: encrypt", "mode: omit"))

    assert run(["config", "validate"]) == 0
    assert capsys.readouterr().out == (
        "dr-syncer.yaml: valid: repository ssh://git@git.example.com/dr.git, exporter of prod, "
        "importer into dr at main\n"
    )


def test_a_file_that_is_there_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "dr-syncer.yaml").write_text("mine")

    assert run(["init"]) == 4
    assert "--force" in capsys.readouterr().err
    assert (here / "dr-syncer.yaml").read_text() == "mine"
    assert [path.name for path in here.iterdir()] == ["dr-syncer.yaml"]


def test_force_overwrites_it(here: Path) -> None:
    (here / "dr-syncer.yaml").write_text("mine")

    assert run(["init", "--force"]) == 0
    assert (here / "dr-syncer.yaml").read_text() == sample()


def test_the_sample_goes_to_stdout_for_a_dash(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "-"]) == 0
    assert capsys.readouterr() == (sample(), "")
    assert list(here.iterdir()) == []


def test_it_goes_where_the_environment_says_that_the_configuration_is(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DR_SYNCER_CONFIG", "other.yaml")

    assert run(["init"]) == 0
    assert "config validate -c other.yaml" in capsys.readouterr().out
    assert stat.S_IMODE((here / "other.yaml").stat().st_mode) == 0o644


def test_a_folder_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "none/dr-syncer.yaml"]) == 1
    assert "none/dr-syncer.yaml: cannot be written: No such file or directory" in capsys.readouterr().err
