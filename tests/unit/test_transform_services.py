"""What a Service leaves behind on its way into DR."""

from __future__ import annotations

from drsyncer.manifest import ObjectRef
from transforms.pipeline import transform
from transforms.settings import Settings


def test_a_load_balancer_leaves_the_sources_address_behind() -> None:
    service = {"spec": {"type": "LoadBalancer", "loadBalancerIP": "192.0.2.7", "ports": [{"port": 80}]}}

    result = transform(service, ObjectRef("services", "shop", "web"), settings=Settings())

    assert result.manifest == {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    assert result.applied == ("loadBalancerIP: /spec/loadBalancerIP removed",)
    assert "loadBalancerIP" in result.notes[0]
    assert service["spec"]["loadBalancerIP"] == "192.0.2.7"


def test_other_types_keep_a_field_of_that_name() -> None:
    other = {"spec": {"loadBalancerIP": "192.0.2.7"}}

    result = transform(other, ObjectRef("gateways.example.com", "shop", "web"), settings=Settings())

    assert result.manifest == other
