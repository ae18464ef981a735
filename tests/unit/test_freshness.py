"""How old what DR has is said to be, and when Git is said to have something newer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drsyncer.manifest import ObjectRef
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.service.metrics import Metrics
from importer.apply import Result
from importer.freshness import Freshness
from importer.observing import Why
from importer.outcome import Outcome
from importer.plan import Action, Step

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD, NEW = "a" * 40, "b" * 40
BEAT = Heartbeat(NOON + HOUR, NEW, True, "uid", NOON + HOUR + timedelta(minutes=1))


def outcome(commit: str, *, exported_at: datetime | None = NOON) -> Outcome:
    return Outcome("dr", "prod", commit, exported_at, None, False, True, (), head=commit)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("importer")


@pytest.fixture
def freshness(metrics: Metrics) -> Freshness:
    return Freshness(metrics)


def told(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value(f"dr_syncer_{name}")
    assert value is not None
    return value


def point(metrics: Metrics) -> float:
    return told(metrics, "recovery_point_timestamp_seconds")


def test_what_the_source_has_not_changed_since_is_as_young_as_the_sign_of_life(
    metrics: Metrics, freshness: Freshness
) -> None:
    freshness.imported(Why.COMMIT, outcome(NEW))
    assert point(metrics) == NOON.timestamp()

    freshness.beaten(BEAT)

    assert point(metrics) == BEAT.time.timestamp()
    assert told(metrics, "heartbeat_timestamp_seconds") == BEAT.time.timestamp()
    assert BEAT.due is not None
    assert told(metrics, "heartbeat_due_timestamp_seconds") == BEAT.due.timestamp()


@pytest.mark.parametrize("beat", [replace(BEAT, head=OLD), replace(BEAT, complete=False), replace(BEAT, head="")])
def test_a_sign_of_life_about_something_else_makes_nothing_younger(
    metrics: Metrics, freshness: Freshness, beat: Heartbeat
) -> None:
    freshness.imported(Why.COMMIT, outcome(NEW))
    freshness.beaten(beat)

    assert point(metrics) == NOON.timestamp()
    assert told(metrics, "heartbeat_incomplete") == float(not beat.complete)


def test_an_older_recovery_point_is_older(metrics: Metrics, freshness: Freshness) -> None:
    freshness.beaten(BEAT)
    freshness.imported(Why.COMMIT, outcome(NEW))
    freshness.imported(Why.COMMIT, outcome(OLD, exported_at=NOON - HOUR))

    assert point(metrics) == (NOON - HOUR).timestamp()


def test_an_import_that_dr_went_away_from_proves_nothing(metrics: Metrics, freshness: Freshness) -> None:
    freshness.looked(NEW, NOON, changed=True)
    lost = Result(Step(ObjectRef("configmaps", "shop", "app"), Action.UPDATE, ""), Action.BLOCKED, "", unreachable=True)
    freshness.imported(Why.COMMIT, replace(outcome(NEW), results=(lost,)))

    assert point(metrics) == 0
    assert freshness.recovery_point is None
    assert told(metrics, "behind") == 1


def test_what_git_has_waits_until_dr_has_it(metrics: Metrics, freshness: Freshness) -> None:
    freshness.looked(NEW, NOON, changed=True)
    assert told(metrics, "behind") == 1

    freshness.imported(Why.DRIFT, outcome(OLD))  # the last good one is kept up
    freshness.looked(NEW, NOON, changed=False)
    assert told(metrics, "behind") == 1

    freshness.imported(Why.COMMIT, outcome(NEW))
    assert told(metrics, "behind") == 0
