"""What there is of each volume, and what is wrong with it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.unit.volume_history import DATA, LOGS, SOURCE
from tests.unit.volume_records import NIGHT, RECORDS, REPOSITORY, claim, failed, snapshot, suspected, whole
from volumes.listing import Listing, Row, Stored, as_known, listing
from volumes.points import Point, Records

HOUR = 3600.0
ALL = Stored(REPOSITORY, {id_ for seed in range(9) for id_ in (snapshot(seed).id, snapshot(seed).manifest)})


def of(records, *, stored=ALL, wanted=(), new=(), faults=None, hours=6.0, max_age=24 * HOUR) -> Listing:
    point = Point("c" * 40, "c" * 40, NIGHT, SOURCE, Records(records, faults or {}), (), None)
    now = NIGHT + timedelta(hours=hours)
    return listing(point, wanted=wanted, new=new, stored=stored, max_age=max_age, now=now)


def row(record, **more) -> Row:
    (found,) = of({DATA: record}, **more).rows
    return found


def test_a_volume_with_a_young_snapshot_that_restic_has_is_well():
    found = of({DATA: whole(1), LOGS: whole(2, state=State.UNCHANGED)})

    assert found.exit_code is ExitCode.DONE
    assert [(one.claim, one.state, one.age, one.stored, one.problems) for one in found.rows] == [
        (DATA, State.COMPLETE, 6 * HOUR, True, ()),
        (LOGS, State.UNCHANGED, 6 * HOUR, True, ()),
    ]


def test_the_age_of_the_data_is_since_restic_began_to_read():
    assert row(whole(1), hours=25).problems == (
        "its newest whole snapshot is 1 day 1 hour old; volumes.maxAge is 1 day",
    )
    assert row(whole(1), hours=24).problems == ()
    # The clocks of two machines need not agree.
    assert row(whole(1), hours=-1).age == 0


def test_of_a_snapshot_that_is_still_to_come_nobody_knows_how_old_it_is():
    """Its age would be 0, and no alarm would come, until that time has passed."""
    found = row(whole(1), hours=-2)

    assert found.age is None
    assert found.problems == ("its snapshot is of 2026-03-01 03:00:00 UTC, which is still to come: a clock was wrong",)


def test_an_attempt_in_vain_is_a_problem_however_young_the_snapshot_is():
    found = row(failed(1, State.PARTIAL, reason="Changed"))

    assert (found.state, found.age, found.stored) == (State.PARTIAL, 6 * HOUR, True)
    assert found.problems == (
        "Partial at 2026-03-02 03:00:00 UTC (Changed); the newest whole snapshot is of 2026-03-01 03:00:00 UTC",
    )


def test_a_loss_that_nobody_confirmed_is_a_problem_whatever_the_last_attempt_ended_with():
    lost = suspected(failed(1))
    found = row(lost)

    assert (found.state, found.problems[1]) == (
        State.FAILED,
        "nothing of it is forgotten: its backup of 2026-03-02 03:00:00 UTC came out Shrunk: nobody confirmed that, and "
        "none after it was whole",
    )
    (data,) = of({DATA: lost}).to_data()["volumes"]
    assert (data["suspicion"]["reason"], data["suspicion"]["message"]) == ("Shrunk", lost.suspicion.message)


def test_a_snapshot_that_restic_does_not_have_is_no_protection():
    found = row(whole(77))

    assert (found.age, found.stored) == (None, False)
    assert found.problems == (f"its snapshot {snapshot(77).id[:8]} is not in the restic repository any more",)


def test_a_snapshot_without_its_manifest_cannot_be_verified():
    found = row(whole(1), stored=Stored(REPOSITORY, {snapshot(1).id}))

    assert (found.age, found.stored) == (6 * HOUR, True)
    assert "the list of its files" in found.problems[0]
    assert row(whole(1, manifest=""), stored=Stored(REPOSITORY, {snapshot(1).id})).problems == ()


def test_a_snapshot_of_another_repository_is_not_looked_for_in_this_one():
    found = row(whole(1), stored=Stored("cd" * 32, ALL.snapshots))

    assert (found.age, found.stored) == (None, False)
    assert "and the configured one is cdcdcdcd" in found.problems[0]


def test_without_restic_the_age_is_what_git_says():
    found = of({DATA: whole(1)}, stored=None)

    assert (found.rows[0].age, found.rows[0].stored) == (6 * HOUR, None)
    assert found.exit_code is ExitCode.DONE


def test_what_restic_did_not_have_it_is_not_taken_to_have_while_nobody_asks_it():
    without_list = snapshot(3)
    stored = Stored(REPOSITORY, ALL.snapshots - {without_list.manifest})
    records = {DATA: whole(77), LOGS: whole(3), claim("fine"): whole(1)}
    before = of(records, stored=stored)
    later = of(records, stored=None, hours=25)

    gone, fine, unlisted = as_known(later, before).rows
    assert (gone.age, gone.stored, gone.unlisted) == (None, False, False)
    when = "was not in the restic repository when that last answered"
    assert gone.problems[0] == f"its snapshot {snapshot(77).id[:8]} {when}"
    assert (unlisted.age, unlisted.stored, unlisted.unlisted) == (25 * HOUR, None, True)
    assert unlisted.problems[0] == f"the list of its files, {without_list.manifest[:8]}, {when}"
    assert fine == later.rows[1]
    assert fine.stored is None


def test_of_a_snapshot_that_is_newer_than_the_last_answer_nothing_is_known():
    before = of({DATA: whole(77)})

    for later in (whole(78), failed(None), whole(77, manifest="")):
        found = of({DATA: later}, stored=None)
        assert as_known(found, before) == found
    attempted = as_known(of({DATA: failed(77)}, stored=None), before)
    assert attempted.rows[0].stored is False


@pytest.mark.parametrize(
    "more",
    [
        {"records": {DATA: failed(None)}},
        {"records": {}, "wanted": [LOGS]},
        {"records": {}, "faults": {"volumes/shop/data.yaml": "is broken"}},
    ],
)
def test_what_is_not_protected_ends_in_3(more):
    assert of(**more).exit_code is ExitCode.PARTIAL


def test_a_claim_that_was_never_backed_up_stands_among_the_others():
    found = of({LOGS: whole(1)}, wanted=[DATA])

    assert [one.claim for one in found.rows] == [DATA, LOGS]
    assert (found.rows[0].state, found.rows[0].problems) == (None, ("was never backed up",))


def test_the_json_of_a_volume_has_all_of_it():
    data = of({DATA: failed(1)}).to_data()

    assert data["volumes"] == [
        {
            "claim": "shop/data",
            "state": "Failed",
            "complete": False,
            "snapshot": snapshot(1).id,
            "snapshotState": "Complete",
            "start": "2026-03-01T03:00:00+00:00",
            "end": "2026-03-01T03:00:08+00:00",
            "files": 3,
            "bytes": 1_258_291,
            "rpoSeconds": 21_600.0,
            "stored": True,
            "leftOut": False,
            "lastAttempt": {
                "state": "Failed",
                "start": "2026-03-02T03:00:00+00:00",
                "end": "2026-03-02T03:00:02+00:00",
                "reason": "WrongPassword",
                "message": "the password is wrong",
                "snapshot": None,
            },
            "suspicion": None,
            "problems": list(row(failed(1)).problems),
        }
    ]
    assert (data["complete"], data["resticAsked"], data["maxAgeSeconds"]) == (False, True, 86_400.0)


@given(RECORDS, st.booleans(), st.floats(-10, 10_000))
def test_a_volume_is_well_only_when_its_data_is_whole_there_and_young(record, there, hours):
    made = record.snapshot
    ids = {made.id, made.manifest} if made is not None and there else set()
    found = row(record, stored=Stored(record.repository, ids), hours=hours)

    age = (NIGHT + timedelta(hours=hours) - made.start).total_seconds() if made is not None else 0.0
    assert (not found.problems) == (record.complete and there and -HOUR <= age <= 24 * HOUR)
    assert (found.age is not None) == (made is not None and there and age >= -HOUR)
