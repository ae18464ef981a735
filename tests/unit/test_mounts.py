"""Which claims a workload mounts, and whether it would run."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer import own
from transforms.mounts import mounted, runs


def workload(*claims: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"template": {"spec": {"volumes": [*volumes, {"name": "tmp", "emptyDir": {}}]}}, **spec},
    }


def test_claims_are_found_by_name_and_by_template() -> None:
    found = mounted("statefulsets.apps", workload("extra", volumeClaimTemplates=[{"metadata": {"name": "data"}}]))
    assert all(found.holds(name) for name in ("extra", "data-web-0", "data-web-12"))
    assert not any(found.holds(name) for name in ("data-web", "data-web-0-1", "xdata-web-0", "data-webby-0", "tmp"))


def test_a_pods_own_ephemeral_claim_is_found_and_that_of_a_template_is_not_known() -> None:
    ephemeral = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}
    pod = {"metadata": {"name": "web-0"}, "spec": {"volumes": [ephemeral]}}
    assert mounted("pods", pod).names == {"web-0-scratch"}
    assert not mounted("deployments.apps", {"metadata": {"name": "web"}, "spec": {"template": {"spec": pod["spec"]}}})


@pytest.mark.parametrize("type_key", ["configmaps", "deployments.apps", "statefulsets.apps", "cronjobs.batch", "pods"])
@pytest.mark.parametrize("manifest", [{}, {"spec": None}, {"spec": {"template": []}}, {"metadata": 1, "spec": "x"}])
def test_whatever_is_written_there_is_no_fault(type_key: str, manifest: dict[str, Any]) -> None:
    assert not mounted(type_key, manifest)
    runs(type_key, manifest)


def test_what_is_scaled_to_0_suspended_or_parked_does_not_run() -> None:
    assert runs("deployments.apps", workload())
    assert runs("deployments.apps", workload(replicas=1))
    assert not runs("deployments.apps", workload(replicas=0))
    assert not runs("jobs.batch", workload(suspend=True))
    assert not runs("configmaps", {})
    parked = workload()
    parked["spec"]["template"]["spec"]["nodeSelector"] = {own.PARKED: "true"}
    assert not runs("daemonsets.apps", parked)
