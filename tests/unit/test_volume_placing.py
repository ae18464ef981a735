"""Where a mover can mount a volume."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.test_volume_selecting import claim as manifest_of
from volumes.claims import Claim, User, Volume, claim_of, users_of, volume_of
from volumes.placing import CannotMount, groups, place

GPU = {"key": "gpu", "operator": "Exists"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}
CORDONED = "node.kubernetes.io/unschedulable"


def claim(*modes: str) -> Claim:
    found = manifest_of()
    found["spec"]["accessModes"] = list(modes or ("ReadWriteOnce",))
    return claim_of(found)


def pod(name: str = "web", *, node: str = "n1", phase: str = "Running", **parts: Any) -> dict[str, Any]:
    spec = {
        "nodeName": node,
        "containers": [{"name": "app"}],
        "tolerations": parts.get("tolerations", [NOT_READY]),
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "securityContext": {"fsGroup": 2000, "supplementalGroups": [3000]},
    }
    meta = {"name": name, "namespace": "shop", "uid": name, "labels": parts.get("labels", {})}
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


def users(*pods: dict[str, Any]) -> tuple[User, ...]:
    return users_of(pods).get(("shop", "data"), ())


def test_a_volume_of_one_node_is_read_on_the_node_of_its_pod_with_its_tolerations() -> None:
    placement = place(claim(), users(pod(tolerations=[NOT_READY, GPU])), Volume())

    assert placement.node == "n1"
    assert placement.tolerations[0] == GPU
    assert [one["key"] for one in placement.tolerations] == ["gpu", CORDONED]


def test_a_shared_volume_is_read_wherever_the_scheduler_likes() -> None:
    placement = place(claim("ReadWriteOnce", "ReadWriteMany"), users(pod()), Volume())

    assert placement.node == ""


@pytest.mark.parametrize(
    "idle",
    [
        pod(phase="Succeeded"),
        pod(phase="Failed"),
        pod(labels={"app.kubernetes.io/part-of": "dr-syncer"}),
        pod(phase="Pending", node=""),
    ],
)
def test_a_pod_that_does_not_have_the_volume_does_not_place_the_mover(idle: dict[str, Any]) -> None:
    assert place(claim("ReadWriteOncePod"), users(idle), Volume()).node == ""


def test_an_unused_volume_counts_on_the_node_that_it_is_bound_to() -> None:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}
    bound = volume_of({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}})

    placement = place(claim(), (), bound)

    assert (placement.node, placement.where) == ("", "n2")


def test_a_volume_for_one_pod_that_is_in_use_is_refused_and_told_the_way_out() -> None:
    with pytest.raises(CannotMount, match="only a copy of it can be read") as refusal:
        place(claim("ReadWriteOncePod"), users(pod()), Volume())

    assert "the pod web uses it" in str(refusal.value)
    assert place(claim("ReadWriteOncePod"), (), Volume()).node == ""


def test_a_running_pod_decides_before_one_that_only_waits_on_a_node() -> None:
    waiting, running = pod("a", node="n1", phase="Pending"), pod("b", node="n2")

    assert place(claim(), users(waiting, running), Volume()).node == "n2"


def test_a_mover_that_is_not_root_is_in_the_groups_of_those_who_use_the_volume() -> None:
    assert groups(users(pod())) == (2000, 3000)
