"""The steps of rules change what they name, all of it or nothing, and never what they were given."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.paths import Path, find, parse, remove
from transforms.edits import Operation, Unreachable, equal, merged, patched, put

POD: dict[str, Any] = {
    "metadata": {"name": "web", "labels": None},
    "spec": {
        "containers": [
            {"name": "api", "env": [{"name": "HEAP", "value": "1g"}]},
            {"name": "log", "image": "log:1"},
        ],
        "ports": [{"port": 80}, {"port": 81}],
        "count": 3,
    },
}


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("/spec/count", 4, "/spec/count"),
        ("spec.containers[name=api].env[name=HEAP].value", "512m", "/spec/containers/0/env/0/value"),
        ("/spec/containers[name=log]", {"name": "log"}, "/spec/containers/1"),
        ("/spec/containers/1/image", "x", "/spec/containers/1/image"),
        ("/spec/new/deep/key", 1, "/spec/new/deep/key"),
        ("/metadata/labels/site", "dr", "/metadata/labels/site"),  # null counts as absent
        ('metadata.annotations["example.com/a.b"]', "x", "/metadata/annotations/example.com~1a.b"),
        ("/spec/0", "x", "/spec/0"),  # a mapping's key may be a number
        ("/spec/count", None, "/spec/count"),
    ],
)
def test_set_writes_where_the_path_leads(path: str, value: Any, place: str) -> None:
    before = copy.deepcopy(POD)

    after = put(POD, parse(path), value)

    assert list(find(after, parse(path))) == [(place, value)]
    assert before == POD
    assert put(after, parse(path), value) is after


def test_set_writes_to_every_place_that_fits() -> None:
    after = put(POD, parse("/spec/ports/*/protocol"), "TCP")

    assert after["spec"]["ports"] == [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]
    assert after["spec"]["containers"] is POD["spec"]["containers"]


@pytest.mark.parametrize(
    ("path", "at", "found", "expected"),
    [
        ("/spec/containers[name=x]", "/spec/containers", "a list of 2", "a list with an element whose name is x"),
        ("/spec/containers/5/image", "/spec/containers", "a list of 2", "a list with an element 5"),
        ("/spec/containers/-", "/spec/containers", "a list of 2", "a key or an index: only jsonPatch adds elements"),
        ("/spec/containers/image", "/spec/containers", "a list of 2", "a mapping for 'image'"),
        ("/spec/count/x", "/spec/count", "a number", "a mapping for 'x'"),
        ("/spec/none/*/x", "/spec/none", "nothing", "something that * stands for"),
        ("/spec/none/0/x", "/spec/none", "nothing", "a list with an element 0"),
        ("/spec/none[name=a]/x", "/spec/none", "nothing", "a list with an element whose name is a"),
        ("/spec/ports[port=9]", "/spec/ports", "a list of 2", "a list with an element whose port is 9"),
        ("/metadata/name/x", "/metadata/name", "a string", "a mapping for 'x'"),
    ],
)  # fmt: skip
def test_set_tells_where_it_ended_and_what_was_there(path: str, at: str, found: str, expected: str) -> None:
    with pytest.raises(Unreachable) as failure:
        put(POD, parse(path), 1)

    assert (failure.value.at, failure.value.found, failure.value.expected) == (at, found, expected)


# RFC 7386 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),  # a null that was there stays
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),  # nulls inside what is new go, too
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": [1, None]}, {"a": [None]}, {"a": [None]}),  # lists are taken as they are
    ],
)
def test_a_merge_follows_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))

    assert merged(target, patch) == result
    assert (target, patch) == before


# RFC 6902 ------------------------------------------------------------------------------------------


def op(word: Any, path: str, value: Any = None, origin: str = "") -> Operation:
    return Operation(word, parse(path), value, parse(origin) if origin else None)


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [
        ({"foo": "bar"}, [op("add", "/baz", "qux")], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, [op("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": ["bar"]}, [op("add", "/foo/-", ["abc"])], {"foo": ["bar", ["abc"]]}),
        ({"foo": ["bar"]}, [op("add", "/foo/1", "x")], {"foo": ["bar", "x"]}),
        ({"foo": "bar"}, [op("add", "/foo", 1)], {"foo": 1}),  # add to what is there replaces
        ({"foo": None}, [op("add", "/foo", 1)], {"foo": 1}),
        ({"baz": "qux", "foo": "bar"}, [op("remove", "/baz")], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [op("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [op("replace", "/baz", "boo")], {"baz": "boo"}),
        ({"a": [1, 2]}, [op("replace", "/a/0", None)], {"a": [None, 2]}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [op("move", "/qux/thud", origin="/foo/waldo")],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        ({"foo": ["all", "grass", "cows", "eat"]}, [op("move", "/foo/3", origin="/foo/1")],
         {"foo": ["all", "cows", "eat", "grass"]}),
        ({"a": 1}, [op("move", "/a", origin="/a")], {"a": 1}),
        ({"a": {"b": 1}}, [op("copy", "/c", origin="/a")], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": {"b": 1}}, [op("copy", "/a/c", origin="/a")], {"a": {"b": 1, "c": {"b": 1}}}),
        ({"baz": "qux", "foo": ["a", 2, "c"]}, [op("test", "/baz", "qux"), op("test", "/foo/1", 2)],
         {"baz": "qux", "foo": ["a", 2, "c"]}),
        ({"/": 9, "~1": 10}, [op("test", "/~01", 10), op("test", "/~1", 9)], {"/": 9, "~1": 10}),
        ({"": 1}, [op("test", "/", 1)], {"": 1}),
        ({"a": 1.0}, [op("test", "/a", 1)], {"a": 1.0}),
        ({"a": None}, [op("test", "/a", None)], {"a": None}),
        ({"l": [{"name": "x", "v": 1}]}, [op("add", "/l[name=x]/w", 2)], {"l": [{"name": "x", "v": 1, "w": 2}]}),
        ({"a": {"b": []}}, [op("add", "/a/b/0", 1), op("add", "/a/b/0", 0), op("remove", "/a/b/1")], {"a": {"b": [0]}}),
    ],
)  # fmt: skip
def test_a_patch_follows_rfc_6902(document: Any, operations: list[Operation], result: Any) -> None:
    before = copy.deepcopy(document)

    assert patched(document, operations) == result
    assert document == before


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([op("add", "/a/b/c", 1)], "/a: found a mapping of 0 without 'b', expected that place (operation 1, add)"),
        ([op("add", "/l/5", 1)], "/l: found a list of 2, expected a list that takes an element at '5'"),
        ([op("add", "/l/01", 1)], "/l: found a list of 2"),
        ([op("add", "/n/x", 1)], "/n: found a number, expected a mapping or a list"),
        ([op("remove", "/x")], "/: found a mapping of 4 without 'x', expected that place"),
        ([op("remove", "/l/-")], "/l: found a list of 2 without '-'"),
        ([op("replace", "/x", 1)], "without 'x'"),
        ([op("test", "/n", 4)], "/n: found 3, expected 4 (operation 1, test)"),
        ([op("test", "/n", True)], "/n: found 3, expected true"),
        ([op("test", "/n", "3")], "/n: found 3, expected a string"),
        ([op("test", "/s", "hunter3")], "/s: found a string, expected another: a string"),
        ([op("test", "/x", None)], "without 'x'"),
        ([op("move", "/a/x", origin="/a")], "/a: found the place that it is moved to inside of it"),
        ([op("move", "/l/0/x", origin="/l/0")], "inside of it"),
        ([op("copy", "/y", origin="/x")], "without 'x'"),
        ([op("replace", "/l/*", 1)], "/l: found 2 places that fit, expected exactly one"),
        ([op("add", "/y", 1), op("test", "/y", 2)], "(operation 2, test)"),
    ],
)
def test_a_patch_is_done_whole_or_not_at_all(operations: list[Operation], message: str) -> None:
    document = {"a": {}, "l": [1, 2], "n": 3, "s": "hunter2"}
    before = copy.deepcopy(document)

    with pytest.raises(Unreachable) as failure:
        patched(document, operations)

    assert message in str(failure.value)
    assert "hunter" not in str(failure.value)
    assert document == before


# Properties ----------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "0", "~/"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, JSON, max_size=4)
PATHS = st.lists(st.sampled_from(["a", "b", "0", "~0~1", "-", "*", "a[b=a]"]), min_size=1, max_size=4).map(
    lambda parts: parse("/" + "/".join(parts))
)
PLAIN = st.lists(st.sampled_from(["a", "b", "0", "1", "-"]), min_size=1, max_size=3).map(
    lambda parts: parse("/" + "/".join(parts))
)
OPERATIONS = st.builds(
    Operation, st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), PLAIN, JSON, PLAIN
)


@given(DOCUMENTS, PATHS, JSON)
def test_set_never_changes_what_it_was_given_and_twice_is_once(document: Any, path: Path, value: Any) -> None:
    before = copy.deepcopy(document)
    try:
        after = put(document, path, value)
    except Unreachable:
        after = None
    assert equal(document, before)
    if after is not None:
        found = [there for _, there in find(after, path)]
        assert found
        assert all(equal(one, value) for one in found)
        assert put(after, path, value) is after


@given(DOCUMENTS, PATHS)
def test_remove_twice_is_remove_once_but_for_counted_elements(document: Any, path: Path) -> None:
    before = copy.deepcopy(document)
    once, _ = remove(document, path)
    assert equal(document, before)
    if "0" not in path.text:
        assert remove(once, path)[0] is once


@given(DOCUMENTS, DOCUMENTS)
def test_merge_never_changes_what_it_was_given_and_twice_is_once(document: Any, patch: Any) -> None:
    before = copy.deepcopy((document, patch))
    once = merged(document, patch)
    assert equal(list(before), [document, patch])
    assert merged(once, patch) is once


@given(DOCUMENTS, st.lists(OPERATIONS, min_size=1, max_size=4))
def test_patch_never_changes_what_it_was_given(document: Any, operations: list[Operation]) -> None:
    before = copy.deepcopy(document)
    with contextlib.suppress(Unreachable):
        patched(document, operations)
    assert equal(document, before)


@given(DOCUMENTS, PLAIN, JSON)
def test_what_a_patch_adds_a_test_finds_and_remove_takes_out_again(document: Any, path: Path, value: Any) -> None:
    try:
        added = patched(document, [Operation("add", path, value)])
    except Unreachable:
        return
    if not path.text.endswith("-"):
        assert equal(patched(added, [Operation("test", path, value)]), added)
        there = list(find(document, path))
        removed = patched(added, [Operation("remove", path)])
        assert equal(removed, document) or there


@given(JSON, JSON)
def test_equality_is_that_of_json(one: Any, other: Any) -> None:
    assert equal(one, copy.deepcopy(one))
    assert equal(one, other) == equal(other, one)
    assert not equal(True, 1)
    assert not equal({"a": 0}, {"a": False})
    assert equal([1], [1.0])
