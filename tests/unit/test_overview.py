"""What `dr-syncer status` goes by, where two know of the same thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cli.overview import Overview, Repository, Side, _wrong
from cli.status import _data
from drsyncer.config.schema import Config
from drsyncer.service.judging import backups_of
from drsyncer.service.status import Backups, Status
from tests.unit import statuses

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BY_GIT = Backups(volumes=2, lacks={"old": 1}, max_age=108_000.0)
BY_RESTIC = Backups(volumes=2, lacks={"gone": 2}, asked=True)
CONFIG = Config.model_validate({"apiVersion": "dr-syncer.io/v1", "repository": {"url": "/nowhere"}})


def seen(status: Status | None, *, by_git: Backups | None = BY_GIT, error: str = "") -> Overview:
    repository = Repository("url", "main", backups=by_git, backups_error=error)
    found = Overview(NOW, repository, Side("exporter", False), Side("importer", True, "dr", status=status))
    return replace(found, backups_seen=backups_of(status, NOW) if status is not None else None)


def about_backups(found: Overview) -> list[tuple[str, str]]:
    wrong = [(one.about, one.concern.text) for one in _wrong(found, CONFIG)]
    return [(about, text) for about, text in wrong if "backup" in text]


def test_the_importer_that_asks_restic_knows_best() -> None:
    found = seen(statuses.importer(NOW, backups=BY_RESTIC))
    assert about_backups(found) == [("importer", "The restic repository does not have the newest backup of 2 volumes.")]
    assert (_data(found)["backups"]["by"], _data(found)["backups"]["lacks"]) == ("importer", {"gone": 2})


@pytest.mark.parametrize(
    "status",
    [
        None,
        statuses.importer(NOW),
        statuses.importer(NOW - timedelta(hours=1), backups=BY_RESTIC),
    ],
    ids=["no service", "one that does not look", "one that has told nothing for an hour"],
)
def test_git_is_gone_by_where_no_importer_tells_it_now(status: Status | None) -> None:
    found = seen(status)
    assert about_backups(found) == [
        ("repository", "The newest whole backup of 1 volume is too old: volumes.maxAge is 1 day 6 hours.")
    ]
    assert _data(found)["backups"]["by"] == "git"


def test_what_nobody_could_look_at_is_not_well() -> None:
    found = seen(None, by_git=None, error="the commit is not signed")
    assert about_backups(found) == [
        ("repository", "How the backups of volumes are cannot be told: the commit is not signed")
    ]
    assert _data(found)["backups"] is None
