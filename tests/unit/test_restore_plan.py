"""The plan of a restore: a pure function of the recovery point, of DR, and of what was asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import own, restored
from drsyncer.restored import Marker, Progress, UnreadableMarker, half_restored, marker_of
from drsyncer.snapshot import Attempt, Folder, Record, Snapshot, State
from transforms.settings import namespace_map
from volumes.restore_plan import Aim, Claim, Key, Standing, Step, User, Wanted, plan
from volumes.restore_why import ACTIONS, Action, Why

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DATA = Key("shop", "data")
REPOSITORY = "r" * 64
NO_MAP = namespace_map({})
ATTEMPT = Attempt(state=State.FAILED, start=NOON, end=NOON, reason="WrongPassword", message="wrong password")


def snapshot(letter: str = "a", *, tree: str = "", size: int = 100, folder: Folder | None = None) -> Snapshot:
    return Snapshot(
        id=letter * 64,
        tree=tree or letter * 64,
        host="prod",
        state=State.COMPLETE,
        start=NOON,
        end=NOON,
        files=1,
        bytes=size,
        folder=folder,
    )


def record(found: Snapshot | None = None, *, attempt: Attempt | None = None, repository: str = REPOSITORY) -> Record:
    return Record(repository=repository, snapshot=found or snapshot(), attempt=attempt)


def marker(**more: Any) -> Marker:
    settings: dict[str, Any] = {
        "claim": "uid",
        "source": "shop/data",
        "host": "prod",
        "repository": REPOSITORY,
        "snapshot": "a" * 64,
        "tree": "a" * 64,
        "commit": "c" * 40,
        "state": Progress.COMPLETE,
        "started": NOON,
        "ended": NOON,
    }
    return Marker(**settings | more)


def claim(key: Key = DATA, **more: Any) -> Claim:
    settings: dict[str, Any] = {"uid": "uid", "version": "1", "phase": "Bound", "capacity": 1000, **more}
    return Claim(key, **settings)


def standing(*claims: Claim, users: dict[Key, list[User]] | None = None) -> Standing:
    return Standing({one.key: one for one in claims}, users or {}, frozenset({"shop", "other"}))


def step(found: Claim | None, *, wanted: Wanted | None = None, aim: Aim | None = None, **more: Any) -> Step:
    there = standing(*([found] if found else []), **more)
    (only,) = plan([wanted or Wanted(DATA, record(), requested=1000)], there, NO_MAP, aim or Aim())
    return only


# What is in the volume


def test_a_claim_that_nothing_is_known_of_is_looked_into_before_anything_is_written() -> None:
    found = step(claim())
    assert (found.action, found.why, found.look) == (Action.RESTORE, Why.UNKNOWN, True)


def test_whoever_confirms_it_overwrites_whatever_is_there() -> None:
    found = step(claim(), aim=Aim(confirmed=True))
    assert (found.action, found.why, found.look) == (Action.RESTORE, Why.CONFIRMED, False)


def test_a_claim_that_waits_for_its_first_pod_is_known_to_be_empty() -> None:
    found = step(claim(phase="Pending", waits=True, capacity=0))
    assert (found.action, found.why, found.look) == (Action.RESTORE, Why.EMPTY, False)


def test_a_volume_with_the_wanted_snapshot_is_left_alone_unless_it_is_asked_for_again() -> None:
    assert step(claim(marker=marker())).why is Why.SAME_SNAPSHOT
    assert step(claim(marker=marker()), aim=Aim(again=True)).why is Why.AGAIN


def test_a_volume_that_a_pod_was_seen_on_does_not_pass_for_the_snapshot_any_more() -> None:
    assert step(claim(marker=marker(used=NOON))).why is Why.USED
    found = step(claim(marker=marker()), users={DATA: [User("web-0", "Running")]})
    assert (found.why, found.used) == (Why.IN_USE, True)
    assert not step(claim(marker=marker()), users={DATA: [User("web-0", "Pending")]}).used
    assert half_restored(pvc(restored.encode(marker(used=NOON)))) == ""


def test_what_there_is_of_a_volume_that_is_not_backed_up_any_more_is_restored_and_its_age_told() -> None:
    old = msgspec.structs.replace(record(attempt=ATTEMPT), left_out=True)
    found = step(claim(), wanted=Wanted(DATA, old))
    assert (found.action, found.why) == (Action.RESTORE, Why.UNKNOWN)
    assert "makes no more backups of it" in found.note
    assert "this is the data of 2026-05-01 12:00 UTC" in found.note

    none = msgspec.structs.replace(old, snapshot=None)
    assert step(claim(), wanted=Wanted(DATA, none)).action is Action.EXCLUDED
    assert step(claim(), wanted=Wanted(DATA, none, named=True)).why is Why.NO_SNAPSHOT


@pytest.mark.parametrize("state", [Progress.PARTIAL, Progress.IN_PROGRESS])
def test_what_somebody_restored_of_a_partial_backup_stays_until_he_names_it_or_a_whole_one_is_made(
    state: Progress,
) -> None:
    there = claim(marker=marker(snapshot="b" * 64, partial=True, state=state, started=NOON))
    mine = step(there)
    assert (mine.action, mine.why) == (Action.REFUSED, Why.NOT_WHOLE)
    assert "--pvc shop/data replaces that" in mine.text

    assert step(there, wanted=Wanted(DATA, record(), named=True)).why is Why.RESUMED
    newer = msgspec.structs.replace(snapshot(), start=NOON + timedelta(seconds=1))
    assert step(there, wanted=Wanted(DATA, record(newer))).why is Why.RESUMED


def test_a_newer_snapshot_with_the_same_tree_needs_no_mover() -> None:
    there = claim(marker=marker())
    newer = Wanted(DATA, record(snapshot("b", tree="a" * 64)))
    assert (step(there, wanted=newer).action, step(there, wanted=newer).why) == (Action.UNCHANGED, Why.SAME_DATA)
    assert step(there, wanted=newer, aim=Aim(again=True)).action is Action.RESTORE


def test_a_volume_whose_own_folder_has_changed_is_restored_again_though_its_tree_is_the_same() -> None:
    before, after = (Folder(mode=mode, uid=0, gid=0, changed=7) for mode in (0o755, 0o2770))
    for letter in "ab":
        wanted = Wanted(DATA, record(snapshot(letter, tree="a" * 64, folder=after)))
        found = step(claim(marker=marker(folder=before)), wanted=wanted)
        assert (found.action, found.why) == (Action.RESTORE, Why.OTHER_SNAPSHOT)
        # Who made the marker may have known nothing of it: that is no reason to restore everything.
        for known in (None, after):
            assert step(claim(marker=marker(folder=known)), wanted=wanted).action is Action.UNCHANGED


def test_another_snapshot_replaces_what_was_restored_before() -> None:
    assert step(claim(marker=marker()), wanted=Wanted(DATA, record(snapshot("b")))).why is Why.OTHER_SNAPSHOT


def test_the_same_ids_of_another_repository_are_another_snapshot() -> None:
    assert step(claim(marker=marker(repository="s" * 64))).why is Why.OTHER_SNAPSHOT


@pytest.mark.parametrize("state", [Progress.IN_PROGRESS, Progress.PARTIAL])
def test_a_restore_that_was_not_whole_is_done_again(state: Progress) -> None:
    found = step(claim(marker=marker(state=state)))
    assert (found.action, found.why, found.look) == (Action.RESTORE, Why.RESUMED, False)


def test_where_nobody_can_read_the_marker_nothing_is_overwritten_unasked() -> None:
    there = claim(unreadable="its annotation cannot be read")
    found = step(there)
    assert (found.action, found.why) == (Action.REFUSED, Why.HALF)
    assert "its annotation cannot be read; --yes replaces" in found.text
    assert step(there, aim=Aim(confirmed=True)).why is Why.RESUMED
    with pytest.raises(UnreadableMarker, match="a newer version"):
        marker_of(pvc(restored.encode(marker(version=2))))


def test_a_path_goes_into_a_whole_volume_and_not_into_a_half_restored_one() -> None:
    assert step(claim(marker=marker()), aim=Aim(path="etc")).why is Why.PATH
    assert step(claim(marker=marker(state=Progress.PARTIAL)), aim=Aim(path="etc")).why is Why.HALF
    assert step(claim(marker=marker(state=Progress.IN_PROGRESS, path="etc")), aim=Aim(path="etc")).why is Why.PATH
    assert step(claim(), aim=Aim(path="etc")).look


def into_partial(wished: str, *, whole: bool = False, **there: Any) -> Why:
    """Return what becomes of a path that somebody wants of a snapshot, whole or not, in a volume with such a marker."""
    state = State.COMPLETE if whole else State.PARTIAL
    wanted = Wanted(DATA, record(msgspec.structs.replace(snapshot("b"), state=state)), named=True)
    found = claim(marker=marker(**{"partial": True, "state": Progress.PARTIAL, "reason": "NotWhole", **there}))
    return step(found, wanted=wanted, aim=Aim(path=wished)).why


@pytest.mark.parametrize("before", ["", "etc", "var/log"])
def test_one_path_after_the_other_comes_out_of_a_partial_backup(before: str) -> None:
    assert into_partial("etc", path=before) is Why.PATH


@pytest.mark.parametrize(
    "there",
    [
        {"reason": "Differs"},
        {"reason": "Lost"},
        {"state": Progress.IN_PROGRESS, "reason": ""},
        {"partial": False, "reason": "NotWhole"},
    ],
)
def test_no_other_path_goes_into_a_volume_that_is_less_whole_than_its_partial_backup(there: dict[str, Any]) -> None:
    assert into_partial("etc", path="var", **there) is Why.HALF
    assert into_partial("etc", path="etc", **there) is Why.PATH


@pytest.mark.parametrize("before", ["", "etc", "var/log"])
def test_a_path_of_a_whole_snapshot_never_hides_what_is_torn_beside_it(before: str) -> None:
    assert into_partial("etc", whole=True, path=before) is Why.HALF
    assert into_partial("", whole=True, path=before) is Why.RESUMED


def test_a_volume_that_a_path_was_restored_into_does_not_pass_for_the_snapshot() -> None:
    assert step(claim(marker=marker(path="etc"))).why is Why.OTHER_SNAPSHOT


# What stands in the way


def test_a_pod_that_uses_it_is_named() -> None:
    found = step(claim(), users={DATA: [User("web-0", "Running", "node-1")]}, aim=Aim(confirmed=True))
    assert (found.action, found.why) == (Action.REFUSED, Why.IN_USE)
    assert "web-0 (Running on node-1)" in found.text


def test_a_mover_that_backs_it_up_is_waited_for_and_one_that_restores_is_left_to_its_job() -> None:
    assert step(claim(), users={DATA: [User("dr-syncer-x", "Running", operation="backup")]}).why is Why.BUSY
    assert step(claim(), users={DATA: [User("dr-syncer-x", "Running", operation="restore")]}).action is Action.RESTORE


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, Why.MISSING),
        (claim(phase="Pending"), Why.NOT_BOUND),
        (claim(phase="Lost"), Why.LOST),
        (claim(deleting=True), Why.DELETING),
        (claim(block=True), Why.BLOCK),
        (claim(capacity=99), Why.TOO_SMALL),
    ],
)
def test_what_cannot_be_restored_into_is_named(found: Claim | None, why: Why) -> None:
    assert step(found).why is why


def test_a_volume_as_large_as_the_sources_is_large_enough_for_sparse_files() -> None:
    sparse = Wanted(DATA, record(snapshot(size=5000)), requested=1000)
    assert step(claim(), wanted=sparse).action is Action.RESTORE
    assert step(claim(capacity=999), wanted=sparse).why is Why.TOO_SMALL
    assert step(claim(), wanted=Wanted(DATA, record(snapshot(size=5000)))).why is Why.TOO_SMALL


def test_a_record_without_a_whole_snapshot_tells_how_the_last_try_ended() -> None:
    found = step(claim(), wanted=Wanted(DATA, Record(repository=REPOSITORY, attempt=ATTEMPT)))
    assert (found.why, "wrong password" in found.text) == (Why.NO_SNAPSHOT, True)
    assert step(claim(), wanted=Wanted(DATA, None)).why is Why.NO_RECORD


def test_an_older_whole_snapshot_is_restored_and_its_age_is_said() -> None:
    found = step(claim(), wanted=Wanted(DATA, record(attempt=ATTEMPT)))
    assert (found.action, "Failed" in found.note) == (Action.RESTORE, True)


def test_a_snapshot_of_another_repository_is_refused() -> None:
    assert step(claim(), aim=Aim(repository="s" * 64)).why is Why.OTHER_REPOSITORY


# Where to


def test_a_namespace_that_is_mapped_is_restored_where_it_is_mapped_to() -> None:
    there = standing(claim(Key("other", "data")))
    (found,) = plan([Wanted(DATA, record())], there, namespace_map({"shop": "other"}), Aim())
    assert found.target == Key("other", "data")


def test_a_missing_claim_is_made_only_where_somebody_named_the_place() -> None:
    found = step(None, aim=Aim(namespace="other", name="copy"))
    assert (found.action, found.makes, found.target) == (Action.RESTORE, True, Key("other", "copy"))
    assert step(None, aim=Aim(namespace="nowhere")).why is Why.NO_NAMESPACE
    assert step(None, aim=Aim(namespace="other"), wanted=Wanted(DATA, record())).why is Why.MISSING


def test_a_claim_that_a_pod_waits_for_is_not_made() -> None:
    found = step(None, aim=Aim(name="copy"), users={Key("shop", "copy"): [User("web-0", "Pending")]})
    assert found.why is Why.IN_USE


def test_two_volumes_never_go_into_one_claim() -> None:
    two = [Wanted(Key("a", "data"), record()), Wanted(Key("b", "data"), record())]
    found = plan(two, standing(claim(Key("other", "data"))), NO_MAP, Aim(namespace="other", confirmed=True))
    assert {one.why for one in found} == {Why.TWO_SOURCES}


# Whatever comes


keys = st.builds(Key, st.sampled_from(["shop", "other", "a"]), st.sampled_from(["data", "log"]))
markers = st.none() | st.builds(
    marker,
    snapshot=st.sampled_from(["a" * 64, "b" * 64]),
    tree=st.sampled_from(["a" * 64, "b" * 64]),
    state=st.sampled_from(Progress),
    path=st.sampled_from(["", "etc"]),
    used=st.sampled_from([None, NOON]),
    repository=st.sampled_from([REPOSITORY, "s" * 64]),
)
claims = st.builds(
    claim,
    keys,
    phase=st.sampled_from(["Bound", "Pending", "Lost"]),
    capacity=st.sampled_from([0, 50, 1000]),
    waits=st.booleans(),
    block=st.booleans(),
    deleting=st.booleans(),
    marker=markers,
    unreadable=st.sampled_from(["", "", "cannot be read"]),
)
records = st.none() | st.builds(
    Record,
    repository=st.sampled_from([REPOSITORY, "s" * 64]),
    snapshot=st.none() | st.builds(snapshot, st.sampled_from("ab"), size=st.sampled_from([0, 100])),
    attempt=st.none() | st.just(ATTEMPT),
)
situations = st.builds(
    Standing,
    st.lists(claims).map(lambda found: {one.key: one for one in found}),
    st.dictionaries(
        keys,
        st.lists(
            st.builds(User, st.just("web-0"), st.just("Running"), operation=st.sampled_from(["", "backup", "restore"])),
            max_size=2,
        ),
    ),
    st.frozensets(st.sampled_from(["shop", "other", "a"])),
)
wishes = st.lists(
    st.builds(Wanted, keys, records, st.none() | st.just(100)), unique_by=lambda wanted: wanted.source, max_size=6
)
maps = st.dictionaries(st.sampled_from(["shop", "a"]), st.sampled_from(["other", "shop"])).map(namespace_map)
aims = st.builds(
    Aim,
    namespace=st.sampled_from(["", "", "other"]),
    path=st.sampled_from(["", "etc"]),
    confirmed=st.booleans(),
    again=st.booleans(),
    repository=st.sampled_from(["", REPOSITORY]),
)


@given(wishes, situations, maps, aims)
def test_every_volume_has_one_step_and_no_claim_is_written_twice_or_while_it_is_used(
    wanted: list[Wanted], there: Standing, names: Any, aim: Aim
) -> None:
    steps = plan(wanted, there, names, aim)
    assert sorted(one.source for one in steps) == sorted(one.source for one in wanted)
    written = [one for one in steps if one.action is Action.RESTORE]
    assert len({one.target for one in written}) == len(written)
    for one in written:
        assert one.snapshot is not None
        assert {user.operation for user in there.users.get(one.target, ())} <= {"restore"}
        assert one.makes == (one.claim is None)
        assert one.claim is None or not (one.claim.block or one.claim.deleting)


@given(wishes, situations, maps, aims)
def test_nothing_that_other_hands_put_there_is_overwritten_unasked(
    wanted: list[Wanted], there: Standing, names: Any, aim: Aim
) -> None:
    for one in plan(wanted, there, names, aim):
        if one.action is Action.RESTORE and not one.look and not aim.confirmed and one.claim is not None:
            assert one.claim.marker is not None or one.claim.phase != "Bound"


@given(wishes, situations, maps, aims)
def test_nothing_half_restored_passes_for_unchanged(
    wanted: list[Wanted], there: Standing, names: Any, aim: Aim
) -> None:
    for one in plan(wanted, there, names, aim):
        if one.action is Action.UNCHANGED:
            assert one.claim is not None
            assert one.claim.marker is not None
            assert not one.claim.half
            assert not one.claim.marker.path
            assert one.claim.marker.used is None


@given(wishes, situations, maps, aims)
def test_the_order_of_the_volumes_makes_no_difference(
    wanted: list[Wanted], there: Standing, names: Any, aim: Aim
) -> None:
    assert plan(wanted[::-1], there, names, aim) == plan(wanted, there, names, aim)


def test_every_reason_has_its_action() -> None:
    assert set(ACTIONS) == set(Why)


# Markers


def pvc(text: str | None, *, uid: str = "uid") -> dict[str, Any]:
    annotations = {} if text is None else {own.RESTORED: text}
    return {"metadata": {"name": "data", "namespace": "shop", "uid": uid, "annotations": annotations}}


@given(markers.filter(lambda found: found is not None))
def test_a_marker_comes_back_as_it_was_written(found: Marker) -> None:
    assert marker_of(pvc(restored.encode(found))) == found


def test_only_a_whole_restore_is_not_half() -> None:
    assert half_restored(pvc(None)) == ""
    assert half_restored(pvc(restored.encode(marker()))) == ""
    assert "did not end" in half_restored(pvc(restored.encode(marker(state=Progress.IN_PROGRESS))))
    assert "was not whole" in half_restored(pvc(restored.encode(marker(state=Progress.PARTIAL))))


@pytest.mark.parametrize("text", ["", "{", "{}", "null", '{"state": "new-state"}', "[" * 5000])
def test_a_marker_that_cannot_be_read_speaks_against_the_volume(text: str) -> None:
    assert "cannot be read" in half_restored(pvc(text))
    with pytest.raises(UnreadableMarker):
        marker_of(pvc(text))


def test_a_marker_that_was_copied_from_another_claim_says_nothing() -> None:
    assert marker_of(pvc(restored.encode(marker(state=Progress.IN_PROGRESS)), uid="another")) is None


def test_a_key_of_a_newer_version_is_no_fault() -> None:
    text = msgspec.json.encode(msgspec.to_builtins(marker()) | {"new": 1}).decode()
    assert marker_of(pvc(text)) == marker()
