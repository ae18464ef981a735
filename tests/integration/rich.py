"""Rich objects of every built-in type that people can write, for the way from one cluster into another."""

from __future__ import annotations

import base64
from typing import Any

from tests.cluster.api import Object
from tests.integration.rich_admission import admission, extensions
from tests.integration.rich_configuration import configuration
from tests.integration.rich_pods import LABELS, SELECTOR
from tests.integration.rich_workloads import workloads

RICH = "rich"
NOTES = {"example.com/note": "line one\nline two\n", "example.com/empty": ""}
CLAIM: dict[str, Any] = {
    "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
    "resources": {"requests": {"storage": "1Gi"}, "limits": {"storage": "2Gi"}},
    "storageClassName": RICH,
    "volumeMode": "Block",
    "selector": SELECTOR,
    "volumeAttributesClassName": RICH,
}
NOBODY = {
    "apiGroups": ["nobody.example.com"],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["things"],
    "scope": "Namespaced",
}


def _object(api_version: str, kind: str, name: str = RICH, *, scoped: bool = True, **rest: Any) -> Object:
    meta: Object = {"name": name, "labels": {**LABELS, "example.com/empty": ""}, "annotations": NOTES}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {**meta, **({"namespace": RICH} if scoped else {}), **rest.pop("meta", {})},
        **rest,
    }


def objects(certificate: bytes) -> list[Object]:
    """Return the objects in an order in which they can be created. `certificate` is a PEM for those that need one."""
    bundle = base64.b64encode(certificate).decode()
    return [
        *_foundations(),
        *configuration(_object, certificate=certificate),
        *_storage(),
        *_network(),
        *workloads(_object, CLAIM),
        *_devices(),
        *_flow_control(),
        *admission(_object, bundle=bundle, rule=NOBODY),
        *extensions(_object, bundle=bundle),
    ]


def alpha_objects(certificate: bytes) -> list[Object]:
    """Return objects of the types that are served only when they are switched on."""
    group = {
        "name": "workers",
        "schedulingPolicy": {"gang": {"minCount": 2}},
    }
    return [
        _object(
            "certificates.k8s.io/v1beta1",
            "ClusterTrustBundle",
            scoped=False,
            spec={"trustBundle": certificate.decode()},
        ),
        _object(
            "resource.k8s.io/v1beta2",
            "DeviceTaintRule",
            scoped=False,
            spec={
                "deviceSelector": {"driver": "gpu.example.com", "pool": "pool-1", "device": "device-1"},
                "taint": {"key": "example.com/broken", "value": "yes", "effect": "NoSchedule"},
            },
        ),
        _object(
            "scheduling.k8s.io/v1alpha2",
            "Workload",
            spec={
                "controllerRef": {"apiGroup": "batch", "kind": "Job", "name": RICH},
                "podGroupTemplates": [group],
            },
        ),
        _object(
            "scheduling.k8s.io/v1alpha2",
            "PodGroup",
            spec={"schedulingPolicy": {"gang": {"minCount": 2}}, "priorityClassName": RICH},
        ),
    ]


def _foundations() -> list[Object]:
    return [
        _object("v1", "Namespace", scoped=False, meta={"labels": {"team": "rich"}}),
        _object(
            "scheduling.k8s.io/v1",
            "PriorityClass",
            scoped=False,
            value=1000,
            globalDefault=False,
            description="For tests.",
            preemptionPolicy="PreemptLowerPriority",
        ),
        _object(
            "node.k8s.io/v1",
            "RuntimeClass",
            scoped=False,
            handler="sandboxed",
            overhead={"podFixed": {"cpu": "250m", "memory": "120Mi"}},
            scheduling={
                "nodeSelector": {"sandbox": "yes"},
                "tolerations": [{"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}],
            },
        ),
        _object(
            "storage.k8s.io/v1",
            "StorageClass",
            scoped=False,
            provisioner="disks.example.com",
            parameters={"type": "fast", "empty": ""},
            reclaimPolicy="Retain",
            mountOptions=["noatime"],
            allowVolumeExpansion=True,
            volumeBindingMode="WaitForFirstConsumer",
            allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}],
        ),
        _object(
            "storage.k8s.io/v1",
            "VolumeAttributesClass",
            scoped=False,
            driverName="disks.example.com",
            parameters={"iops": "100"},
        ),
        _object(
            "storage.k8s.io/v1",
            "CSIDriver",
            "disks.example.com",
            scoped=False,
            spec={
                "attachRequired": False,
                "fsGroupPolicy": "File",
                "podInfoOnMount": True,
                "requiresRepublish": True,
                "seLinuxMount": True,
                "storageCapacity": True,
                "tokenRequests": [{"audience": "a", "expirationSeconds": 700}],
                "volumeLifecycleModes": ["Ephemeral", "Persistent"],
            },
        ),
        _object(
            "networking.k8s.io/v1",
            "IngressClass",
            scoped=False,
            spec={
                "controller": "example.com/controller",
                "parameters": {
                    "apiGroup": "example.com",
                    "kind": "Parameters",
                    "name": RICH,
                    "namespace": RICH,
                    "scope": "Namespace",
                },
            },
        ),
    ]


def _storage() -> list[Object]:
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]}}
    return [
        _object(
            "v1",
            "PersistentVolume",
            scoped=False,
            spec={
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "by-name", "namespace": RICH},
                "csi": {
                    "driver": "disks.example.com",
                    "volumeHandle": "v-1",
                    "fsType": "ext4",
                    "readOnly": True,
                    "volumeAttributes": {"a": "b"},
                    "controllerExpandSecretRef": {"name": RICH, "namespace": RICH},
                },
                "mountOptions": ["noatime"],
                "nodeAffinity": affinity,
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "by-name",
                "volumeMode": "Filesystem",
            },
        ),
        _object("v1", "PersistentVolumeClaim", spec=CLAIM),
        _object(
            "v1",
            "PersistentVolumeClaim",
            "by-name",
            spec={
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "by-name",
                "volumeName": RICH,
            },
        ),
        _object(
            "v1",
            "PersistentVolumeClaim",
            "copy",
            spec={
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": RICH,
                "dataSource": {"kind": "PersistentVolumeClaim", "name": RICH},
            },
        ),
    ]


def _network() -> list[Object]:
    path = {"path": "/", "pathType": "Prefix"}
    by_name = {"backend": {"service": {"name": RICH, "port": {"name": "http"}}}}
    by_resource = {"backend": {"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "static"}}}
    return [
        _object(
            "v1",
            "Service",
            spec={
                "selector": LABELS,
                "type": "LoadBalancer",
                "loadBalancerClass": "example.com/lb",
                "loadBalancerSourceRanges": ["192.0.2.0/24"],
                "allocateLoadBalancerNodePorts": False,
                "externalIPs": ["198.51.100.9"],
                "externalTrafficPolicy": "Local",
                "internalTrafficPolicy": "Local",
                "publishNotReadyAddresses": True,
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}},
                "trafficDistribution": "PreferSameZone",
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"},
                    {"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"},
                ],
            },
        ),
        _object("v1", "Service", "headless", spec={"clusterIP": "None", "selector": LABELS}),
        _object("v1", "Service", "by-hand", spec={"ports": [{"port": 5432}]}),
        _object(
            "v1",
            "Endpoints",
            "by-hand",
            subsets=[
                {
                    "addresses": [{"ip": "192.0.2.7", "hostname": "db"}],
                    "notReadyAddresses": [{"ip": "192.0.2.8"}],
                    "ports": [{"port": 5432, "name": "", "protocol": "TCP", "appProtocol": "postgres"}],
                }
            ],
        ),
        _object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "by-hand-1",
            meta={"labels": {"kubernetes.io/service-name": "elsewhere"}},
            addressType="IPv4",
            endpoints=[
                {
                    "addresses": ["192.0.2.9"],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                    "hostname": "db",
                    "nodeName": "node-1",
                    "zone": "a",
                    "hints": {"forZones": [{"name": "a"}]},
                }
            ],
            ports=[{"name": "db", "port": 5432, "protocol": "TCP", "appProtocol": "postgres"}],
        ),
        _object(
            "networking.k8s.io/v1",
            "Ingress",
            spec={
                "ingressClassName": RICH,
                "defaultBackend": {"service": {"name": RICH, "port": {"number": 80}}},
                "tls": [{"hosts": ["www.example.com"], "secretName": "tls"}],
                "rules": [
                    {
                        "host": "www.example.com",
                        "http": {"paths": [{**path, **by_name}, {**path, "path": "/static", **by_resource}]},
                    }
                ],
            },
        ),
        _object("networking.k8s.io/v1", "ServiceCIDR", scoped=False, spec={"cidrs": ["198.51.100.0/24"]}),
    ]


def _devices() -> list[Object]:
    cel = {"cel": {"expression": 'device.driver == "gpu.example.com"'}}
    parameters = {"apiVersion": "example.com/v1", "kind": "Any", "nothing": None, "empty": {}, "status": {"a": 1}}
    opaque = {"driver": "gpu.example.com", "parameters": parameters}
    request = {
        "name": "gpu",
        "exactly": {
            "deviceClassName": RICH,
            "allocationMode": "ExactCount",
            "count": 2,
            "selectors": [cel],
        },
    }
    devices = {
        "requests": [request, {"name": "any", "firstAvailable": [{"name": "one", "deviceClassName": RICH}]}],
        "constraints": [{"requests": ["gpu"], "matchAttribute": "gpu.example.com/zone"}],
        "config": [{"requests": ["gpu"], "opaque": opaque}],
    }
    api = "resource.k8s.io/v1"
    return [
        _object(api, "DeviceClass", scoped=False, spec={"selectors": [cel], "config": [{"opaque": opaque}]}),
        _object(api, "ResourceClaim", spec={"devices": devices}),
        _object(
            api,
            "ResourceClaimTemplate",
            spec={"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"devices": devices}},
        ),
    ]


def _flow_control() -> list[Object]:
    api = "flowcontrol.apiserver.k8s.io/v1"
    rule = {
        "subjects": [
            {"kind": "User", "user": {"name": "someone"}},
            {"kind": "ServiceAccount", "serviceAccount": {"name": RICH, "namespace": RICH}},
        ],
        "resourceRules": [
            {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["list"], "namespaces": ["*"]}
        ],
        "nonResourceRules": [{"nonResourceURLs": ["/rich"], "verbs": ["get"]}],
    }
    queuing = {"queues": 8, "handSize": 2, "queueLengthLimit": 5}
    limited = {
        "nominalConcurrencyShares": 5,
        "lendablePercent": 10,
        "borrowingLimitPercent": 20,
        "limitResponse": {"type": "Queue", "queuing": queuing},
    }
    return [
        _object(api, "PriorityLevelConfiguration", scoped=False, spec={"type": "Limited", "limited": limited}),
        _object(
            api,
            "FlowSchema",
            scoped=False,
            spec={
                "priorityLevelConfiguration": {"name": RICH},
                "matchingPrecedence": 900,
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [rule],
            },
        ),
    ]
