"""Volumes that were restored, or only half, and imports: the marker stays, and nothing starts on half of the data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from drsyncer import own
from drsyncer.cluster import Cluster, connect
from drsyncer.manifest import Manifest
from drsyncer.restored import Marker, Progress, encode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import IMPATIENT, Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import claim, with_labels, write
from volumes.marking import Overtaken, swap
from volumes.restore_look import look_at
from volumes.restore_plan import Key

AWAKE: dict[str, Any] = {"standby": {"enabled": False}}
DATA = "/api/v1/namespaces/shop/persistentvolumeclaims/data"


def on_volume(manifest: Manifest, name: str) -> Manifest:
    """Return a workload whose pods mount the claim `name`."""
    spec = manifest["spec"]["template"]["spec"]
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    return {
        **manifest,
        "spec": {
            **manifest["spec"],
            "template": {**manifest["spec"]["template"], "spec": {**spec, "volumes": volumes}},
        },
    }


def stateful(name: str) -> Manifest:
    made = deployment("shop", name)
    template = {"metadata": {"name": "data"}, "spec": claim("shop", "data")["spec"]}
    return {
        **made,
        "kind": "StatefulSet",
        "spec": {**made["spec"], "serviceName": name, "volumeClaimTemplates": [template]},
    }


def everything() -> list[Manifest]:
    return [
        namespace("shop"),
        claim("shop", "data"),
        claim("shop", "data-db-0"),
        on_volume(deployment("shop", "web"), "data"),
        deployment("shop", "free"),
        stateful("db"),
        configmap("shop", "app", key="1"),
    ]


def mark(dr: ControlPlane, key: Key, state: Progress) -> str:
    """Put a marker on a claim, as a restore does; return it."""
    cluster: Cluster = connect(kubeconfig=str(dr.kubeconfig), connections=2, schedule=IMPATIENT)
    try:
        found = look_at(cluster, key)
        assert found is not None
        now = Marker(
            claim=found.uid,
            source=str(key),
            host="prod",
            repository="r" * 64,
            snapshot="a" * 64,
            tree="b" * 64,
            commit="c" * 40,
            state=state,
            started=datetime(2026, 5, 1, 12, tzinfo=UTC),
        )
        swap(cluster, found, found.marker, now)
        return encode(now)
    finally:
        cluster.close()


def marker_on(dr: ControlPlane, path: str = DATA) -> str:
    return str(dr.get(path)["metadata"].get("annotations", {}).get(own.RESTORED, ""))


def test_a_workload_is_not_started_on_a_volume_that_was_restored_half(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, *everything())
    recovery.import_into(clean_dr)
    mark(clean_dr, Key("shop", "data"), Progress.IN_PROGRESS)
    mark(clean_dr, Key("shop", "data-db-0"), Progress.PARTIAL)

    outcome = recovery.import_into(clean_dr, config=AWAKE)

    blocked = problems(outcome)
    assert set(blocked) == {"shop/deployments.apps/web", "shop/statefulsets.apps/db"}
    assert (
        "volume data, and a restore of it from snapshot aaaaaaaaaaaa began 2026-05-01 12:00 UTC and did not end"
        in (blocked["shop/deployments.apps/web"])
    )
    assert "volume data-db-0, and the restore of it" in blocked["shop/statefulsets.apps/db"]
    replicas = {
        name: clean_dr.get(f"/apis/apps/v1/namespaces/shop/{name}")["spec"]["replicas"]
        for name in ("deployments/web", "deployments/free", "statefulsets/db")
    }
    told = recovery.cli("status", "-o", "json", importer={"kubeconfig": str(clean_dr.kubeconfig)})
    concerns = [one["text"] for one in json.loads(told.stdout)["concerns"]]
    assert any("2 volumes in DR are half restored: shop/data: a restore of it" in text for text in concerns)
    assert replicas == {"deployments/web": 0, "deployments/free": 2, "statefulsets/db": 0}

    mark(clean_dr, Key("shop", "data"), Progress.COMPLETE)
    mark(clean_dr, Key("shop", "data-db-0"), Progress.COMPLETE)
    assert problems(recovery.import_into(clean_dr, config=AWAKE)) == {}
    assert clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"]["replicas"] == 2


def test_in_standby_a_half_restored_volume_holds_nothing_back_but_what_runs_all_the_same(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), claim("shop", "data"))
    recovery.import_into(clean_dr)
    mark(clean_dr, Key("shop", "data"), Progress.IN_PROGRESS)
    runs = with_labels(on_volume(deployment("shop", "runs"), "data"), {own.SCALE_OVERRIDE: "1"})
    write(recovery, namespace("shop"), claim("shop", "data"), on_volume(deployment("shop", "web"), "data"), runs)

    outcome = recovery.import_into(clean_dr)

    assert set(problems(outcome)) == {"shop/deployments.apps/runs"}
    assert actions(outcome)["shop/deployments.apps/web"] is Action.CREATE


def test_the_marker_stays_whatever_an_import_does_to_the_claim(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, *everything())
    recovery.import_into(clean_dr)
    marker = mark(clean_dr, Key("shop", "data"), Progress.COMPLETE)

    unchanged = recovery.import_into(clean_dr)
    assert actions(unchanged) == {}
    assert unchanged.drifted == ()

    write(recovery, *everything(), with_labels(claim("shop", "data"), {"tier": "gold"}))
    changed = recovery.import_into(clean_dr)
    assert actions(changed)["shop/persistentvolumeclaims/data"] is Action.UPDATE
    assert clean_dr.get(DATA)["metadata"]["labels"]["tier"] == "gold"
    assert recovery.import_into(clean_dr, audit=True).exit_code == 0
    assert marker_on(clean_dr) == marker


def test_a_marker_is_compared_and_swapped(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, *everything())
    recovery.import_into(clean_dr)
    marker = mark(clean_dr, Key("shop", "data"), Progress.IN_PROGRESS)
    cluster = connect(kubeconfig=str(clean_dr.kubeconfig), connections=2, schedule=IMPATIENT)
    try:
        found = look_at(cluster, Key("shop", "data"))
        assert found is not None
        assert found.marker is not None
        other = msgspec.structs.replace(found.marker, run="another")
        with pytest.raises(Overtaken, match="another restore"):
            swap(cluster, found, other, None)
        with pytest.raises(Overtaken, match="another restore"):
            swap(cluster, found, None, other)
        assert marker_on(clean_dr) == marker

        swap(cluster, found, found.marker, None)
        swap(cluster, found, found.marker, None)  # the answer was lost, and it is asked again
        assert marker_on(clean_dr) == ""

        clean_dr.delete(DATA)
        with pytest.raises(Overtaken, match="deleted"):
            swap(cluster, found, None, found.marker)
        assert not clean_dr.exists(DATA)
        recovery.import_into(clean_dr)
        with pytest.raises(Overtaken, match="made anew"):
            swap(cluster, found, None, found.marker)
        assert marker_on(clean_dr) == ""
    finally:
        cluster.close()
