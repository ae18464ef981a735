"""Manifests of impossible shapes: whatever stands where, reading one either works or names its fault.

The recovery repository is written by others, and selection, transforms and preflight look at an object before any
API server does. One object must never stop the others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from drsyncer.config.schema import Config, Importer
from drsyncer.errors import DrSyncerError
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, labels
from drsyncer.match import Subject
from drsyncer.recovery.layout import Place
from importer.digests import of_manifest
from importer.inventory import Inventory
from importer.opening import identity
from importer.preflight import _named_classes
from importer.rules import Rules, rules_of
from importer.types import definition
from importer.wishes import Wish
from transforms import standby
from transforms.pipeline import transform

ODD: tuple[Any, ...] = (None, 5, True, "text", "", [], [None], ["x", 5], [[]], [{}], {}, {"a": None}, {"x": {"y": "z"}})

POD = {
    "nodeSelector": {"a": "b"},
    "containers": [{"name": "c", "image": "x/y:1", "env": [{"name": "A", "value": "web.shop.svc"}]}],
    "initContainers": [{"name": "i", "image": "x/z"}],
    "volumes": [{"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "a"}}}}],
}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD}
CLAIM = {"storageClassName": "a", "accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Gi"}}}
SERVICE = {"service": {"namespace": "shop", "name": "hook"}}
KINDS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "Deployment": ("apps/v1", "deployments", "shop", {"spec": {"replicas": 2, "template": TEMPLATE}}),
    "DaemonSet": ("apps/v1", "daemonsets", "shop", {"spec": {"template": TEMPLATE}}),
    "StatefulSet": (
        "apps/v1",
        "statefulsets",
        "shop",
        {"spec": {"replicas": 2, "volumeClaimTemplates": [{"spec": CLAIM}]}},
    ),
    "CronJob": (
        "batch/v1",
        "cronjobs",
        "shop",
        {"spec": {"suspend": False, "jobTemplate": {"spec": {"template": TEMPLATE}}}},
    ),
    "Job": ("batch/v1", "jobs", "shop", {"spec": {"suspend": False, "template": TEMPLATE}}),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims", "shop", {"spec": CLAIM}),
    "Ingress": (
        "networking.k8s.io/v1",
        "ingresses",
        "shop",
        {"spec": {"ingressClassName": "n", "rules": [{"host": "x.a.com"}], "tls": [{"hosts": ["x.a.com"]}]}},
    ),
    "RoleBinding": (
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        "shop",
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "shop"}],
        },
    ),
    "Secret": ("v1", "secrets", "shop", {"type": "Opaque", "data": {"a": "YQ=="}}),
    "Namespace": ("v1", "namespaces", "", {"spec": {"finalizers": ["x"]}}),
    "PersistentVolume": (
        "v1",
        "persistentvolumes",
        "",
        {"spec": {"storageClassName": "a", "claimRef": {"namespace": "shop"}}},
    ),
    "ValidatingWebhookConfiguration": (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        "",
        {"webhooks": [{"name": "a.b.c", "clientConfig": SERVICE}]},
    ),
    "APIService": (
        "apiregistration.k8s.io/v1",
        "apiservices",
        "",
        {"spec": {"group": "g", "version": "v1", **SERVICE}},
    ),
    "CustomResourceDefinition": (
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "",
        {
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "ws", "kind": "W", "singular": "w", "shortNames": ["a"]},
                "versions": [
                    {"name": "v1", "served": True, "subresources": {"scale": {"specReplicasPath": ".spec.n"}}}
                ],
                "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": SERVICE}},
            }
        },
    ),
    "Gizmo": ("example.com/v1", "gizmos", "shop", {"spec": {"replicas": 3, "namespace": "shop"}}),
}
PLAIN: dict[str, Any] = {"cluster": "dr"}
FULL: dict[str, Any] = {
    "cluster": "dr",
    "select": {"include": [{"types": ["*"], "labels": "a!=b", "annotations": {"x": "y"}}, {"types": ["*"]}]},
    "standby": {"daemonSets": "park"},
    "transforms": {
        "namespaces": {"shop": "shop-dr"},
        "storageClasses": {"a": "b"},
        "accessModes": {"ReadWriteOncePod": "ReadWriteOnce"},
        "images": {"x/": "y/"},
        "hosts": {"*.a.com": "*.b.com"},
        "labels": {"add": {"z": "1"}},
        "annotations": {"add": {"z": "1"}},
        "namespaceLabels": {"add": {"n": "1"}},
    },
}


def rules(section: dict[str, Any]) -> Rules:
    config = Config.model_validate(
        {"apiVersion": "dr-syncer.io/v1", "repository": {"url": "/x"}, "importer": section}
    ).importer
    assert isinstance(config, Importer)
    return rules_of(config, Inventory("prod", "dr-syncer"))


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*before, key)
        yield from places(item, (*before, key))


def spoiled(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield `manifest` with each of its parts replaced by each odd value."""
    for path in places(manifest):
        if path[0] in ("apiVersion", "kind"):
            continue
        for odd in ODD:
            found = copy.deepcopy(manifest)
            inside: Any = found
            for key in path[:-1]:
                inside = inside[key]
            inside[path[-1]] = copy.deepcopy(odd)
            yield f"{'/'.join(map(str, path))} = {odd!r}", found


def go_through(manifest: Manifest, type_: ResourceType, rules: Rules, *, namespace: str) -> None:
    """Do with one object what an import does before its first request."""
    ref = identity(manifest, Place(type_.key, namespace, "w"), _path(type_, namespace))
    inside = ObjectRef(ref.type, ref.name, ref.name) if type_.key == "namespaces" else ref
    rules.selection.verdict(Subject(inside, type_, manifest, labels(manifest) if inside is not ref else {}))
    scale_path = ".spec.replicas" if type_.kind == "Gizmo" else None
    made = transform(
        manifest, ref, settings=rules.settings, scale_path=scale_path, known_namespaces=frozenset({"shop"})
    )
    set(standby.backends(made.manifest, made.ref))
    data, digest = of_manifest(made.manifest)
    set(_named_classes(Wish(path="x", ref=made.ref, type=type_, source="", digest=digest, data=data)))


def _path(type_: ResourceType, namespace: str) -> str:
    return f"namespaces/{namespace}/{type_.key}/w.yaml" if namespace else f"cluster/{type_.key}/w.yaml"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("section", [PLAIN, FULL], ids=["plain", "full"])
def test_an_object_of_any_shape_is_read_or_named(kind: str, section: dict[str, Any]) -> None:
    api_version, plural, namespace, body = KINDS[kind]
    group, _, version = api_version.rpartition("/")
    type_ = ResourceType(group, version, plural, kind, bool(namespace), frozenset({"list"}))
    meta = {"name": "w", "labels": {"dr-syncer.io/scale-override": "2"}, "annotations": {"a": "b"}}
    meta |= {"namespace": namespace} if namespace else {}
    made, faults = rules(section), []
    for what, manifest in spoiled({"apiVersion": api_version, "kind": kind, "metadata": meta, **body}):
        try:
            go_through(manifest, type_, made, namespace=namespace)
        except DrSyncerError:
            continue
        except Exception as error:  # noqa: BLE001 - what must not happen, gathered
            faults.append(f"{what}: {error!r}")
    assert faults == []


def test_a_definition_of_any_shape_is_read_or_is_none() -> None:
    _, _, _, body = KINDS["CustomResourceDefinition"]
    for _, manifest in spoiled(body):
        try:
            found = definition(manifest)
        except (KeyError, TypeError, AttributeError):
            continue  # what its reader is told to expect
        assert isinstance(hash((found.types, found.conversion, *found.scale_paths.items())), int)
