"""Which snapshots are kept. In doubt, all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.config.volumes import Retention
from drsyncer.snapshot import State
from tests.unit.volume_records import REPOSITORY, claim, failed, snapshot, suspected, whole
from volumes import retention
from volumes.answers import Listed
from volumes.retention import Knowledge, kept_points, knowledge_of

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
NOTHING = Retention(last=0, hourly=0, daily=0, weekly=0, monthly=0, yearly=0, recoveryPoints=0, recoveryPointDays=0)


def listed(
    seed: int, *, age: float, of: str = "shop/data", manifest_of: int | None = None, state: str = "", **more
) -> Listed:
    """A snapshot of a mover, so many days old."""
    tags = (f"pvc={of}", "run=1") + (() if manifest_of is None else (f"manifest-of={manifest_of:064x}",))
    tags += (f"state={state}",) if state else ()
    given_ = {"hostname": "prod", "tags": tags} | more
    return Listed(id=f"{seed:064x}", tree="0" * 64, time=NOW - timedelta(days=age), **given_)


def ids(*seeds: int) -> frozenset[str]:
    return frozenset(f"{seed:064x}" for seed in seeds)


def plan(found, *, named=(), known=(), policy=NOTHING, blocked=None):
    knowledge = Knowledge(dict.fromkeys(ids(*named), "shop/data"), ids(*known, *named), blocked or {})
    return retention.plan(found, knowledge, policy, host="prod", now=NOW)


def forgotten(found, **more) -> set[int]:
    return {int(id_, 16) for id_ in plan(found, **more).forget}


DAYS = [listed(age, age=age) for age in range(10)]


def lists(*seeds: int, state: str = "Complete", **more) -> list[Listed]:
    """The lists of files of snapshots of `DAYS`, or like them."""
    return [listed(1000 + seed, age=seed, manifest_of=seed, state=state, **more) for seed in seeds]


def test_what_a_kept_recovery_point_names_stays_whatever_the_policy_says():
    assert forgotten(DAYS, known=range(10), named=[7]) == set(range(1, 10)) - {7}


def test_the_newest_whole_snapshot_stays_whatever_the_policy_says():
    assert forgotten(DAYS, known=range(10)) == set(range(1, 10))


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({"last": 3}, {0, 1, 2}),
        ({"daily": 2}, {0, 1}),
        ({"hourly": 2}, {0, 1}),
        ({"last": 1, "weekly": 3}, {0, 1, 8}),  # the 15th is a Monday
        ({"monthly": 5}, {0}),
        ({"last": 2, "yearly": 9}, {0, 1}),
    ],
)
def test_the_policy_counts_whole_snapshots_of_a_volume(policy, kept):
    wanted = NOTHING.model_copy(update=policy)

    assert forgotten(DAYS, known=range(10), policy=wanted) == set(range(10)) - kept


def test_partial_snapshots_take_no_place_of_whole_ones():
    # Of the newest five, three were not whole.
    assert forgotten(DAYS, known=[1, 3, 5, 6, 9], policy=NOTHING.model_copy(update={"last": 3})) == {6, 7, 8, 9}


def test_partial_snapshots_go_after_a_week_and_not_before_a_newer_whole_one():
    assert forgotten([listed(1, age=20), listed(2, age=30)], known=[1]) == {2}
    assert forgotten([listed(1, age=20), listed(2, age=30)], known=[2]) == set()
    assert forgotten([listed(1, age=1), listed(2, age=3)], known=[1]) == set()
    assert forgotten([listed(2, age=300)]) == set()


@pytest.mark.parametrize("state", ["Complete", "Unchanged"])
def test_a_history_that_is_lost_takes_away_no_copy_that_the_policy_counts(state):
    policy = NOTHING.model_copy(update={"daily": 5, "weekly": 3})
    found = DAYS + lists(*range(10), state=state)
    before = forgotten(found, known=range(10), policy=policy)

    # The branch was begun anew, and the exporter has brought the newest records since.
    assert before == {5, 6, 7, 9, 1005, 1006, 1007, 1009}
    assert forgotten(found, named=[0], policy=policy) == before - {5, 6, 1005, 1006}, "for a week, all are kept"


@pytest.mark.parametrize(
    "witness",
    [
        lists(8, 9, state="Partial"),
        lists(8, 9, state="Empty"),  # it seems to have lost its data
        lists(8, 9, state=""),
        lists(8, 9, state="Complete", of="shop/logs"),
        lists(8, 9, state="Complete", hostname="elsewhere"),
        lists(8, 9, state="Newer"),
    ],
)
def test_whoever_does_not_say_that_a_snapshot_is_whole_is_no_witness(witness):
    policy = NOTHING.model_copy(update={"daily": 10})

    assert forgotten(DAYS + witness, known=range(8), policy=policy) & {8, 9} == {8, 9}
    assert not forgotten(DAYS + lists(8, 9), known=range(8), policy=policy) & {8, 9}


def test_the_snapshot_of_nothing_is_whole_since_somebody_confirmed_that():
    policy = NOTHING.model_copy(update={"daily": 10})
    empty = listed(50, age=50, paths=("/.dr-syncer-empty",))

    assert forgotten([*DAYS, empty, *lists(50, state="Empty")], known=range(10), policy=policy) == {50, 1050}
    policy = NOTHING.model_copy(update={"daily": 11})
    assert forgotten([*DAYS, empty, *lists(50, state="Empty")], known=range(10), policy=policy) == set()


def test_what_git_does_not_know_pushes_out_nothing_that_it_knows():
    found = [listed(age, age=age) for age in range(10, 100, 10)]
    found += lists(20, 40, 60, 80)  # whoever may add to the repository can say so

    gone = forgotten(found, known=range(10, 100, 20), policy=NOTHING.model_copy(update={"last": 3}))

    assert gone == {40, 60, 70, 80, 90, 1040, 1060, 1080}


def test_a_manifest_lives_as_long_as_its_snapshot():
    found = [listed(1, age=1), listed(2, age=2), listed(11, age=1, manifest_of=1), listed(12, age=2, manifest_of=2)]

    assert forgotten(found, known=[1, 2]) == {2, 12}
    assert forgotten(found, known=[1], named=[2]) == set()
    # One whose snapshot is gone is of no use, unless somebody still names it.
    assert forgotten([listed(1, age=1), listed(13, age=9, manifest_of=3)], known=[1]) == {13}
    assert forgotten([listed(1, age=1), listed(13, age=9, manifest_of=3)], known=[1], named=[13]) == set()
    assert forgotten([listed(1, age=1), listed(13, age=1, manifest_of=3)], known=[1]) == set()


@pytest.mark.parametrize(
    "foreign",
    [
        {"hostname": "elsewhere"},
        {"tags": ()},
        {"tags": ("pvc=shop/data",)},
        {"tags": ("run=1", "nightly")},
        {"tags": ("xpvc=shop/data", "xrun=1")},
    ],
)
def test_what_others_keep_in_the_repository_is_never_touched(foreign):
    found = [listed(1, age=1), listed(2, age=900, **foreign)]

    made = plan(found, known=[1, 2])

    assert made.forget == ()
    assert (made.others, len(made.verdicts)) == (1, 1)


def test_nothing_is_forgotten_of_a_volume_that_came_out_empty_until_somebody_confirms_it():
    other = [listed(100 + age, age=age, of="shop/logs") for age in range(3)]
    known = [*range(10), 100, 101, 102]

    assert forgotten(DAYS + other, known=known, blocked={"shop/data": "is Empty"}) == {101, 102}


def test_nothing_is_forgotten_of_a_volume_whose_recovery_points_name_what_is_not_there():
    made = plan(DAYS, known=range(10), named=[77])

    assert made.forget == ()
    assert made.missing == {"shop/data": (f"{77:064x}",)}
    assert "not there" in made.blocked["shop/data"]


def test_recovery_points_are_kept_by_age_count_and_tag():
    times = [NOW - timedelta(days=age) for age in range(100)]
    policy = NOTHING.model_copy(update={"recovery_points": 3, "recovery_point_days": 5})

    assert kept_points(times, policy, tagged={80}, now=NOW) == {0, 1, 2, 3, 4, 5, 80}
    assert kept_points(times, NOTHING.model_copy(update={"recovery_points": 7}), tagged=(), now=NOW) == set(range(7))
    assert kept_points(times, NOTHING, tagged=(), now=NOW + timedelta(days=1)) == {0}
    assert kept_points([], policy, tagged=(), now=NOW) == set()


def test_a_recovery_point_names_the_snapshot_its_manifest_and_what_there_is_of_an_attempt():
    got = snapshot(7, state=State.PARTIAL)
    partial = failed(1, State.PARTIAL, snapshot=got.id, made=got)
    other = msgspec.structs.replace(whole(5), repository="00" * 32)

    known = knowledge_of(
        [(True, {claim(): partial}), (False, {claim(): whole(3)}), (True, {claim("logs"): other})],
        {claim(): partial},
        repository=REPOSITORY,
    )

    made = snapshot(1)
    assert known.named == dict.fromkeys((made.id, made.manifest, got.id, got.manifest), "shop/data")
    assert known.whole == {made.id, snapshot(3).id}
    assert known.blocked == {}


def test_a_volume_whose_newest_backup_is_empty_is_blocked():
    empty = failed(1, State.EMPTY, reason="Shrunk")

    known = knowledge_of([], {claim(): empty, claim("logs"): failed(2)}, repository=REPOSITORY)

    assert known.blocked == {
        "shop/data": "its backup of 2026-03-02 03:00:00 UTC came out Shrunk: nobody confirmed that, and none after it "
        "was whole"
    }
    confirmed = whole(2, state=State.EMPTY, files=0, bytes=0)
    assert knowledge_of([], {claim(): confirmed}, repository=REPOSITORY).blocked == {}


def test_a_volume_stays_blocked_when_its_next_backup_fails():
    lost = suspected(failed(1), snapshot="ef" * 32)

    known = knowledge_of([(True, {claim(): lost})], {claim(): lost, claim("logs"): failed(2)}, repository=REPOSITORY)

    assert list(known.blocked) == ["shop/data"]
    assert "ef" * 32 in known.named


# Properties

COUNTS = st.integers(0, 4)
POLICIES = st.builds(
    Retention,
    **dict.fromkeys(("last", "hourly", "daily", "weekly", "monthly", "yearly", "recoveryPoints"), COUNTS),
    recoveryPointDays=COUNTS,
)
SEEDS = st.integers(0, 40)
STATES = st.sampled_from(["Complete", "Complete", "Unchanged", "Empty", "Partial", ""])


@st.composite
def repositories(draw):
    """Snapshots of some volumes, manifests of some of them, what others keep there, and what is known of it all."""
    found = {}
    for seed in draw(st.sets(SEEDS, max_size=25)):
        kind = draw(st.sampled_from(["data", "data", "data", "manifest", "foreign"]))
        age = draw(st.floats(0, 900) | st.floats(0, 3))
        of = draw(st.sampled_from(["shop/data", "shop/logs"]))
        if kind == "foreign":
            found[seed] = listed(
                seed, age=age, **draw(st.sampled_from([{"hostname": "other"}, {"tags": ("pvc=x/y",)}]))
            )
        else:
            more = {"manifest_of": draw(SEEDS), "state": draw(STATES)} if kind == "manifest" else {}
            found[seed] = listed(seed, age=age, of=of, **more)
    named = {f"{seed:064x}": draw(st.sampled_from(["shop/data", "shop/logs"])) for seed in draw(st.sets(SEEDS))}
    if draw(st.booleans()):
        named = {id_: of for id_, of in named.items() if int(id_, 16) in found}
    blocked = draw(st.dictionaries(st.sampled_from(["shop/data", "shop/logs"]), st.just("is Empty"), max_size=1))
    return list(found.values()), Knowledge(named, ids(*draw(st.sets(SEEDS))), blocked)


def made(found, known, policy):
    return retention.plan(found, known, policy, host="prod", now=NOW)


@given(repositories(), POLICIES)
def test_nothing_that_matters_is_ever_forgotten(repository, policy):
    found, known = repository
    forget = set(made(found, known, policy).forget)

    assert forget <= {one.id for one in found if retention.is_ours(one, host="prod")}
    assert not forget & set(known.named)
    by_claim = {}
    for one in found:
        if retention.is_ours(one, host="prod") and not one.tag("manifest-of="):
            by_claim.setdefault(one.tag("pvc="), []).append(one)
    for name, snapshots in by_claim.items():
        gone = {one.id for one in snapshots} & forget
        recorded = sorted((one for one in snapshots if one.id in known.whole), key=lambda one: (one.time, one.id))
        assert not recorded or recorded[-1].id not in gone, "the newest whole one"
        assert recorded or not gone, "a volume of which nothing whole is known"
        assert name not in known.blocked or not gone
        assert not gone or name not in {known.named[id_] for id_ in set(known.named) - {one.id for one in found}}


@given(repositories(), POLICIES)
def test_a_manifest_goes_when_its_snapshot_goes_and_not_before(repository, policy):
    found, known = repository
    verdicts = {verdict.snapshot.id: verdict for verdict in made(found, known, policy).verdicts}
    for verdict in verdicts.values():
        of = verdicts.get(verdict.snapshot.tag("manifest-of="))
        if of is not None and not of.snapshot.tag("manifest-of=") and verdict.snapshot.id not in known.named:
            assert verdict.keep == of.keep


@given(repositories(), POLICIES)
def test_a_second_prune_finds_nothing_more_to_forget(repository, policy):
    found, known = repository
    forget = set(made(found, known, policy).forget)

    assert made([one for one in found if one.id not in forget], known, policy).forget == ()


@given(repositories(), POLICIES, st.sampled_from(["last", "hourly", "daily", "weekly", "monthly", "yearly"]))
def test_who_asks_for_more_keeps_no_less(repository, policy, key):
    found, known = repository
    more = policy.model_copy(update={key: getattr(policy, key) + 1})

    assert set(made(found, known, more).forget) <= set(made(found, known, policy).forget)


@given(repositories(), POLICIES, st.data())
def test_to_know_less_never_forgets_what_was_named(repository, policy, data):
    found, known = repository
    less = replace(known, whole=frozenset(id_ for id_ in known.whole if data.draw(st.booleans())))

    assert not set(made(found, less, policy).forget) & set(known.named)


@given(repositories(), POLICIES)
def test_who_is_told_that_more_is_whole_keeps_no_less(repository, policy):
    found, known = repository
    unsaid = [unsaid_of(one) for one in found]

    assert set(made(found, known, policy).forget) <= set(made(unsaid, known, policy).forget)


def unsaid_of(one: Listed) -> Listed:
    return msgspec.structs.replace(one, tags=tuple(tag for tag in one.tags if not tag.startswith("state=")))
