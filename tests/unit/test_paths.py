"""Paths name places in a manifest, and nothing that they do changes what was given."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.paths import GONE, find, parse, pointer_token, remove, replace

POD: dict[str, Any] = {
    "metadata": {"annotations": {"example.com/a": "1", "example.com/b": "2", "other": "3"}, "labels": {}},
    "spec": {
        "containers": [
            {"name": "web", "image": "nginx", "env": [{"name": "HEAP", "value": "1g"}, {"name": "LOG", "value": "x"}]},
            {"name": "sidecar", "image": "envoy"},
        ],
        "ports": [{"port": 80, "nodePort": 30080, "on": True}, {"port": 81}],
        "nothing": None,
    },
}


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("/spec/nothing", ["/spec/nothing"]),
        ("/spec/missing", []),
        ("/spec/nothing/deeper", []),
        ("/spec/containers/1/image", ["/spec/containers/1/image"]),
        ("/spec/containers/2", []),
        ("/spec/containers/01", []),
        ("/spec/containers/-", []),
        ("/spec/containers/*/image", ["/spec/containers/0/image", "/spec/containers/1/image"]),
        ("/metadata/*", ["/metadata/annotations", "/metadata/labels"]),
        ("/metadata/annotations/example.com~1a", ["/metadata/annotations/example.com~1a"]),
        (
            "/metadata/annotations/example.com~1*",
            ["/metadata/annotations/example.com~1a", "/metadata/annotations/example.com~1b"],
        ),
        ("/spec/containers[name=web]/env[name=HEAP]/value", ["/spec/containers/0/env/0/value"]),
        ("/spec/containers[name=side*]", ["/spec/containers/1"]),
        ("/spec/ports[port=81]", ["/spec/ports/1"]),
        ("/spec/ports[on=true]/nodePort", ["/spec/ports/0/nodePort"]),
        ("/spec/containers[name=none]/image", []),
        ("/spec[name=web]", []),
    ],
)
def test_a_path_finds_its_places(path: str, places: list[str]) -> None:
    assert [pointer for pointer, _ in find(POD, parse(path))] == places


@pytest.mark.parametrize(
    ("dotted", "pointer"),
    [
        ("spec", "/spec"),
        ("spec.containers[name=web].env[name=HEAP].value", "/spec/containers[name=web]/env[name=HEAP]/value"),
        ("spec.containers[1].image", "/spec/containers/1/image"),
        ("spec.containers[*].image", "/spec/containers/*/image"),
        ("spec.containers[name=side*]", "/spec/containers[name=side*]"),
        ('spec.containers[name="side*"]', "/spec/containers[name=side~2]"),
        ('metadata.annotations["example.com/a"]', "/metadata/annotations/example.com~1a"),
        ("metadata.annotations['a.b'].c", "/metadata/annotations/a.b/c"),
        ('["a.b"].c', "/a.b/c"),
        ("metadata.*", "/metadata/*"),
        ("metadata.lab*", "/metadata/lab*"),
        ("spec.rules[host=a.example.com].x", "/spec/rules[host=a.example.com]/x"),
        ('a["\\u00e9\\""]', '/a/é"'),
        ("a[b=]", "/a[b=]"),
    ],
)
def test_dots_between_keys_mean_the_same_as_a_pointer(dotted: str, pointer: str) -> None:
    assert parse(dotted) == parse(pointer)


@given(st.text(max_size=20))
def test_whatever_is_written_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse(text)
    except ValueError:
        return
    assert path.segments
    assert path.text == text


@given(st.text(min_size=1))
def test_any_key_can_stand_in_quotes(key: str) -> None:
    assert list(find({"a": {key: 1}}, parse(f"a[{json.dumps(key)}]"))) == [(f"/a/{pointer_token(key)}", 1)]


def test_escapes_stand_for_the_characters_of_the_grammar() -> None:
    value = {"a/b": {"~": {"*.example.com": {"x[y=z]": 1}}}}
    path = parse("/a~1b/~0/~2.example.com/x~3y=z~4")
    assert list(find(value, path)) == [("/a~1b/~0/*.example.com/x[y=z]", 1)]


def test_removing_copies_only_the_way_to_what_goes() -> None:
    before = copy.deepcopy(POD)
    left, removed = remove(POD, parse("/spec/containers[name=web]/env[name=HEAP]"))
    assert removed
    assert left["spec"]["containers"][0]["env"] == [{"name": "LOG", "value": "x"}]
    assert before == POD
    assert left["metadata"] is POD["metadata"]
    assert left["spec"]["containers"][1] is POD["spec"]["containers"][1]


def test_removing_nothing_gives_the_very_same_value_back() -> None:
    left, removed = remove(POD, parse("/spec/containers/*/nowhere"))
    assert left is POD
    assert not removed


def test_removing_every_element_leaves_the_list_behind() -> None:
    assert remove({"a": [1, 2]}, parse("/a/*")) == ({"a": []}, True)


def test_a_null_is_something_that_can_be_removed() -> None:
    assert remove({"a": None}, parse("/a")) == ({}, True)


def test_replacing_asks_at_each_place() -> None:
    left = replace(POD, parse("/spec/containers/*/image"), lambda image: f"registry/{image}")
    assert [container["image"] for container in left["spec"]["containers"]] == ["registry/nginx", "registry/envoy"]


def test_replacing_may_take_out_some() -> None:
    left = replace({"a": [1, 2, 3]}, parse("/a/*"), lambda number: GONE if number == 2 else number)
    assert left == {"a": [1, 3]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must start with a slash"),
        ("spec/replicas", "must start with a slash"),
        ("/spec/a*b", "a star may only end 'a*b'"),
        ("/spec/*a", "a star may only end '*a'"),
        ("/spec/**", "a star may only end '**'"),
        ("/spec/x[", "must end with one [field=value]"),
        ("/spec/x[name=a]b", "must end with one [field=value]"),
        ("/spec/x[name=a][b=c]", "must end with one [field=value]"),
        ("/spec/x[name]", "expected [field=value], found [name]"),
        ("/spec/x[=a]", "expected [field=value], found [=a]"),
        ("/spec/[name=a]", "needs the name of the list before '['"),
        ("/spec/x]", "']' without '['"),
        ("/spec/~5", "'~5' is no escape"),
        ("/spec/~", "'~' is no escape"),
        ("/a" * 501, "has more than 1,000 characters"),
        ("a..b", """expected a key, [0], [*], [name=web] or ["a.key"] at '.b'"""),
        ("a.", "expected a key"),
        (".a", "expected a key"),
        ("a b", "expected a key"),
        ("a[", "expected a key"),
        ("a[0]b", "expected a key"),
        ("[0]", "needs the name of the list before '['"),
        ("[name=a]", "needs the name of the list before '['"),
        ("a*b", "a star may only end 'a*b'"),
        ("a[b=*c]", "a star may only end '*c'"),
        ('a["\\x"]', "is no text in JSON's quotes"),
        ("metadata.labels.example.com/site", "expected a key"),
    ],
)
def test_a_wrong_path_is_refused_with_a_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="path ") as refusal:
        parse(text)
    assert complaint in str(refusal.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=3), inner, max_size=3),
    max_leaves=12,
)
_SEGMENTS = st.sampled_from(["a", "b", "0", "*", "a*", "~0", "~1", "a[b=a]", "*[a=*]", ""])
_PATHS = st.lists(_SEGMENTS, min_size=1, max_size=4).map(lambda parts: parse("/" + "/".join(parts)))


@given(_JSON, _PATHS)
def test_what_is_removed_is_what_is_found(value: Any, path: Any) -> None:
    before = copy.deepcopy(value)
    places = list(find(value, path))
    left, removed = remove(value, path)
    assert removed == bool(places)
    assert value == before
    # Places one by one, last first, so that indexes stay true.
    expected = before
    for pointer, _ in reversed(places):
        expected, _ = remove(expected, parse(pointer.replace("*", "~2")))
    assert left == expected


@given(st.text(min_size=1))
def test_a_concrete_pointer_leads_back_to_its_place(key: str) -> None:
    (pointer, found), *rest = find({key: 1}, parse("/*"))
    assert (pointer, found, rest) == (f"/{pointer_token(key)}", 1, [])
