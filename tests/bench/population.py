"""A believable mixture of objects, the same at every run."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.cluster.control_plane import ControlPlane

Object = dict[str, Any]

NAMESPACES = 25
GROUP = "bench.example.com"
WRITERS = 8
_WORDS = ("alpha", "bravo", "cart", "delta", "echo", "frame", "gauge", "hotel", "index", "ledger", "order", "parcel")
_SEED = 20240229


def objects(count: int) -> Iterator[Object]:
    """Yield `count` objects: the namespaces and one CRD first, then the mixture, spread over all namespaces."""
    chance = random.Random(_SEED)
    spaces = [f"team-{index:02}" for index in range(NAMESPACES)]
    first = [_namespace(name) for name in spaces] + [_definition()]
    yield from first
    kinds = [kind for kind, share in _MIXTURE for _ in range(share)]
    chance.shuffle(kinds)
    for index in range(count - len(first)):
        make = kinds[index % len(kinds)]
        # Not `index` alone: the kinds come round too, and each namespace would get only some of them.
        where = spaces[(index + index // len(kinds)) % NAMESPACES]
        yield make(where, f"{_WORDS[index % len(_WORDS)]}-{index:05}", chance)


def populate(plane: ControlPlane, count: int) -> None:
    """Bring a cluster to `count` objects of the mixture; what is there already stays."""
    wanted = list(objects(count))
    plane.apply(wanted[: NAMESPACES + 1])
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda manifest: plane.apply([manifest]), wanted[NAMESPACES + 1 :]))
    plane.settle(timeout=600.0)


def _object(api_version: str, kind: str, where: str, name: str, **rest: Any) -> Object:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": where}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": where, "labels": labels},
        **rest,
    }


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}}


def _definition() -> Object:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [version],
        },
    }


def _text(chance: random.Random, lines: int) -> str:
    return "".join(f"{chance.choice(_WORDS)}.{chance.choice(_WORDS)}={chance.randrange(10**6)}\n" for _ in range(lines))


def _configmap(where: str, name: str, chance: random.Random) -> Object:
    data = {"application.properties": _text(chance, chance.choice((5, 20, 80))), "level": "info", "port": "8080"}
    return _object("v1", "ConfigMap", where, name, data=data)


def _secret(where: str, name: str, chance: random.Random) -> Object:
    data = {key: base64.b64encode(chance.randbytes(24)).decode() for key in ("username", "password", "token")}
    return _object("v1", "Secret", where, name, type="Opaque", data=data)


def _service(where: str, name: str, chance: random.Random) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "metrics", "port": 9090}]
    return _object("v1", "Service", where, name, spec={"selector": {"app": name}, "ports": ports})


def _deployment(where: str, name: str, chance: random.Random) -> Object:
    container = {
        "name": "main",
        "image": f"registry.example.com/{where}/{chance.choice(_WORDS)}:1.{chance.randrange(40)}.0",
        "args": ["--listen=:8080", f"--shard={chance.randrange(16)}"],
        "env": [{"name": word.upper(), "value": str(chance.randrange(1000))} for word in _WORDS[:6]],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": name, "optional": True}}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return _object("apps/v1", "Deployment", where, name, spec=spec)


def _service_account(where: str, name: str, chance: random.Random) -> Object:
    return _object("v1", "ServiceAccount", where, name, automountServiceAccountToken=False)


def _role(where: str, name: str, chance: random.Random) -> Object:
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [GROUP], "resources": ["widgets"], "verbs": ["*"]},
    ]
    return _object("rbac.authorization.k8s.io/v1", "Role", where, name, rules=rules)


def _role_binding(where: str, name: str, chance: random.Random) -> Object:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": where}]
    return _object("rbac.authorization.k8s.io/v1", "RoleBinding", where, name, roleRef=role, subjects=subjects)


def _network_policy(where: str, name: str, chance: random.Random) -> Object:
    peer = {"namespaceSelector": {"matchLabels": {"team": where}}}
    ingress = [{"from": [peer], "ports": [{"port": 8080, "protocol": "TCP"}]}]
    spec = {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"], "ingress": ingress}
    return _object("networking.k8s.io/v1", "NetworkPolicy", where, name, spec=spec)


def _disruption_budget(where: str, name: str, chance: random.Random) -> Object:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
    return _object("policy/v1", "PodDisruptionBudget", where, name, spec=spec)


def _ingress(where: str, name: str, chance: random.Random) -> Object:
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    rule = {
        "host": f"{name}.prod.example.com",
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    return _object("networking.k8s.io/v1", "Ingress", where, name, spec={"rules": [rule]})


def _cron_job(where: str, name: str, chance: random.Random) -> Object:
    container = {"name": "main", "image": "registry.example.com/tools/report:2", "args": ["--once"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    job = {"spec": {"template": {"spec": pod}}}
    # Suspended: what runs would come and go while the clock is ticking.
    spec = {"schedule": "0 4 * * *", "suspend": True, "jobTemplate": job}
    return _object("batch/v1", "CronJob", where, name, spec=spec)


def _widget(where: str, name: str, chance: random.Random) -> Object:
    spec = {"size": chance.randrange(100), "colour": chance.choice(_WORDS), "nested": {"list": [1, 2, 3], "none": None}}
    return _object(f"{GROUP}/v1", "Widget", where, name, spec=spec)


# Shares of a hundred.
_MIXTURE: tuple[tuple[Callable[[str, str, random.Random], Object], int], ...] = (
    (_configmap, 24),
    (_secret, 14),
    (_service, 10),
    (_deployment, 10),
    (_service_account, 8),
    (_role, 7),
    (_role_binding, 7),
    (_network_policy, 5),
    (_widget, 8),
    (_ingress, 3),
    (_disruption_budget, 2),
    (_cron_job, 2),
)
