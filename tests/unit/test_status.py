"""The status of a side as a value: bounded, without secrets, read again by whoever comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.service import status
from drsyncer.service.status import Backups, Commit, Item, Lack, Listed, Request, Result, Run, State, Status, Trouble

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def told(**changed: Any) -> Status:
    """What an exporter says that has just begun."""
    return Status(**({"side": "exporter", "name": "prod", "cluster": "prod", "started": NOON, "told": NOON} | changed))


def run(**changed: Any) -> Run:
    known = {"cause": "full", "begun": NOON, "ended": NOON + MINUTE, "result": Result.DONE, "exit_code": 0}
    return Run(**(known | changed))


times = st.datetimes(timezones=st.just(UTC))
texts = st.text(max_size=50)
runs = st.builds(
    Run,
    cause=texts,
    begun=times,
    ended=times,
    result=st.sampled_from(Result),
    exit_code=st.integers(0, 130),
    reason=texts,
)
statuses = st.builds(
    Status,
    side=st.sampled_from(["exporter", "importer"]),
    name=texts,
    cluster=texts,
    started=times,
    told=times,
    state=st.sampled_from(State),
    last_run=st.none() | runs,
    last_success=st.none() | times,
    request=st.none() | st.builds(Request, value=texts, seen=times, run=st.none() | runs),
    blocked=st.lists(st.tuples(texts, texts), max_size=40).map(status.listed),
    left_out=st.dictionaries(texts, st.integers(0)),
    troubles=st.lists(st.builds(Trouble, texts, texts, times), max_size=3).map(tuple),
    commits=st.lists(st.builds(Commit, id=texts, time=times), max_size=3).map(tuple),
)


@given(statuses)
def test_what_is_written_is_read_again(value: Status) -> None:
    assert status.parse(status.text_of(value)) == value


@given(st.text() | st.sampled_from(["", "{}", "[]", "null", '{"version": 2}', "[" * 10_000]))
def test_what_nobody_of_us_wrote_is_nothing(text: str) -> None:
    assert status.parse(text) is None


def test_what_a_newer_version_added_does_no_harm() -> None:
    data = msgspec.to_builtins(told()) | {"fromTheFuture": [1, 2]}
    assert status.parse(msgspec.json.encode(data).decode()) == told()
    assert status.parse(msgspec.json.encode(data | {"version": 2}).decode()) is None


@given(st.lists(st.tuples(st.text(max_size=2_000), st.text(max_size=2_000)), max_size=100))
def test_lists_are_bounded_and_tell_how_many_there_are(found: list[tuple[str, str]]) -> None:
    made = status.listed(found)
    assert made.total == len(found)
    assert len(made.items) == min(len(found), status.MOST_ITEMS)
    assert all(len(item.what) <= status.LONGEST and len(item.why) <= status.LONGEST for item in made.items)


def test_the_largest_status_fits_into_a_configmap() -> None:
    long = "\N{PILE OF POO}" * 5_000
    many = [(f"{number} {long}", long) for number in range(1_000)]
    types = {(f"{number} {long}", f"{number} {long}"): number for number in range(1_000)}
    value = told(
        protected=status.protected(types),
        **{name: status.listed(many) for name in ("blocked", "incomplete", "held", "drifted")},
        **{name: status.listed(many) for name in ("volumes_behind", "volumes_excluded")},
        backups=Backups(lacking=status.listed(many), lacks=dict.fromkeys(Lack, 1_000)),
        troubles=(Trouble(status.said(long), status.said(long), NOON),) * status.MOST_TROUBLES,
        warnings=(status.said(long),) * status.MOST_ITEMS,
        commits=(Commit(id="a" * 64, time=NOON, subject=status.said(long)),) * status.MOST_COMMITS,
    )
    assert len(status.text_of(value).encode()) < 900_000


def test_what_looks_like_a_secret_is_masked() -> None:
    assert status.said("push to https://me:hunter2@git.example.com failed") == (
        "push to https://***@git.example.com failed"
    )
    assert status.listed([("a", "Authorization: Bearer abcdefghijk")]).items[0].why == "Authorization: Bearer ***"


def test_what_moves_all_the_time_is_no_news() -> None:
    before = told()
    later = msgspec.structs.replace(before, told=NOON + MINUTE, heartbeat=NOON, pending=7, looked=NOON, compared=NOON)
    later = msgspec.structs.replace(later, backups_as_of=NOON, heartbeat_due=NOON + MINUTE, recovery_point=NOON)
    assert status.same(before, later)
    assert not status.same(before, msgspec.structs.replace(before, unpushed=1))
    assert not status.same(before, msgspec.structs.replace(before, last_run=run()))


def test_the_next_service_goes_on_from_what_the_one_before_knew() -> None:
    before = told(
        state=State.ENDED,
        last_run=run(),
        last_success=NOON,
        settled=NOON,
        request=Request(value="now", seen=NOON, run=run()),
        blocked=Listed(1, (Item("shop/configmaps/app", "no"),)),
        troubles=(Trouble("the source cluster", "is away", NOON),),
        commits=(Commit(id="b", time=NOON), Commit(id="a", time=NOON)),
    )
    now = status.resumed(told(mode="manual"), before)
    assert (now.state, now.mode, now.troubles) == (State.WORKING, "manual", ())
    assert (now.last_run, now.settled, now.request) == (before.last_run, NOON, before.request)
    assert (now.blocked, now.commits) == (before.blocked, before.commits)


def test_a_run_that_came_first_counts_and_what_it_found_to_be_well_is_well() -> None:
    before = told(
        last_run=run(),
        blocked=Listed(1, (Item("shop/configmaps/app", "no"),)),
        commits=(Commit(id="a", time=NOON),),
        last_failure=run(result=Result.FAILED),
    )
    ours = run(cause="change")
    now = status.resumed(told(last_run=ours, commits=(Commit(id="b", time=NOON),)), before)
    assert (now.last_run, now.blocked.total) == (ours, 0)
    assert now.last_failure == before.last_failure
    assert [commit.id for commit in now.commits] == ["b", "a"]


def test_another_sides_status_is_nobodys() -> None:
    now = told()
    assert status.resumed(now, told(name="other", last_run=run())) == now
    assert status.resumed(now, told(side="importer", last_run=run())) == now


@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "y"])), st.integers(1, 9)))
def test_every_object_is_counted_by_type_and_the_namespaced_ones_by_namespace(counts: dict[Any, int]) -> None:
    made = status.protected(counts)
    assert made.objects == sum(counts.values()) == sum(made.types.most.values())
    assert sum(made.namespaces.most.values()) == sum(count for (_, where), count in counts.items() if where)
