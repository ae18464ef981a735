"""What users may strip and keep, and what their paths mean: keys with dots and slashes, lists, parts of what goes."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer.match import match
from tests.unit.test_clean import clean, user, widget
from transforms.clean import Cleaner


@pytest.mark.parametrize(
    "text",
    [
        *("/metadata", "/metadata/uid", "/metadata/*", "/metadata/owner*", "/*", "/*/resourceVersion"),
        *("/metadata/managedFields/0/time", "/metadata/ownerReferences[kind=Node]", "/metadata/deletionTimestamp"),
    ],
)
def test_nobody_can_keep_what_another_cluster_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="another cluster refuses that, or deletes the object for it"):
        Cleaner(keep=[user(text)])


@pytest.mark.parametrize(
    "text", ["/metadata/finalizers", "/metadata/generateName", "/metadata/annotations/*", "/status"]
)
def test_everything_else_can_be_kept(text: str) -> None:
    assert Cleaner(keep=[user(text)])


EDGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/spec/a.b~1c", {"a.b/c": 1, "a": {"b/c": 2}}, {"a": {"b/c": 2}}),
    ("/spec/a~0b", {"a~b": 1, "a~0b": 2}, {"a~0b": 2}),
    ("/spec/a~2", {"a*": 1, "ab": 2}, {"ab": 2}),
    ("/spec/l/*/x", {"l": [{"x": 1}, {"y": 2}, 3, None]}, {"l": [{}, {"y": 2}, 3, None]}),
    (
        "/spec/l[name=a]/x",
        {"l": [{"name": "a", "x": 1}, {"name": "b", "x": 1}]},
        {"l": [{"name": "a"}, {"name": "b", "x": 1}]},
    ),
    ("/spec/l[key=a.b~1c]", {"l": [{"key": "a.b/c"}, {"key": "d"}]}, {"l": [{"key": "d"}]}),
    ("/spec/l[on=true]", {"l": [{"on": True}, {"on": "false"}]}, {"l": [{"on": "false"}]}),
    ("/spec/l/*/m/*/x", {"l": [{"m": {"a": {"x": 1}, "b": 0}}]}, {"l": [{"m": {"a": {}, "b": 0}}]}),
    ("/spec/0", {"0": 1, "1": 2}, {"1": 2}),
    ("/spec/l/1", {"l": ["a", "b", "c"]}, {"l": ["a", "c"]}),
    ("/spec/", {"": 1, "x": 2}, {"x": 2}),
    ("/spec/x", {"x": None}, {}),
]


@pytest.mark.parametrize(("text", "before", "after"), EDGES, ids=[edge[0] for edge in EDGES])
def test_a_path_means_what_the_grammar_says(text: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    cleaned = clean(widget() | {"spec": before}, Cleaner(strip=[user(text)]))
    assert cleaned.manifest["spec"] == after
    assert cleaned.used == {"strip[0].paths[0]"}


KEPT: list[tuple[str, Any, Any]] = [
    (
        "/status/l/*/name",
        {"l": [{"name": "a", "x": 1}, {"y": 2}, {"name": "b"}]},
        {"l": [{"name": "a"}, {"name": "b"}]},
    ),
    ("/status/l[name=b]", {"l": [{"name": "a"}, {"name": "b", "x": 1}]}, {"l": [{"name": "b", "x": 1}]}),
    ("/status/a.b~1c/d", {"a.b/c": {"d": None, "e": 1}, "z": 1}, {"a.b/c": {"d": None}}),
    ("/status/l/1", {"l": [1, 2, 3]}, {"l": [2]}),
    ("/status/empty", {"empty": {}, "x": 1}, {"empty": {}}),
]


@pytest.mark.parametrize(("text", "before", "after"), KEPT, ids=[case[0] for case in KEPT])
def test_a_part_below_a_removed_parent_is_kept_alone(text: str, before: Any, after: Any) -> None:
    cleaned = clean(widget() | {"status": before}, Cleaner(keep=[user(text)]))
    assert cleaned.manifest["status"] == after
    assert cleaned.used == {"keep[0].paths[0]"}


def test_a_part_of_what_a_user_strips_is_kept_too() -> None:
    raw = widget() | {"spec": {"a": {"b": 1, "c": 2}, "d": 3}}
    cleaned = clean(raw, Cleaner(strip=[user("/spec/a")], keep=[user("/spec/a/c")]))
    assert cleaned.manifest["spec"] == {"a": {"c": 2}, "d": 3}
    assert cleaned.used == {"strip[0].paths[0]", "keep[0].paths[0]"}


def test_paths_that_were_found_nowhere_are_named() -> None:
    cleaner = Cleaner(
        keep=[user("/spec/ipFamilies", about=match(types=["services"]))],
        strip=[user("/metadata/annotations/noise", "/no/such~1path")],
    )
    seen = clean(widget(noise="1"), cleaner).used
    assert cleaner.unused(seen) == [
        "keep[0].paths[0] (/spec/ipFamilies, in types services)",
        "strip[0].paths[1] (/no/such~1path, in everything)",
    ]


@pytest.mark.parametrize(
    "text", ["/kind", "/apiVersion", "/metadata", "/metadata/name", "/metadata/name*", "/*", "/metadata/n*"]
)
def test_nobody_can_strip_an_objects_identity(text: str) -> None:
    with pytest.raises(ValueError, match="would remove apiVersion, kind, name or namespace"):
        Cleaner(strip=[user(text)])
