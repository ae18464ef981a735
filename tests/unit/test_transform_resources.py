"""Requests and limits in DR, and the quantities that they are written in."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.configured import pod_of, pod_template, settings, transformed
from transforms import quantity
from transforms.settings import TransformFailed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("1", "1"),
        ("500m", "0.5"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("1.", "1"),
        ("+1k", "1000"),
        ("-1", "-1"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("2E", "2000000000000000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1e-3", "0.001"),
        ("100n", "0.0000001"),
        ("3u", "0.000003"),
        (2, "2"),
        (0.25, "0.25"),
    ],
)
def test_a_quantity_is_read_exactly(text: Any, value: str) -> None:
    found = quantity.parse(text)

    assert found is not None
    assert found.value == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1gi", "1KI", "1e", "1e999999999", "1.2.3", "0x10", "١", "1" * 50, None, True, [], "1K"]
)
def test_what_is_no_quantity_is_not_read(text: Any) -> None:
    assert quantity.parse(text) is None


@pytest.mark.parametrize(
    ("resource", "source", "factor", "expected"),
    [
        ("cpu", "1", "0.5", "500m"),
        ("cpu", "500m", "0.5", "250m"),
        ("cpu", "2", "2", "4"),
        ("cpu", "1m", "0.5", "1m"),
        ("cpu", "333m", "0.1", "33m"),
        ("cpu", "0", "0.5", "0"),
        ("cpu", "1e3", "0.5", "500"),
        ("memory", "1Gi", "0.5", "512Mi"),
        ("memory", "1Gi", "1.5", "1536Mi"),
        ("memory", "1Gi", "0.1", "107374182"),
        ("memory", "1G", "0.5", "500M"),
        ("memory", "1000", "0.5", "500"),
        ("memory", "128974848000m", "0.5", "64487424"),
        ("memory", "1", "0.01", "1"),
        ("ephemeral-storage", "4Gi", "0.25", "1Gi"),
        ("nvidia.com/gpu", "4", "0.5", "2"),
        ("nvidia.com/gpu", "1", "0.5", "1"),
        ("nvidia.com/gpu", "3", "0.5", "2"),
        ("hugepages-2Mi", "10Mi", "0.5", "6Mi"),
        ("hugepages-1Gi", "1Gi", "0.1", "1Gi"),
    ],
)
def test_a_quantity_is_scaled_as_far_as_its_resource_can_be(
    resource: str, source: str, factor: str, expected: str
) -> None:
    found = quantity.parse(source)
    assert found is not None

    assert quantity.text(quantity.scaled(found, Decimal(factor), resource=resource)) == expected


RESOURCES = st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "hugepages-2Mi"])
TEXTS = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.decimals(0, 10**6, places=3, allow_nan=False),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]),
)


@given(text=TEXTS)
def test_what_is_written_is_what_was_read(text: str) -> None:
    found = quantity.parse(text)
    assert found is not None
    again = quantity.parse(quantity.text(found))

    assert again is not None
    assert again.value == found.value


@given(first=TEXTS, second=TEXTS, factor=st.decimals("0.01", 100, places=2), resource=RESOURCES)
def test_the_larger_stays_the_larger_and_something_never_becomes_nothing(
    first: str, second: str, factor: Decimal, resource: str
) -> None:
    low, high = sorted((quantity.parse(first), quantity.parse(second)), key=lambda one: one.value)  # type: ignore[union-attr]
    assert low is not None
    assert high is not None
    new_low, new_high = (quantity.scaled(one, factor, resource=resource) for one in (low, high))

    assert new_low.value <= new_high.value
    assert (new_low.value > 0) == (low.value > 0)


def containers(**resources: Any) -> dict[str, Any]:
    return pod_template(
        {
            "containers": [{"name": "app", "resources": resources}, {"name": "side"}],
            "initContainers": [{"name": "init", "resources": resources}],
        }
    )


def app(done: Any) -> Any:
    return pod_of(done)["containers"][0]["resources"]


def test_requests_and_limits_of_all_containers_are_scaled() -> None:
    source = containers(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2", "memory": "1Gi", "x/gpu": "1"})
    before = copy.deepcopy(source)

    done = transformed("deployments.apps", source, resources=[{"scale": {"cpu": 0.5, "memory": 0.25}}])

    expected = {
        "requests": {"cpu": "500m", "memory": "256Mi"},
        "limits": {"cpu": "1", "memory": "256Mi", "x/gpu": "1"},
    }
    assert app(done) == expected
    assert pod_of(done)["initContainers"][0]["resources"] == expected
    assert "resources: /spec/template/spec/containers/0/resources/requests/cpu 1 -> 500m" in done.applied
    assert source == before


def test_the_first_entry_about_a_container_decides() -> None:
    source = containers(requests={"cpu": "1"})
    entries = [{"containers": ["in*"], "scale": {"cpu": 2}}, {"scale": {"cpu": 0.5}}]

    done = transformed("cronjobs.batch", {"spec": {"jobTemplate": source}}, resources=entries)

    pod = done.manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "500m"}}
    assert pod["initContainers"][0]["resources"] == {"requests": {"cpu": "2"}}
    assert done.used == {"resources[0]", "resources[1]"}


def test_what_is_dropped_is_gone_and_empty_parts_go_with_it() -> None:
    source = containers(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2"}, claims=[])

    done = transformed("deployments.apps", source, resources=[{"dropLimits": ["*"], "dropRequests": ["mem*"]}])

    assert app(done) == {"requests": {"cpu": "1"}, "claims": []}
    assert done.notes == ()


def test_a_request_dropped_beside_its_limit_is_told() -> None:
    source = containers(requests={"cpu": "100m"}, limits={"cpu": "2"})

    done = transformed("deployments.apps", source, resources=[{"dropRequests": ["cpu"], "containers": ["app"]}])

    assert done.notes == (
        "container app asks for as much cpu as its limit: resources[0] drops the request and leaves the limit",
    )


def test_the_pods_own_resources_follow_the_entry_about_all_containers() -> None:
    source = pod_template({"containers": [], "resources": {"limits": {"cpu": "2"}}})

    scaled = transformed("deployments.apps", source, resources=[{"scale": {"cpu": 0.5}}])
    not_all = transformed("deployments.apps", source, resources=[{"containers": ["app"], "scale": {"cpu": 0.5}}])

    assert pod_of(scaled)["resources"] == {"limits": {"cpu": "1"}}
    assert pod_of(not_all)["resources"] == {"limits": {"cpu": "2"}}


@pytest.mark.parametrize("amount", ["lots", [], True, "-1"])
def test_what_is_no_quantity_blocks_the_object_and_is_not_quoted(amount: Any) -> None:
    with pytest.raises(TransformFailed, match=r"requests/cpu: found .*, expected a quantity") as caught:
        transformed("deployments.apps", containers(requests={"cpu": amount}), resources=[{"scale": {"cpu": 2}}])
    assert "lots" not in str(caught.value)


def test_a_resource_that_no_entry_names_keeps_its_spelling() -> None:
    source = containers(requests={"cpu": "1000m", "memory": "1024Mi"})

    done = transformed("deployments.apps", source, resources=[{"scale": {"cpu": 1, "storage": 0.5}}])

    assert app(done) == {"requests": {"cpu": "1000m", "memory": "1024Mi"}}


def test_a_factor_is_what_the_person_wrote() -> None:
    assert settings(resources=[{"scale": {"cpu": 0.1}}]).resources[0].scale["cpu"] == Decimal("0.1")
