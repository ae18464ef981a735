"""What objects of DR say to a restore: claims, classes, pods, attachments; and a claim that is to be made."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer import own
from volumes.restore_look import Classes, add_users, attachments_of, claim_of, classes_of
from volumes.restore_plan import Key, User
from volumes.restore_wanted import to_make

CLASSES = classes_of(
    [
        {"metadata": {"name": "now"}, "volumeBindingMode": "Immediate"},
        {"metadata": {"name": "later"}, "volumeBindingMode": "WaitForFirstConsumer"},
    ]
)


def pvc(*, phase: str = "Bound", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "data", "namespace": "shop", "uid": "u", "annotations": annotations},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}, **spec},
        "status": {"phase": phase, "capacity": {"storage": "2Gi"}} if phase == "Bound" else {"phase": phase},
    }


def test_a_claim_is_as_large_as_its_volume_or_as_it_wants_to_be() -> None:
    assert claim_of(pvc(volumeName="pv"), CLASSES).capacity == 2 << 30
    assert claim_of(pvc(phase="Pending"), CLASSES).capacity == 1 << 30


@pytest.mark.parametrize(
    ("spec", "annotations", "default", "waits"),
    [
        ({"storageClassName": "later"}, None, "", True),
        ({"storageClassName": "now"}, None, "later", False),
        ({}, None, "later", True),
        ({}, None, "", False),
        ({"storageClassName": ""}, None, "later", False),  # by name: no class at all
        ({"storageClassName": "later", "volumeName": "pv"}, None, "", False),
        ({"storageClassName": "now"}, {"volume.beta.kubernetes.io/storage-class": "later"}, "", True),
    ],
)
def test_a_claim_waits_for_its_first_pod_when_its_class_says_so(
    spec: dict[str, Any], annotations: dict[str, str] | None, default: str, waits: bool
) -> None:
    classes = Classes(CLASSES.waiting, default, CLASSES.names)
    assert claim_of(pvc(phase="Pending", annotations=annotations, **spec), classes).waits is waits
    assert not claim_of(pvc(annotations=annotations, **spec), classes).waits


def test_of_several_default_classes_the_newest_counts() -> None:
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    found = [
        {"metadata": {"name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z", "annotations": mark}}
        for day, name in ((2, "new"), (1, "old"))
    ]
    assert classes_of(found).default == "new"


def test_a_marker_that_cannot_be_read_is_told_with_the_claim() -> None:
    found = claim_of(pvc(annotations={own.RESTORED: "{"}), CLASSES)
    assert "cannot be read" in found.unreadable
    assert found.half


def pod(name: str, phase: str, *, labels: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels, **meta},
        "spec": {"nodeName": "node-1", "volumes": [*volumes, *volumes]},
        "status": {"phase": phase},
    }


def test_a_pod_uses_its_claims_until_it_has_ended_or_is_gone() -> None:
    users: dict[Key, list[User]] = {}
    pods = [
        pod("web", "Running"),
        pod("waiting", "Pending"),
        pod("done", "Succeeded"),
        pod("crashed", "Failed"),
        pod("leaving", "Running", deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("mover", "Running", labels={"dr-syncer.io/operation": "backup"}),
    ]
    add_users(users, pods)
    found = {user.pod: (user.phase, user.operation) for user in users[Key("shop", "data")]}
    assert found == {
        "web": ("Running", ""),
        "waiting": ("Pending", ""),
        "leaving": ("being deleted", ""),
        "mover": ("Running", "backup"),
    }
    assert len(users[Key("shop", "data")]) == 4  # a pod that mounts a claim twice uses it once


def test_attachments_that_are_there_are_told_by_volume() -> None:
    def attachment(node: str, *, attached: bool) -> dict[str, Any]:
        return {"spec": {"nodeName": node, "source": {"persistentVolumeName": "pv"}}, "status": {"attached": attached}}

    assert attachments_of([attachment("a", attached=True), attachment("b", attached=False), {}]) == {"pv": ["a"]}


def test_a_claim_that_is_made_is_of_the_sources_sort_and_nobodys_member() -> None:
    source = {
        "metadata": {
            "name": "data",
            "namespace": "shop",
            "labels": {"app": "web", own.APPLYSET_MEMBER: "applyset-x-v1"},
            "annotations": {own.BACKUP: "true", "team": "a"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "gold",
            "volumeName": "pv-1",
            "selector": {"matchLabels": {"a": "b"}},
            "dataSource": {"kind": "VolumeSnapshot", "name": "s"},
        },
    }
    assert to_make(source, Key("other", "copy")) == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "copy", "namespace": "other", "labels": {"app": "web"}, "annotations": {"team": "a"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "gold",
        },
    }
