"""The reader: what it takes, what it refuses and on which line, and that hostile files cost little."""

from __future__ import annotations

import datetime
import time
from contextlib import suppress

import pytest
import yaml as pyyaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drsyncer.errors import InvalidManifest
from drsyncer.yaml import Limits
from drsyncer.yaml import read as module
from drsyncer.yaml.read import read, read_all
from tests.unit.test_yaml_emit import by_yaml_1_2, exact


@pytest.fixture(params=["libyaml", "pure"], autouse=True)
def parser(request, monkeypatch):
    """Every test here runs on both parsers: not every platform has the fast one."""
    if request.param == "pure":
        monkeypatch.setattr(module, "CParser", None)
    return request.param


def refusal(data: str | bytes, **limits: int) -> InvalidManifest:
    raw = data if isinstance(data, bytes) else data.encode()
    with pytest.raises(InvalidManifest) as caught:
        read(raw, file="web.yaml", limits=Limits(**limits))
    return caught.value


def value_of(text: str) -> object:
    return read(f"v: {text}\n".encode(), file="x")["v"]


def test_a_file_that_a_person_wrote_is_read():
    data = b"""---
# The shop's front.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: 'front', "since": 2001-01-01}}
spec:
    replicas: 3
    template:
        args: ["--listen=:8080", -v]
        script: >-
          folded
          text
        nothing:
        image: registry.example.com:5000/web:1.2.3   # a comment
        quota: 0.5
...
"""
    assert read(data, file="x") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"tier": "front", "since": "2001-01-01"}},
        "spec": {
            "replicas": 3,
            "template": {
                "args": ["--listen=:8080", "-v"],
                "script": "folded text",
                "nothing": None,
                "image": "registry.example.com:5000/web:1.2.3",
                "quota": 0.5,
            },
        },
    }


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b"\r\n", b"# comment\r\n"])
def test_files_from_other_systems_are_read(prefix):
    assert read(prefix + b"a: |\r\n  b\r\n  c\r\n", file="x") == {"a": "b\nc\n"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            ("1", 1),
            ("-1", -1),
            ("+1", 1),
            ("0", 0),
            ("0x1F", 31),
            ("1.0", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-0.0", -0.0),
        ),
        *(
            ("1.0e+20", 1e20),
            ("1.5E-3", 0.0015),
            ("true", True),
            ("False", False),
            ("~", None),
            ("", None),
            ("NULL", None),
        ),
        *(("abc", "abc"), ("1.2.3", "1.2.3"), ("10Gi", "10Gi"), ("100m", "100m"), ("yEs", "yEs"), ("nULL", "nULL")),
        *(("2001-01-01", "2001-01-01"), ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"), ("10.0.0.0/8", "10.0.0.0/8")),
        *(
            ("-", "-"),
            ("--x", "--x"),
            ("-x", "-x"),
            (".", "."),
            ("...x", "...x"),
            ("==", "=="),
            ("+", "+"),
            ("e5", "e5"),
        ),
        *(("!!str 1", "1"), ("!!int 1", 1), ("!!float 1", 1.0), ("!!null ''", None), ("!!bool true", True)),
        *(("!!map {a: b}", {"a": "b"}), ("!!seq [1]", [1]), ('"yes"', "yes"), ("'012'", "012"), ('"\\u0000"', "\x00")),
    ],
)
def test_plain_values_mean_what_kubernetes_takes_them_for(text, value):
    if text == "-":
        text = '"-"'
    assert exact(value_of(text)) == exact(value)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "No", "ON", "off", "y", "N", "012", "-012", "08", "00", "0o17", "0O17", "0b1", "0B1", "0X1F", "-0x1F"),
        *(
            "1_000",
            "1_0.5",
            "1:30",
            "-1:30:00",
            "1:30.5",
            "1e3",
            "1E+3",
            "1.5e3",
            "-.5",
            "+.5",
            ".5e3",
            "3e1_",
            "-_5",
            "-._6",
            "=",
            "<<",
        ),
        *(".inf", "-.INF", ".NaN", "1.0e+400", "9" * 400, "0x" + "f" * 17),
    ],
)
def test_what_readers_disagree_about_is_refused(text):
    error = refusal(f"a: 1\nv: {text}\n")
    assert error.line == 2
    assert error.hint


# Without a letter or digit, ruamel.yaml takes some for numbers and then trips over them.
SCALARS = st.text("0123456789+-._:xXoObBeEaAfFnNyYsStTrRuUlL~=<", min_size=1, max_size=7).filter(
    lambda text: text.strip("+-._")
)


@given(SCALARS)
@settings(max_examples=250)
@example("0x1F")
def test_what_is_accepted_is_read_alike_by_both_versions_of_yaml(text):
    document = f"v: {text}\n".encode()
    try:
        found = read(document, file="x")
    except InvalidManifest:
        return
    old = pyyaml.safe_load(document)
    if isinstance(old["v"], datetime.date):
        old["v"] = text
    assert exact(found) == exact(old) == exact(by_yaml_1_2(document))


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        ("", 1, "holds no object"),
        ("# nothing\n", 1, "holds no object"),
        ("\n---\n- a\n", 3, "holds no mapping"),
        ("---\n", 2, "holds no mapping"),
        ("text\n", 1, "holds no mapping"),
        ("a: 1\n---\nb: 2\n", 2, "a second document starts here"),
        ("a: 1\n---\n", 2, "a second document starts here"),
        ("a: 1\nb: 2\n\na: 3\n", 4, "the key 'a' is here a second time; the first is on line 1"),
        ("x:\n- a: 1\n  b: 2\n  'b': 3\n", 4, "the key 'b' is here a second time; the first is on line 3"),
        ("x: {a: 1, b: {c: 1}, a: 1}\n", 1, "the key 'a' is here a second time; the first is on line 1"),
        ("a: 1\n1: x\n", 2, "a key is not text"),
        ("a: 1\n~: x\n", 2, "a key is not text"),
        ("a: 1\n[b]: x\n", 2, "a key is not text"),
        ("a: 1\nb: {{ x }}\n", 2, "a key is not text"),
        ("a: 1\n? {b: c}\n: x\n", 2, "a key is not text"),
        ("a: &x 1\nb: *x\n", 1, "anchors and aliases are not allowed"),
        ("a: 1\nb: &x\n  c: 1\n", 2, "anchors and aliases are not allowed"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases are not allowed"),
        ("a: 1\n*x : 1\n", 2, "anchors and aliases are not allowed"),
        ("a: 1\n<<: {b: 1}\n", 2, "merge keys are not allowed"),
        ("a: 1\nb: !secret x\n", 2, "a tag that Kubernetes objects have no use for"),
        ("a: 1\nb: !!binary aGk=\n", 2, "a tag that Kubernetes objects have no use for"),
        ("a: 1\nb: !!python/object:os.system {}\n", 2, "a tag that Kubernetes objects have no use for"),
        ("a: 1\nb: !!set {}\n", 2, "a tag that Kubernetes objects have no use for"),
        ("a: 1\nb: ! x\n", 2, "a tag that Kubernetes objects have no use for"),
        ("a: 1\nb: !!int x\n", 2, "the value is not of the type that its tag says"),
        ("a:\n\tb: 1\n", 2, "not YAML"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("a: 1\n  b: 2\n", 2, "not YAML"),
        ('a: 1\nb: "open\n', 3, "not YAML"),
        ("a: 1\nb: x\x01\n", 2, "the character U+0001 is not allowed in YAML"),
        ("ä: 1\nb: x\uffff\n", 2, "the character U+FFFF is not allowed in YAML"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        (b"\xff\xfea\x00", 1, "not UTF-8"),
        (b"a: \xed\xa0\x80\n", 1, "not UTF-8"),
        ('a: "\\ud800"\n', 1, ""),
        ('a: "\\UFFFFFFFF"\n', 1, "not YAML"),
    ],
)
def test_a_fault_is_named_with_its_line(data, line, said, parser):
    error = refusal(data)
    assert said in error.reason
    assert error.line == line or (parser, said) == ("pure", "not YAML")
    assert str(error).startswith("web.yaml")


@pytest.mark.parametrize(
    "value", ["0_1234567", "1:30", "012", "hunter2: x", "!hunter2 x", "&hunter2 x", "[hunter2", '"hunter2', "*hunter2"]
)
def test_no_error_repeats_a_value(value):
    error = refusal(f"password: {value}\n")
    assert value not in str(error) + error.hint
    assert "hunter2" not in str(error) + error.hint


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%YAML 1.2", "%TAG ! tag:example.com,2000:"])
def test_directives_are_refused(directive):
    assert "directives are not allowed" in refusal(f"{directive}\n---\na: 1\n").reason


def test_size_depth_and_number_of_nodes_are_bounded():
    assert "larger than 10 bytes" in refusal("a: 12345678", max_bytes=10).reason
    assert "deeper than 3 levels" in refusal("a:\n  b:\n    c: [1]\n", depth=3).reason
    assert refusal("a:\n  b:\n    c: [1]\n", depth=3).line == 3
    assert "more than 5 keys and values" in refusal("a: [1, 2,\n 3, 4]\n", nodes=5).reason


@pytest.mark.parametrize(
    "bomb",
    [
        "a: " + "[" * 50_000,
        "a: " + "{a: " * 50_000,
        "a:\n" + "- " * 50_000,
        "? " * 50_000,
        "a: &a [x,x]\n" + "".join(f"b{n}: &b{n} [*a,*a]\n" for n in range(1000)),
        "".join(" " * n + "a:\n" for n in range(1000)),
    ],
)
def test_a_hostile_file_is_refused_at_once(bomb, parser):
    started = time.process_time()
    refusal(bomb)
    assert time.process_time() - started < (2 if parser == "libyaml" else 10)


@given(st.one_of(st.text("ab:-?[]{},&*!|>'\"%#\n\t @`~\\0x<=.", max_size=40), st.binary(max_size=40)))
@settings(max_examples=150)
def test_any_bytes_give_a_mapping_or_an_invalid_manifest(data):
    raw = data if isinstance(data, bytes) else data.encode()
    with suppress(InvalidManifest):
        assert isinstance(read(raw, file="x"), dict)


def test_an_unquoted_colon_in_brackets_is_read_or_explained(parser):
    data = b"a: 1\nargs: [--listen=:8080]\n"
    if parser == "pure":
        assert read(data, file="x")["args"] == ["--listen=:8080"]
    else:
        error = refusal(data)
        assert error.line == 2
        assert "quote what has a colon" in error.hint


def test_documents_come_with_their_lines():
    data = b"# head\n---\na: 1\n---\n# empty\n---\n\n- b\n---\ntext\n"
    assert read_all(data, file="x") == [(3, {"a": 1}), (8, ["b"]), (10, "text")]
    assert read_all(b"", file="x") == []
    assert read_all(b"# only a comment\n", file="x") == []
    assert read_all(b"a: 1\n...\n---\nb: 2\n", file="x") == [(1, {"a": 1}), (4, {"b": 2})]


def test_a_fault_in_a_later_document_is_named_with_its_line():
    with pytest.raises(InvalidManifest, match=r"^many\.yaml:4: the key 'b' is here a second time"):
        read_all(b"a: 1\n---\nb: 1\nb: 2\n", file="many.yaml")


def test_the_bounds_hold_for_all_documents_together():
    with pytest.raises(InvalidManifest, match="more than 5 keys"):
        read_all(b"---\na: 1\n" * 2, file="x", limits=Limits(nodes=5))
