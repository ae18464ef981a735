"""In which versions a type is read, and whether it can be read at all."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer.cluster import Discovery
from drsyncer.manifest import ResourceType
from exporter.versions import unserved

SERVED = ResourceType("example.com", "v1", "widgets", "Widget", namespaced=True)


def definition(*, established: str = "True", served: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": served, "storage": True}],
        },
        "status": {"conditions": [{"type": "Established", "status": established}]},
    }


def test_a_definition_that_discovery_does_not_show_yet_is_named() -> None:
    # As in the first moments of an API server: its custom objects are there and nobody can list them.
    found = unserved(definition(), Discovery())
    assert found is not None
    assert (found.key, found.namespaced) == ("widgets.example.com", True)


@pytest.mark.parametrize(
    ("crd", "discovery"),
    [
        (definition(), Discovery({"widgets.example.com": (SERVED,)})),
        (definition(established="False"), Discovery()),
        (definition(served=False), Discovery()),
        ({"metadata": {"name": "x"}, "spec": definition()["spec"]}, Discovery()),
    ],
    ids=["served", "not established", "no version served", "no status"],
)
def test_every_other_definition_is_as_it_should_be(crd: dict[str, Any], discovery: Discovery) -> None:
    assert unserved(crd, discovery) is None
