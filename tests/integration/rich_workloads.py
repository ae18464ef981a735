"""Rich objects of everything that runs Pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cluster.api import Object
from tests.integration.rich_pods import SELECTOR, pod_spec, template, workload

Make = Callable[..., Object]


def workloads(make: Make, claim: dict[str, Any]) -> list[Object]:
    """Return one object of each, made by `make(apiVersion, kind, …)`."""
    return [
        make(
            "apps/v1",
            "Deployment",
            spec={
                **workload("web"),
                "replicas": 2,
                "minReadySeconds": 3,
                "paused": True,
                "progressDeadlineSeconds": 700,
                "revisionHistoryLimit": 2,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "10%"}},
            },
        ),
        make(
            "apps/v1",
            "StatefulSet",
            spec={
                **workload("db"),
                "replicas": 0,
                "serviceName": "headless",
                "minReadySeconds": 3,
                "ordinals": {"start": 5},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
                "podManagementPolicy": "Parallel",
                "revisionHistoryLimit": 2,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1, "maxUnavailable": 1}},
                "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"a": "b"}}, "spec": claim}],
            },
        ),
        make(
            "apps/v1",
            "DaemonSet",
            spec={
                **workload("agent"),
                "minReadySeconds": 3,
                "revisionHistoryLimit": 2,
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0},
                },
            },
        ),
        make("apps/v1", "ReplicaSet", spec={**workload("old"), "replicas": 0, "minReadySeconds": 3}),
        make(
            "v1",
            "ReplicationController",
            spec={"replicas": 0, "minReadySeconds": 3, "selector": {"app": "older"}, "template": template("older")},
        ),
        make("v1", "PodTemplate", template=template()),
        make("v1", "Pod", spec=pod_spec(activeDeadlineSeconds=70_000)),
        *_jobs(make),
        make(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"},
                "minReplicas": 2,
                "maxReplicas": 9,
                "behavior": {
                    "scaleDown": {
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                        "selectPolicy": "Min",
                        "stabilizationWindowSeconds": 70,
                    },
                    "scaleUp": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}]},
                },
                "metrics": _metrics(),
            },
        ),
    ]


def _jobs(make: Make) -> list[Object]:
    failure = {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
        ]
    }
    job = {
        "activeDeadlineSeconds": 70_000,
        "backoffLimit": 2,
        "completionMode": "Indexed",
        "completions": 4,
        "parallelism": 2,
        "backoffLimitPerIndex": 1,
        "maxFailedIndexes": 3,
        "managedBy": "example.com/controller",
        "podFailurePolicy": failure,
        "podReplacementPolicy": "Failed",
        "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]},
        "ttlSecondsAfterFinished": 70_000,
        "suspend": True,
        "template": template(restartPolicy="Never"),
    }
    cron = {
        "schedule": "0 4 * * *",
        "timeZone": "Europe/Berlin",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 70,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 2,
        "suspend": True,
        "jobTemplate": {"metadata": {"labels": {"job-name": "mine"}, "annotations": {"a": "b"}}, "spec": job},
    }
    return [make("batch/v1", "Job", spec=job), make("batch/v1", "CronJob", spec=cron)]


def _metrics() -> list[dict[str, Any]]:
    metric = {"name": "requests", "selector": SELECTOR}
    value = {"type": "Value", "value": "10"}
    average = {"type": "AverageValue", "averageValue": "1500m"}
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "rich"}
    return [
        {"type": "Resource", "resource": {"name": "memory", "target": average}},
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": "cpu",
                "container": "main",
                "target": {"type": "Utilization", "averageUtilization": 60},
            },
        },
        {"type": "Pods", "pods": {"metric": metric, "target": average}},
        {"type": "Object", "object": {"describedObject": ingress, "metric": metric, "target": value}},
        {"type": "External", "external": {"metric": metric, "target": value}},
    ]
