"""What the backups of volumes come to at a glance: which need somebody, and why, the worst first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import ExitCode
from drsyncer.service.status import MOST_ITEMS, Lack
from drsyncer.snapshot import State
from tests.unit.test_volume_listing import of
from tests.unit.volume_history import DATA, LOGS
from tests.unit.volume_records import NIGHT, RECORDS, REPOSITORY, claim, failed, left_out, snapshot, suspected, whole
from volumes.condition import condition
from volumes.listing import Stored


def test_backups_that_are_whole_there_and_young_need_nobody():
    confirmed = whole(3, state=State.EMPTY)
    found = condition(of({DATA: whole(1), LOGS: whole(2, state=State.UNCHANGED), claim("none"): confirmed}))

    assert (found.lacks, found.lacking.total) == ({}, 0)
    assert (found.volumes, found.states, found.asked) == (3, {"Complete": 2, "Unchanged": 1}, True)
    assert (found.oldest, found.max_age) == (NIGHT, 86_400.0)


def test_the_oldest_is_one_that_is_there():
    later = NIGHT + timedelta(hours=3)
    found = condition(of({DATA: whole(1, start=later), LOGS: whole(77), claim("none"): failed(None)}))

    assert found.oldest == later


@pytest.mark.parametrize(
    ("record", "more", "lacks"),
    [
        (whole(1), {"hours": 25}, {Lack.OLD}),
        (whole(1), {"hours": -2}, {Lack.OLD}),
        (whole(77), {}, {Lack.GONE}),
        (whole(1), {"stored": Stored(REPOSITORY, {snapshot(1).id})}, {Lack.UNLISTED}),
        (failed(None), {}, {Lack.NEVER_WHOLE, Lack.NOT_WHOLE}),
        (failed(None, State.EMPTY), {}, {Lack.NEVER_WHOLE, Lack.SUSPICIOUS}),
        (failed(1, State.EMPTY), {}, {Lack.SUSPICIOUS}),
        (suspected(failed(1, State.EMPTY)), {}, {Lack.SUSPICIOUS}),
        (suspected(failed(1, State.LOCKED)), {}, {Lack.SUSPICIOUS, Lack.NOT_WHOLE}),
        (failed(1, State.PARTIAL), {}, {Lack.NOT_WHOLE}),
        (failed(1, State.LOCKED), {"hours": 48}, {Lack.OLD, Lack.NOT_WHOLE}),
    ],
)
def test_what_is_wrong_with_a_volume_is_told_apart(record, more, lacks):
    found = condition(of({DATA: record}, **more))

    assert found.lacks == dict.fromkeys(map(str, lacks), 1)
    assert [item.what for item in found.lacking.items] == ["shop/data"]
    assert found.lacking.items[0].why


def test_what_there_is_of_a_volume_that_is_left_out_must_be_there_since_a_restore_brings_it():
    listed = of({DATA: left_out(whole(77))})

    assert condition(listed).lacks == {"gone": 1}
    assert (listed.exit_code, condition(listed).states) == (ExitCode.PARTIAL, {"LeftOut": 1})
    unlisted = of({DATA: left_out(whole(1))}, stored=Stored(REPOSITORY, {snapshot(1).id}))
    assert condition(unlisted).lacks == {"unlisted": 1}


@pytest.mark.parametrize("record", [whole(1), failed(1), failed(None, State.EMPTY)])
def test_a_volume_that_is_left_out_of_backups_needs_nobody_however_old_it_is(record):
    listed = of({DATA: left_out(record), LOGS: whole(2, start=NIGHT + timedelta(hours=48))}, hours=48)
    found = condition(listed)

    assert (found.lacks, found.lacking.total, listed.exit_code) == ({}, 0, ExitCode.DONE)
    assert found.states == {"LeftOut": 1, "Complete": 1}
    assert found.oldest == NIGHT + timedelta(hours=48)
    assert [row["leftOut"] for row in listed.to_data()["volumes"]] == [True, False]


def test_a_claim_without_a_backup_needs_somebody_once_one_must_have_come_by():
    new = condition(of({}, wanted=[DATA, LOGS], new=[DATA, LOGS]))
    assert (new.volumes, new.states, new.lacks) == (2, {"Waiting": 2}, {})

    one = condition(of({}, wanted=[DATA, LOGS], new=[DATA]))
    assert (one.states, one.lacks) == ({"Waiting": 1, "Never": 1}, {"never": 1})
    assert [(item.what, item.why) for item in one.lacking.items] == [("shop/logs", "was never backed up")]


def test_a_record_that_cannot_be_read_is_wrong():
    path = "volumes/shop/data.yaml"
    found = condition(of({}, faults={path: f"{path}: is no record of a backup"}))

    assert (found.volumes, found.lacks) == (1, {"unreadable": 1})
    assert [(item.what, item.why) for item in found.lacking.items] == [(path, "is no record of a backup")]


def test_the_list_is_bounded_and_the_worst_are_in_it():
    many = {claim(f"v{number:03}"): failed(1) for number in range(100)}
    found = condition(of(many | {claim("zz"): whole(77)}))

    assert (found.lacking.total, len(found.lacking.items)) == (101, MOST_ITEMS)
    assert found.lacking.items[0].what == "shop/zz"


@given(RECORDS, st.booleans(), st.floats(-10, 10_000))
def test_whatever_is_a_problem_for_the_list_is_one_here(record, there, hours):
    made = record.snapshot
    ids = {made.id, made.manifest} if made is not None and there else set()
    found = of({DATA: record}, stored=Stored(record.repository, ids), hours=hours)

    assert bool(condition(found).lacks) == (found.exit_code is ExitCode.PARTIAL)
