"""Standby: workloads that are there and do not run, what an autoscaler owns, and a cluster that is active."""

from __future__ import annotations

from typing import Any

from drsyncer.manifest import Manifest
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, deployment, namespace, problems
from tests.integration.written import (
    PARENT,
    cron_job,
    custom,
    custom_type,
    job,
    result_of,
    with_annotations,
    with_labels,
    write,
)

OVERRIDE = "dr-syncer.io/scale-override"
REPLICAS = "dr-syncer.io/replicas"
SUSPEND = "dr-syncer.io/suspend"
AWAKE: dict[str, Any] = {"standby": {"enabled": False}}


def of_kind(manifest: Manifest, kind: str, **spec: Any) -> Manifest:
    """Return a Deployment as another workload with the same template."""
    kept = {key: value for key, value in manifest["spec"].items() if key != "replicas" or kind != "DaemonSet"}
    return {**manifest, "kind": kind, "spec": {**kept, **spec}}


def autoscaler(name: str) -> Manifest:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "minReplicas": 2,
            "maxReplicas": 9,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        },
    }


def pod() -> Manifest:
    spec = {"containers": [{"name": "main", "image": "nginx:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "shop"}, "spec": spec}


def scaled_type() -> Manifest:
    scale = {"specReplicasPath": ".spec.nodes", "statusReplicasPath": ".status.nodes"}
    return custom_type("clusters", subresources={"scale": scale, "status": {}})


def scaled(nodes: int) -> Manifest:
    made = custom("shop", "main", kind="Cluster")
    return {**made, "spec": {**made["spec"], "nodes": nodes}}


def everything() -> list[Manifest]:
    return [
        namespace("shop"),
        deployment("shop", "web", replicas=3),
        deployment("shop", "off", replicas=0),
        deployment("shop", "auto", replicas=4),
        autoscaler("auto"),
        with_labels(deployment("shop", "one", replicas=5), {OVERRIDE: "1"}),
        with_labels(deployment("shop", "kept", replicas=5), {OVERRIDE: "true"}),
        # As a failover leaves it behind in the source: at 0 by this tool's own doing.
        with_annotations(deployment("shop", "fenced", replicas=0), {REPLICAS: "7"}),
        of_kind(deployment("shop", "db"), "StatefulSet", serviceName="db"),
        of_kind(deployment("shop", "agent"), "DaemonSet"),
        cron_job("shop", "nightly"),
        job("shop", "once"),
        job("shop", "again", **{"dr-syncer.io/idempotent": "true"}),
        pod(),
        scaled_type(),
        scaled(3),
    ]


class Shop:
    """What DR has of the objects above."""

    def __init__(self, dr: ControlPlane) -> None:
        self._dr = dr

    def __call__(self, plural: str, name: str) -> Manifest:
        group = {"jobs": "batch/v1", "cronjobs": "batch/v1", "clusters": "example.com/v1"}.get(plural, "apps/v1")
        return self._dr.get(f"/apis/{group}/namespaces/shop/{plural}/{name}")

    def replicas(self, name: str) -> int:
        return int(self("deployments", name)["spec"]["replicas"])

    def memory(self, plural: str, name: str) -> dict[str, str]:
        found = self(plural, name)["metadata"].get("annotations", {})
        return {key: value for key, value in found.items() if key in (REPLICAS, SUSPEND)}


def test_in_standby_nothing_runs_that_is_not_told_to_and_all_is_remembered(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, *everything())

    outcome = recovery.import_into(clean_dr)

    shop = Shop(clean_dr)
    assert outcome.standby
    assert problems(outcome) == {}
    counts = {name: shop.replicas(name) for name in ("web", "off", "auto", "one", "kept", "fenced")}
    assert counts == {"web": 0, "off": 0, "auto": 0, "one": 1, "kept": 5, "fenced": 0}
    remembered = {name: shop.memory("deployments", name).get(REPLICAS) for name in ("web", "off", "auto", "fenced")}
    assert remembered == {"web": "3", "off": "0", "auto": "4", "fenced": "7"}
    assert shop("statefulsets", "db")["spec"]["replicas"] == 0
    assert shop("clusters", "main")["spec"] == {"size": 1, "nothing": None, "nodes": 0}
    assert shop.memory("clusters", "main") == {REPLICAS: "3"}
    assert shop("daemonsets", "agent")["spec"]["template"]["spec"].get("nodeSelector") is None
    for plural, name in (("cronjobs", "nightly"), ("jobs", "once"), ("jobs", "again")):
        assert shop(plural, name)["spec"]["suspend"] is True, name
        assert shop.memory(plural, name) == {SUSPEND: "false"}
    held = result_of(outcome, "shop/pods/bare")
    assert (held.action, held.reason) == (Action.HELD, "a bare Pod would run; it is created at activation")
    assert not clean_dr.exists("/api/v1/namespaces/shop/pods/bare")
    assert actions(recovery.import_into(clean_dr)) == {"shop/pods/bare": Action.HELD}

    parking = recovery.import_into(clean_dr, config={"standby": {"daemonSets": "park"}})

    assert parking.summary["update"] == 1
    selector = shop("daemonsets", "agent")["spec"]["template"]["spec"]["nodeSelector"]
    assert selector == {"dr-syncer.io/parked": "true"}


def test_without_standby_all_runs_but_jobs_that_may_have_run_before(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, *everything())

    outcome = recovery.import_into(clean_dr, config=AWAKE)

    shop = Shop(clean_dr)
    assert not outcome.standby
    assert problems(outcome) == {}
    counts = {name: shop.replicas(name) for name in ("web", "off", "one", "kept", "fenced")}
    assert counts == {"web": 3, "off": 0, "one": 1, "kept": 5, "fenced": 7}
    assert shop("clusters", "main")["spec"]["nodes"] == 3
    assert shop("cronjobs", "nightly")["spec"].get("suspend", False) is False
    assert shop("jobs", "once")["spec"]["suspend"] is True
    assert shop("jobs", "again")["spec"].get("suspend", False) is False
    assert "it may have run in the source" in result_of(outcome, "shop/jobs.batch/once").notes[0]
    assert result_of(outcome, "shop/pods/bare").action is Action.CREATE
    assert {name: shop.memory("deployments", name) for name in ("web", "fenced")} == {"web": {}, "fenced": {}}

    # The autoscaler's target comes without a count, so the autoscaler's is never put back.
    clean_dr.kubectl("scale", "deployment/auto", "-n", "shop", "--replicas=6")
    write(recovery, deployment("shop", "auto", replicas=2, image="nginx:2"))
    again = recovery.import_into(clean_dr, config=AWAKE)
    assert actions(again) == {"shop/deployments.apps/auto": Action.UPDATE}
    assert shop("deployments", "auto")["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert shop.replicas("auto") == 6


def test_an_active_cluster_is_never_scaled_back_by_an_import(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), deployment("shop", "web", replicas=3), cron_job("shop", "nightly"))
    recovery.import_into(clean_dr)
    clean_dr.patch(PARENT, {"data": {"state": "active"}})

    outcome = recovery.import_into(clean_dr)

    shop = Shop(clean_dr)
    assert not outcome.standby
    assert shop.replicas("web") == 3
    assert shop.memory("deployments", "web") == {}
    assert shop("cronjobs", "nightly")["spec"].get("suspend", False) is False
    clean_dr.audit.mark()
    write(recovery, deployment("shop", "web", replicas=4, image="nginx:2"))
    assert actions(recovery.import_into(clean_dr)) == {"shop/deployments.apps/web": Action.UPDATE}
    assert shop.replicas("web") == 4
    assert clean_dr.get(PARENT)["data"]["state"] == "active"
    assert actions(recovery.import_into(clean_dr)) == {}
