"""The examples: configurations that are valid, a shop with some of everything, output that is cut with care."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drsyncer.config.load import load
from drsyncer.config.schema import Config
from examples.terminal import shortened

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOP = EXAMPLES / "shop"

# What the shop must have some of: kind → how many at least.
KINDS = {
    "ClusterRole": 2,
    "ClusterRoleBinding": 1,
    "ConfigMap": 5,
    "CronJob": 2,
    "CustomResourceDefinition": 5,
    "DaemonSet": 1,
    "Deployment": 4,
    "Discount": 3,
    "EndpointSlice": 1,
    "Endpoints": 1,
    "Gateway": 1,
    "HTTPRoute": 1,
    "HorizontalPodAutoscaler": 1,
    "Ingress": 1,
    "IngressClass": 1,
    "Job": 1,
    "LimitRange": 1,
    "MutatingWebhookConfiguration": 1,
    "Namespace": 2,
    "NetworkPolicy": 2,
    "PersistentVolume": 1,
    "PersistentVolumeClaim": 1,
    "Pod": 1,
    "PodDisruptionBudget": 1,
    "PriorityClass": 1,
    "Region": 1,
    "ResourceQuota": 1,
    "Role": 1,
    "RoleBinding": 1,
    "SearchCluster": 1,
    "Secret": 5,
    "Service": 10,
    "ServiceAccount": 3,
    "StatefulSet": 1,
    "StorageClass": 2,
    "ValidatingAdmissionPolicy": 1,
    "ValidatingAdmissionPolicyBinding": 1,
    "ValidatingWebhookConfiguration": 1,
}


def config(name: str) -> Config:
    return load(EXAMPLES / name, environ={}).config


def shop() -> Iterator[dict[str, Any]]:
    for file in sorted(SHOP.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            assert isinstance(document, dict), file
            yield document


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in shop() if manifest["kind"] == kind]


@pytest.mark.parametrize("name", ["exporter.yaml", "importer.yaml", "demo.yaml"])
def test_a_sample_configuration_is_valid(name: str) -> None:
    found = config(name)

    assert (found.exporter is not None) == (name != "importer.yaml")
    assert (found.importer is not None) == (name != "exporter.yaml")


def test_no_example_writes_secrets_in_plain_text() -> None:
    modes = {name: config(name).exporter for name in ("exporter.yaml", "demo.yaml")}

    assert {name: section.secrets.mode for name, section in modes.items() if section} == {
        "exporter.yaml": "omit",
        "demo.yaml": "encrypt",
    }


def test_the_shop_has_some_of_every_common_kind() -> None:
    found = [manifest["kind"] for manifest in shop()]

    assert {kind: count for kind, count in KINDS.items() if found.count(kind) < count} == {}


def test_no_object_of_the_shop_stands_there_twice() -> None:
    names = [
        (manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
        for manifest in shop()
    ]

    assert sorted(set(names), key=str) == sorted(names, key=str)


def test_the_shop_has_the_services_secrets_and_texts_that_are_easy_to_get_wrong() -> None:
    services = {manifest["metadata"]["name"]: manifest["spec"] for manifest in of_kind("Service")}
    assert {spec.get("type", "ClusterIP") for spec in services.values()} == {
        "ClusterIP",
        "NodePort",
        "ExternalName",
        "LoadBalancer",
    }
    assert len(services["web"]["ports"]) == 3
    assert services["database"]["clusterIP"] == "None"
    assert all("nodePort" in port for port in services["partners"]["ports"])
    assert not any("nodePort" in port for port in services["debug"]["ports"])
    assert len({manifest["type"] for manifest in of_kind("Secret")}) == 5
    texts = {manifest["metadata"]["name"]: manifest for manifest in of_kind("ConfigMap")}
    assert "\r\n" in texts["odd-texts"]["data"]["crlf.ini"]
    assert "\t" in texts["web"]["data"]["nginx.conf"]
    assert not texts["odd-texts"]["data"]["no-final-newline"].endswith("\n")
    assert texts["odd-texts"]["binaryData"]
    assert texts["release-1.4"]["immutable"] is True
    staff = next(manifest for manifest in of_kind("Discount") if manifest["metadata"]["name"] == "staff")
    assert staff["spec"]["expiresAfterDays"] is None


def test_nothing_in_the_examples_is_a_real_host_address_or_secret() -> None:
    for file in sorted(EXAMPLES.rglob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        for host in re.findall(r"://(?:\w+@)?([\w.-]+)", text):
            assert host.endswith(("example.com", ".svc.cluster.local")), (file, host)
        for address in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text):
            assert address.startswith(("192.0.2.", "198.51.100.", "203.0.113.")), (file, address)
    for secret in of_kind("Secret"):
        for value in secret.get("stringData", {}).values():
            assert "sample" in value or value.startswith("https://payment.example.com/"), secret["metadata"]["name"]
        assert "data" not in secret


def test_the_shop_stays_in_its_two_namespaces_and_its_own_groups() -> None:
    assert {manifest["metadata"].get("namespace", "shop") for manifest in shop()} == {"shop", "shop-data"}
    groups = {manifest["spec"]["group"] for manifest in of_kind("CustomResourceDefinition")}
    assert groups == {"shop.example.com", "routing.shop.example.com"}


def test_long_output_is_cut_between_rows_never_inside_one() -> None:
    lines = ["title", "created  one", "created  two, which", "         goes on", "created  three", "sum"]

    assert shortened(lines, 1, 1) == ["title", "⋮", "sum"]
    assert shortened(lines, 3, 1) == lines  # a mark in place of a single row would save nothing
    assert shortened(lines, 2, 1) == ["title", "created  one", "⋮", "sum"]
    assert shortened([*lines, "more", "most"], 3, 1) == [*lines[:4], "⋮", "most"]
    assert shortened(["\x1b[32mcreated\x1b[0m", "      \x1b[1mmore\x1b[0m", "a", "b"], 1, 0) == [
        "\x1b[32mcreated\x1b[0m",
        "      \x1b[1mmore\x1b[0m",
        "⋮",
    ]
