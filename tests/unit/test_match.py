"""One grammar says which objects a rule is about."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.match import Match, Subject, match

DEPLOYMENTS = ResourceType(
    "apps", "v1", "deployments", "Deployment", True, short_names=("deploy",), singular="deployment"
)
SERVICES = ResourceType("", "v1", "services", "Service", True, short_names=("svc",), singular="service")
KNATIVE_SERVICES = ResourceType(
    "serving.knative.dev", "v1", "services", "Service", True, short_names=("kservice", "ksvc")
)
CERTIFICATES = ResourceType("cert-manager.io", "v1", "certificates", "Certificate", True, short_names=("cert", "certs"))
ACME_ORDERS = ResourceType("acme.cert-manager.io", "v1", "orders", "Order", True)
STORAGE_CLASSES = ResourceType("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, short_names=("sc",))
GATEWAYS = ResourceType("gateway.networking.k8s.io", "v1", "gateways", "Gateway", True)
CLUSTERS = ResourceType("postgresql.cnpg.io", "v1", "clusters", "Cluster", True)


def subject(
    name: str = "web",
    *,
    type_: ResourceType | None = DEPLOYMENTS,
    namespace: str = "shop",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    namespace_labels: dict[str, str] | None = None,
) -> Subject:
    metadata: dict[str, Any] = {"name": name, "labels": labels, "annotations": annotations}
    ref = ObjectRef(type_.key if type_ else "widgets.example.com", namespace, name)
    manifest = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata}
    return Subject(ref, type_, manifest, namespace_labels or {})


@pytest.mark.parametrize(
    ("entry", "type_"),
    [
        ("deployments.apps", DEPLOYMENTS),
        ("Deployment.apps", DEPLOYMENTS),
        ("deploy.apps", DEPLOYMENTS),
        ("deployments", DEPLOYMENTS),
        ("deployment", DEPLOYMENTS),
        ("Deployment", DEPLOYMENTS),
        ("DEPLOYMENT", DEPLOYMENTS),
        ("deploy", DEPLOYMENTS),
        ("services", SERVICES),
        ("svc", SERVICES),
        ("services.serving.knative.dev", KNATIVE_SERVICES),
        ("ksvc", KNATIVE_SERVICES),
        ("storageclasses", STORAGE_CLASSES),
        ("sc", STORAGE_CLASSES),
        ("certificates", CERTIFICATES),
        ("cert", CERTIFICATES),
        ("*.cert-manager.io", CERTIFICATES),
        ("*.cert-manager.io", ACME_ORDERS),
        ("*", SERVICES),
        ("*", CERTIFICATES),
        ("serv*", SERVICES),
        ("gateways", GATEWAYS),
        ("clusters", CLUSTERS),
    ],
)
def test_a_type_answers_to_its_names(entry: str, type_: ResourceType) -> None:
    assert Match(types=(entry,)).type_matches(type_)


@pytest.mark.parametrize(
    ("entry", "type_"),
    [
        ("services", KNATIVE_SERVICES),
        ("Service", KNATIVE_SERVICES),
        ("deployments.extensions", DEPLOYMENTS),
        ("*.cert-manager.io", DEPLOYMENTS),
        ("Deploy*", DEPLOYMENTS),
        ("*.apps", SERVICES),
        ("deploymentsx", DEPLOYMENTS),
        ("apps", DEPLOYMENTS),
        ("certificates.example.com", CERTIFICATES),
    ],
)
def test_a_type_does_not_answer_to_other_names(entry: str, type_: ResourceType) -> None:
    assert not Match(types=(entry,)).type_matches(type_)


def test_a_glob_does_not_name_a_type() -> None:
    assert Match(types=("*", "sc")).names_type(STORAGE_CLASSES)
    assert not Match(types=("*", "storage*")).names_type(STORAGE_CLASSES)
    assert not Match().names_type(STORAGE_CLASSES)


def test_a_match_without_fields_is_about_everything() -> None:
    assert Match().matches(subject())
    assert Match().matches(subject(type_=STORAGE_CLASSES, namespace=""))


def test_one_entry_of_a_list_suffices_and_all_fields_must_hold() -> None:
    rule = match(types=["services", "deployments"], namespaces=["team-*", "shop"], names=["w?b"], labels="app=web")
    assert rule.matches(subject(labels={"app": "web"}))
    assert not rule.matches(subject(labels={"app": "db"}))
    assert not rule.matches(subject("wob2", labels={"app": "web"}))
    assert not rule.matches(subject(labels={"app": "web"}, namespace="pay"))
    assert not rule.matches(subject(labels={"app": "web"}, type_=CERTIFICATES))


def test_a_cluster_scoped_object_is_in_no_namespace() -> None:
    cluster_scoped = subject(type_=STORAGE_CLASSES, namespace="")
    assert not match(namespaces=["*"]).matches(cluster_scoped)
    assert not match(namespace_labels="!a").matches(cluster_scoped)


def test_the_labels_of_the_namespace_can_be_asked_for() -> None:
    rule = match(namespace_labels="env=prod")
    assert rule.matches(subject(namespace_labels={"env": "prod"}))
    assert not rule.matches(subject(labels={"env": "prod"}))


def test_annotations_must_all_be_there_and_fit() -> None:
    rule = match(annotations={"example.com/tier": "gold*", "example.com/owner": "*"})
    assert rule.matches(subject(annotations={"example.com/tier": "golden", "example.com/owner": ""}))
    assert not rule.matches(subject(annotations={"example.com/tier": "golden"}))
    assert not rule.matches(subject(annotations={"example.com/tier": "silver", "example.com/owner": "x"}))
    assert not rule.matches(subject())


def test_globs_count_case_and_match_whole_names() -> None:
    assert not match(names=["Web"]).matches(subject("web"))
    assert not match(names=["we"]).matches(subject("web"))
    assert match(names=["[vw]eb"]).matches(subject("web"))
    assert not match(names=["web"]).matches(subject("web\n"))


def test_a_type_that_discovery_does_not_know_is_matched_by_what_the_object_tells() -> None:
    unknown = subject(type_=None)
    assert match(types=["widgets.example.com"]).matches(unknown)
    assert match(types=["Widget"]).matches(unknown)
    assert not match(types=["gadgets"]).matches(unknown)


def test_equal_rules_are_equal_and_can_be_keys() -> None:
    assert match(names=["a"], annotations={"b": "c"}) == match(names=["a"], annotations={"b": "c"})
    assert len({match(names=["a"]), match(names=["a"]), match(names=["b"])}) == 2


def test_a_rule_tells_what_it_asks_for() -> None:
    rule = match(types=["events"], namespaces=["*-sandbox"], labels="a in (b)", annotations={"c": "*"})
    assert str(rule) == "types events, namespaces *-sandbox, labels a in (b), annotation c=*"
    assert str(Match()) == "everything"
