"""The replica policy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.config.rules import Transforms
from tests.unit.configured import ASLEEP, AWAKE, settings, transformed
from transforms.settings import TransformFailed

REPLICAS = "dr-syncer.io/replicas"
OVERRIDE = "dr-syncer.io/scale-override"
HPA = "horizontalpodautoscalers.autoscaling"


def workload(replicas: int | None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata, "spec": {} if replicas is None else {"replicas": replicas}}


@pytest.mark.parametrize(
    ("entry", "source", "expected"),
    [
        ({"replicas": 2}, 7, 2),
        ({"replicas": 0}, 7, 0),
        ({"replicas": 3}, None, 3),
        ({"scale": 0.5}, 5, 3),
        ({"scale": 0.5}, 1, 1),
        ({"scale": 0.01}, 1, 1),
        ({"scale": 0.1}, 30, 3),
        ({"scale": 3}, None, 3),
        ({"max": 3}, 7, 3),
        ({"max": 3}, 2, 2),
        ({"min": 3}, 2, 3),
        ({"scale": 0.5, "min": 2, "max": 4}, 2, 2),
        ({"scale": 0.5, "min": 2, "max": 4}, 20, 4),
    ],
)
def test_an_awake_workload_gets_its_number(entry: Any, source: int | None, expected: int) -> None:
    done = transformed("deployments.apps", workload(source), replicas=[entry])

    assert done.manifest["spec"] == {"replicas": expected}
    assert done.used == {"replicas[0]"}


def test_standby_remembers_the_number_of_dr() -> None:
    done = transformed("statefulsets.apps", workload(7), standby=ASLEEP, replicas=[{"scale": 0.5}])

    assert done.manifest["spec"] == {"replicas": 0}
    assert done.manifest["metadata"]["annotations"] == {REPLICAS: "4"}
    assert done.applied[0] == "replicas: /spec/replicas 7 -> 4"


@pytest.mark.parametrize("standby", [AWAKE, ASLEEP])
def test_a_parked_source_is_scaled_from_what_it_remembers(standby: Any) -> None:
    parked = workload(0, annotations={REPLICAS: "8"})

    done = transformed("deployments.apps", parked, standby=standby, replicas=[{"scale": 0.25}])

    if standby is AWAKE:
        assert done.manifest["spec"] == {"replicas": 2}
    else:
        assert done.manifest["metadata"]["annotations"] == {REPLICAS: "2"}


def test_what_is_at_0_in_the_source_stays_at_0_and_says_so() -> None:
    done = transformed("deployments.apps", workload(0), replicas=[{"replicas": 3}])

    assert done.manifest["spec"] == {"replicas": 0}
    assert done.notes == ("is at 0 in the source and stays so, whatever replicas[0] says",)


@pytest.mark.parametrize(("override", "expected"), [("5", 5), ("true", 7)])
def test_the_override_label_goes_before_every_entry(override: str, expected: int) -> None:
    done = transformed("deployments.apps", workload(7, labels={OVERRIDE: override}), replicas=[{"replicas": 1}])

    assert done.manifest["spec"] == {"replicas": expected}


def test_the_first_entry_that_matches_decides() -> None:
    entries = [
        {"match": {"types": ["deploy"], "names": ["api-*"]}, "replicas": 9},
        {"match": {"namespaces": ["shop"], "labels": "tier=front"}, "replicas": 2},
        {"scale": 0.5},
    ]

    done = transformed("deployments.apps", workload(6, labels={"tier": "front"}), replicas=entries)
    other = transformed("deployments.apps", workload(6), replicas=entries)

    assert (done.manifest["spec"]["replicas"], done.used) == (2, {"replicas[1]"})
    assert (other.manifest["spec"]["replicas"], other.used) == (3, {"replicas[2]"})


def test_a_match_asks_for_the_namespace_of_the_source() -> None:
    entries = [{"match": {"namespaces": ["shop"]}, "replicas": 2}]

    done = transformed("deployments.apps", workload(6), replicas=entries, namespaces={"shop": "shop-dr"})

    assert done.ref.namespace == "shop-dr"
    assert done.manifest["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    ("entry", "before", "after"),
    [
        ({"scale": 0.5}, {"minReplicas": 4, "maxReplicas": 9}, {"minReplicas": 2, "maxReplicas": 5}),
        ({"scale": 0.5}, {"maxReplicas": 9}, {"maxReplicas": 5}),
        ({"min": 2}, {"maxReplicas": 9}, {"minReplicas": 2, "maxReplicas": 9}),
        ({"replicas": 3}, {"minReplicas": 4, "maxReplicas": 9}, {"minReplicas": 3, "maxReplicas": 3}),
        ({"replicas": 0}, {"minReplicas": 4, "maxReplicas": 9}, {"minReplicas": 4, "maxReplicas": 9}),
        ({"scale": 0.5}, {"minReplicas": 0, "maxReplicas": 9}, {"minReplicas": 0, "maxReplicas": 5}),
    ],
)  # fmt: skip
def test_an_autoscalers_limits_follow_the_same_numbers(entry: Any, before: Any, after: Any) -> None:
    assert transformed(HPA, {"spec": before}, replicas=[entry]).manifest["spec"] == after


def test_a_custom_resource_is_scaled_where_its_crd_says_and_not_where_it_leaves_the_number_open() -> None:
    def scaled(spec: Any) -> Any:
        return transformed("clusters.example.com", {"spec": spec}, scale_path=".spec.nodes", replicas=[{"scale": 2}])

    assert scaled({"nodes": 3}).manifest["spec"] == {"nodes": 6}
    assert scaled({}).manifest["spec"] == {}
    assert scaled({}).notes == ("does not say how many replicas it has, so replicas[0] does not apply",)


def test_what_has_no_replicas_is_left_alone() -> None:
    done = transformed("configmaps", {"spec": {"replicas": 3}}, replicas=[{"replicas": 1}])

    assert (done.manifest["spec"], done.used) == ({"replicas": 3}, set())


@pytest.mark.parametrize(("type_key", "spec"), [("deployments.apps", {"replicas": "3"}), (HPA, {"maxReplicas": "3"})])
def test_what_is_no_count_blocks_the_object(type_key: str, spec: Any) -> None:
    with pytest.raises(TransformFailed, match="found a string, expected a replica count"):
        transformed(type_key, {"spec": spec}, replicas=[{"scale": 0.5}])


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({}, "not what to change"),
        ({"replicas": 2, "max": 3}, "either replicas, or"),
        ({"min": 4, "max": 3}, "min must not be above max"),
        ({"scale": 0}, "greater than 0"),
        ({"min": 0}, "greater than or equal to 1"),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Transforms.model_validate({"replicas": [entry]})


@given(
    counts=st.tuples(st.integers(1, 500), st.integers(1, 500)).map(sorted),
    scale=st.floats(0.01, 20),
    limits=st.tuples(st.integers(1, 50), st.integers(1, 50)).map(sorted),
)
def test_more_in_the_source_is_never_less_in_dr_and_the_input_stays(counts: Any, scale: float, limits: Any) -> None:
    policy = settings(replicas=[{"scale": scale, "min": limits[0], "max": limits[1]}]).replicas[0]
    source = {"spec": {"minReplicas": counts[0], "maxReplicas": counts[1]}}
    before = copy.deepcopy(source)

    low, high = policy.of(counts[0]), policy.of(counts[1])
    done = transformed(HPA, source, replicas=[{"scale": scale, "min": limits[0], "max": limits[1]}])

    assert limits[0] <= low <= high <= limits[1]
    assert source == before
    assert (done.manifest["spec"].get("minReplicas", 1), done.manifest["spec"]["maxReplicas"]) == (low, high)
