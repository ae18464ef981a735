"""`dr-syncer volumes list`: which recovery point it is about, and which volumes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cli.main import run
from drsyncer.config.volumes import VolumeSelect
from drsyncer.errors import ExitCode, UsageError
from tests.unit.volume_history import DATA, LOGS, History
from tests.unit.volume_records import NIGHT, claim, whole
from volumes.reviewing import review


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def reviewed(history, *namespaces, max_age=None, now=NIGHT):
    with history.sandbox.open() as clone:
        return review(
            clone, head="main", namespaces=namespaces, select=VolumeSelect(), max_age=max_age, restic=None, now=now
        )


def test_a_namespace_limits_it_and_may_be_one_whose_volumes_were_never_backed_up(history):
    media = claim("media", namespace="media")
    history.export({DATA: whole(1)}, claims=[DATA, media])
    assert [row.claim for row in reviewed(history, "shop").rows] == [DATA]
    assert [row.claim for row in reviewed(history, "media").rows] == [media]


def test_where_no_backup_ever_ran_each_claim_counts_and_is_new_until_one_must_have_come_by(history):
    history.export(claims=[DATA], at=NIGHT)
    history.export(claims=[DATA, LOGS], at=NIGHT + timedelta(hours=20))

    def rows(hours):
        found = reviewed(history, max_age=24 * 3600.0, now=NIGHT + timedelta(hours=hours))
        return [(row.claim, row.record, row.new) for row in found.rows]

    assert rows(23) == [(DATA, None, True), (LOGS, None, True)]
    assert rows(25) == [(DATA, None, False), (LOGS, None, True)]
    assert rows(45) == [(DATA, None, False), (LOGS, None, False)]
    assert [row.new for row in reviewed(history).rows] == [False, False]


def test_a_namespace_that_the_recovery_point_does_not_know_is_no_success(history):
    history.export({DATA: whole(1)})
    with pytest.raises(UsageError, match="holds no namespace with volumes 'shpo'; did you mean 'shop'"):
        reviewed(history, "shpo")


def test_an_empty_recovery_repository_is_told_with_what_to_do_next(history, tmp_path, capsys):
    file = tmp_path / "dr-syncer.yaml"
    repository = f"{{url: {history.sandbox.repository}, cacheDir: {tmp_path / 'cache'}}}"
    file.write_text(f"apiVersion: dr-syncer.io/v1\nrepository: {repository}\n")
    assert run(["volumes", "list", "-c", str(file)]) == ExitCode.USAGE
    assert "run `dr-syncer export` first" in capsys.readouterr().err
