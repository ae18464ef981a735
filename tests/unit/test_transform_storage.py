"""Storage classes and access modes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from transforms.settings import Settings, Subject, TransformFailed
from transforms.storage import map_access_modes, map_storage_classes

MODES = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
CLASSES = {"standard": "standard-dr", "fast": "slow", "slow": "fast"}
LEGACY = "volume.beta.kubernetes.io/storage-class"


def classes(type_key, manifest):
    return map_storage_classes(manifest, Subject(ObjectRef(type_key, "shop", "x"), Settings(storage_classes=CLASSES)))


def modes(manifest, entries, type_key="persistentvolumeclaims"):
    return map_access_modes(manifest, Subject(ObjectRef(type_key, "shop", "x"), Settings(access_modes=entries)))


def claim(name):
    return {"metadata": {"annotations": {LEGACY: name}}, "spec": {"storageClassName": name}}


def volumes(name):
    return {
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "ephemeral": {"volumeClaimTemplate": claim(name)}}]
    }


WITH_CLAIMS = {
    "persistentvolumeclaims": claim,
    "persistentvolumes": claim,
    "pods": lambda name: {"spec": volumes(name)},
    "deployments.apps": lambda name: {"spec": {"template": {"spec": volumes(name)}}},
    "cronjobs.batch": lambda name: {"spec": {"jobTemplate": {"spec": {"template": {"spec": volumes(name)}}}}},
    "statefulsets.apps": lambda name: {
        "spec": {"volumeClaimTemplates": [claim(name), claim("kept")], "template": {"spec": volumes(name)}}
    },
}


@pytest.mark.parametrize("type_key", WITH_CLAIMS)
def test_the_class_is_mapped_wherever_a_volume_is_claimed(type_key):
    around = WITH_CLAIMS[type_key]

    assert classes(type_key, around("standard")).manifest == around("standard-dr")
    assert classes(type_key, around("fast")).manifest == around("slow")
    for name in ("", "other"):
        untouched = around(name)
        assert classes(type_key, untouched).manifest is untouched


def test_a_claim_without_a_class_keeps_the_default():
    manifest = {"spec": {"storageClassName": None, "accessModes": ["ReadWriteOnce"]}}

    assert classes("persistentvolumeclaims", manifest).manifest is manifest


def test_a_storage_class_keeps_its_name():
    manifest = {"metadata": {"name": "standard"}, "provisioner": "csi.example.com"}

    assert classes("storageclasses.storage.k8s.io", manifest).manifest is manifest


def test_a_quota_per_class_follows_the_class():
    hard = {"pods": "5", "standard.storageclass.storage.k8s.io/requests.storage": "5Gi"}

    result = classes("resourcequotas", {"spec": {"hard": hard}}).manifest

    assert result == {
        "spec": {"hard": {"pods": "5", "standard-dr.storageclass.storage.k8s.io/requests.storage": "5Gi"}}
    }


def test_two_limits_for_one_class_block_the_quota():
    suffix = "storageclass.storage.k8s.io/requests.storage"
    manifest = {"spec": {"hard": {f"standard.{suffix}": "1Gi", f"standard-dr.{suffix}": "2Gi"}}}

    with pytest.raises(TransformFailed, match="one limit per storage class"):
        classes("resourcequotas", manifest)


@given(st.lists(st.sampled_from(MODES), unique=True), st.dictionaries(st.sampled_from(MODES), st.sampled_from(MODES)))
def test_modes_come_from_the_original_without_duplicates_in_order(original, entries):
    result = modes({"spec": {"accessModes": original}}, entries).manifest["spec"]["accessModes"]

    assert result == list(dict.fromkeys(entries.get(mode, mode) for mode in original))


def test_modes_are_swapped_not_chained():
    entries = {"ReadWriteOnce": "ReadWriteMany", "ReadWriteMany": "ReadWriteOnce"}

    result = modes({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}}, entries)

    assert result.manifest["spec"]["accessModes"] == ["ReadWriteMany", "ReadWriteOnce"]
    assert result.applied == ("/spec/accessModes ReadWriteOnce, ReadWriteMany -> ReadWriteMany, ReadWriteOnce",)


@pytest.mark.parametrize("bad", ["ReadWriteOnce", [1], {"a": "b"}])
def test_malformed_modes_block_the_object(bad):
    with pytest.raises(TransformFailed, match=r"accessModes: /spec/accessModes: .*expected a list of strings"):
        modes({"spec": {"accessModes": bad}}, {"ReadWriteOnce": "ReadWriteMany"})


def test_a_custom_resource_that_names_a_class_is_reported_and_stays():
    spec = {"storage": {"storageClass": "standard"}, "claims": [{"spec": {"storageClassName": "fast"}}], "x": "fast"}

    done = classes("clusters.example.com", {"metadata": {"storageClass": "fast"}, "spec": spec})

    assert done.manifest["spec"] == spec
    assert done.notes == (
        "/spec/storage/storageClass names the storage class standard, not rewritten: it is standard-dr in DR",
        "/spec/claims/0/spec/storageClassName names the storage class fast, not rewritten: it is slow in DR",
    )
    assert classes("configmaps", {"data": {"storageClass": "fast"}}).notes == ()


def test_a_swapped_class_of_a_custom_workload_is_not_reported_as_left_over():
    done = classes("statefulsets.apps.kruise.io", {"spec": {"volumeClaimTemplates": [claim("fast")]}})

    assert done.manifest["spec"]["volumeClaimTemplates"][0]["spec"] == {"storageClassName": "slow"}
    assert done.notes == ()
