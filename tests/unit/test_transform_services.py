"""How Services are reached from outside in DR."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from drsyncer.config.rules import Transforms
from drsyncer.manifest import ObjectRef
from tests.unit.configured import transformed
from transforms.pipeline import transform
from transforms.settings import Settings

RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def service(**spec: Any) -> dict[str, Any]:
    return {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}}


def everything() -> dict[str, Any]:
    annotations = {"cloud.example.com/size": "xl", RANGES: "192.0.2.0/24", "note": "x", "dr-syncer.io/prune": "false"}
    return {
        "metadata": {"annotations": annotations},
        "spec": {
            "type": "LoadBalancer",
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 81}],
            "selector": {"app": "web"},
            "loadBalancerIP": "192.0.2.7",
            "loadBalancerClass": "example.com/lb",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "allocateLoadBalancerNodePorts": False,
            "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Local",
            "healthCheckNodePort": 31000,
        },
    }


def run(manifest: dict[str, Any], **entry: Any) -> Any:
    return transformed("services", manifest, loadBalancers=[entry] if entry else [])


def test_a_load_balancer_leaves_the_sources_address_behind() -> None:
    source = service(loadBalancerIP="192.0.2.7")

    result = run(source)

    assert result.manifest["spec"] == service()["spec"]
    assert result.applied == ("loadBalancers: /spec/loadBalancerIP removed",)
    assert result.notes == ("its loadBalancerIP stays behind: it belongs to the source's site",)
    assert source == service(loadBalancerIP="192.0.2.7")


def test_an_entry_can_keep_the_address() -> None:
    assert run(service(loadBalancerIP="192.0.2.7"), address="keep").manifest["spec"]["loadBalancerIP"] == "192.0.2.7"


def test_external_ips_stay_with_a_note_or_go() -> None:
    source = service(type="ClusterIP", externalIPs=["192.0.2.9"], externalTrafficPolicy="Local")

    assert run(source).manifest["spec"] == source["spec"]
    assert "externalIPs are those of the source's site" in run(source).notes[0]
    assert run(source, externalIPs="keep").notes == ()
    dropped = run(source, externalIPs="drop")
    assert dropped.manifest["spec"] == {"type": "ClusterIP", "ports": [{"port": 80}]}
    assert dropped.notes == ("nothing reaches it from outside in DR, so its externalTrafficPolicy stays behind",)


def test_as_cluster_ip_it_carries_nothing_that_the_api_server_refuses_there() -> None:
    source = everything()
    before = copy.deepcopy(source)

    done = run(source, type="ClusterIP")

    assert done.manifest["spec"] == {
        "type": "ClusterIP",
        "ports": [{"port": 80}, {"port": 81}],
        "selector": {"app": "web"},
        "internalTrafficPolicy": "Local",
    }
    assert RANGES not in done.manifest["metadata"]["annotations"]
    assert source == before
    assert done.notes[1] == (
        "is a ClusterIP Service in DR, so loadBalancerClass, loadBalancerSourceRanges, allocateLoadBalancerNodePorts, "
        f"healthCheckNodePort, {RANGES}, its node ports stay behind"
    )


def test_as_node_port_it_keeps_its_ports_and_traffic_policy() -> None:
    assert run(everything(), type="NodePort").manifest["spec"] == {
        "type": "NodePort",
        "ports": [{"port": 80, "nodePort": 30080}, {"port": 81}],
        "selector": {"app": "web"},
        "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Local",
    }


def test_other_types_of_service_keep_their_type() -> None:
    source = service(type="NodePort")

    assert run(source, type="ClusterIP").manifest["spec"] == source["spec"]


@pytest.mark.parametrize(("new", "expected"), [("example.net/lb", "example.net/lb"), ("", None)])
def test_a_class_is_mapped_or_left_to_the_cluster(new: str, expected: str | None) -> None:
    done = run(service(loadBalancerClass="example.com/lb"), classes={"example.com/lb": new})

    assert done.manifest["spec"].get("loadBalancerClass") == expected
    assert run(service(), classes={"example.com/lb": new}).manifest["spec"] == service()["spec"]


def test_annotations_are_dropped_by_glob_and_ours_stay() -> None:
    done = run(everything(), dropAnnotations=["*"], address="keep")

    assert done.manifest["metadata"]["annotations"] == {"dr-syncer.io/prune": "false"}
    assert run({"metadata": {"annotations": {"a": "b"}}, **service()}, dropAnnotations=["a"]).manifest["metadata"] == {
        "name": "web",
        "namespace": "shop",
    }


def test_source_ranges_are_replaced_where_there_are_some_and_never_opened() -> None:
    done = run(everything(), sourceRanges=["198.51.100.0/24", "2001:db8::/32"])

    assert done.manifest["spec"]["loadBalancerSourceRanges"] == ["198.51.100.0/24", "2001:db8::/32"]
    assert done.manifest["metadata"]["annotations"][RANGES] == "198.51.100.0/24,2001:db8::/32"
    assert run(service(), sourceRanges=["198.51.100.0/24"]).manifest["spec"] == service()["spec"]


def test_the_first_entry_that_matches_decides() -> None:
    entries = [
        {"match": {"names": ["other"]}, "address": "keep"},
        {"match": {"names": ["w*"]}, "type": "ClusterIP"},
        {},
    ]

    done = transformed("services", service(), loadBalancers=entries)

    assert (done.manifest["spec"]["type"], done.used) == ("ClusterIP", {"loadBalancers[1]"})


def test_other_types_keep_a_field_of_that_name() -> None:
    other = {"spec": {"loadBalancerIP": "192.0.2.7"}}

    result = transform(other, ObjectRef("gateways.example.com", "shop", "web"), settings=Settings())

    assert result.manifest == other


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"sourceRanges": ["10.0.0.1/8"]}, "expected a network"),
        ({"classes": {"a b": ""}}, "expected the key"),
        ({"type": "LoadBalancer"}, "Input should be"),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Transforms.model_validate({"loadBalancers": [entry]})
