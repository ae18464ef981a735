"""What is known of verifications of the backups: it is not forgotten too early, and not by who did not look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from drsyncer.service import status, verification
from drsyncer.service.metrics import Metrics
from drsyncer.service.verification import Finding, Verdict, Verification, after, after_failure
from tests.unit import statuses

NOW = datetime(2026, 6, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)
EVERYWHERE = {"read": 100, "compared": 9}
DAMAGED = {"data": True, "text": "a pack is damaged"}
DIFFERENT = {"different": True, "text": "a file is not what it was"}
MISSING = {"missing": True, "text": "a snapshot is missing"}


def finding(days: int = 0, **found: Any) -> Finding:
    return Finding(
        **({"ended": NOW + days * DAY, "repository": "r", "read": 5, "compared": 1, "comparable": 9} | found)
    )


def test_a_verdict_says_what_it_is_about() -> None:
    known = after(None, finding())
    assert (known.verdict, known.judged, known.read, known.compared) == (Verdict.WHOLE, NOW, 5, 1)
    assert known.damage is None
    assert after(None, finding(text="a list is missing")).verdict is Verdict.UNLISTED
    assert verification.parse(verification.text_of(after(None, finding(**DAMAGED)))) == after(None, finding(**DAMAGED))


@pytest.mark.parametrize(
    ("found", "then", "stays"),
    [
        (DAMAGED, {}, True),
        (DAMAGED, {"read": 99, "compared": 9}, True),
        (DAMAGED, {"read": 100}, False),
        (DIFFERENT, {"read": 100}, True),
        (DIFFERENT, {"compared": 9}, False),
        (DAMAGED | DIFFERENT, {"read": 100}, True),
        (DAMAGED | DIFFERENT, EVERYWHERE, False),
        (MISSING, {}, False),
        (DAMAGED, {"repository": "another"}, False),
        (DAMAGED, EVERYWHERE | DAMAGED, True),
    ],
)
def test_damage_is_known_until_somebody_has_looked_there_again(
    found: dict[str, Any], then: dict[str, Any], *, stays: bool
) -> None:
    first = after(None, finding(**found))
    assert first.damage is not None
    second = after(first, finding(days=7, **then))
    assert (second.damage is not None) == stays
    if second.damage is not None:
        assert (second.damage.since, second.damage.text) == (NOW, found["text"])
    assert after_failure(first, ended=NOW + DAY, text="locked").damage == first.damage


def test_a_run_that_failed_is_no_verdict() -> None:
    first = after(None, finding())
    failed = after_failure(first, ended=NOW + DAY, text="the repository is locked")
    assert (failed.verdict, failed.ended, failed.judged, failed.read) == (Verdict.FAILED, NOW + DAY, NOW, 5)
    assert after_failure(None, ended=NOW, text="").judged is None


def test_it_is_due_from_the_last_verdict_or_from_when_it_was_first_awaited() -> None:
    side = verification.awaited(statuses.exporter(NOW), 7 * DAY.total_seconds(), since=NOW)
    assert verification.due(side) == NOW + 7 * DAY
    judged = after_failure(after(None, finding(days=2)), ended=NOW + 4 * DAY, text="")
    assert verification.due(msgspec.structs.replace(side, verification=judged)) == NOW + 9 * DAY
    assert verification.due(verification.awaited(statuses.exporter(NOW), None, since=NOW)) is None


def test_a_restart_does_not_put_it_off_and_forgets_nothing() -> None:
    known = after(None, finding(**DAMAGED))
    before = verification.awaited(statuses.exporter(NOW, verification=known), 60.0, since=NOW)
    now = verification.awaited(statuses.exporter(NOW), 60.0, since=NOW + DAY)
    resumed = status.resumed(now, before)
    assert (resumed.verification_awaited, resumed.verification) == (NOW, known)
    off = status.resumed(verification.awaited(statuses.exporter(NOW), None, since=NOW), before)
    assert verification.due(off) is None


def test_what_was_never_verified_is_seen_as_that() -> None:
    metrics = Metrics("exporter")
    verification.measure(metrics, verification.awaited(statuses.exporter(NOW), 60.0, since=NOW))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"dr_syncer_{name}", labels)

    assert value("verification_timestamp_seconds") == 0
    assert value("verification_due_timestamp_seconds") == NOW.timestamp() + 60
    assert {value("verification", result=str(verdict)) for verdict in Verdict} == {0}
    known = after(None, finding(**DAMAGED))
    verification.measure(metrics, statuses.exporter(NOW, verification=known))
    assert value("verification_timestamp_seconds") == NOW.timestamp()
    assert value("verification_due_timestamp_seconds") == 0
    assert (value("verification", result="damaged"), value("backups_damaged")) == (1, 1)
    assert value("verification_read_ratio") == 0.05


@pytest.mark.parametrize("text", ["", "{}", "[", '{"ended": "2026-01-01T00:00:00", "verdict": "whole"}'])
def test_what_nobody_of_us_wrote_is_no_verdict(text: str) -> None:
    assert verification.parse(text) is None
    newer = msgspec.structs.replace(Verification(ended=NOW, verdict=Verdict.WHOLE), version=2)
    assert verification.parse(verification.text_of(newer)) is None
