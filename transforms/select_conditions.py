"""The predicates of the built-in exclusions that must look at an object, or at what discovery says of its type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drsyncer import own
from drsyncer.manifest import Manifest, ResourceType, labels, metadata
from drsyncer.match import Subject, annotations_of

# What random suffixes are made of: k8s.io/apimachinery/pkg/util/rand.
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SERVICE_ACCOUNT = "kubernetes.io/service-account.name"
_ENDPOINT_CONTROLLERS = frozenset(["kube-controller-manager", "endpoint-controller"])
_SLICE_CONTROLLERS = frozenset(["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"])


def ignored(subject: Subject) -> bool:
    found = subject.manifest
    return labels(found).get(own.IGNORE) == "true" or annotations_of(found).get(own.IGNORE) == "true"


def not_listed(type_: ResourceType) -> bool:
    # A type without any verb is not from discovery: its object is at hand, so somebody could read it.
    return bool(type_.verbs) and "list" not in type_.verbs


def terminating(subject: Subject) -> bool:
    return bool(metadata(subject.manifest).get("deletionTimestamp"))


def owned(subject: Subject) -> bool:
    for owner in _mappings(metadata(subject.manifest).get("ownerReferences")):
        # A mirror Pod: the kubelet makes it from a file on its node (API concepts: static Pods).
        if owner.get("kind") == "Node" and owner.get("apiVersion") == "v1":
            return True
        if owner.get("controller") is True and not _carries_data(subject, owner):
            return True
    return False


def _carries_data(subject: Subject, owner: Mapping[str, Any]) -> bool:
    """Return whether this is a PVC that its owner could make again, but not with what is in it.

    Operators own the claims of their databases, and so does a StatefulSet under persistentVolumeClaimRetentionPolicy
    (KEP-1847). Before scaling down, the latter's claim is owned by its Pod and is called <template>-<pod>. A generic
    ephemeral volume's claim is owned by its Pod, too, and is called <pod>-<volume> (KEP-1698); that one is scratch.
    """
    if subject.ref.type != "persistentvolumeclaims":
        return False
    return owner.get("kind") != "Pod" or subject.ref.name.endswith(f"-{owner.get('name')}")


def finished(subject: Subject) -> bool:
    status = _mapping(subject.manifest.get("status"))
    if subject.ref.type == "pods":
        return status.get("phase") in ("Succeeded", "Failed")
    ended = ("Complete", "Failed")
    return any(
        condition.get("type") in ended and condition.get("status") == "True"
        for condition in _mappings(status.get("conditions"))
    )


def made_for_service(subject: Subject) -> bool:
    found = subject.manifest
    if subject.ref.type == "endpointslices.discovery.k8s.io":
        return labels(found).get("endpointslice.kubernetes.io/managed-by") in _SLICE_CONTROLLERS or any(
            owner.get("kind") == "Service" for owner in _mappings(metadata(found).get("ownerReferences"))
        )
    written = list(_managed(found))
    by_controller = [manager in _ENDPOINT_CONTROLLERS for manager, _ in written]
    return (
        labels(found).get("endpoints.kubernetes.io/managed-by") == "endpoint-controller"  # since 1.33
        or "endpoints.kubernetes.io/last-change-trigger-time" in annotations_of(found)
        # Before that, those of a Service without Pods carry no sign but who made them.
        or (bool(written) and all(by_controller))
        or any("f:subsets" in fields for (_, fields), its_own in zip(written, by_controller, strict=True) if its_own)
    )


def untouched_default_account(subject: Subject) -> bool:
    found = subject.manifest
    name = re.compile(rf"default-(token|dockercfg)-{_SUFFIX}")
    generated = all(
        name.fullmatch(str(reference.get("name")))
        for field in ("secrets", "imagePullSecrets")
        for reference in _mappings(found.get(field))
    )
    return (
        generated
        and not labels(found)
        and not annotations_of(found)
        and found.get("automountServiceAccountToken") is None
    )


def is_local(subject: Subject) -> bool:
    return not _mapping(subject.manifest.get("spec")).get("service")


def systems_own_flow_control(subject: Subject) -> bool:
    """Mandatory objects are reset by the server whatever people write; suggested ones unless they say "false"."""
    if subject.ref.name in ("exempt", "catch-all"):
        return True
    automatic = annotations_of(subject.manifest).get("apf.kubernetes.io/autoupdate-spec")
    if automatic is not None:
        return automatic == "true"
    return any(
        manager.startswith("api-priority-and-fairness-config-producer") for manager, _ in _managed(subject.manifest)
    )


def of_type(type_: str) -> Callable[[Subject], bool]:
    return lambda subject: subject.manifest.get("type") == type_


def generated_token(subject: Subject) -> bool:
    """Up to 1.23 the token controller made <account>-token-<suffix> by itself; a person's own names its account."""
    found = subject.manifest
    account = annotations_of(found).get(_SERVICE_ACCOUNT)
    if found.get("type") != "kubernetes.io/service-account-token" or not account:
        return False
    if not re.fullmatch(rf"{re.escape(account)}-token-{_SUFFIX}", subject.ref.name) or _LAST_APPLIED in annotations_of(
        found
    ):
        return False
    makers = [manager for manager, fields in _managed(found) if "f:type" in fields]
    return not makers or "kube-controller-manager" in makers


def _managed(manifest: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in _mappings(metadata(manifest).get("managedFields")):
        yield str(entry.get("manager", "")), _mapping(entry.get("fieldsV1"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    return (element for element in value if isinstance(element, dict)) if isinstance(value, list) else iter(())
