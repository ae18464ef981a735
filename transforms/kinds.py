"""What can be told of an object's type where no API server can be asked: offline, from its kind or its path."""

from __future__ import annotations

from collections.abc import Mapping

from drsyncer.manifest import Manifest, ResourceType, metadata, split_api_version

# Short names of Kubernetes' own types (`kubectl api-resources`, 1.36).
SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "certificatesigningrequests.certificates.k8s.io": ("csr",),
    "componentstatuses": ("cs",),
    "configmaps": ("cm",),
    "cronjobs.batch": ("cj",),
    "customresourcedefinitions.apiextensions.k8s.io": ("crd", "crds"),
    "daemonsets.apps": ("ds",),
    "deployments.apps": ("deploy",),
    "endpoints": ("ep",),
    "events": ("ev",),
    "events.events.k8s.io": ("ev",),
    "horizontalpodautoscalers.autoscaling": ("hpa",),
    "ingresses.networking.k8s.io": ("ing",),
    "ipaddresses.networking.k8s.io": ("ip",),
    "limitranges": ("limits",),
    "namespaces": ("ns",),
    "networkpolicies.networking.k8s.io": ("netpol",),
    "nodes": ("no",),
    "persistentvolumeclaims": ("pvc",),
    "persistentvolumes": ("pv",),
    "poddisruptionbudgets.policy": ("pdb",),
    "pods": ("po",),
    "priorityclasses.scheduling.k8s.io": ("pc",),
    "replicasets.apps": ("rs",),
    "replicationcontrollers": ("rc",),
    "resourcequotas": ("quota",),
    "serviceaccounts": ("sa",),
    "services": ("svc",),
    "statefulsets.apps": ("sts",),
    "storageclasses.storage.k8s.io": ("sc",),
    "volumeattributesclasses.storage.k8s.io": ("vac",),
}


def type_of(manifest: Manifest, *, type_key: str = "") -> ResourceType:
    """Return the type of an object: `type_key` (plural.group) where that is known, else what its kind suggests."""
    kind = str(manifest.get("kind", ""))
    group, version = split_api_version(str(manifest.get("apiVersion", "")))
    plural = type_key.partition(".")[0] or plural_of(kind)
    group = type_key.partition(".")[2] if type_key else group
    return ResourceType(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced="namespace" in metadata(manifest),
        short_names=SHORT_NAMES.get(f"{plural}.{group}" if group else plural, ()),
        singular=kind.lower(),
    )


def plural_of(kind: str) -> str:
    """Return the plural of a kind by the rule of Kubernetes' own types; custom types need not follow it."""
    word = kind.lower()
    if word == "endpoints":
        return word
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
