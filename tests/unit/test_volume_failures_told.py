"""Whatever is not whole is told everywhere: in every state and for every reason that a mover, or a restore, may end.

Exit codes, Events, metrics, records, markers and lists are each told by a rule of their own; here is what they have in
common. Which fault gives which state and reason is the business of the tests with real movers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import msgspec
import pytest

from cli.volumes_following import Told
from cli.volumes_watching import Ages
from drsyncer.errors import ExitCode
from drsyncer.restored import Marker, Progress
from drsyncer.service import reasons
from drsyncer.service.board import Board
from drsyncer.service.judging import concerns
from drsyncer.service.metrics import Metrics
from drsyncer.snapshot import Record, State, decode, encode
from tests.unit import statuses
from tests.unit.movers import BY, WHEN, complete, job, pod, said, snapshot, terminated
from tests.unit.test_volume_selecting import claim as manifest_of_claim
from tests.unit.volume_history import SOURCE
from tests.unit.volume_records import claim
from volumes import mover
from volumes.claims import claim_of
from volumes.endings import Seen, ending, is_good
from volumes.following import Follower
from volumes.listing import Listing, Stored, listing
from volumes.marking import finished, of_what_began
from volumes.outcome import Backup, Outcome
from volumes.points import Point, Records
from volumes.recording import event, reason_of
from volumes.remembering import remember
from volumes.restore_outcome import EVENTS, Done, Ending, undone
from volumes.restore_outcome import Outcome as Restored
from volumes.restore_plan import ACTIONS, Action, Key, Step, Why
from volumes.restore_run import Restores
from volumes.result import Reason, Result
from volumes.selecting import Choice, Chosen

LATER = WHEN + timedelta(days=1)
AFTER = LATER + timedelta(days=1)
REPOSITORY = "c" * 64

# Backups: from a mover's last words to the recovery point and the metric.


def result(state: State, reason: Reason) -> Result:
    """Return a result that has this state and reason, and whatever else it may have."""
    made = msgspec.structs.replace(snapshot(state), id="e" * 64) if state in (State.PARTIAL, State.EMPTY) else None
    return Result(
        state=state,
        start=LATER,
        end=LATER + timedelta(minutes=1),
        repository=REPOSITORY,
        snapshot=made,
        reason=reason,
        message="it is as it is",
    )


NOT_WHOLE = [one for one in (result(*both) for both in product(State, Reason)) if not is_good(one)]
each_failure = pytest.mark.parametrize("failure", NOT_WHOLE, ids=lambda one: f"{one.state} {one.reason}")


def test_every_reason_is_among_them_and_no_state_that_is_whole() -> None:
    assert {one.reason for one in NOT_WHOLE} == set(Reason)
    assert {one.state for one in NOT_WHOLE} == {state for state in State if not state.whole}


@each_failure
def test_a_mover_ends_with_a_code_and_its_last_words_are_believed(failure: Result) -> None:
    code = mover.exit_code(failure)
    assert code is not ExitCode.DONE
    for given in (int(code), 0):  # a kubelet that reports another code makes nothing good
        seen = Seen(job(), (pod(terminated(said(failure), code=given), phase="Failed"),))
        assert ending(seen, since=WHEN, now=LATER) == failure


@each_failure
def test_a_run_ends_with_a_code_also_when_all_others_are_whole(failure: Result) -> None:
    def code(*results: Result) -> ExitCode:
        chosen = Chosen(claim_of(manifest_of_claim()), Choice.SELECTED, "select", "why")
        return Outcome("prod", "run", False, [Backup(chosen, one) for one in results]).exit_code

    assert code(failure) is ExitCode.FAILED
    assert code(complete(), failure) is ExitCode.PARTIAL


@each_failure
def test_an_event_about_the_claim_names_state_reason_and_sentence(failure: Result) -> None:
    words = f"{failure.reason}: {failure.message}"
    told = event(manifest_of_claim(), reason_of(failure), words, run="run", now=LATER)

    shown = failure.state if failure.state in (State.PARTIAL, State.EMPTY, State.LOCKED) else State.FAILED
    assert (told["type"], told["reason"]) == ("Warning", f"Backup{shown}")
    assert told["message"] == words


def seen_from_dr(record: Record) -> Listing:
    """Return what DR sees of a volume whose record is this one. restic has all that it ever had."""
    point = Point("c" * 40, "c" * 40, LATER, SOURCE, Records({claim(): record}, {}), (), None)
    every = Stored(REPOSITORY, {snapshot().id, "e" * 64})
    return listing(point, wanted=(), stored=every, max_age=None, now=LATER)


@each_failure
@pytest.mark.parametrize("had", [True, False], ids=["had a whole one", "had none"])
def test_no_recovery_point_looks_whole_by_it(failure: Result, had: bool) -> None:
    before = remember(None, complete(), now=AFTER) if had else None
    record = decode(encode(remember(before, failure, now=AFTER)))

    assert not record.complete
    assert record.snapshot == (complete().snapshot if had else None)
    assert record.attempt is not None
    assert (record.attempt.state, record.attempt.reason) == (failure.state, failure.reason)
    found = seen_from_dr(record)
    assert not found.point.records.complete
    assert found.exit_code is ExitCode.PARTIAL
    assert found.rows[0].problems
    assert str(failure.state) in found.point.records.lacking[0]


def board() -> Board:
    def nobody() -> None:
        raise AssertionError("nothing is kept in a cluster")

    first = statuses.importer(LATER)
    return Board(first, connect=nobody, place=None, leading=lambda: True)  # type: ignore[arg-type]


def gauges(metrics: Metrics, name: str) -> dict[str, float]:
    """Return the values of a gauge that are not 0, by its label `state`."""
    (found,) = (one for one in metrics.registry.collect() if one.name == f"dr_syncer_{name}")
    return {sample.labels["state"]: sample.value for sample in found.samples if sample.value}


@each_failure
def test_a_metric_counts_it_by_its_state_until_there_is_a_whole_one(failure: Result) -> None:
    metrics = Metrics("importer")
    ages = Ages(metrics, board())
    before = remember(None, complete(), now=AFTER)

    ages.seen(seen_from_dr(remember(before, failure, now=AFTER)))
    assert gauges(metrics, "volume_backups") == {str(failure.state): 1}

    ages.seen(seen_from_dr(before))
    assert gauges(metrics, "volume_backups") == {"Complete": 1}


def test_a_volume_that_somebody_knows_to_be_empty_is_no_failure_for_the_metric() -> None:
    metrics = Metrics("importer")
    confirmed = Result(state=State.EMPTY, start=WHEN, end=WHEN, repository=REPOSITORY, snapshot=snapshot(State.EMPTY))

    Ages(metrics, board()).seen(seen_from_dr(remember(None, confirmed, now=AFTER)))

    assert gauges(metrics, "volume_backups") == {"Complete": 1}


# Restores: from a mover's last words, or the plan, to the marker and the metric.

KEY = Key("shop", "data")
MARKER = Marker(
    claim="uid",
    source="shop/data",
    host="prod",
    repository=REPOSITORY,
    snapshot="a" * 64,
    tree="b" * 64,
    commit="c" * 40,
    run=BY.run,
    state=Progress.IN_PROGRESS,
    started=WHEN,
)


def step(why: Why = Why.OTHER_SNAPSHOT) -> Step:
    return Step(KEY, KEY, why, "it is as it is", Record(repository=REPOSITORY, snapshot=snapshot()))


NOT_RESTORED = [
    *(Done(step(), Ending.PARTIAL, "Differs", "it is as it is"), Done(step(), Ending.FAILED, "Lost", "it is gone")),
    *(undone(step(why)) for why, action in ACTIONS.items() if action in (Action.REFUSED, Action.LEFT_OUT)),
]
each_ending = pytest.mark.parametrize("done", NOT_RESTORED, ids=lambda one: f"{one.ending} {one.reason}")


@each_failure
def test_a_volume_whose_restore_was_not_whole_is_half_and_failed_or_partial(failure: Result) -> None:
    marker = finished(MARKER, failure)
    assert marker.half
    assert marker.reason

    ended = Restores(None, None)._ended(step(), failure)  # type: ignore[arg-type]
    assert ended.ending in (Ending.PARTIAL, Ending.FAILED)
    assert ended.reason
    assert ended.ending in EVENTS


@pytest.mark.parametrize("other", ["e" * 64, ""])
def test_a_volume_that_somebody_else_restored_into_is_not_called_whole(other: str) -> None:
    restored = msgspec.structs.replace(snapshot(), id=other) if other else None
    said = Result(state=State.COMPLETE, start=WHEN, end=WHEN, snapshot=restored)

    found = of_what_began(MARKER, said)

    assert (found.state, found.reason, finished(MARKER, found).half) == (State.PARTIAL, "OtherSnapshot", True)
    same = msgspec.structs.replace(said, snapshot=msgspec.structs.replace(snapshot(), id=MARKER.snapshot))
    assert of_what_began(MARKER, same) == same


@pytest.mark.parametrize(
    ("ran", "touched", "unlooked"), [(False, True, True), (True, True, False), (True, False, True)]
)
def test_only_a_mover_that_ran_has_looked_into_the_volume(ran: bool, touched: bool, unlooked: bool) -> None:
    """One that was lost before may have been about to find somebody's data, and the next one must look for it."""
    begun = msgspec.structs.replace(MARKER, unlooked=True)
    lost = Result(state=State.FAILED, start=WHEN, end=WHEN, reason=Reason.LOST, message="why", ran=ran, touched=touched)

    assert finished(begun, lost).unlooked is unlooked
    assert not finished(MARKER, lost).unlooked
    assert not finished(begun, Result(state=State.COMPLETE, start=WHEN, end=WHEN)).unlooked


def outcome(*done: Done) -> Restored:
    return Restored("dr", "prod", "c" * 40, LATER, planned_only=False, volumes=done)


@each_ending
def test_a_restore_ends_with_a_code_also_when_all_others_are_whole(done: Done) -> None:
    assert outcome(done).exit_code is not ExitCode.DONE
    assert outcome(done, undone(step(), Ending.RESTORED)).exit_code is not ExitCode.DONE
    assert (done.ending in EVENTS) is (done.ending is not Ending.LEFT_OUT)


@each_ending
def test_metrics_the_status_and_an_event_tell_what_did_not_follow(done: Done) -> None:
    metrics, shown, events = Metrics("importer"), board(), list[tuple[str, str]]()
    told = Told(metrics, shown, lambda reason, message, subject="": events.append((reason.name, message)))

    told.restored(outcome(done, undone(step(), Ending.RESTORED)))

    assert gauges(metrics, "volumes") == {str(done.ending): 1, "whole": 1}
    now, lacks = shown.current(), done.step.why is not Why.NO_RECORD  # of that one, the recovery point has no data
    assert (now.volumes, now.volumes_behind.total) == (1, lacks)
    assert ("without the data of the recovery point" in str(concerns(now, LATER))) is lacks
    # What was never backed up whole is the backup's to tell; all else is tried again, and told.
    may_help = done.step.why not in (Why.NO_RECORD, Why.NO_SNAPSHOT)
    assert followed(told, outcome(done)) is may_help
    assert [name for name, _ in events] == [reasons.VOLUMES_NOT_RESTORED.name] * may_help


def test_a_claim_that_waits_for_its_first_backup_leaves_the_status_well_where_volumes_follow() -> None:
    metrics, shown = Metrics("importer"), board()
    well = concerns(shown.current(), LATER)
    point = Point("c" * 40, "c" * 40, LATER, SOURCE, Records({}, {}), (claim(),), None)
    waiting = listing(point, wanted=[claim()], new=[claim()], stored=None, max_age=None, now=LATER)

    Ages(metrics, shown).seen(waiting)
    Told(metrics, shown, lambda *_: None).restored(outcome(undone(step(Why.NO_RECORD))))

    assert gauges(metrics, "volumes") == {"left out": 1}
    assert concerns(shown.current(), LATER) == well


def test_a_record_that_nobody_can_read_is_told_as_a_volume_whose_data_did_not_follow() -> None:
    metrics, shown = Metrics("importer"), board()
    told = Told(metrics, shown, lambda *_: None)
    whole = replace(outcome(undone(step(), Ending.RESTORED)), faults=("volumes/shop/data.yaml: is no record",))

    told.restored(whole)

    assert gauges(metrics, "volumes") == {"failed": 1, "whole": 1}
    (item,) = shown.current().volumes_behind.items
    assert (item.what, item.why) == ("volumes/shop/data.yaml", "is no record")


def followed(told: Told, ended: Restored) -> bool:
    """Let a follower do one turn that ends so; return whether it will try again."""
    follower = Follower(lambda *_: ended, leading=lambda: True, observer=told)
    follower.imported("c" * 40, changed=True)
    follower._due = False
    follower._turn("c" * 40)
    return follower._due
