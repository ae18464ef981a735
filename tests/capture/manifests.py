"""What the people of the captured scene write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.cluster.api import Object

SHOP = "shop"
INJECTED = {"cert-manager.io/inject-ca-from": "shop/webhook"}


def _object(api_version: str, kind: str, name: str, *, scoped: bool = True, **rest: Any) -> Object:
    meta = {"name": name, **({"namespace": SHOP} if scoped else {}), **rest.pop("meta", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **rest}


def _pod(**spec: Any) -> Object:
    return {"containers": [{"name": "main", "image": "nginx:1"}], **spec}


def _template(app: str, **spec: Any) -> Object:
    return {"metadata": {"labels": {"app": app}}, "spec": _pod(**spec)}


def foundations() -> list[Object]:
    """What others refer to."""
    return [
        _object("v1", "Namespace", SHOP, scoped=False, meta={"labels": {"team": "shop"}}),
        _object("scheduling.k8s.io/v1", "PriorityClass", "high", scoped=False, value=1000),
        _object(
            "node.k8s.io/v1",
            "RuntimeClass",
            "sandboxed",
            scoped=False,
            handler="sandboxed",
            overhead={"podFixed": {"cpu": "250m"}},
        ),
        _object(
            "storage.k8s.io/v1",
            "StorageClass",
            "external",
            scoped=False,
            provisioner="disks.example.com",
            volumeBindingMode="Immediate",
        ),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "monitoring-parts",
            scoped=False,
            meta={"labels": {"monitoring": "part"}},
            rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        ),
    ]


def deployment() -> Object:
    """A Deployment that is applied from the client's side, so that it carries last-applied."""
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": _template("web")}
    return _object("apps/v1", "Deployment", "web", spec=spec)


def service_with_port(name: str, port: int) -> Object:
    """A Service with one node port that a person chose, and one that is left to the cluster."""
    ports = [{"name": "http", "port": 80, "nodePort": port}, {"name": "https", "port": 443}]
    return _object("v1", "Service", name, spec={"type": "NodePort", "selector": {"app": "web"}, "ports": ports})


def generated_name() -> Object:
    """An object whose name the API server draws."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "drawn-"}, "data": {"a": "b"}}


def owned_by(owner: Object) -> Object:
    """An object with an owner that is no controller: it goes with it, but nobody makes it again."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner["metadata"]["uid"]}
    meta = {"ownerReferences": [reference], "finalizers": ["example.com/hold"]}
    return _object("v1", "ConfigMap", "owned", meta=meta, data={"a": "b"})


def provisioned_volume(claim: Object) -> Object:
    """The volume that an external provisioner makes for a claim."""
    meta = claim["metadata"]
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        **{name: meta[name] for name in ("namespace", "name", "uid", "resourceVersion")},
    }
    annotations = {"pv.kubernetes.io/provisioned-by": "disks.example.com"}
    return _volume("disk", "external", meta={"annotations": annotations}, claimRef=reference)


def _volume(name: str, storage_class: str, *, meta: Object | None = None, **spec: Any) -> Object:
    source = {"csi": {"driver": "disks.example.com", "volumeHandle": name, "fsType": "ext4"}}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "persistentVolumeReclaimPolicy": "Retain",
        **source,
        **spec,
    }
    return _object("v1", "PersistentVolume", name, scoped=False, meta=meta or {}, spec=spec)


def _claim(name: str, storage_class: str, **spec: Any) -> Object:
    wanted = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": wanted, **spec}
    return _object("v1", "PersistentVolumeClaim", name, spec=spec)


def posted(authority: str) -> Iterator[Object]:
    """Yield what is simply created. `authority` is a certificate for those that need one."""
    yield from _workloads()
    yield from _services()
    yield _volume("media", "by-hand")
    yield _claim("media", "by-hand")
    yield _volume("archive", "archive")
    yield _claim("archive", "archive", volumeName="archive")
    yield _claim("disk", "external")
    yield from _access()
    yield from _injected(authority)
    yield _marked()


def _workloads() -> Iterator[Object]:
    selector = {"matchLabels": {"app": "agent"}}
    yield _object("apps/v1", "DaemonSet", "agent", spec={"selector": selector, "template": _template("agent")})
    data = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    spec = {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": _template("db")}
    yield _object("apps/v1", "StatefulSet", "db", spec={**spec, "replicas": 0, "volumeClaimTemplates": [data]})
    once = {"spec": _pod(restartPolicy="Never")}
    yield _object("batch/v1", "Job", "migrate", spec={"template": once})
    labelled = {**once, "metadata": {"labels": {"by": "hand"}}}
    chosen = {"manualSelector": True, "selector": {"matchLabels": {"by": "hand"}}, "template": labelled}
    yield _object("batch/v1", "Job", "manual", spec={**chosen, "suspend": True})
    job = {"spec": {"template": once}}
    yield _object("batch/v1", "CronJob", "nightly", spec={"schedule": "0 4 * * *", "jobTemplate": job})
    spec = _pod(
        nodeName="node-1",
        priorityClassName="high",
        runtimeClassName="sandboxed",
        initContainers=[{"name": "first", "image": "busybox:1"}],
        tolerations=[{"key": "dedicated", "operator": "Exists"}],
    )
    yield _object("v1", "Pod", "toolbox", spec=spec)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    scaling = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "metrics": [cpu]}
    yield _object("autoscaling/v2", "HorizontalPodAutoscaler", "web", spec=scaling)


def _services() -> Iterator[Object]:
    ports = [{"name": "http", "port": 80}]
    by_app = {"selector": {"app": "web"}, "ports": ports}
    yield _object("v1", "Service", "web", spec=by_app)
    yield _object("v1", "Service", "drawn", spec={**by_app, "type": "NodePort"})
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerIP": "192.0.2.10"}
    yield _object("v1", "Service", "public", spec={**by_app, **local})
    yield _object("v1", "Service", "headless", spec={**by_app, "clusterIP": "None"})
    yield _object("v1", "Service", "elsewhere", spec={"type": "ExternalName", "externalName": "db.example.com"})


def _access() -> Iterator[Object]:
    generated = [{"name": "app-token-7x8q4"}, {"name": "app-dockercfg-7x8q4"}, {"name": "app-token"}]
    pull = [{"name": "app-dockercfg-7x8q4"}, {"name": "registry"}]
    yield _object("v1", "ServiceAccount", "app", secrets=generated, imagePullSecrets=pull)
    annotations = {"kubernetes.io/service-account.name": "app"}
    token = "kubernetes.io/service-account-token"
    yield _object("v1", "Secret", "app-token", meta={"annotations": annotations}, type=token)
    rule = {"clusterRoleSelectors": [{"matchLabels": {"monitoring": "part"}}]}
    yield _object(
        "rbac.authorization.k8s.io/v1", "ClusterRole", "monitoring", scoped=False, aggregationRule=rule, rules=[]
    )


def _injected(authority: str) -> Iterator[Object]:
    group = "admissionregistration.k8s.io/v1"
    service = {"namespace": SHOP, "name": "webhook", "path": "/"}
    rules = [{"apiGroups": ["nobody.example.com"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]
    hook = {
        "name": "shop.example.com",
        "clientConfig": {"service": service, "caBundle": authority},
        "rules": rules,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        yield _object(group, kind, SHOP, scoped=False, meta={"annotations": INJECTED}, webhooks=[hook])
    yield _object(group, "ValidatingWebhookConfiguration", "own", scoped=False, webhooks=[hook])
    client = {"service": {**service, "port": 443}, "caBundle": authority}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [version],
        "conversion": {
            "strategy": "Webhook",
            "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]},
        },
    }
    api = "apiextensions.k8s.io/v1"
    yield _object(
        api, "CustomResourceDefinition", "widgets.example.com", scoped=False, meta={"annotations": INJECTED}, spec=spec
    )
    template = {"metadata": {"creationTimestamp": None, "labels": {"a": "b"}}, "nothing": None}
    yield _object("example.com/v1", "Widget", "one", spec={"template": template, "templates": [template]})
    aggregated = {
        "group": "metrics.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "service": {"namespace": SHOP, "name": "webhook"},
        "caBundle": authority,
    }
    api, name = "apiregistration.k8s.io/v1", "v1.metrics.example.com"
    yield _object(api, "APIService", name, scoped=False, meta={"annotations": INJECTED}, spec=aggregated)


def _marked() -> Object:
    """What deployment tools, leader election and DR-Syncer itself write on objects, beside what people write."""
    annotations = {
        "control-plane.alpha.kubernetes.io/leader": '{"holderIdentity":"a"}',
        "kustomize.toolkit.fluxcd.io/ssa": "Merge",
        "applyset.kubernetes.io/tooling": "kubectl/v1.36",
        "argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/marked",
        "argocd.argoproj.io/sync-wave": "2",
        "batch.kubernetes.io/job-tracking": "",
        "cronjob.kubernetes.io/instantiate": "manual",
        "dr-syncer.io/note": "x",
        "dr-syncer.io/prune": "false",
        "meta.helm.sh/release-name": "shop",
        "example.com/owner": "team",
    }
    labels = {
        "kustomize.toolkit.fluxcd.io/name": "shop",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        "applyset.kubernetes.io/part-of": "applyset-abc-v1",
        "kro.run/owned": "true",
        "app.kubernetes.io/name": "shop",
    }
    return _object("v1", "ConfigMap", "marked", meta={"annotations": annotations, "labels": labels}, data={"a": "b"})
