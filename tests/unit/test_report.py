"""What is told to be wrong, and how a status reads: never well because nobody has looked."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import ClusterUnreachable
from drsyncer.service import page, status
from drsyncer.service.board import Board
from drsyncer.service.http import Server
from drsyncer.service.judging import backups_of, concerns, lacking
from drsyncer.service.report import report_of
from drsyncer.service.status import Backups, Lack, Request, Result, Running, State, Status, Trouble
from drsyncer.service.verification import Damage, Verdict, Verification
from drsyncer.wording import span
from tests.unit import statuses
from tests.unit.statuses import MINUTE

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOURLY = {"mode": "scheduled", "schedule": "0 * * * *", "timezone": "UTC"}


def damaged(since: datetime) -> Verification:
    """What is known after a verification that found damage, and another one that did not look there."""
    damage = Damage(since=since, text="a pack is damaged", repository="r", data=True)
    return Verification(ended=NOW, verdict=Verdict.WHOLE, judged=NOW, read=5, damage=damage)


@pytest.mark.parametrize("side", [statuses.exporter, statuses.importer])
def test_a_side_that_is_well_gives_no_concern(side: Callable[..., Status]) -> None:
    assert concerns(side(NOW), NOW) == ()
    assert concerns(side(NOW, **HOURLY, settled=NOW - MINUTE), NOW) == ()
    assert concerns(side(NOW, mode="manual", heartbeat=NOW - 500 * MINUTE), NOW) == ()


@pytest.mark.parametrize(
    ("side", "changed", "said"),
    [
        (
            statuses.exporter,
            {"state": State.ENDED, "told": NOW - 30 * MINUTE},
            "Nobody works: the exporter ended 30 min",
        ),
        (statuses.importer, {"told": NOW - 12 * MINUTE}, "has told nothing for 12 minutes"),
        (statuses.exporter, {"last_run": None}, "No run has ended yet"),
        (statuses.exporter, {"last_run": statuses.run(NOW, result=Result.FAILED, reason="oh no")}, "failed: oh no"),
        (statuses.exporter, {"last_run": statuses.run(NOW, result=Result.REFUSED, reason="guard")}, "refused: guard"),
        (statuses.exporter, HOURLY | {"settled": NOW - timedelta(hours=3, minutes=1)}, "3 ticks of the schedule"),
        (statuses.exporter, {"heartbeat": NOW - 6 * MINUTE}, "The last heartbeat is 6 minutes old"),
        (
            statuses.exporter,
            {"verify_within": 3600.0, "verification_awaited": NOW - timedelta(hours=3)},
            "The backups were not verified in time: a verdict has been due for 2 hours",
        ),
        (
            statuses.exporter,
            {"verification": Verification(ended=NOW, verdict=Verdict.FAILED, text="it is locked")},
            "failed: it is locked",
        ),
        (statuses.exporter, {"verification": damaged(NOW - 9 * MINUTE)}, "found 9 minutes ago: a pack is damaged"),
        (statuses.exporter, {"unpushed": 2}, "2 commits are not pushed"),
        (statuses.exporter, {"guard": "60 of 100"}, "Deletions wait for somebody: 60 of 100"),
        (statuses.exporter, {"incomplete": status.listed([("a", "b")])}, "1 type could not be read in full"),
        (statuses.exporter, {"troubles": (Trouble("git", "is away", NOW - MINUTE),)}, "Git: is away (for 1 minute)"),
        (
            statuses.exporter,
            {"request": Request(value="x", seen=NOW - 11 * MINUTE)},
            "A run was asked for 11 minutes ago and has not ended",
        ),
        (statuses.importer, {"blocked": status.listed([("a", "b")] * 30)}, "30 objects are not in DR as Git has them"),
        (statuses.importer, {"incomplete": status.listed([("a", "b")])}, "1 type could not be listed in DR"),
        (statuses.importer, {"newest": statuses.NEWER}, "DR has d3b07384d113, and the newest recovery point is a3b0"),
        (statuses.importer, {"drifted": status.listed([("a", "")]), "leaves_drift": True}, "1 object was changed by"),
        (
            statuses.importer,
            {"backups": Backups(volumes=3, lacks={"old": 2}, max_age=108_000.0)},
            "The newest whole backup of 2 volumes is too old: volumes.maxAge is 1 day 6 hours.",
        ),
        (
            statuses.importer,
            {"backups": Backups(volumes=1), "backups_as_of": NOW - timedelta(hours=2)},
            "The backups of volumes were last looked at 2 hours ago",
        ),
        (statuses.importer, {"heartbeat": NOW - timedelta(days=2)}, "no sign of life for 2 days"),
        (
            statuses.importer,
            {"heartbeat": NOW - 8 * MINUTE, "heartbeat_due": NOW - 6 * MINUTE},
            "no sign of life for 8 minutes",
        ),
    ],
)
def test_what_is_wrong_is_told(side: Callable[..., Status], changed: dict[str, Any], said: str) -> None:
    found = concerns(side(NOW, **changed), NOW)
    assert len(found) == 1
    assert said in found[0].text


def test_everything_that_can_be_wrong_with_a_backup_has_its_words() -> None:
    said = [concern.text for concern in lacking(statuses.lacking())]
    assert len(said) == len(set(said)) == len(Lack)
    assert not [text for text in said if "{" in text]


def test_what_a_dead_importer_knew_of_backups_is_not_told_as_if_it_were_so() -> None:
    later = NOW + timedelta(days=1)
    found = statuses.importer(NOW, backups=statuses.lacking())
    assert (backups_of(found, NOW), backups_of(found, later)) == (statuses.lacking(), None)
    assert "Backups that are not as they should be" not in {table.title for table in report_of(found, later).tables}
    assert len(concerns(found, NOW)) == len(Lack)
    assert not [concern for concern in concerns(found, later) if "backup" in concern.text]


def test_how_old_backups_are_and_how_they_ended_is_told() -> None:
    facts = {fact.label: fact for fact in report_of(statuses.troubled(NOW), NOW).freshness}
    assert facts["Backups of volumes"].text == "9: 3 Empty, 2 Complete, 2 Failed, 1 Never, 1 Waiting"
    assert facts["Oldest of the newest whole ones"].text == (
        "6 days 12 hours ago (2026-11-20 00:00:00 UTC); volumes.maxAge is 1 day 6 hours"
    )


def test_what_is_under_way_or_put_right_is_no_concern() -> None:
    running = Running(cause="commit", since=NOW)
    assert concerns(statuses.importer(NOW, newest=statuses.NEWER, running=running), NOW) == ()
    weekly = {"heartbeat": NOW - timedelta(days=6), "heartbeat_due": NOW + timedelta(days=1)}
    assert concerns(statuses.importer(NOW, **weekly), NOW) == ()
    assert concerns(statuses.importer(NOW, drifted=status.listed([("a", "")])), NOW) == ()


def test_every_trouble_is_among_the_concerns_and_in_a_table() -> None:
    report = report_of(statuses.troubled(NOW), NOW)
    assert len(report.concerns) == 15
    titles = [table.title for table in report.tables]
    assert titles[:3] == ["Failing now", "Blocked", "Volumes without their data"]
    assert titles[3:5] == ["Backups that are not as they should be", "Not read in full"]
    assert "Volumes that are left alone, as configured" in titles[4:]
    assert all(len(row) == len(table.headers) for table in report.tables for row in table.rows)
    assert next(table for table in report.tables if table.title == "Blocked").more == "and 21 more"


@given(st.integers(-10, 10**9))
def test_a_span_is_told_to_about_a_tenth(seconds: int) -> None:
    units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
    words = span(seconds).replace(",", "").split()
    told = sum(int(count) * units[unit.rstrip("s")] for count, unit in zip(words[::2], words[1::2], strict=True))
    assert told <= max(seconds, 0) <= told + max(told / 10, 1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (61, "1 minute 1 second"), (725, "12 minutes"), (7_500, "2 hours 5 minutes"), (86_401, "1 day")],
)
def test_a_span_reads_as_people_say_it(seconds: int, words: str) -> None:
    assert span(seconds) == words


def _nobody() -> Any:
    raise ClusterUnreachable("there is none")


@pytest.fixture
def server() -> Iterator[Server]:
    board = Board(statuses.troubled(datetime.now(UTC)), connect=_nobody, place=None, leading=lambda: True)
    made = Server(address="127.0.0.1", port=0, routes=page.routes(board, lambda: "working"))
    made.start()
    yield made
    made.stop()


def get(server: Server, path: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def test_the_page_lets_a_browser_run_nothing_load_nothing_and_keep_nothing(server: Server) -> None:
    answer, body = get(server, "/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"].startswith("'sha256-")
    assert "script-src" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers.get_all("Content-Security-Policy") == [answer.headers["Content-Security-Policy"]]
    assert "<script" not in body
    for hostile in statuses.HOSTILE[:3]:
        assert hostile not in body


def test_its_data_is_the_same_status(server: Server) -> None:
    answer, body = get(server, "/status.json")
    assert answer.headers["Content-Type"] == "application/json"
    told = status.parse(body)
    assert told is not None
    assert (told.side, told.blocked.total) == ("importer", 46)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", None), ("?refresh=30", "30"), ("?refresh=1", "5"), ("?refresh=99999", "3600"), ("?refresh=%3Cb", None),
     ("?refresh=-1", None), ("?refresh=%D9%A3", None), ("?x", None)],
)  # fmt: skip
def test_it_refreshes_itself_only_when_told_to(server: Server, query: str, seconds: str | None) -> None:
    body = get(server, f"/{query}")[1]
    assert ('http-equiv="refresh"' in body) is (seconds is not None)
    assert seconds is None or f'content="{seconds}"' in body
