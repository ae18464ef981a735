"""The body of an apply: the wish, the inventory's label, and what DR already has."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef, ResourceType
from importer import bodies
from importer.wishes import Wish

MEMBER = "applyset.kubernetes.io/part-of"
CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)


def wish(manifest: dict[str, Any]) -> Wish:
    ref = ObjectRef("configmaps", "shop", "app")
    return Wish("path", ref, CONFIGMAPS, "source", "digest", json.dumps(manifest).encode())


def claim(size: object) -> dict[str, Any]:
    return {"kind": "PersistentVolumeClaim", "spec": {"resources": {"requests": {"storage": size}}}}


def service(**spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def test_a_member_carries_the_inventorys_label_beside_its_own() -> None:
    body = bodies.body_of(wish({"metadata": {"name": "app", "labels": {"a": "b"}}}), applyset="one")
    assert body["metadata"]["labels"] == {"a": "b", MEMBER: "one"}
    assert bodies.body_of(wish({"metadata": {"labels": None}}), applyset="one")["metadata"]["labels"] == {MEMBER: "one"}


def test_a_label_of_another_inventory_does_not_travel() -> None:
    body = bodies.body_of(wish({"metadata": {"labels": {MEMBER: "of the source"}}}), applyset="one")
    assert body["metadata"]["labels"] == {MEMBER: "one"}


def test_what_is_not_ours_gets_no_label() -> None:
    manifest = {"metadata": {"name": "shop", "labels": {"a": "b"}}}
    assert bodies.body_of(wish(manifest), applyset="") == manifest


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", "1"),
        (5, "5"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("500m", "0.5"),
        ("2E", "2000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("100n", "0.0000001"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("-1", "-1"),
    ],
)
def test_quantities_are_read_as_the_api_server_reads_them(text: object, number: str) -> None:
    assert bodies.quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "1GB", "1 Gi", "one", "1kk", "1_0", "NaN", None])
def test_what_is_no_quantity_is_an_error(text: object) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        bodies.quantity(text)


@pytest.mark.parametrize(
    ("wanted", "there", "kept", "noted"),
    [
        ("1Gi", "5Gi", "5Gi", True),
        ("5Gi", "1Gi", "5Gi", False),
        ("1Gi", "1024Mi", "1Gi", False),
        ("1G", "1Gi", "1Gi", True),
        ("1000Mi", "1Gi", "1Gi", True),
        ("nonsense", "1Gi", "nonsense", False),
    ],
)
def test_a_claim_keeps_the_larger_size(wanted: str, there: str, kept: str, noted: bool) -> None:
    before = claim(wanted)
    body, note = bodies.never_smaller(before, claim(there))
    assert body == claim(kept)
    assert bool(note) is noted
    assert before == claim(wanted)


def test_a_claim_without_a_size_is_left_alone() -> None:
    for body, live in (({"spec": {}}, claim("1Gi")), (claim("1Gi"), {}), ({"spec": None}, {"spec": None})):
        assert bodies.never_smaller(body, live) == (body, "")


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from(["", "k", "Ki", "Mi", "G"]))
def test_no_claim_ever_shrinks(wanted: int, there: int, suffix: str) -> None:
    body, _ = bodies.never_smaller(claim(f"{wanted}{suffix}"), claim(f"{there}{suffix}"))
    size = bodies.quantity(body["spec"]["resources"]["requests"]["storage"])
    assert size == max(bodies.quantity(f"{wanted}{suffix}"), bodies.quantity(f"{there}{suffix}"))


def test_node_ports_are_left_to_the_server_and_nothing_else_is() -> None:
    ports = [{"port": 80, "nodePort": 30080, "name": "http"}, {"port": 443, "name": "https"}]
    before = service(type="NodePort", ports=ports, healthCheckNodePort=31000)
    kept = copy.deepcopy(before)
    freed = bodies.without_node_ports(before)
    assert freed["spec"] == {
        "type": "NodePort",
        "ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}],
    }
    assert before == kept
    assert bodies.without_node_ports(service()) == service()


@pytest.mark.parametrize(
    ("wanted", "there", "stayed"),
    [
        ({}, {"clusterIP": "None"}, True),
        ({"clusterIP": "None"}, {"clusterIP": "None"}, False),
        ({"clusterIPs": ["None"]}, {"clusterIP": "None"}, False),
        ({}, {"clusterIP": "10.0.0.1"}, False),
        ({"type": "ExternalName"}, {}, False),
    ],
)
def test_a_service_that_stayed_headless_is_found_out(
    wanted: dict[str, Any], there: dict[str, Any], stayed: bool
) -> None:
    assert bodies.stayed_headless(service(**wanted), service(**there)) is stayed
    assert not bodies.stayed_headless({"kind": "ConfigMap"}, service(**there))


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,251}[a-z0-9])?", fullmatch=True))
def test_a_trial_has_another_name_that_every_type_takes(name: str) -> None:
    body = {"kind": "Job", "metadata": {"name": name, "namespace": "shop"}, "spec": {"a": [1]}}
    tried = bodies.trial(body, suffix="0a1b2c")
    assert tried["metadata"]["name"] != name
    assert len(tried["metadata"]["name"]) <= 63
    assert tried["metadata"]["name"].endswith("-0a1b2c")
    assert {**tried, "metadata": body["metadata"]} == body


def test_the_trial_of_a_service_asks_for_nothing_that_the_old_one_holds() -> None:
    taken = service(clusterIP="10.0.0.9", clusterIPs=["10.0.0.9"], ports=[{"port": 80, "nodePort": 30080}])
    tried = bodies.trial(taken, suffix="0a1b2c")
    assert tried["spec"] == {"ports": [{"port": 80}]}
    headless = bodies.trial(service(clusterIP="None", clusterIPs=["None"]), suffix="0a1b2c")
    assert headless["spec"] == {"clusterIP": "None", "clusterIPs": ["None"]}
