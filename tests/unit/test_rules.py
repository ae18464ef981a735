"""General rules: which objects they are about, what becomes of those, and what no rule may touch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import match
from drsyncer.manifest import Manifest, ObjectRef, ResourceType
from drsyncer.paths import parse
from drsyncer.sops.scope import Scope as SopsScope
from drsyncer.sops.scope import covering, keys_named
from drsyncer.templates import TemplateFailed
from drsyncer.templates.language import check
from drsyncer.untouchable import objection, objection_to_merge, objection_to_value
from transforms import conditions
from transforms.conditions import Condition
from transforms.edits import Operation
from transforms.pipeline import Transformed, traced, transform, transformed
from transforms.rules import Chosen, Rule, RuleBook
from transforms.settings import Settings, Standby, Subject, TransformFailed
from transforms.standby import park, recalled
from transforms.steps import IN_SECRETS, Merge, Patch, Remove, Scope, Set, Step, Template, visible

WEB = ObjectRef("deployments.apps", "shop", "web")
DEPLOYMENTS = ResourceType("apps", "v1", "deployments", "Deployment", namespaced=True, short_names=("deploy",))


def deployment(**metadata: Any) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", **metadata},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "api", "image": "api:1"}]}}},
    }


def rule(*steps: Step, name: str = "r", when: tuple[Condition, ...] = (), **fields: Any) -> Rule:
    return Rule(name, match.match(**fields), steps, when)


def done(manifest: Manifest, *rules: Rule, scope: Scope | None = None, **settings: Any) -> Transformed:
    chosen = Chosen(rules, scope or Scope())
    return transform(manifest, WEB, settings=Settings(**settings), chosen=chosen)


def failure(manifest: Manifest, *rules: Rule, scope: Scope | None = None) -> str:
    before = copy.deepcopy(manifest)
    with pytest.raises(TransformFailed) as failed:
        done(manifest, *rules, scope=scope)
    assert manifest == before
    return str(failed.value)


def template(path: str, text: str, type_: Any = "string") -> Template:
    return Template(parse(path), text, check(text), type_)


def echo(_text: str, variables: Any) -> str:
    return str(variables)


# What they do --------------------------------------------------------------------------------------


def test_steps_follow_each_other_and_rules_too() -> None:
    before = deployment()
    untouched = copy.deepcopy(before)
    first = rule(Set(parse("/spec/x"), {"a": 1}), Merge({"spec": {"x": {"b": 2}}}), name="first")
    second = rule(
        Patch((Operation("test", parse("/spec/x/b"), 2), Operation("remove", parse("/spec/x/a")))), name="second"
    )

    result = done(before, first, second)

    assert result.manifest["spec"]["x"] == {"b": 2}
    assert result.applied == (
        "rules: /spec/x set by first",
        "rules: / merged by first",
        "rules: /spec/x/a patched by second",
    )
    assert before == untouched


def test_a_rule_that_changes_nothing_gives_the_object_itself() -> None:
    manifest = deployment()

    result = done(manifest, rule(Remove(parse("/spec/none")), Set(parse("/spec/replicas"), 3), Merge({"kind2": None})))

    assert result.manifest is manifest
    assert result.applied == ()


def test_a_failure_names_rule_step_place_and_what_was_there() -> None:
    heap = rule(Remove(parse("/spec/x")), Set(parse("spec.template.spec.containers[name=web].image"), "x"), name="heap")

    assert failure(deployment(), heap) == (
        "rule heap, step 2 (set): /spec/template/spec/containers: found a list of 1, "
        "expected a list with an element whose name is web"
    )


def test_rules_see_what_the_built_in_transforms_made_and_have_the_last_word() -> None:
    image = "/spec/template/spec/containers/0/image"
    stamp = rule(
        Patch((Operation("test", parse(image), "dr.io/library/api:1"),)), Set(parse(image), "docker.io/mine:1")
    )

    result = done(deployment(), stamp, images={"docker.io/": "dr.io/"})

    assert result.manifest["spec"]["template"]["spec"]["containers"][0]["image"] == "docker.io/mine:1"


@pytest.mark.parametrize(("count", "memory"), [(5, "5"), (0, "0"), (3, "3")])
def test_in_standby_a_rule_changes_what_is_remembered(count: int, memory: str) -> None:
    result = done(deployment(), rule(Set(parse("/spec/replicas"), count)), standby=Standby())

    assert result.manifest["spec"]["replicas"] == 0
    assert result.manifest["metadata"]["annotations"] == {"dr-syncer.io/replicas": memory}


def test_a_rule_sees_the_count_of_the_running_source_also_when_that_was_fenced() -> None:
    fenced = deployment(annotations={"dr-syncer.io/replicas": "7"})
    fenced["spec"]["replicas"] = 0
    seven = rule(Patch((Operation("test", parse("/spec/replicas"), 7),)))
    none = rule(Set(parse("/spec/replicas"), 0))

    assert done(fenced, seven, standby=Standby()).manifest == fenced
    assert done(fenced, none, standby=Standby()).manifest["metadata"]["annotations"] == {"dr-syncer.io/replicas": "0"}
    assert done(fenced, none).manifest["spec"]["replicas"] == 0


@given(
    replicas=st.sampled_from([None, 0, 1, 3]),
    memory=st.sampled_from([None, "0", "4"]),
    suspend=st.sampled_from([None, True, False]),
    suspended=st.sampled_from([None, "true", "false"]),
    type_key=st.sampled_from(["deployments.apps", "cronjobs.batch", "jobs.batch", "configmaps"]),
)
def test_recalling_what_was_parked_and_parking_it_is_parking_it(
    replicas: Any, memory: Any, suspend: Any, suspended: Any, type_key: str
) -> None:
    spec = {key: value for key, value in (("replicas", replicas), ("suspend", suspend)) if value is not None}
    kept = {"dr-syncer.io/replicas": memory, "dr-syncer.io/suspend": suspended, "a": "b"}
    annotations = {key: value for key, value in kept.items() if value is not None}
    manifest = {"metadata": {"name": "x", "annotations": annotations}, "spec": spec}

    assert park(recalled(manifest, type_key=type_key), type_key=type_key).manifest == (
        park(manifest, type_key=type_key).manifest
    )


def test_every_step_can_be_followed() -> None:
    chosen = Chosen((rule(Set(parse("/spec/x"), 1), Remove(parse("/spec/y")), Set(parse("/spec/replicas"), 4)),))
    subject = Subject(WEB, Settings(namespaces={"shop": "dr"}, standby=Standby()), chosen=chosen)

    assert [step for step, _ in traced(deployment(), subject)] == [
        "namespaces",
        "rule r, step 1 (set)",
        "rule r, step 3 (set)",
        "standby",
    ]


# Templates -----------------------------------------------------------------------------------------


def test_a_template_gets_the_variables_that_it_names_and_no_others() -> None:
    scope = Scope(cluster={"name": "dr"}, values={"a": 1}, commit="c0ffee", render=echo)

    result = done(deployment(), rule(template("/spec/x", "{{ values.a }}{{ commit }}")), scope=scope)

    assert result.manifest["spec"]["x"] == "{'commit': 'c0ffee', 'values': {'a': 1}}"


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("string", " 5 ", " 5 "),
        ("integer", " 5\n", 5),
        ("integer", "-0", 0),
        ("number", "1.5", 1.5),
        ("boolean", "true", True),
        ("boolean", "false\n", False),
    ],
)
def test_the_declared_type_decides_what_a_text_is(type_: str, text: str, value: Any) -> None:
    result = done(deployment(), rule(template("/spec/x", "t", type_)), scope=Scope(render=lambda *_: text))

    found = result.manifest["spec"]["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("type_", "text"), [("integer", "5.0"), ("integer", "05"), ("boolean", "yes"), ("number", "1e9")]
)
def test_what_is_not_of_the_type_blocks_and_is_not_quoted(type_: str, text: str) -> None:
    said = failure(deployment(), rule(template("/spec/x", "t", type_)), scope=Scope(render=lambda *_: text))

    assert f"found a rendered text of {len(text)} characters, expected " in said
    assert text not in said.partition("found")[2].replace(str(len(text)), "")


def test_a_template_that_fails_blocks_its_object() -> None:
    def fail(_text: str, _variables: Any) -> str:
        raise TemplateFailed("no `x` in a mapping")

    said = failure(deployment(), rule(template("/spec/x", "{{ values.x }}")), scope=Scope(render=fail))

    assert said == (
        "rule r, step 1 (template): /spec/x: found no `x` in a mapping, expected a template that can be rendered"
    )


def test_of_a_secret_a_template_sees_no_data() -> None:
    last = "kubectl.kubernetes.io/last-applied-configuration"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {"name": "a", "annotations": {last: "hunter2", "b": "c"}},
        "data": {"a": "hunter2"},
        "stringData": {"a": "hunter2"},
        "other": "hunter2",
    }

    seen = visible(secret, IN_SECRETS)

    assert "hunter2" not in str(seen)
    assert seen["metadata"] == {"name": "a", "annotations": {"b": "c"}}
    assert visible(secret, None) is secret
    echoed = Chosen((rule(template("/type", "{{ object }}")),), Scope(render=echo))
    done = transform(secret, ObjectRef("secrets", "", "a"), settings=Settings(), chosen=echoed)
    assert done.manifest["type"] == str({"object": seen})


def test_the_data_of_a_secret_goes_nowhere_else_and_is_never_quoted() -> None:
    meta = {"name": "a", "annotations": {}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"pin": 4711, "b": "x"}}
    ref = ObjectRef("secrets", "shop", "a")

    def said(*operations: Operation) -> str:
        with pytest.raises(TransformFailed) as failed:
            transform(secret, ref, settings=Settings(), chosen=Chosen((rule(Patch(operations)),)))
        return str(failed.value)

    for word in ("copy", "move"):
        out = Operation(word, parse("metadata.annotations.x"), origin=parse("/data/b"))
        assert "found confidential data that goes to metadata.annotations.x" in said(out)
    assert "4711" not in said(Operation("test", parse("/data/pin"), 1))
    inside = Patch((Operation("copy", parse("/data/c"), origin=parse("/data/b")),))
    done = transform(secret, ref, settings=Settings(), chosen=Chosen((rule(inside),)))
    assert done.manifest["data"]["c"] == "x"


@pytest.mark.parametrize("word", ["copy", "move"])
@pytest.mark.parametrize(
    ("scope", "origin", "path"),
    [
        (keys_named("spec"), "/spec/pw", "/metadata/annotations/x"),
        (keys_named("spec"), "/spec/users[name=ann]/pin", "/metadata/labels/x"),
        (keys_named("spec"), "/spe*/pw", "/other"),
        (keys_named("pw"), "/spec/pw", "/spec/shown"),
        (keys_named("pw"), "/spec/users/0/pw", "/spec/users/0/name"),
        (SopsScope("unencrypted_suffix", "_unencrypted"), "/spec/pw", "/name"),
    ],
)
def test_what_was_encrypted_of_any_object_goes_nowhere_else(
    word: Any, scope: SopsScope, origin: str, path: str
) -> None:
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "labels": {}, "annotations": {}},
        "spec": {"pw": "hunter2", "users": [{"name": "ann", "pin": "hunter2", "pw": "hunter2"}]},
    }
    out = rule(Patch((Operation(word, parse(path), origin=parse(origin)),)))
    ref = ObjectRef("widgets.example.com", "", "w")

    with pytest.raises(TransformFailed, match="found confidential data that goes to") as failed:
        transformed(widget, Subject(ref, Settings(), chosen=Chosen((out,)), hidden=covering([scope])))

    assert "hunter2" not in str(failed.value)


def test_what_was_encrypted_may_move_where_it_stays_hidden_and_all_else_may_move_anywhere() -> None:
    widget = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w"}, "data": {"a": "x"}, "immutable": True}
    moved = Patch(
        (
            Operation("move", parse("/data/b"), origin=parse("/data/a")),
            Operation("copy", parse("/metadata/labels"), origin=parse("/metadata/annotations")),
        )
    )
    widget["metadata"] |= {"annotations": {"site": "dr"}}
    hidden = covering([keys_named("data")])
    subject = Subject(ObjectRef("configmaps", "", "w"), Settings(), chosen=Chosen((rule(moved),)), hidden=hidden)

    done = transformed(widget, subject).manifest

    assert done["data"] == {"b": "x"}
    assert done["metadata"]["labels"] == {"site": "dr"}


def test_of_what_a_person_encrypted_by_hand_a_template_sees_only_what_is_readable() -> None:
    meta = {"name": "w", "annotations": {"a": "b"}, "labels": {"c": "d"}}
    seen = visible({"kind": "W", "metadata": meta, "spec": {"e": "f"}}, covering([keys_named("annotations")]))
    assert seen == {"kind": "W", "metadata": {"name": "w", "labels": {"c": "d"}}}


@pytest.mark.parametrize(
    ("step", "much"),
    [
        (
            Patch(tuple(Operation("copy", parse(f"/spec/x{n}"), origin=parse("/spec")) for n in range(60))),
            "more than 200,000 keys and values",
        ),
        (
            Patch(tuple(Operation("copy", parse("/spec/x"), origin=parse("/spec")) for _ in range(200))),
            "more than 100 levels",
        ),
        (Set(parse("/spec/many/*"), "a" * 200_000), "more than 10,485,760 characters"),
    ],
)
def test_a_rule_that_makes_an_object_grow_without_bound_blocks_it(step: Step, much: str) -> None:
    """Rules come from a repository that is not trusted with the machine."""
    manifest = deployment()
    manifest["spec"]["many"] = [0] * 1000

    assert f"/: found an object of {much}, expected one that can be read back" in failure(manifest, rule(step))


# What they are about -------------------------------------------------------------------------------


def subject(manifest: Manifest, ref: ObjectRef = WEB, **labels: str) -> match.Subject:
    return match.Subject(ref, DEPLOYMENTS, manifest, labels)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (conditions.exists(parse("/spec/replicas"), True), True),
        (conditions.exists(parse("/spec/none"), True), False),
        (conditions.exists(parse("/spec/none"), False), True),
        (conditions.exists(parse("/spec/null"), True), True),
        (conditions.equals(parse("/spec/replicas"), 3), True),
        (conditions.equals(parse("/spec/replicas"), 3.0), True),
        (conditions.equals(parse("/spec/replicas"), "3"), False),
        (conditions.equals(parse("/spec/null"), None), True),
        (conditions.equals(parse("/spec/none"), None), False),
        (conditions.equals(parse("/spec/ports/*/port"), 81), True),
        (conditions.equals(parse("/spec/ports"), [{"port": 80}, {"port": 81}]), True),
        (conditions.matches(parse("/spec/host"), "*.prod.example.com"), True),
        (conditions.matches(parse("/spec/host"), "prod"), False),
        (conditions.matches(parse("/spec/replicas"), "[0-9]"), True),
        (conditions.matches(parse("/spec/on"), "true"), True),
        (conditions.matches(parse("/spec/null"), "*"), False),
        (conditions.matches(parse("/spec/ports"), "*"), False),
    ],
)
def test_conditions_look_at_what_the_path_means(condition: Condition, holds: bool) -> None:
    ports = [{"port": 80}, {"port": 81}]
    manifest = {"spec": {"replicas": 3, "null": None, "host": "a.prod.example.com", "on": True, "ports": ports}}

    assert condition.holds(manifest) is holds


def test_a_rule_is_about_what_matches_when_all_its_conditions_hold() -> None:
    book = RuleBook(
        [
            rule(name="all"),
            rule(name="short", types=["deploy"]),
            rule(name="other", types=["cm"]),
            rule(name="tier", namespace_labels="tier=gold"),
            rule(name="held", when=(conditions.equals(parse("/spec/replicas"), 3),)),
            rule(
                name="not-held",
                when=(conditions.exists(parse("/spec"), True), conditions.exists(parse("/x"), True)),
            ),
        ]
    )

    found = [one.name for one in book.matching(subject(deployment(), tier="gold"))]

    assert found == ["all", "short", "tier", "held"]
    assert book.unused(found) == ["rule other (types cm)", "rule not-held (everything)"]


def test_a_removal_that_found_nothing_anywhere_is_reported() -> None:
    one = rule(Remove(parse("/spec/x")), Remove(parse("/spec/y")), name="one")
    book = RuleBook([one, rule(Remove(parse("/spec/z")), name="other")])
    manifest = deployment()
    manifest["spec"]["y"] = 1

    applied = done(manifest, one).applied

    assert book.idle({"one"}, applied) == ["rule one removes /spec/x, which no object that it is about has"]


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"types": ["deploy"]}, True),
        ({"types": ["cm"]}, False),
        ({"names": ["w*"]}, True),
        ({"names": ["x*"]}, False),
        ({"namespaces": ["shop"]}, True),
        ({"namespaces": ["x"]}, False),
        ({"labels": "a=b"}, True),
        ({"types": ["deploy"], "labels": "a=b"}, True),
    ],
)
def test_what_no_content_can_change_about_a_match_is_known_from_the_name(fields: Any, may: bool) -> None:
    assert match.match(**fields).may_match(DEPLOYMENTS, namespace="shop", name="web") is may


# What they may not touch ---------------------------------------------------------------------------

OURS = {"dr-syncer.io/prune": "false", "applyset.kubernetes.io/id": "x", "a": "b"}


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (Merge({"metadata": None}), "/metadata/name"),
        (Merge({"metadata": {"name": "x"}}), "/metadata/name"),
        (Merge({"metadata": {"namespace": None}}), "/metadata/namespace"),
        (Merge({"kind": "Job"}), "/kind"),
        (Set(parse("/apiVersion"), "apps/v2"), "/apiVersion"),
        (Remove(parse("/metadata/labels")), "/metadata/labels/applyset.kubernetes.io~1id"),
        (Remove(parse("/metadata/annotations/*")), "/metadata/annotations/applyset.kubernetes.io~1id"),
        (Set(parse("/metadata/annotations"), {"a": "c"}), "/metadata/annotations/applyset.kubernetes.io~1id"),
        (Merge({"metadata": {"labels": {"dr-syncer.io/tier": "1"}}}), "/metadata/labels/dr-syncer.io~1tier"),
        (Patch((Operation("move", parse("/metadata/x"), origin=parse("/metadata/labels")),)), "/metadata/labels/"),
        (Set(parse("/metadata/labels"), None), "/metadata/labels/applyset.kubernetes.io~1id"),
    ],
)
def test_identity_and_our_own_keys_are_never_changed(step: Step, place: str) -> None:
    said = failure(deployment(labels=OURS, annotations=OURS), rule(step))

    assert place in said
    assert "no rule may touch it" in said


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Set(parse("/metadata/labels"), [1]), "/metadata/labels: found no mapping, expected a mapping of text to text"),
        (Set(parse("/metadata/annotations/a"), 5), "/metadata/annotations/a: found no text, expected text"),
        (Merge({"metadata": {"labels": {"a/b": True}}}), "/metadata/labels/a~1b: found no text, expected text"),
    ],
)
def test_labels_and_annotations_stay_text(step: Step, said: str) -> None:
    assert said in failure(deployment(), rule(step))


def test_labels_of_others_may_be_changed_beside_ours() -> None:
    result = done(deployment(labels=OURS), rule(Merge({"metadata": {"labels": {"a": None, "c": "d"}}})))

    assert result.manifest["metadata"]["labels"] == {**{k: v for k, v in OURS.items() if k != "a"}, "c": "d"}


@pytest.mark.parametrize(
    "path",
    [
        "/kind", "/apiVersion", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/name/x", "/*",
        "/metadata/*", "/m*", "kind", "metadata.name", "/metadata/labels/dr-syncer.io~1prune",
        "/metadata/annotations/applyset.kubernetes.io~1*", 'metadata.labels["dr-syncer.io/x"]',
    ],
)  # fmt: skip
def test_what_a_path_shows_is_refused_before_any_object_is_seen(path: str) -> None:
    assert objection(parse(path))


@pytest.mark.parametrize(
    "path",
    ["/spec/kind", "/metadata/labels", "/metadata/labels/name", "/metadata/annotations/*", "/metadata/generateName",
     "/spec/metadata/name", "/data/dr-syncer.io~1x", "/spec/template/metadata/labels/dr-syncer.io~1x"],
)  # fmt: skip
def test_other_places_are_free(path: str) -> None:
    assert not objection(parse(path))


def test_values_and_merges_that_hold_our_keys_are_refused() -> None:
    assert objection_to_value(parse("/metadata/labels"), {"dr-syncer.io/x": "y"})
    assert objection_to_merge({"metadata": {"annotations": {"applyset.kubernetes.io/x": "y"}}})
    assert objection_to_merge({"metadata": "x"})
    assert not objection_to_merge({"metadata": {"labels": {"a": "b"}}, "spec": {"kind": "x"}})
    assert not objection_to_value(parse("/metadata/labels"), {"a": "y"})


JSON = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["shop", "web", "b"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "labels", "dr-syncer.io/x", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TARGETS = st.sampled_from(
    [
        "/metadata",
        "/metadata/*",
        "/metadata/labels",
        "/metadata/labels/*",
        "/kind",
        "/spec",
        "/spec/template",
        "/metadata/name",
        "/*",
    ]
).map(parse)
STEPS = st.one_of(
    st.builds(Set, TARGETS, JSON),
    st.builds(Remove, TARGETS),
    st.builds(Merge, st.dictionaries(st.sampled_from(["metadata", "kind", "spec"]), JSON, max_size=2)),
    st.builds(
        lambda op, path, value, origin: Patch((Operation(op, path, value, origin),)),
        st.sampled_from(["remove", "replace", "test"]),
        TARGETS,
        JSON,
        TARGETS,
    ),
)


@given(st.lists(STEPS, min_size=1, max_size=3))
def test_whatever_a_rule_says_the_object_keeps_its_name_or_is_blocked(steps: list[Step]) -> None:
    manifest = deployment(labels=dict(OURS))
    before = copy.deepcopy(manifest)
    try:
        after = done(manifest, rule(*steps)).manifest
    except TransformFailed:
        after = manifest
    assert manifest == before
    assert (after["kind"], after["metadata"]["name"], after["metadata"]["namespace"]) == ("Deployment", "web", "shop")
    kept = {key: value for key, value in after["metadata"]["labels"].items() if key != "a"}
    assert {key: kept.get(key) for key in OURS if key != "a"} == {key: OURS[key] for key in OURS if key != "a"}
