"""In which versions a type is read, and whether it can be read at all."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.versions import established


def definition(*, is_established: str = "True", served: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": served, "storage": True}],
        },
        "status": {"conditions": [{"type": "Established", "status": is_established}]},
    }


def test_an_established_definition_names_the_type_that_is_to_be_served() -> None:
    # In the first moments of an API server its custom objects are there and nobody can list them.
    found = established(definition())
    assert found is not None
    assert (found.key, found.version, found.namespaced) == ("widgets.example.com", "v1", True)


@pytest.mark.parametrize(
    "crd",
    [
        definition(is_established="False"),
        definition(served=False),
        {"metadata": {"name": "x"}, "spec": definition()["spec"]},
    ],
    ids=["not established", "no version served", "no status"],
)
def test_no_other_definition_promises_a_type(crd: dict[str, Any]) -> None:
    assert established(crd) is None
