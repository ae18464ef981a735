"""`dr-syncer volumes`: what its commands say of themselves, and how sizes look."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cli.main import run
from cli.render import console
from cli.volumes import COMMANDS
from cli.volumes_backup import _draw
from drsyncer.errors import ExitCode
from drsyncer.wording import size
from tests.unit.movers import complete
from tests.unit.test_volume_selecting import claim
from volumes.claims import claim_of
from volumes.outcome import Backup, Outcome
from volumes.selecting import Choice, Chosen


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_help_fits_80_columns_and_breaks_no_name(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["volumes", *words, "--help"]) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 or line.endswith("dr-")] == []


def test_the_help_of_all_commands_together_shows_each_of_them_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["volumes", "--help"]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if f"dr-syncer volumes {name}" not in text] == []


def test_a_plan_that_no_mover_could_carry_out_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dr-syncer.yaml"
    file.write_text(
        "apiVersion: dr-syncer.io/v1\n"
        f"repository: {{url: {tmp_path / 'recovery.git'}}}\n"
        f"importer: {{cluster: dr, kubeconfig: {tmp_path / 'nowhere'}}}\n"
        "volumes: {restic: {repository: 's3:https://s3.example.com/x'}}\n"
    )
    assert run(["volumes", "restore", "--plan", "-c", str(file)]) == ExitCode.USAGE
    assert "volumes.mover.image is not set" in capsys.readouterr().err


def test_a_backup_tells_sizes_as_list_and_restore_do() -> None:
    result = complete()
    assert result.snapshot is not None
    chosen = Chosen(claim_of(claim()), Choice.SELECTED, "select", "why")
    paper = io.StringIO()
    _draw(console(paper), Outcome("prod", "run", False, [Backup(chosen, result)]))
    assert f"  {size(result.snapshot.bytes)}  " in paper.getvalue()
