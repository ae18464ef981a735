"""A Pod that uses what Pods can do: every field that one object may hold beside the others."""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

SELECTOR: Spec = {
    "matchLabels": {"app": "rich"},
    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}],
}
LABELS = {"app": "rich", "tier": "gold"}


def pod_spec(**changes: Any) -> Spec:
    """Return the spec of a Pod, or of a template for Pods."""
    return {
        "automountServiceAccountToken": False,
        "containers": [_container()],
        "initContainers": [_sidecar(), {"name": "first", "image": "busybox:1", "command": ["true"]}],
        "dnsPolicy": "None",
        "dnsConfig": {
            "nameservers": ["192.0.2.53"],
            "searches": ["example.com"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        },
        "enableServiceLinks": False,
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["old.example.com"]}],
        "hostname": "rich",
        "subdomain": "headless",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "ssd"},
        "os": {"name": "linux"},
        "preemptionPolicy": "PreemptLowerPriority",
        "priorityClassName": "rich",
        "readinessGates": [{"conditionType": "example.com/ready"}],
        "restartPolicy": "Always",
        "runtimeClassName": "rich",
        "schedulerName": "by-hand",
        "schedulingGates": [{"name": "example.com/gate"}],
        "securityContext": _pod_security(),
        "serviceAccountName": "rich",
        "setHostnameAsFQDN": False,
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": 7,
        "tolerations": [
            {"key": "dedicated", "operator": "Equal", "value": "rich", "effect": "NoSchedule"},
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 7,
            },
        ],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "minDomains": 2,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": SELECTOR,
                "matchLabelKeys": ["pod-template-hash"],
                "nodeAffinityPolicy": "Honor",
                "nodeTaintsPolicy": "Honor",
            }
        ],
        "affinity": _affinity(),
        "volumes": volumes(),
        **changes,
    }


def workload(app: str, **changes: Any) -> Spec:
    """Return selector and template of a workload of its own: no controller adopts what another one selects."""
    return {"selector": {**SELECTOR, "matchLabels": {"app": app}}, "template": template(app, **changes)}


def template(app: str = "rich", **changes: Any) -> Spec:
    """Return a template of Pods."""
    meta = {
        "labels": {**LABELS, "app": app},
        "annotations": {"example.com/note": "x", "kubectl.kubernetes.io/restartedAt": "yesterday"},
    }
    return {"metadata": meta, "spec": pod_spec(**changes)}


def _container() -> Spec:
    http = {"path": "/ready", "port": "http", "host": "127.0.0.1", "scheme": "HTTPS"}
    http["httpHeaders"] = [{"name": "X-Probe", "value": "yes"}]  # type: ignore[assignment]
    timing = {"initialDelaySeconds": 1, "timeoutSeconds": 2, "periodSeconds": 3, "failureThreshold": 4}
    return {
        "name": "main",
        "image": "registry.example.com/rich@sha256:" + "0" * 64,
        "imagePullPolicy": "Always",
        "command": ["sh", "-c"],
        "args": ["echo $(NAME)\n", "", "  blank  "],
        "workingDir": "/work",
        "env": _environment(),
        "envFrom": [
            {"prefix": "C_", "configMapRef": {"name": "rich", "optional": True}},
            {"secretRef": {"name": "rich", "optional": False}},
        ],
        "lifecycle": {
            "postStart": {"exec": {"command": ["true"]}},
            "preStop": {"httpGet": {"path": "/stop", "port": 8080, "scheme": "HTTP"}},
        },
        "livenessProbe": {"grpc": {"port": 9090, "service": "live"}, **timing, "terminationGracePeriodSeconds": 3},
        "readinessProbe": {"httpGet": http, **timing, "successThreshold": 2},
        "startupProbe": {"tcpSocket": {"port": 8080, "host": "127.0.0.1"}, **timing},
        "ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        ],
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        "resources": {
            "limits": {"cpu": "1", "memory": "256Mi", "ephemeral-storage": "1Gi"},
            "requests": {"cpu": "100m", "memory": "0.125Gi", "ephemeral-storage": "1Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "appArmorProfile": {"type": "RuntimeDefault"},
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "privileged": False,
            "procMount": "Default",
            "readOnlyRootFilesystem": True,
            "runAsGroup": 1001,
            "runAsNonRoot": True,
            "runAsUser": 1001,
            "seLinuxOptions": {"level": "s0:c123,c456"},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "stdin": True,
        "stdinOnce": True,
        "tty": False,
        "terminationMessagePath": "/dev/elsewhere",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeDevices": [{"name": "claim", "devicePath": "/dev/xvda"}],
        "volumeMounts": [
            {
                "name": "config",
                "mountPath": "/config",
                "readOnly": True,
                "recursiveReadOnly": "Disabled",
                "subPath": "a",
            },
            {"name": "empty", "mountPath": "/work", "mountPropagation": "None", "subPathExpr": "$(NAME)"},
        ],
    }


def _environment() -> list[Spec]:
    return [
        {"name": "NAME", "value": "rich"},
        {"name": "EMPTY", "value": ""},
        {"name": "NODE", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['app']"}}},
        {
            "name": "CPU",
            "valueFrom": {"resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}},
        },
        {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "rich", "key": "a", "optional": True}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "rich", "key": "a", "optional": True}}},
    ]


def _sidecar() -> Spec:
    return {
        "name": "sidecar",
        "image": "busybox:1",
        "restartPolicy": "Always",
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "startupProbe": {"exec": {"command": ["true"]}},
    }


def _pod_security() -> Spec:
    return {
        "fsGroup": 2000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "profile"},
        "seLinuxOptions": {"user": "u", "role": "r", "type": "t", "level": "l"},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/one.json"},
        "supplementalGroups": [3000, 3001],
        "supplementalGroupsPolicy": "Merge",
        "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"}],
    }


def _affinity() -> Spec:
    node = {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a", "b"]}]}
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
    term = {
        "labelSelector": SELECTOR,
        "namespaceSelector": {"matchLabels": {"team": "rich"}},
        "namespaces": ["rich"],
        "topologyKey": "kubernetes.io/hostname",
        "matchLabelKeys": ["version"],
    }
    each = {
        "requiredDuringSchedulingIgnoredDuringExecution": [term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}],
    }
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node, field]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 50, "preference": node}],
        },
        "podAffinity": each,
        "podAntiAffinity": each,
    }


def volumes() -> list[Spec]:
    """Return one volume of every kind that today's API servers take."""
    items = [{"key": "a", "path": "b", "mode": 0o400}]
    downward = [
        {"path": "down/labels", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "requests.cpu", "divisor": "1m"}},
    ]
    secret = {"secretRef": {"name": "rich"}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "rich",
        "selector": SELECTOR,
    }
    sources = [
        {"secret": {"name": "rich", "items": [{"key": "a", "path": "secret/a"}], "optional": True}},
        {"configMap": {"name": "rich", "items": items, "optional": False}},
        {"downwardAPI": {"items": downward}},
        {"serviceAccountToken": {"audience": "a", "expirationSeconds": 700, "path": "token"}},
    ]
    monitors: dict[str, Any] = {"monitors": ["192.0.2.1:6789"], "user": "u", **secret}
    kinds: dict[str, Spec] = {
        "config": {"configMap": {"name": "rich", "items": items, "defaultMode": 0o644, "optional": True}},
        "secret": {"secret": {"secretName": "rich", "items": items, "defaultMode": 0o400, "optional": True}},
        "empty": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        "downward": {"downwardAPI": {"items": downward, "defaultMode": 0o440}},
        "projected": {"projected": {"sources": sources, "defaultMode": 0o444}},
        "claim": {"persistentVolumeClaim": {"claimName": "rich", "readOnly": True}},
        "scratch": {"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": claim}}},
        "host": {"hostPath": {"path": "/var/log", "type": "DirectoryOrCreate"}},
        "nfs": {"nfs": {"server": "nfs.example.com", "path": "/export", "readOnly": True}},
        "csi": {
            "csi": {
                "driver": "disks.example.com",
                "fsType": "ext4",
                "volumeAttributes": {"a": "b"},
                "nodePublishSecretRef": {"name": "rich"},
            }
        },
        "fc": {"fc": {"targetWWNs": ["500a0982991b8dc5"], "lun": 2, "fsType": "ext4", "readOnly": True}},
        "iscsi": {
            "iscsi": {
                "targetPortal": "192.0.2.1:3260",
                "iqn": "iqn.2001-04.com.example:storage",
                "lun": 0,
                "portals": ["192.0.2.2:3260"],
                "chapAuthSession": True,
                "initiatorName": "iqn.2001-04.com.example:client",
                **secret,
            }
        },
        "rbd": {"rbd": {**monitors, "image": "i", "pool": "p", "keyring": "/k", "fsType": "ext4"}},
        "cephfs": {"cephfs": {**monitors, "path": "/p", "secretFile": "/s"}},
        "flex": {"flexVolume": {"driver": "example.com/d", "fsType": "ext4", "options": {"a": "b"}, **secret}},
        "image": {"image": {"reference": "registry.example.com/data:1", "pullPolicy": "IfNotPresent"}},
    }
    return [{"name": name, **source} for name, source in kinds.items()]
