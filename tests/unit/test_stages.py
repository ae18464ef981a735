"""The order of an apply and of a prune."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from transforms.stages import (
    APPLY_ORDER,
    CLASSES,
    NEVER_RECREATED,
    PRUNE_ORDER,
    STAGE_NAMES,
    STAGES,
    WORKLOADS,
    in_apply_order,
    in_prune_order,
    is_custom,
    stage_of,
    waves,
)

TYPES = [type_key for stage in STAGES for wave in stage.waves for type_key in wave] + ["widgets.example.com", "leases"]
REFS = st.lists(
    st.builds(ObjectRef, st.sampled_from(TYPES), st.sampled_from(["", "a", "b"]), st.sampled_from(["x", "y", "z"])),
    unique=True,
)


@pytest.mark.parametrize(
    ("type_key", "stage"),
    [
        ("namespaces", 1),
        ("customresourcedefinitions.apiextensions.k8s.io", 1),
        ("storageclasses.storage.k8s.io", 2),
        ("gatewayclasses.gateway.networking.k8s.io", 2),
        ("serviceaccounts", 3),
        ("clusterrolebindings.rbac.authorization.k8s.io", 3),
        ("resourcequotas", 4),
        ("poddisruptionbudgets.policy", 4),
        ("secrets", 5),
        ("persistentvolumes", 6),
        ("persistentvolumeclaims", 6),
        ("services", 7),
        ("endpointslices.discovery.k8s.io", 7),
        ("deployments.apps", 8),
        ("pods", 8),
        ("horizontalpodautoscalers.autoscaling", 9),
        ("httproutes.gateway.networking.k8s.io", 9),
        ("widgets.example.com", 10),
        ("deployments.example.com", 10),
        ("apiservices.apiregistration.k8s.io", 11),
        ("validatingwebhookconfigurations.admissionregistration.k8s.io", 11),
        ("mutatingadmissionpolicybindings.admissionregistration.k8s.io", 11),
    ],
)
def test_each_type_has_its_stage(type_key, stage):
    assert stage_of(type_key) == stage


def test_every_type_is_listed_once():
    listed = [type_key for stage in STAGES for wave in stage.waves for type_key in wave]

    assert len(listed) == len(set(listed))
    assert list(APPLY_ORDER) == list(range(1, 12))
    assert set(STAGE_NAMES) == set(APPLY_ORDER)


def test_prune_is_the_exact_reverse():
    assert APPLY_ORDER[::-1] == PRUNE_ORDER


@given(REFS)
def test_pruning_walks_back_what_applying_did(refs):
    assert in_prune_order(refs) == in_apply_order(refs)[::-1]


@given(REFS, st.randoms())
def test_the_order_does_not_depend_on_the_input(refs, random):
    shuffled = list(refs)
    random.shuffle(shuffled)

    assert in_apply_order(shuffled) == in_apply_order(refs)


@given(REFS)
def test_waves_hold_everything_once_and_never_mix_stages(refs):
    found = list(waves(refs))

    assert [ref for _, group in found for ref in group] == in_apply_order(refs)
    assert all({stage_of(ref.type) for ref in group} == {stage} for stage, group in found)
    assert [number for number, _ in found] == sorted(number for number, _ in found)
    assert [set(group) for _, group in waves(refs, prune=True)] == [set(group) for _, group in found][::-1]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("persistentvolumes", "persistentvolumeclaims"),
        ("clusterroles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"),
        ("apiservices.apiregistration.k8s.io", "mutatingwebhookconfigurations.admissionregistration.k8s.io"),
        (
            "validatingadmissionpolicies.admissionregistration.k8s.io",
            "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        ),
    ],
)
def test_what_must_exist_first_is_in_an_earlier_wave(first, then):
    groups = [group for _, group in waves([ObjectRef(then, "", "a"), ObjectRef(first, "", "z")])]

    assert [group[0].type for group in groups] == [first, then]


def test_objects_of_one_wave_are_ordered_by_type_namespace_and_name():
    refs = [
        ObjectRef("statefulsets.apps", "a", "a"),
        ObjectRef("deployments.apps", "b", "a"),
        ObjectRef("deployments.apps", "a", "b"),
        ObjectRef("deployments.apps", "a", "a"),
    ]

    assert in_apply_order(refs) == refs[::-1]


def test_facts_about_types():
    assert {"deployments.apps", "pods", "jobs.batch"} <= WORKLOADS
    assert "podtemplates" not in WORKLOADS
    assert "storageclasses.storage.k8s.io" in CLASSES
    assert "namespaces" in NEVER_RECREATED
    assert is_custom("widgets.example.com")
    assert is_custom("gateways.gateway.networking.k8s.io")
    assert not is_custom("configmaps")
    assert not is_custom("deployments.apps")
