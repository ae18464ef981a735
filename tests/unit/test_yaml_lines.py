"""The line of a key, for messages about what is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.yaml.emit import emit
from drsyncer.yaml.lines import line_of

TEXT = b"""\
apiVersion: v1
kind: ConfigMap
data:
  name: not this one
  list:
  - metadata: {name: nor this}
metadata:
  annotations:
    name: nor that
    "odd":
    - name
  name: web
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("kind",), 2),
        (("metadata", "name"), 12),
        (("metadata", "annotations", "name"), 9),
        (("data", "list", "metadata"), 5),  # no mapping goes on from a list: its own line
        (("metadata", "labels"), 7),
        (("metadata", "annotations", "odd", "name"), 10),
        (("kind", "name"), 2),
        (("nothing", "name"), 0),
        ((), 0),
    ],
)
def test_the_line_is_that_of_the_deepest_key_that_is_there(path: tuple[str, ...], line: int) -> None:
    assert line_of(TEXT, path) == line


@pytest.mark.parametrize("data", [b"", b"\xff\x00", b"a: [1,", b"- a\n- b\n", b"text"])
def test_what_is_no_mapping_has_no_lines(data: bytes) -> None:
    assert line_of(data, ("metadata", "name")) == 0


@given(st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.sampled_from("abcd"), st.just({"a": [{"b": 1}]}))))
def test_every_key_is_found_where_it_was_written(document: dict[str, dict[str, object]]) -> None:
    data = emit(document)
    lines = data.decode().splitlines()
    for outer, inner in document.items():
        assert lines[line_of(data, (outer,)) - 1].startswith(f"{outer}:")
        for key in inner:
            assert lines[line_of(data, (outer, key)) - 1].startswith(f"  {key}:")
