"""Cleaning on what Kubernetes really writes: a captured cluster, and objects in which every field is set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drsyncer.manifest import Manifest
from drsyncer.recovery import layout
from drsyncer.yaml.read import read
from tests.capture import pairs, scene, types
from tests.capture.steady import steady
from tests.capture.types import Full
from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import bare_repository
from tests.integration.recovery import Recovery, problems
from transforms.clean import Cleaner

# Independent of the product's own tables on purpose: what may go from an object in which every field is set.
FROM_EVERY_OBJECT = {"/status"} | {
    f"/metadata/{name}"
    for name in (
        *("uid", "resourceVersion", "generation", "selfLink", "managedFields", "creationTimestamp"),
        *("deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "generateName", "finalizers"),
    )
}
FROM_TYPE = {
    "services": {
        *("/spec/clusterIP", "/spec/clusterIPs", "/spec/healthCheckNodePort", "/spec/ipFamilies"),
        *("/spec/ipFamilyPolicy", "/spec/ports/*/nodePort"),
    },
    "pods": {
        *("/spec/nodeName", "/spec/priority", "/spec/preemptionPolicy", "/spec/overhead", "/spec/serviceAccount"),
        "/spec/ephemeralContainers",
    },
    "persistentvolumes": {"/spec/claimRef/uid", "/spec/claimRef/resourceVersion"},
    "statefulsets.apps": {"/spec/volumeClaimTemplates/*/status"},
    "clusterroles.rbac.authorization.k8s.io": {"/rules"},
    "namespaces": {"/spec"},  # nothing but finalizers
}


@pytest.fixture(scope="module")
def every_type() -> Iterator[ControlPlane]:
    """An API server that serves every type that it can."""
    with ControlPlane("types", api_flags=types.EVERY_TYPE, controllers=False) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def full_objects(every_type: ControlPlane) -> list[Full]:
    return types.full_objects(types.served(every_type))


def test_no_intent_is_lost_from_an_object_in_which_every_field_is_set(full_objects: list[Full]) -> None:
    assert len(full_objects) >= 185
    cleaner = Cleaner()
    for full in full_objects:
        once = replace(full, manifest=cleaner.clean(full.subject).manifest)
        gone = set(types.removed(full.manifest, once.manifest))
        assert cleaner.clean(once.subject).manifest is once.manifest, full.file
        there = {place for place in FROM_EVERY_OBJECT if _has(full.manifest, place)}
        assert gone == there | FROM_TYPE.get(full.type.key, set()), full.file


def _has(manifest: Manifest, place: str) -> bool:
    """Whether an object has a place of one or two keys."""
    node = manifest
    for key in place[1:].split("/"):
        if key not in node:
            return False
        node = node[key]
    return True


def test_the_page_of_built_in_types_is_up_to_date(every_type: ControlPlane) -> None:
    assert types.PAGE.read_text(encoding="utf-8") == types.page(every_type), "run python -m tests.capture"


@pytest.fixture(scope="module")
def captured() -> Iterator[tuple[ControlPlane, dict[str, Object]]]:
    """A cluster with the captured scene, and its objects as they were read."""
    with ControlPlane("scene") as cluster:
        yield cluster, scene.play(cluster)


def test_a_new_capture_is_cleaned_to_the_pairs_that_are_committed(
    captured: tuple[ControlPlane, dict[str, Object]],
) -> None:
    cluster, found = captured
    raw = steady(found, authority=scene.certificate(cluster))

    assert sorted(raw) == pairs.cases()
    for case, manifest in raw.items():
        cleaned = pairs.cleaned(case, manifest)
        assert cleaned.manifest == pairs.load(case, "clean"), case
        assert cleaned.removed == pairs.cleaned(case, pairs.load(case, "raw")).removed, case


def test_cleaned_objects_are_accepted_and_what_was_removed_never_comes_back(
    captured: tuple[ControlPlane, dict[str, Object]], clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path
) -> None:
    cluster, _ = captured
    exported = recovery.export(cluster)
    # The scene's aggregated API has no server.
    assert set(exported.incomplete) == {"metrics.example.com/v1"}

    imported = recovery.import_into(
        clean_dr, config={"standby": {"enabled": False}, "select": {"disable": ["infrastructure"]}}
    )
    assert problems(imported) == {}
    back = Recovery(remote=bare_repository(tmp_path / "back.git"), folder=tmp_path / "back")
    back.export(clean_dr)

    here, there = files(recovery), files(back)
    assert {path for path in here if path not in there} == set()
    different = {path: set(changes(here[path], there[path])) for path in here if here[path] != there[path]}
    assert different == {
        # Jobs never run twice; an address of the source's site stays behind.
        "namespaces/shop/jobs.batch/migrate.yaml": {"/spec/suspend"},
        "namespaces/shop/services/public.yaml": {"/spec/loadBalancerIP"},
        # An autoscaler decides.
        "namespaces/shop/deployments.apps/web.yaml": {"/spec/replicas"},
    }


def files(recovery: Recovery) -> dict[str, Manifest]:
    """Every object of the newest recovery point, by path."""
    return {
        path: read(recovery.file(path).encode(), file=path)
        for path in recovery.paths()
        if layout.place_of(path) is not None
    }


def changes(one: Manifest, other: Manifest, at: str = "") -> Iterator[str]:
    """Yield the places where two objects differ."""
    for key in sorted({*one, *other}):
        here, there = one.get(key), other.get(key)
        if isinstance(here, dict) and isinstance(there, dict):
            yield from changes(here, there, f"{at}/{key}")
        elif here != there:
            yield f"{at}/{key}"
