"""A cluster is never still: what it does by itself makes no commit, and what a person does makes one of only that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, changed, configmap, deployment, namespace
from tests.integration.written import claim, cron_job, job, service

CORE = "/api/v1/namespaces/shop"
APPS = "/apis/apps/v1/namespaces/shop"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MERGE = "application/strategic-merge-patch+json"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def population() -> list[Object]:
    """What people made, and what the controllers of a busy cluster write on."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    stateful = deployment("shop", "db")
    stateful["kind"] = "StatefulSet"
    stateful["spec"]["serviceName"] = "db"
    daemon = deployment("shop", "agent")
    daemon["kind"] = "DaemonSet"
    del daemon["spec"]["replicas"]
    return [
        namespace("shop"),
        configmap("shop", "election"),
        configmap("shop", "app", a="b"),
        service("shop", "web"),
        deployment("shop", "web"),
        stateful,
        daemon,
        job("shop", "migrate"),
        cron_job("shop", "nightly"),
        claim("shop", "data"),
        _object(
            "autoscaling/v2", "HorizontalPodAutoscaler", {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [cpu]}
        ),
        _object("policy/v1", "PodDisruptionBudget", budget),
        _object("v1", "ResourceQuota", {"hard": {"configmaps": "100"}}),
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}},
        _lease("shop"),
    ]


def _object(api_version: str, kind: str, spec: Object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def _lease(where: str, **spec: Any) -> Object:
    meta = {"name": "leader", "namespace": where}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def churn(cluster: ControlPlane, turn: int) -> None:
    """Do once what goes on in any cluster all the time."""
    # Leader election, both kinds, and a node's heartbeat.
    cluster.apply([_lease("shop", holderIdentity=f"pod-{turn}", renewTime=f"2026-01-01T00:00:0{turn}.000000Z")])
    cluster.patch(f"{CORE}/configmaps/election", {"metadata": {"annotations": {LEADER: f'{{"turn":{turn}}}'}}})
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now()}
    cluster.patch("/api/v1/nodes/node-1/status", {"status": {"conditions": [ready]}}, content_type=MERGE)
    # What controllers say about a workload, and of an autoscaler.
    available = {"type": "Available", "status": "True", "reason": "x", "message": str(turn), "lastUpdateTime": now()}
    cluster.patch(f"{APPS}/deployments/web/status", {"status": {"conditions": [available]}}, content_type=MERGE)
    cluster.patch(
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web/status",
        {"status": {"desiredReplicas": turn, "currentReplicas": turn}},
    )
    # A Pod comes and goes: its Service's endpoints move, its ReplicaSet counts.
    pod = _unbound_pod(cluster)
    target = {"apiVersion": "v1", "kind": "Node", "name": "node-1"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    cluster.post(f"{CORE}/pods/{pod}/binding", binding)
    cluster.patch(
        f"{CORE}/pods/{pod}/status",
        {
            "status": {
                "phase": "Running",
                "podIP": f"192.0.2.{turn}",
                "podIPs": [{"ip": f"192.0.2.{turn}"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
            }
        },
        content_type=MERGE,
    )
    cluster.wait_for(
        lambda: f"192.0.2.{turn}" in str(cluster.list("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices")),
        what="the endpoints to move",
    )
    cluster.delete(f"{CORE}/pods/{pod}?gracePeriodSeconds=0", wait=False)
    _event(cluster, turn)


def _unbound_pod(cluster: ControlPlane) -> str:
    """Return a Pod of the Deployment that no scheduler has looked at; its ReplicaSet replaces those that went."""
    names: list[str] = []

    def found() -> bool:
        pods = cluster.list(f"{CORE}/pods?labelSelector=app%3Dweb")
        names[:] = [pod["metadata"]["name"] for pod in pods if "nodeName" not in pod["spec"]]
        return bool(names)

    cluster.wait_for(found, what="a Pod of the Deployment")
    return names[0]


def _event(cluster: ControlPlane, turn: int) -> None:
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"}
    meta = {"generateName": f"web.{turn}-", "namespace": "shop"}  # a request that is sent again makes another one
    event = {"apiVersion": "v1", "kind": "Event", "metadata": meta, "involvedObject": about, "reason": "Scaled"}
    cluster.post(f"{CORE}/events", event)


def test_what_a_cluster_does_by_itself_makes_no_commit(clean_source: ControlPlane, recovery: Recovery) -> None:
    clean_source.apply(population())
    clean_source.settle()
    recovery.export(clean_source)
    head, before = recovery.head(), clean_source.resource_versions()

    for turn in (1, 2):
        churn(clean_source, turn)
        clean_source.settle()
        outcome = recovery.export(clean_source)
        assert (outcome.commit, outcome.changes, outcome.incomplete) == ("", (), {})

    assert recovery.head() == head
    # It was no idle time.
    moved = {key for key, version in clean_source.resource_versions().items() if before.get(key) != version}
    assert {
        "shop/configmaps/election",
        "shop/deployments.apps/web",
        "shop/horizontalpodautoscalers.autoscaling/web",
        "nodes/node-1",
    } <= moved


def test_a_roll_out_is_one_change_and_its_progress_none(clean_source: ControlPlane, recovery: Recovery) -> None:
    clean_source.apply(population())
    clean_source.settle()
    recovery.export(clean_source)

    clean_source.kubectl("set", "image", "deployment/web", "main=nginx:2", "-n", "shop")
    outcome = recovery.export(clean_source)
    assert changed(outcome) == ["updated shop/deployments.apps/web"]

    # New ReplicaSet and Pods, another revision, another condition: the controller at work.
    clean_source.settle()
    assert recovery.export(clean_source).commit == ""


def test_in_the_middle_of_churn_a_real_change_makes_a_commit_of_only_that(
    clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply(population())
    clean_source.settle()
    recovery.export(clean_source)
    churn(clean_source, 3)
    clean_source.kubectl("patch", "configmap/app", "-n", "shop", "--type=merge", "-p", '{"data":{"a":"c"}}')

    outcome = recovery.export(clean_source)

    assert changed(outcome) == ["updated shop/configmaps/app"]
    assert outcome.changes[0].managers == ("kubectl-patch",)
    touched = recovery.git("diff", "--name-only", "main~1", "main").split()
    assert touched == ["namespaces/shop/configmaps/app.yaml"]
    diff = [line for line in recovery.git("diff", "-U0", "main~1", "main").splitlines() if line[:1] in "+-"]
    assert diff[2:] == ["-  a: b", "+  a: c"]
