"""Ranges of versions over the tags of a repository."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.versions import check_range, newest

TAGS = ("v1.0.0", "v1.4", "v1.4.2", "1.10.0", "v2.0.0-rc.1", "v2.0.0-rc.2", "latest", "before-upgrade", "20240101")


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        (">=1.0 <2", "1.10.0"),
        (">= 1.0, < 2", "1.10.0"),
        ("1.x", "1.10.0"),
        ("^1.4", "1.10.0"),
        ("~1.4", "v1.4.2"),
        ("<1.4.2", "v1.4"),
        ("=1.0.0", "v1.0.0"),
        ("v1.0.0", "v1.0.0"),
        ("1.0 - 1.4", "v1.4.2"),
        ("<1 || ~1.4", "v1.4.2"),
        ("*", "1.10.0"),
        (">=2.0.0-0", "v2.0.0-rc.2"),
        (">=2.0.0-rc.1 <2.0.0-rc.2", "v2.0.0-rc.1"),
        ("<2.0.0-rc.2", "v2.0.0-rc.1"),
        ("2.0.0-rc.1", "v2.0.0-rc.1"),
        ("~2.0.0-rc.1", "v2.0.0-rc.2"),
        (">1.4.2 <=2.0.0-rc.1", "v2.0.0-rc.1"),
        (">1.4 <2", "1.10.0"),
        ("<=1.4", "v1.4.2"),
        ("1.4.*", "v1.4.2"),
        ("^1", "1.10.0"),
    ],
)
def test_the_newest_version_in_the_range_is_found(wanted, tag):
    assert newest(wanted, TAGS).tags == (tag,)


@pytest.mark.parametrize("wanted", [">=2", ">1.10 <3", "^2.0.0", ">=3", "2", "^2.0.1-rc.1", "<1.0.0 || 2.x"])
def test_a_prerelease_counts_only_where_it_is_asked_for(wanted):
    assert newest(wanted, TAGS).tags == ()


def test_without_a_match_the_newest_versions_are_told():
    found = newest(">=3", TAGS)
    assert found.tags == ()
    assert found.nearest == ("v2.0.0-rc.2", "v2.0.0-rc.1", "1.10.0", "v1.4.2", "v1.4")


def test_tags_that_are_no_versions_are_no_neighbours_either():
    assert newest("*", ("latest", "v1", "20240101", "1.2.3.4", "v01.2.3", "1.2.3-", "1.2.3-01")).nearest == ()


def test_all_tags_of_the_newest_version_are_told():
    assert newest("1.x", ("v1.2.0", "1.2.0", "1.2", "v1.2.0+build.7", "v1.1.0")).tags == (
        "1.2",
        "1.2.0",
        "v1.2.0",
        "v1.2.0+build.7",
    )


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        ("^0.2.3", "0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.9", "0.1.0"),
        ("^0", "0.9.9", "1.0.0"),
        ("^1.2", "1.9.0", "1.1.9"),
        ("~1.2.3", "1.2.9", "1.3.0"),
        ("~1", "1.9.0", "2.0.0"),
        ("1.2.3 - 2", "2.9.9", "3.0.0"),
        (">1.2", "1.3.0", "1.2.9"),
    ],
)
def test_ranges_mean_what_npm_means(wanted, inside, outside):
    assert newest(wanted, [inside]).tags == (inside,)
    assert newest(wanted, [outside]).tags == ()


@pytest.mark.parametrize(
    "text",
    [
        "latest",
        " ",
        "1..2",
        ">=",
        "== 1 !",
        ">=1.0 <two",
        "1.2.3.4",
        "1.2.x-rc",
        "1-rc",
        "x.1",
        "1x",
        "<*",
        "||",
        "1 || ",
        ">=1.0.0-01",
    ],
)
def test_something_else_than_a_range_is_an_error(text):
    with pytest.raises(ValueError, match="expected a range of versions such as"):
        check_range(text)


numbers = st.tuples(*[st.integers(0, 30)] * 3)


@given(st.sets(numbers, min_size=1), numbers, st.booleans())
def test_the_newest_is_as_new_as_numbers_say(versions, least, with_v):
    tags = [("v" if with_v else "") + ".".join(map(str, version)) for version in versions]
    inside = [version for version in versions if version >= least]
    found = newest(f">={'.'.join(map(str, least))}", tags)
    assert [tuple(map(int, tag.removeprefix("v").split("."))) for tag in found.tags] == (
        [max(inside)] if inside else []
    )


@given(st.text())
def test_no_tag_is_too_strange(tag):
    newest("*", [tag])


@given(st.text(max_size=30))
def test_no_range_is_too_strange(text):
    with contextlib.suppress(ValueError):
        check_range(text)
