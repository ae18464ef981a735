"""Resources of movers that fit LimitRanges."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.config.volumes import MoverResources
from transforms import quantity
from volumes.fitting import fitted


def limits(**item: Any) -> list[dict[str, Any]]:
    return [{"spec": {"limits": [{"type": "Container", **item}]}}]


def wanted(memory: str = "256Mi", limit: str = "") -> MoverResources:
    given_limits = {"memory": limit} if limit else {}
    return MoverResources.model_validate({"requests": {"memory": memory}, "limits": given_limits})


@pytest.mark.parametrize(
    ("ranges", "request_", "limit"),
    [
        ([], "256Mi", "1Gi"),
        (limits(max={"memory": "512Mi"}), "256Mi", "512Mi"),
        (limits(max={"memory": "128Mi"}), "128Mi", "128Mi"),
        (limits(min={"memory": "300Mi"}), "300Mi", "1Gi"),
        (limits(type="PersistentVolumeClaim", max={"memory": "1Mi"}), "256Mi", "1Gi"),
    ],
)
def test_what_is_asked_for_is_moved_between_the_bounds(ranges: Any, request_: str, limit: str) -> None:
    found = fitted(wanted(limit="1Gi"), ranges)

    assert (found.requests["memory"], found.limits["memory"]) == (request_, limit)


def test_a_default_limit_below_what_is_asked_for_is_raised() -> None:
    assert fitted(wanted(), limits(default={"memory": "128Mi"})).limits == {"memory": "256Mi"}
    assert fitted(wanted(), limits(default={"memory": "1Gi"})).limits == {}


sizes = st.integers(1, 4096).map(lambda number: f"{number}Mi")


@given(sizes, sizes, sizes, sizes)
def test_what_comes_out_fits_and_fits_again(memory: str, limit: str, one: str, other: str) -> None:
    low, high = sorted((one, other), key=_value)
    ranges = limits(min={"memory": low}, max={"memory": high})

    found = fitted(wanted(memory, limit), ranges)

    assert _value(low) <= _value(found.requests["memory"]) <= _value(high)
    assert _value(low) <= _value(found.limits["memory"]) <= _value(high)
    assert fitted(found, ranges) == found


def _value(text: str) -> Any:
    found = quantity.parse(text)
    assert found is not None
    return found.value
