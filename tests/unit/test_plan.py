"""The plan: a pure function of what Git wants, what DR has, and what was remembered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef, ResourceType
from importer.digests import Entry, of_manifest, ownership
from importer.live import Live, View
from importer.plan import WRITES, Action, Policy, Situation, Step, plan
from importer.records import Record
from importer.wishes import Carried, Problem, Wish
from transforms.stages import apply_key

OURS, THEIRS = "applyset-ours-v1", "applyset-theirs-v1"
POLICY = Policy(OURS, adopt="matching", conflicts="force")
CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
APP = ObjectRef("configmaps", "shop", "app")
SHOP = ObjectRef("namespaces", "", "shop")
DATA = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "shop"}, "data": {"a": "1"}}
MINE: dict[str, Any] = {"f:data": {"f:a": {}}}


def type_of(ref: ObjectRef) -> ResourceType:
    return NAMESPACES if ref.type == "namespaces" else CONFIGMAPS


def entry(manager: str, fields: Mapping[str, Any], *, operation: str = "Apply", time: str = "") -> Entry:
    return Entry(
        manager=manager,
        operation=operation,
        api_version="v1",
        time=time,
        fields_v1=msgspec.Raw(msgspec.json.encode(fields)),
    )


def wish(ref: ObjectRef = APP, *, data: Mapping[str, Any] = DATA, **more: Any) -> Wish:
    encoded, short = of_manifest(dict(data))
    return Wish(more.pop("path", f"{ref}.yaml"), ref, type_of(ref), "source", short, encoded, **more)


def live(
    ref: ObjectRef = APP, *, entries: list[Entry] | None = None, member_of: str = OURS, uid: str = "", **more: Any
) -> Live:
    found = [entry("dr-syncer", MINE)] if entries is None else entries
    settings: dict[str, Any] = {"deleting": False, "prunable": True, **more}
    return Live(
        ref=ref,
        type=type_of(ref),
        uid=uid or str(ref),
        resource_version="7",
        member_of=member_of,
        entry=ownership(found),
        entries=found,
        **settings,
    )


def record_of(wish_: Wish, live_: Live) -> Record:
    return Record(wish_.source, wish_.ref, wish_.digest, live_.entry)


def situation(*objects: Wish | Live, recorded: bool = True, **more: Any) -> Situation:
    wishes = [one for one in objects if isinstance(one, Wish)]
    there = {one.ref: one for one in objects if isinstance(one, Live)}
    records = {one.path: record_of(one, there[one.ref]) for one in wishes if one.ref in there} if recorded else {}
    settings: dict[str, Any] = {"records": records, "view": View(there), **more}
    return Situation(wishes=wishes, **settings)


def only(steps: tuple[Step, ...]) -> Step:
    (step,) = steps
    return step


# Members


def test_what_dr_lacks_is_created() -> None:
    step = only(plan(situation(wish()), POLICY))
    assert (step.action, step.reason) == (Action.CREATE, "not in DR yet")


def test_what_is_as_we_left_it_is_unchanged() -> None:
    step = only(plan(situation(wish(), live()), POLICY))
    assert (step.action, step.reason) == (Action.UNCHANGED, "as the last import left it")


def test_what_git_changed_is_updated() -> None:
    before, now = wish(), wish(data={**DATA, "data": {"a": "2"}})
    step = only(plan(situation(now, live(), records={now.path: record_of(before, live())}), POLICY))
    assert (step.action, step.reason, step.force) == (Action.UPDATE, "changed in Git, or by the rules", True)


def test_without_a_record_an_apply_finds_out() -> None:
    for records in ({}, {wish().path: Record("source", APP, "", "")}, {wish().path: Record("s", SHOP, "d", "e")}):
        step = only(plan(situation(wish(), live(), records=records), POLICY))
        assert (step.action, step.reason) == (Action.UPDATE, "no record of it: an apply finds out")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (
            [entry("dr-syncer", {"f:metadata": {}}), entry("editor", MINE, operation="Update")],
            "data.a was changed by editor",
        ),
        ([entry("dr-syncer", {"f:metadata": {}})], "data.a was removed"),
        ([entry("editor", MINE)], "data.a was changed by editor"),
        # Another manager of the same name, by another operation, is not our apply.
        ([entry("dr-syncer", MINE, operation="Update")], "data.a was changed by dr-syncer"),
        ([], "data.a was removed"),
        (
            [
                entry("dr-syncer", {**MINE, "f:metadata": {"f:labels": {}}}),
                entry("one", {}, time="2026-01-01T00:00:00Z"),
                entry("two", {}, time="2026-01-02T00:00:00Z"),
            ],
            "was changed in DR by two",
        ),
    ],
)
def test_drift_is_named_by_field_and_manager(entries: list[Entry], reason: str) -> None:
    before = record_of(wish(), live())
    step = only(plan(situation(wish(), live(entries=entries), records={wish().path: before}), POLICY))
    assert (step.action, step.reason, step.drift, step.force) == (Action.UPDATE, reason, True, True)


@pytest.mark.parametrize(("conflicts", "force"), [("force", True), ("fail", False), ("skip", False)])
def test_only_force_takes_fields_from_others(conflicts: str, force: bool) -> None:
    policy = Policy(OURS, adopt="matching", conflicts=conflicts)
    now = wish(data={**DATA, "data": {"a": "2"}})
    for records in ({now.path: record_of(wish(), live())}, {}):
        step = only(plan(situation(now, live(), records=records), policy))
        assert (step.action, step.force) == (Action.UPDATE, force)


def test_what_is_being_deleted_waits_for_the_next_import() -> None:
    step = only(plan(situation(wish(), live(deleting=True)), POLICY))
    assert (step.action, step.reason) == (
        Action.BLOCKED,
        "is being deleted in DR; the next import creates it again",
    )


def test_all_that_belongs_into_a_namespace_on_its_way_out_is_made_anew() -> None:
    for member_of in (OURS, "", THEIRS):
        steps = plan(situation(wish(SHOP), live(SHOP, deleting=True, member_of=member_of), wish(), live()), POLICY)
        assert [(step.ref, step.action) for step in steps] == [(SHOP, Action.CREATE), (APP, Action.CREATE)]
        assert steps[1].live is None  # nothing to wait for but the namespace


# Other hands


@pytest.mark.parametrize(
    ("adopt", "member_of", "taken", "action", "says", "force"),
    [
        ("matching", "", {}, Action.UPDATE, "exists and matches: taken over", False),
        ("matching", "", {".data.a": "helm"}, Action.BLOCKED, ".data.a belongs to helm", False),
        ("matching", THEIRS, {}, Action.BLOCKED, f"belongs to another inventory ({THEIRS})", False),
        ("never", "", {}, Action.BLOCKED, "made by other hands (adopt: never)", False),
        ("never", THEIRS, {}, Action.BLOCKED, "another inventory", False),
        ("always", "", {".data.a": "helm"}, Action.UPDATE, "taken over (adopt: always)", True),
        ("always", THEIRS, {}, Action.UPDATE, "taken over (adopt: always)", True),
    ],
)
def test_an_object_of_other_hands_is_judged_by_adopt(
    adopt: str, member_of: str, taken: dict[str, str], action: Action, says: str, force: bool
) -> None:
    policy = Policy(OURS, adopt=adopt, conflicts="force")
    there = live(member_of=member_of, entries=[entry("helm", MINE)])
    step = only(plan(situation(wish(), there, foreign={APP: taken}), policy))
    assert (step.action, step.force, step.shared) == (action, force, False)
    assert says in step.reason


@pytest.mark.parametrize("adopt", ["never", "matching", "always"])
@pytest.mark.parametrize("member_of", ["", THEIRS])
def test_a_namespace_of_other_hands_is_shared_and_never_forced(adopt: str, member_of: str) -> None:
    policy = Policy(OURS, adopt=adopt, conflicts="force")
    there = live(SHOP, member_of=member_of, entries=[])
    merged = only(plan(situation(wish(SHOP), there, recorded=False), policy))
    assert (merged.action, merged.shared, merged.force) == (Action.UPDATE, True, False)
    taken = {SHOP: {".metadata.labels.tier": "admins"}}
    differs = only(plan(situation(wish(SHOP), there, recorded=False, foreign=taken), policy))
    assert (differs.action, differs.shared) == (Action.BLOCKED, True)
    assert ".metadata.labels.tier belongs to admins" in differs.reason
    again = only(plan(situation(wish(SHOP), live(SHOP, member_of=member_of)), policy))
    assert again.action is Action.UNCHANGED


# What waits, and what cannot be


def test_what_needs_a_backend_is_held_or_blocked_until_it_is_ready() -> None:
    needs = (("ops", "a"), ("ops", "b"))
    held = only(plan(situation(wish(needs=needs), ready={("ops", "a")}), POLICY))
    assert (held.action, held.reason) == (Action.HELD, "its backend, Service ops/b, has no ready endpoints")
    blocked = only(plan(situation(wish(needs=needs, waiting_is_normal=False)), POLICY))
    assert blocked.action is Action.BLOCKED
    assert "needs a conversion by Service ops/a" in blocked.reason
    assert only(plan(situation(wish(needs=needs), ready=set(needs)), POLICY)).action is Action.CREATE


def test_what_a_transform_holds_is_held_and_not_pruned() -> None:
    assert only(plan(situation(wish(held="waits")), POLICY)).reason == "waits"
    step = only(plan(situation(wish(held="waits"), live()), POLICY))
    assert (step.action, step.reason) == (Action.HELD, "waits")


def test_nothing_is_done_to_a_type_that_cannot_be_listed() -> None:
    view = View({}, {"configmaps": "403"})
    step = only(plan(situation(wish(), view=view), POLICY))
    assert (step.action, step.reason) == (Action.BLOCKED, "what DR has of this type cannot be listed: 403")


def test_two_files_that_become_one_object_block_each_other_and_prune_nothing() -> None:
    twins = [wish(path="a.yaml"), wish(path="b.yaml")]
    steps = plan(situation(*twins, live()), POLICY)
    assert {step.action for step in steps} == {Action.BLOCKED}
    assert {step.reason for step in steps} == {"a.yaml and b.yaml would both become this object"}


def test_a_file_that_gives_no_object_is_reported_and_protects_what_is_there() -> None:
    step = only(plan(situation(live(), problems=[Problem("app.yaml", APP, "line 3: no YAML")]), POLICY))
    assert (step.action, step.reason, step.path) == (Action.BLOCKED, "line 3: no YAML", "app.yaml")


# Prune


def test_what_left_git_is_pruned_if_it_is_ours_and_nobody_objects() -> None:
    def judged(there: Live, policy: Policy = POLICY, **more: Any) -> list[tuple[Action, str]]:
        return [(step.action, step.reason) for step in plan(situation(there, **more), policy)]

    assert judged(live()) == [(Action.PRUNE, "left Git")]
    assert judged(live(member_of="")) == []
    assert judged(live(member_of=THEIRS)) == []
    assert judged(live(deleting=True)) == []
    assert judged(live(), in_scope=set()) == []
    assert judged(live(), in_scope={APP}) == [(Action.PRUNE, "left Git")]
    assert judged(live(prunable=False)) == [(Action.SKIP, 'left Git; its annotation dr-syncer.io/prune is "false"')]
    switched_off = Policy(OURS, adopt="matching", conflicts="force", prune=False)
    assert judged(live(), switched_off) == [(Action.SKIP, "left Git; importer.prune.enabled is false")]


def test_an_object_that_two_groups_serve_is_not_pruned_under_the_other() -> None:
    other = ObjectRef("configmaps.legacy.example.com", "shop", "app")
    step = only(plan(situation(wish(), live(uid="1"), live(other, uid="1")), POLICY))
    assert (step.ref, step.action) == (APP, Action.UNCHANGED)


# All of it together

REFS = [ObjectRef("configmaps", "shop", name) for name in "abc"] + [SHOP, ObjectRef("namespaces", "", "lab")]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    wishes, carried, there, records = [], [], {}, {}
    for ref in REFS:
        in_dr = live(
            ref,
            member_of=draw(st.sampled_from([OURS, "", THEIRS])),
            deleting=draw(st.booleans()),
            prunable=draw(st.booleans()),
            entries=draw(st.sampled_from([[], [entry("dr-syncer", MINE)], [entry("helm", MINE)]])),
        )
        if draw(st.booleans()):
            there[ref] = in_dr
        match draw(st.sampled_from(["wish", "carried", "gone"])):
            case "wish":
                wishes.append(wish(ref))
                if draw(st.booleans()):
                    records[wishes[-1].path] = record_of(wishes[-1], in_dr)
            case "carried":
                carried.append(Carried(f"{ref}.yaml", ref, (type_of(ref),), record_of(wish(ref), in_dr)))
    foreign = {ref: {".data.a": "helm"} for ref in draw(st.sets(st.sampled_from(REFS)))}
    return Situation(carried=carried, wishes=wishes, view=View(there), records=records, foreign=foreign)


POLICIES = st.builds(
    Policy,
    st.just(OURS),
    st.sampled_from(["never", "matching", "always"]),
    st.sampled_from(["force", "fail", "skip"]),
    st.booleans(),
)


@given(situations(), POLICIES)
def test_every_plan_keeps_its_promises(found: Situation, policy: Policy) -> None:
    steps = plan(found, policy)

    refs = [step.ref for step in steps]
    assert len(refs) == len(set(refs))
    wanted = {one.ref for one in (*found.wishes, *found.carried)}
    assert wanted <= set(refs)
    assert refs == sorted(refs, key=apply_key)
    for step in steps:
        assert step.reason
        if step.action is Action.PRUNE:
            assert step.ref not in wanted
            assert step.live is not None
            assert step.live.member_of == OURS
            assert step.live.prunable
            assert policy.prune
        elif step.action in WRITES:
            assert step.wish is not None
        # By force only from what is ours, or when told to take everything.
        if step.force:
            assert policy.adopt == "always" or (step.live is not None and step.live.member_of == OURS)
            assert policy.adopt == "always" or policy.conflicts == "force"
        assert not (step.force and step.shared)


@given(situations(), POLICIES)
def test_the_same_situation_gives_the_same_plan(found: Situation, policy: Policy) -> None:
    assert plan(found, policy) == plan(found, policy)
