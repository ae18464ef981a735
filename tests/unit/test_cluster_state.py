"""Which objects count as written between two looks at a cluster."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.cluster.api import Kind
from tests.cluster.state import Entry, touched

BUDGETS = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", namespaced=True, verbs=frozenset())
BUDGET = {
    "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "7", "managedFields": [{"manager": "a"}]},
    "spec": {"minAvailable": 1},
    "status": {"observedGeneration": 0},
}


def later(**changed: Any) -> dict[str, Entry]:
    return {"web": Entry(BUDGETS, copy.deepcopy(BUDGET) | changed)}


def metadata(**changed: Any) -> dict[str, Any]:
    return {**BUDGET["metadata"], "resourceVersion": "8", **changed}


@pytest.mark.parametrize(
    ("after", "written"),
    [
        (later(), False),
        (later(metadata=metadata(), status={"observedGeneration": 1}), False),
        (later(metadata=metadata()), True),
        (later(metadata=metadata(), spec={"minAvailable": 2}), True),
        (later(metadata=metadata(labels={"a": "b"}), status={"observedGeneration": 1}), True),
        ({}, True),
    ],
    ids=["nothing", "a status", "a new version for nothing", "a field", "a label beside a status", "it is gone"],
)
def test_written_is_what_differs_in_more_than_a_status(after: dict[str, Entry], *, written: bool) -> None:
    assert touched(later(), after) == ({"web"} if written else set())
    assert touched(after, later()) == ({"web"} if written else set())
