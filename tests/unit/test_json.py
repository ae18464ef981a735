"""JSON bytes, with two YAML readers standing in for the API server's, which reads the body of an apply as YAML."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsyncer.json import decode, encode, encode_for_apply, encode_for_people, items_of, number, quoted
from tests.unit.test_yaml_emit import LONG, NASTY, by_yaml_1_1, by_yaml_1_2, exact, manifests, numbers


@given(manifests)
@settings(max_examples=100)
def test_an_apply_body_is_read_alike_as_yaml(manifest):
    body = encode_for_apply(manifest)
    for reader in (by_yaml_1_1, by_yaml_1_2):
        assert exact(reader(body)) == exact(manifest)


@given(manifests)
@settings(max_examples=50)
def test_an_apply_body_is_json_too_while_its_keys_are_short(manifest):
    assert exact(json.loads(encode_for_apply(manifest))) == exact(manifest)


@pytest.mark.parametrize("reader", [by_yaml_1_1, by_yaml_1_2])
def test_nasty_text_survives_the_apply_as_value_and_as_key(reader):
    texts = NASTY + LONG
    manifest = {"values": texts, "keys": {text: [text] for text in texts}, "last": {"x" * 2000: {"y" * 2000: 1}}}
    assert exact(reader(encode_for_apply(manifest))) == exact(manifest)


@pytest.mark.parametrize(
    "character", ["\x7f", "\x80", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff", "\ufdd0", "\uffff"]
)
def test_what_a_yaml_reader_refuses_or_folds_is_escaped(character):
    assert encode_for_apply({"k": f"a{character}b"}) == b'{"k":"a\\u%04xb"}' % ord(character)


def test_characters_beyond_the_basic_plane_stay_as_they_are():
    assert encode_for_apply({"k": "😀\U0001fffe"}) == '{"k":"😀\U0001fffe"}'.encode()


@pytest.mark.parametrize("length", [160, 180, 300, 999, 1000, 1001, 1024, 1025])
@pytest.mark.parametrize("character", ["k", "\x7f", "ä", "\x00", '"'])
def test_a_key_too_long_for_yaml_is_announced(length, character):
    manifest = {"a": {character * length: {character * length: 1}, "z": 2}}
    body = encode_for_apply(manifest)
    assert by_yaml_1_1(body) == by_yaml_1_2(body) == manifest


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (-0.0, "-0.0"),
        (100.0, "100.0"),
        (1e20, "1.0e+20"),
        (1.5e-9, "1.5e-09"),
        (2**64, "18446744073709551616"),
    ],
)
def test_a_number_keeps_its_kind(value, text):
    assert number(value) == text
    assert encode_for_apply({"k": value}) == b'{"k":%s}' % text.encode()


@given(numbers)
def test_a_number_is_read_back_as_the_same_by_all(value):
    for reader in (json.loads, by_yaml_1_1, by_yaml_1_2):
        assert exact(reader(number(value))) == exact(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": {"b": [float("nan")]}}, "/a/b/0: not a finite number"),
        ({"a": float("inf")}, "/a: not a finite number"),
        ({"a": {1: 2}}, "/a: a key is int, not text"),
        ({"a": b"x"}, "/a: bytes is no JSON type"),
        ({"a": "\udc00"}, "/a: text with half of a surrogate pair"),
    ],
)
def test_an_apply_body_holds_only_what_json_holds(value, said):
    with pytest.raises(ValueError, match="^" + re.escape(said) + "$"):
        encode_for_apply(value)


def test_an_apply_body_that_holds_itself_is_refused():
    loop = {}
    loop["a"] = [loop]
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        encode_for_apply(loop)


def test_decoding_keeps_whole_numbers_and_floats_apart():
    assert exact(decode(b'{"a":1,"b":1.0,"c":100000000000000000000}')) == exact({"a": 1, "b": 1.0, "c": 10**20})


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b"nan", b"1e400", b'"\\ud800"', b'"\xff"', b"[" * 100_000])
def test_what_is_not_json_is_refused(data):
    with pytest.raises(ValueError, match="not JSON"):
        decode(data)


@given(manifests)
@settings(max_examples=50)
def test_decoding_inverts_encoding(manifest):
    assert exact(decode(encode(manifest))) == exact(manifest)


def test_the_items_of_a_page_are_decoded_one_by_one():
    page = items_of(
        b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"12","continue":"next",'
        b'"remainingItemCount":7,"selfLink":"x"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}'
    )
    assert (page.kind, page.api_version, page.resource_version) == ("PodList", "v1", "12")
    assert (page.continue_token, page.remaining) == ("next", 7)
    assert [decode(item)["metadata"]["name"] for item in page.items] == ["a", "b"]


@pytest.mark.parametrize(
    "data", [b'{"items":null}', b'{"metadata":null}', b'{"metadata":{"continue":null,"remainingItemCount":null}}']
)
def test_a_page_without_items_is_an_empty_page(data):
    page = items_of(data)
    assert (page.items, page.continue_token, page.remaining, page.resource_version) == ([], "", None, "")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"items":[{"a":1}', b'{"items":{}}', b"<html>"])
def test_an_answer_that_is_no_list_is_refused(data):
    with pytest.raises(ValueError, match="not a list of objects"):
        items_of(data)


def test_quoted_text_is_json():
    for text in NASTY + LONG:
        assert json.loads(quoted(text)) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
        max_leaves=12,
    )
)
def test_json_for_people_is_what_the_standard_library_writes(value: object) -> None:
    assert encode_for_people(value) == json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
