"""Recovery points written by hand: what an exporter would have committed, without the cluster that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drsyncer.manifest import Manifest, ObjectRef, metadata, split_api_version
from drsyncer.recovery import identity, layout
from drsyncer.recovery.identity import Identity
from drsyncer.yaml.emit import emit
from importer.apply import Result
from importer.outcome import Outcome
from tests.integration.recovery import Recovery

SOURCE = Identity("prod", "6f1c0d6e-0000-4000-8000-000000000001")
STATE = "/api/v1/namespaces/dr-syncer/configmaps"
PARENT = f"{STATE}/dr-syncer-prod"
MEMBER = "applyset.kubernetes.io/part-of"


def ref_of(manifest: Manifest) -> ObjectRef:
    """Return who a manifest is; its plural by the rule that every type in these tests follows."""
    kind, meta = manifest["kind"].lower(), metadata(manifest)
    group, _ = split_api_version(manifest["apiVersion"])
    if kind.endswith(("ss", "x")):
        plural = f"{kind}es"
    elif kind.endswith("y"):
        plural = f"{kind[:-1]}ies"
    else:
        plural = kind if kind.endswith("s") else f"{kind}s"
    return ObjectRef(f"{plural}.{group}" if group else plural, meta.get("namespace", ""), meta["name"])


def path_of(manifest: Manifest) -> str:
    """Return the file of a manifest in the recovery repository."""
    return layout.path_of(ref_of(manifest))


def write(recovery: Recovery, *manifests: Manifest, gone: Iterable[Manifest] = (), source: Identity = SOURCE) -> str:
    """Commit `manifests` as an export of `source` would, delete the files of `gone`; return the commit."""
    files: dict[str, bytes | str | None] = {path_of(manifest): emit(manifest) for manifest in manifests}
    files |= dict.fromkeys((path_of(manifest) for manifest in gone), None)
    return recovery.commit({identity.FILE: identity.emit(source), **files})


def result_of(outcome: Outcome, name: str) -> Result:
    """Return the result of the object `namespace/type/name`. Raises KeyError that says which there are."""
    found = {str(result.step.ref): result for result in outcome.results}
    if name not in found:
        raise KeyError(f"{name} is not among {', '.join(sorted(found))}")
    return found[name]


def custom_type(
    plural: str = "widgets",
    *,
    kind: str = "",
    group: str = "example.com",
    versions: tuple[str, ...] = ("v1",),
    storage: str = "",
    conversion: Mapping[str, Any] | None = None,
    subresources: Mapping[str, Any] | None = None,
    scope: str = "Namespaced",
) -> Manifest:
    """Return a CustomResourceDefinition; every version takes any fields. The stored one is `storage`, or the last."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    singular = plural.removesuffix("s")
    served: list[dict[str, Any]] = [
        {
            "name": version,
            "served": True,
            "storage": version == (storage or versions[-1]),
            "schema": {"openAPIV3Schema": schema},
            **({"subresources": subresources} if subresources else {}),
        }
        for version in versions
    ]
    names = {"plural": plural, "singular": singular, "kind": kind or singular.capitalize()}
    names["listKind"] = f"{names['kind']}List"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": names,
            "versions": served,
            **({"conversion": dict(conversion)} if conversion else {}),
        },
    }


def converted_by(where: str, name: str) -> dict[str, Any]:
    """Return the conversion of a CustomResourceDefinition by a Service."""
    client = {"service": {"namespace": where, "name": name, "path": "/convert"}}
    return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}


def custom(where: str, name: str, *, kind: str = "Widget", version: str = "v1", group: str = "example.com") -> Manifest:
    """Return a custom resource."""
    return {
        "apiVersion": f"{group}/{version}",
        "kind": kind,
        "metadata": {"name": name, **({"namespace": where} if where else {})},
        "spec": {"size": 1, "nothing": None},
    }


def service(where: str, name: str, **spec: Any) -> Manifest:
    """Return a Service of one port, 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": where},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec},
    }


def ready_endpoints(where: str, name: str) -> Manifest:
    """Return an EndpointSlice by hand: the Service `name` has a ready endpoint."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-by-hand", "namespace": where, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 443, "protocol": "TCP"}],
    }


def claim(where: str, name: str, *, size: str = "1Gi", storage_class: str = "") -> Manifest:
    """Return a PersistentVolumeClaim."""
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": where},
        "spec": spec,
    }


def job(where: str, name: str, *, image: str = "busybox:1", **annotations: str) -> Manifest:
    """Return a Job of one container."""
    meta: dict[str, Any] = {"name": name, "namespace": where}
    if annotations:
        meta["annotations"] = annotations
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": pod}}}


def cron_job(where: str, name: str) -> Manifest:
    """Return a CronJob that is not suspended."""
    template = {"spec": job(where, name)["spec"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": where},
        "spec": {"schedule": "* * * * *", "jobTemplate": template},
    }


def validating_webhook(
    name: str, *, service: tuple[str, str], resources: Iterable[str], group: str = "", selector: Any = None
) -> Manifest:
    """Return a ValidatingWebhookConfiguration that must answer before one of `resources` is written."""
    namespace, service_name = service
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{name}.example.com",
                "clientConfig": {"service": {"namespace": namespace, "name": service_name, "path": "/", "port": 443}},
                "rules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": ["*"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": list(resources),
                        "scope": "*",
                    }
                ],
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "admissionReviewVersions": ["v1"],
                "namespaceSelector": selector or {},
            }
        ],
    }


def api_service(version: str, group: str, *, service: tuple[str, str]) -> Manifest:
    """Return an APIService whose API another server answers for."""
    namespace, name = service
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": namespace, "name": name, "port": 443},
        },
    }


def with_labels(manifest: Manifest, labels: Mapping[str, str]) -> Manifest:
    """Return `manifest` with more labels."""
    meta = metadata(manifest)
    return {**manifest, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **labels}}}


def with_annotations(manifest: Manifest, annotations: Mapping[str, str]) -> Manifest:
    """Return `manifest` with more annotations."""
    meta = metadata(manifest)
    return {**manifest, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **annotations}}}
