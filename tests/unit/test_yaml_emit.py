"""The emitter, with two independent YAML readers (1.1 and 1.2) and our own as oracles."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from drsyncer.errors import InvalidManifest
from drsyncer.yaml import LIMITS, Limits
from drsyncer.yaml.emit import emit
from drsyncer.yaml.read import read

NASTY = [
    *("", " ", " a", "a ", "~", "null", "Null", "nULL", "yes", "No", "on", "OFF", "y", "N", "true", "False", "nan"),
    *("inf", ".inf", "-.INF", ".NaN", "0", "-0", "12", "012", "08", "0o17", "0x1f", "0X1F", "0b1", "1_000", "1:30"),
    *("1e3", "1.5e3", "1.0e+3", ".5", "-.5", "5.", "+1", "100.0", "2001-01-01", "2001-12-14t21:59:43.10-05:00"),
    *("- a", "-", "--", "---", "...", "--- a", "a: b", "a:", ":a", "a :b", "a #b", "a#b", "#", "? a", "?", "=", "<<"),
    *("!!str x", "!x", "&a", "*a", "|", ">", "@a", "`a`", "%a", "'a'", '"a"', "a'b", 'a"b', "\\", "a\\nb", "{{ x }}"),
    *("{a: 1}", "[a]", "a, b", "{", "}", "[", "]", "a]", "/", "/a b", "//", "http://x/#y", "$(VAR)", "a  b", "a\tb"),
    *("\t", "\tb", "b\t", "\n", "\n\n", " \n", "\n ", "\t\n", "\r", "\r\n", "a\r\nb", "a\rb", "\x00", "\x1b[31m"),
    *("\x7f", "\x80", "\x85", "\xa0", "a\u2028b", "a\u2029b", "\ufeffa", "a\ufeff", "\ufdd0", "\ufffe", "\uffff"),
    *("\U0001fffe", "\U0010ffff", "😀", "👩‍💻", "größe", "\u200b", "\u202eabc", "ÿ", "a\n😀\n", "a\nb\x85\n"),
    *("a\nb", "a\nb\n", "a\nb\n\n", "a\n\n\nb", " a\nb", "\ta\nb", "\na\nb", "\n\n  a\n", " \na", "  \n a\n", "a\n "),
    *("a\n \n", "a\n\t", "a\n\tb\n", "a \nb\t\n", "a\n   b\n c\n", "# a\n# b\n", "---\na\n...\n", "a: |\n  b\n", "\n#"),
    *("a\n#\n", "{{ if }}\n  x\n{{ end }}\n", "-----BEGIN X-----\nMIIB\n-----END X-----\n", "#!/bin/sh\nset -e\n"),
]

LONG = ["x" * 2000, "x y " * 700 + "z", "1" * 1500, "ä" * 1100, "line of text\n" * 8000, "\x00\x7f" * 600]

characters = st.characters(exclude_categories=["Cs"])
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(characters, max_size=40),
    st.text("ab \t\n-:#|0", max_size=16),
    st.lists(st.sampled_from(NASTY), min_size=2, max_size=3).map("".join),
)
numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([100.0, -0.0, 1e20, 1e-7, 5e-324, 1.7976931348623157e308, 1e21, 2**63, 2**64, 10**21, -(2**63)]),
)
json_values = st.recursive(
    st.one_of(texts, numbers, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
manifests = st.dictionaries(
    st.one_of(st.sampled_from(["apiVersion", "kind", "metadata"]), texts), json_values, max_size=5
)


def exact(value: Any) -> Any:
    """`value` in a form where 1, 1.0 and True differ, as do 0.0 and -0.0, and the order of keys does not count."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return type(value).__name__, repr(value)


def by_yaml_1_1(data: bytes) -> Any:
    return pyyaml.safe_load(data)


def by_yaml_1_2(data: bytes) -> Any:
    return YAML(typ="safe", pure=True).load(data)


def by_us(data: bytes) -> Any:
    return read(data, file="test.yaml")


READERS = (by_yaml_1_1, by_yaml_1_2, by_us)


@given(manifests)
@settings(max_examples=100)
def test_every_reader_reads_back_what_was_written(manifest):
    data = emit(manifest)
    for reader in READERS:
        assert exact(reader(data)) == exact(manifest)


@pytest.mark.parametrize("reader", READERS)
def test_nasty_text_comes_back_in_every_place(reader):
    texts = NASTY + LONG
    manifest = {
        "values": {f"key{index}": text for index, text in enumerate(texts)},
        "keys": {text: {text: "v"} for text in texts},
        "items": texts,
        "nested": [[text, [text]] for text in NASTY],
        "objects": [{text: [text], "z": text} for text in NASTY],
    }
    assert exact(reader(emit(manifest))) == exact(manifest)


@given(manifests, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_keys_does_not_change_the_bytes(manifest, chance):
    assert emit(shuffled(manifest, chance)) == emit(manifest)


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(item, chance)) for key, item in value.items()]
    chance.shuffle(items)
    return dict(items)


def test_the_style_is_kubectls_with_the_head_first():
    manifest = {
        "spec": {"list": ["a", 1, 1.5, True, None, {}, [], {"b": 1, "a": {"z": []}}, [["x"], {"k": "v"}]]},
        "kind": "Example",
        "data": {"script": "set -e\n\n\techo\n", "raw": " a\nb", "more": "a\n\n", "on": "yes", "plain": "a: b"},
        "metadata": {"name": "x", "apiVersion": "below the top, no special place"},
        "apiVersion": "v1",
    }
    assert emit(manifest).decode() == (
        "apiVersion: v1\n"
        "kind: Example\n"
        "metadata:\n"
        "  apiVersion: below the top, no special place\n"
        "  name: x\n"
        "data:\n"
        "  more: |+\n"
        "    a\n"
        "\n"
        '  "on": "yes"\n'
        '  plain: "a: b"\n'
        "  raw: |2-\n"
        "     a\n"
        "    b\n"
        "  script: |\n"
        "    set -e\n"
        "\n"
        "    \techo\n"
        "spec:\n"
        "  list:\n"
        "  - a\n"
        "  - 1\n"
        "  - 1.5\n"
        "  - true\n"
        "  - null\n"
        "  - {}\n"
        "  - []\n"
        "  - a:\n"
        "      z: []\n"
        "    b: 1\n"
        "  - - - x\n"
        "    - k: v\n"
    )


@pytest.mark.parametrize("text", ["a\x7f", "a\x85", "a\xa0", "a\u2028", "a\ufeff", "a\ufdd0", "a\uffff", "a\r\nb"])
def test_what_a_reader_may_drop_or_an_eye_may_miss_is_escaped(text):
    line = emit({"k": text}).decode()
    assert line.isascii()
    assert line.startswith('k: "a\\')


@pytest.mark.parametrize("text", ["\n", " \n\n", "\t\n "])
def test_lines_of_nothing_but_blanks_are_shown_as_such(text):
    assert emit({"k": text}) == b"k: " + json.dumps(text).encode() + b"\n"


def test_emoji_and_other_letters_stay_readable():
    assert emit({"k": "größe 😀"}).decode() == 'k: "größe 😀"\n'


def test_a_large_text_is_a_block_however_large():
    text = "line with trailing blanks  \n\t{{ template }} 😀\n" * 5000
    data = emit({"data": {"k": text}})
    assert data.startswith(b"data:\n  k: |\n    line")
    assert read(data, file="x")["data"]["k"] == text


@pytest.mark.parametrize("length", [999, 1000, 1001, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("value", ["v", "a\nb", ["x"], {"x": 1}, [], {}, None])
def test_keys_of_any_length_can_be_read(length, value):
    manifest = {"k" * length: value, "list": [{"ä" * length: value}]}
    for reader in READERS:
        assert reader(emit(manifest)) == manifest


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"spec": {"x": [1, float("nan")]}}, "/spec/x/1: not a finite number"),
        ({"spec": {"x": float("-inf")}}, "/spec/x: not a finite number"),
        ({"spec": {"x": 10**400}}, "/spec/x: number out of range"),
        ({"spec": {"x": 10**5000}}, "/spec/x: number out of range"),
        ({"spec": {"a/b~c": b"hidden"}}, "/spec/a~1b~0c: bytes is no JSON type"),
        ({"spec": {1: "hidden"}}, "/spec: a key is int, not text"),
        ({"spec": {1: "hidden", "a": 1}}, "/spec: a key is int, not text"),
        ({"spec": {"x": "hidden\ud800"}}, "/spec/x: text with half of a surrogate pair"),
        ({"spec": {"hidden\ud800": 1}}, "/spec: a key with half of a surrogate pair"),
        ({"spec": ("hidden",)}, "/spec: tuple is no JSON type"),
        ([1], "an object is a mapping, not list"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place_alone(value, said):
    with pytest.raises(ValueError, match="^" + re.escape(said) + "$"):
        emit(value)


def test_what_could_not_be_read_back_is_not_written():
    deep: Any = "x"
    for _ in range(LIMITS.depth):
        deep = [deep]
    with pytest.raises(ValueError, match="nested deeper than 100"):
        emit({"a": deep})
    assert read(emit({"a": deep[0]}), file="x") == {"a": deep[0]}
    with pytest.raises(ValueError, match="more than 10 keys"):
        emit({"a": list(range(8))}, limits=Limits(nodes=10))
    assert read(emit({"a": list(range(7))}, limits=Limits(nodes=10)), file="x", limits=Limits(nodes=10))
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        emit({"a": "123456789"}, limits=Limits(max_bytes=10))


def test_a_value_that_holds_itself_is_refused():
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(ValueError, match="nested deeper than 100"):
        emit(loop)


@given(manifests)
@settings(max_examples=40)
def test_limits_count_alike_on_both_sides(manifest):
    data = emit(manifest)
    nodes = nodes_of(manifest)
    assert emit(manifest, limits=Limits(nodes=nodes)) == data
    assert exact(read(data, file="x", limits=Limits(nodes=nodes))) == exact(manifest)
    with pytest.raises(ValueError, match="keys and values"):
        emit(manifest, limits=Limits(nodes=nodes - 1))
    with pytest.raises(InvalidManifest, match="keys and values"):
        read(data, file="x", limits=Limits(nodes=nodes - 1))


def nodes_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + nodes_of(item) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(map(nodes_of, value))
    return 1
