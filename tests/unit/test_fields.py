"""Who owns which field: FieldsV1 of server-side apply against the object that it speaks of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.fields import changed, covers, dotted, leaves, lost, managers_behind, owned

KEYS = st.text(st.characters(codec="ascii", categories=["L", "N"]) | st.sampled_from("./:-"), min_size=1, max_size=6)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4))


def named_lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists of mappings with a `name` each, as containers or ports are."""
    return st.dictionaries(KEYS, values, max_size=3).map(
        lambda found: [{"name": name, "value": value} for name, value in found.items()]
    )


VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=4), named_lists(inner)), max_leaves=12
)
OBJECTS = st.dictionaries(st.sampled_from(["spec", "data", "rules"]), VALUES, min_size=1)


def all_of(value: Any) -> dict[str, Any]:
    """Return the FieldsV1 of somebody who applied all of `value`, as the API server writes it."""
    if isinstance(value, dict):
        return {f"f:{key}": all_of(child) for key, child in value.items()}
    if isinstance(value, list):
        return {"k:" + json.dumps({"name": one["name"]}): {".": {}, **all_of(one)} for one in value}
    return {}


@given(OBJECTS)
def test_who_applied_everything_owns_everything_and_lost_nothing(manifest: dict[str, Any]) -> None:
    places = list(owned(all_of(manifest), manifest))
    assert all(covers(places, place) for place, _ in leaves(manifest))
    assert lost(manifest, all_of(manifest), []) == {}


@given(OBJECTS, st.data())
def test_what_is_taken_out_of_our_entry_is_lost_and_nothing_else(manifest: dict[str, Any], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(manifest)))
    mine = all_of({key: value for key, value in manifest.items() if key != gone})
    theirs = {"manager": "other", "fieldsV1": all_of({gone: manifest[gone]})}

    assert set(lost(manifest, mine, [])) == {place for place, _ in leaves(manifest) if place[0] == gone}
    assert set(lost(manifest, mine, []).values()) == {""}
    assert set(lost(manifest, mine, [theirs]).values()) == {"other"}


@given(OBJECTS, OBJECTS)
def test_nothing_changed_means_equal(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert list(changed(old, old)) == []
    assert bool(list(changed(old, new))) is (json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True))


@given(OBJECTS)
def test_leaves_lead_to_their_values(manifest: dict[str, Any]) -> None:
    for place, value in leaves(manifest):
        found: Any = manifest
        for step in place:
            found = found[step]
        assert found == value


CONTAINERS = {"spec": {"containers": [{"name": "web", "image": "a"}, {"name": "log", "image": "b"}]}}
PORTS = {"spec": {"ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}, {"port": 80}]}}


@pytest.mark.parametrize(
    ("fields", "value", "places"),
    [
        ({"f:data": {"f:a": {}}}, {"data": {"a": "1", "b": "2"}}, [("data", "a")]),
        ({"f:data": {"f:gone": {}}}, {"data": {"a": "1"}}, []),
        ({"f:data": {}}, {"data": {"a": "1"}}, [("data",)]),
        ({"f:data": {".": {}, "f:a": {}}}, {"data": {"a": "1"}}, [("data", "a")]),
        ({"f:data": {".": {}}}, {"data": {}}, [("data",)]),
        ({"f:data": {"f:a.b/c:d": {}}}, {"data": {"a.b/c:d": "1"}}, [("data", "a.b/c:d")]),
        (
            {"f:spec": {"f:containers": {'k:{"name":"log"}': {".": {}, "f:image": {}}}}},
            CONTAINERS,
            [("spec", "containers", 1, "image")],
        ),
        ({"f:spec": {"f:containers": {'k:{"name":"x"}': {"f:image": {}}}}}, CONTAINERS, []),
        # The server writes the default into the key; the element in Git may leave it out.
        ({"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {}}}}, PORTS, [("spec", "ports", 2)]),
        ({"f:spec": {"f:ports": {'k:{"port":53,"protocol":"UDP"}': {}}}}, PORTS, [("spec", "ports", 1)]),
        ({"f:spec": {"f:ports": {'k:{"port":53,"protocol":"TCP"}': {}}}}, PORTS, [("spec", "ports", 0)]),
        ({"f:finalizers": {'v:"b"': {}}}, {"finalizers": ["a", "b"]}, [("finalizers", 1)]),
        ({"f:finalizers": {'v:"c"': {}}}, {"finalizers": ["a", "b"]}, []),
        ({"f:list": {"i:1": {}, "i:9": {}}}, {"list": ["a", "b"]}, [("list", 1)]),
        # The shape in Git is another one than the owner saw.
        ({"f:data": {"f:a": {}}}, {"data": ["a"]}, []),
        ({"f:spec": {"f:ports": {'k:{"port":80}': {}}}}, {"spec": {"ports": "none"}}, []),
        ({"f:spec": {"f:ports": {'k:{"port":80}': {}}}}, {"spec": {"ports": []}}, []),
    ],
)
def test_owned_fields_are_found_in_the_object(
    fields: dict[str, Any], value: dict[str, Any], places: list[tuple[str | int, ...]]
) -> None:
    assert list(owned(fields, value)) == places


def test_identity_is_never_lost() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "app", "namespace": "shop", "labels": {"a": "b"}},
    }
    assert lost(manifest, {}, []) == {("metadata", "labels", "a"): ""}


def test_the_one_who_took_a_field_is_named() -> None:
    others = [
        {"manager": "scaler", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "editor", "fieldsV1": {"f:data": {"f:other": {}}}},
    ]
    manifest = {"spec": {"replicas": 0, "paused": True}}
    assert lost(manifest, {"f:spec": {"f:paused": {}}}, others) == {("spec", "replicas"): "scaler"}


def entry(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"manager": manager, "fieldsV1": fields, "time": "2026-01-01T00:00:00Z", **more}


def test_those_who_changed_something_are_named_and_nobody_else() -> None:
    old, new = {"data": {"a": "1", "b": "1"}}, {"data": {"a": "2", "b": "1"}}
    entries = [
        entry("first", {"f:data": {"f:b": {}}}),
        entry("second", {"f:data": {"f:a": {}}}),
        entry("controller", {"f:data": {"f:a": {}}}, subresource="status"),
    ]
    assert managers_behind(old, new, entries) == ("second",)
    assert managers_behind(None, new, entries) == ("first", "second")


def test_a_removal_is_put_down_to_the_last_writer() -> None:
    old, new = {"data": {"a": "1", "b": "1"}}, {"data": {"b": "1"}}
    entries = [
        entry("first", {"f:data": {"f:b": {}}}),
        entry("later", {"f:metadata": {}}, time="2026-01-02T00:00:00Z"),
    ]
    assert managers_behind(old, new, entries) == ("later",)
    assert managers_behind(old, new, []) == ()


def test_a_scale_is_a_change_that_somebody_made() -> None:
    old, new = {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}
    entries = [entry("autoscaler", {"f:spec": {"f:replicas": {}}}, subresource="scale")]
    assert managers_behind(old, new, entries) == ("autoscaler",)


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [("a",)]),
        ({"a": 1}, {"a": 1.0}, [("a",)]),
        ({"a": None}, {}, [("a",)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("a", 1)]),
        ({"a": [1, 2]}, {"a": [1]}, [("a",)]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a", "b")]),
    ],
)
def test_changed_places(old: Any, new: Any, places: list[tuple[str | int, ...]]) -> None:
    assert list(changed(old, new)) == places


def test_a_place_is_written_as_people_write_it() -> None:
    assert dotted(("spec", "template", "spec", "containers", 0, "image")) == "spec.template.spec.containers[0].image"
    assert dotted(()) == ""
