"""Which pods may use a claim, told before they are decoded."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from volumes.claims import claims_in, may_use

_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)
_MOUNTED: st.SearchStrategy[dict[str, Any]] = st.one_of(
    _NAMES.map(lambda name: {"persistentVolumeClaim": {"claimName": name}}),
    st.just({"ephemeral": {"volumeClaimTemplate": {}}}),
    st.just({"emptyDir": {}}),
)


@given(_NAMES, st.lists(st.tuples(_NAMES, _MOUNTED), max_size=4))
def test_a_pod_that_uses_a_claim_is_never_passed_over(name: str, mounted: list[tuple[str, dict[str, Any]]]) -> None:
    volumes = [{"name": volume, **what} for volume, what in mounted]
    pod = {"metadata": {"name": name}, "spec": {"volumes": volumes}}

    assert all(may_use(json.dumps(pod).encode(), claim) for claim in claims_in(pod))


def test_a_pod_that_names_another_claim_is_passed_over() -> None:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "uploads"}}]
    pod = json.dumps({"metadata": {"name": "web", "ephemeralContainers": []}, "spec": {"volumes": volumes}})

    assert not may_use(pod.encode(), "orders")
