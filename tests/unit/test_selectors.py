"""Label selectors mean what they mean to Kubernetes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.selectors import Operator, Requirement, Selector, parse

LABELS = {"app": "web", "tier": "front", "size": "12", "example.com/owner": "shop", "bare": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "app",
        "app=web",
        "app==web",
        " app = web ",
        "app!=db",
        "missing!=db",
        "app in (web,db)",
        "app in ( web , db )",
        "tier notin (back)",
        "missing notin (back)",
        "!missing",
        "! missing",
        "size>11",
        "size<13",
        "size > -1",
        "example.com/owner=shop",
        "bare",
        "bare=",
        "bare in ()",
        "app=web,tier in (front,back),!missing,size>1",
    ],
)
def test_a_selector_matches(text: str) -> None:
    assert parse(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "!app",
        "app=db",
        "app!=web",
        "app in (db)",
        "missing in (db)",
        "missing=",
        "app notin (web)",
        "size>12",
        "size<12",
        "app>1",
        "missing>1",
        "bare>0",
        "app=web,tier=back",
    ],
)
def test_a_selector_does_not_match(text: str) -> None:
    assert not parse(text).matches(LABELS)


@pytest.mark.parametrize("key", ["in", "notin"])
def test_the_words_in_and_notin_may_be_keys_and_values(key: str) -> None:
    assert parse(f"{key} in ({key})").matches({key: key})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("app in web", "expected '(' after 'in', at character 8"),
        ("app in (web", "expected ')' after 'in (', at its end"),
        ("app web", "expected =, ==, !=, in, notin, > or < after 'app', at character 5"),
        ("app=web tier=x", "expected ',' after 'app=web', at character 9"),
        ("app=web,", "expected the name of a label, at its end"),
        (",app", "expected the name of a label, at character 1"),
        ("=web", "expected the name of a label, at character 1"),
        ("size>big", "expected a whole number after '>', at character 6"),
        ("size>", "expected a whole number after '>', at its end"),
        ("-app", "'-app' is not the name of a label"),
        ("a/b/c=d", "'a/b/c' is not the name of a label"),
        ("UPPER.com/x", "'UPPER.com/x' is not the name of a label"),
        ("app=-x", "'-x' is not a label value"),
        ("app=" + "x" * 64, "is not a label value"),
    ],
)
def test_a_wrong_selector_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="label selector") as refusal:
        parse(text)
    assert complaint in str(refusal.value)


def test_the_empty_selector_asks_for_nothing() -> None:
    assert not parse("")
    assert parse("app")


_NAMES = st.from_regex(r"([a-z]{1,5}\.[a-z]{1,3}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?", fullmatch=True)
_VALUES = st.from_regex(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?)?", fullmatch=True)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(list(Operator)))
    match operator:
        case Operator.EXISTS | Operator.ABSENT:
            values: tuple[str, ...] = ()
        case Operator.ABOVE | Operator.BELOW:
            values = (str(draw(st.integers(-(2**62), 2**62))),)
        case Operator.IN | Operator.NOT_IN:
            values = tuple(sorted(draw(st.sets(_VALUES, min_size=1, max_size=4))))
        case _:
            values = (draw(_VALUES),)
    return Requirement(draw(_NAMES), operator, values)


@given(st.lists(requirements(), max_size=4))
def test_a_selector_reads_back_from_its_text(wanted: list[Requirement]) -> None:
    selector = Selector(tuple(wanted))
    assert parse(str(selector)) == selector
