"""Rich objects of access, configuration and limits."""

from __future__ import annotations

import base64

from tests.cluster.api import Object
from tests.integration.rich_pods import SELECTOR
from tests.integration.rich_workloads import Make


def configuration(make: Make, *, certificate: bytes) -> list[Object]:
    """Return accounts, roles and bindings; ConfigMaps and Secrets; quotas, limits and policies."""
    return [*_access(make), *_texts_and_secrets(make, certificate), *_limits(make)]


def _access(make: Make) -> list[Object]:
    api = "rbac.authorization.k8s.io"
    rules = [
        {
            "apiGroups": ["", "apps"],
            "resources": ["pods", "deployments/scale"],
            "verbs": ["get"],
            "resourceNames": ["a"],
        }
    ]
    subjects = [
        {"kind": "ServiceAccount", "name": "rich", "namespace": "rich"},
        {"apiGroup": api, "kind": "User", "name": "someone"},
        {"apiGroup": api, "kind": "Group", "name": "everybody"},
    ]
    urls = {"nonResourceURLs": ["/metrics", "/debug/*"], "verbs": ["get"]}
    aggregation = {"clusterRoleSelectors": [SELECTOR, {"matchLabels": {"a": "b"}}]}
    cluster_role = {"apiGroup": api, "kind": "ClusterRole", "name": "rich"}
    return [
        make(
            "v1",
            "ServiceAccount",
            automountServiceAccountToken=False,
            imagePullSecrets=[{"name": "registry"}],
            secrets=[{"name": "mine"}],
        ),
        make("v1", "ServiceAccount", "default", imagePullSecrets=[{"name": "registry"}]),
        make(f"{api}/v1", "Role", rules=rules),
        make(f"{api}/v1", "RoleBinding", roleRef={**cluster_role, "kind": "Role"}, subjects=subjects),
        make(f"{api}/v1", "ClusterRole", scoped=False, rules=[*rules, urls], meta={"labels": {"parts": "no"}}),
        make(f"{api}/v1", "ClusterRole", "rich-sum", scoped=False, aggregationRule=aggregation, rules=[]),
        make(f"{api}/v1", "ClusterRoleBinding", "rich:all", scoped=False, roleRef=cluster_role, subjects=subjects),
    ]


def _texts_and_secrets(make: Make, certificate: bytes) -> list[Object]:
    def secret(name: str, type_: str, **data: str) -> Object:
        return make("v1", "Secret", name, type=type_, data={k: _encoded(v) for k, v in data.items()})

    docker = {".dockerconfigjson": _encoded('{"auths":{}}')}
    texts = {"a": "", "b": "line\n\n", "c": "  x: {{ y }}\t\r\n", "d": "é😀", "e.json": '{"a": [1, null]}'}
    return [
        make("v1", "ConfigMap", data=texts, binaryData={"bin": "AAEC/w=="}),
        make("v1", "ConfigMap", "fixed", data={"a": "b"}, immutable=True),
        secret("rich", "Opaque", a="b", empty=""),
        secret("basic", "kubernetes.io/basic-auth", username="u", password="p"),
        make("v1", "Secret", "registry", type="kubernetes.io/dockerconfigjson", data=docker),
        make("v1", "Secret", "fixed", type="example.com/any", data={"a": _encoded("b")}, immutable=True),
        make(
            "v1",
            "Secret",
            "tls",
            type="kubernetes.io/tls",
            data={"tls.crt": base64.b64encode(certificate).decode(), "tls.key": ""},
        ),
        make(
            "v1",
            "Secret",
            "token",
            type="kubernetes.io/service-account-token",
            meta={"annotations": {"kubernetes.io/service-account.name": "rich"}},
        ),
    ]


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _limits(make: Make) -> list[Object]:
    limit = {
        "type": "Container",
        "default": {"cpu": "4"},
        "defaultRequest": {"cpu": "10m"},
        "max": {"cpu": "8"},
        "min": {"cpu": "1m"},
    }
    ratio = {"type": "Pod", "maxLimitRequestRatio": {"cpu": "5k"}}
    scopes = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["other"]}]}
    return [
        make("v1", "LimitRange", spec={"limits": [limit, ratio]}),
        make("v1", "ResourceQuota", spec={"hard": {"pods": "1k", "requests.cpu": "1000"}, "scopeSelector": scopes}),
        make("v1", "ResourceQuota", "terminating", spec={"hard": {"pods": "9"}, "scopes": ["Terminating"]}),
        make(
            "policy/v1",
            "PodDisruptionBudget",
            spec={"minAvailable": "50%", "selector": SELECTOR, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
        ),
        make(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            spec={
                "podSelector": SELECTOR,
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [
                            {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}},
                            {"namespaceSelector": {}, "podSelector": SELECTOR},
                        ],
                        "ports": [{"port": "http", "protocol": "TCP"}, {"port": 1024, "endPort": 2048}],
                    }
                ],
                "egress": [{}],
            },
        ),
    ]
