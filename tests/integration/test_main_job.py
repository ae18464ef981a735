"""The main job: one object from the source cluster through Git into the DR cluster, and nothing written twice."""

from __future__ import annotations

from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, changed, configmap, deployment, namespace


def test_an_object_travels_from_the_source_through_git_into_dr(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", greeting="hello\nworld\n")])

    exported = recovery.export(clean_source)
    imported = recovery.import_into(clean_dr)

    assert "created shop/configmaps/app" in changed(exported)
    assert "greeting: |\n    hello\n    world" in recovery.file("namespaces/shop/configmaps/app.yaml")
    assert actions(imported)["shop/configmaps/app"] is Action.CREATE
    there = clean_dr.get("/api/v1/namespaces/shop/configmaps/app")
    assert there["data"] == {"greeting": "hello\nworld\n"}


def test_an_unchanged_source_makes_no_commit_and_an_unchanged_commit_no_write(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), deployment("shop", "web")])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)
    clean_dr.settle()
    head, before = recovery.head(), clean_dr.resource_versions()
    clean_dr.audit.mark()

    exported = recovery.export(clean_source)
    imported = recovery.import_into(clean_dr)

    assert exported.commit == ""
    assert recovery.head() == head
    assert actions(imported) == {}
    assert clean_dr.resource_versions() == before
    assert clean_dr.audit.writes() == []


def test_a_change_in_the_source_travels_and_nothing_else(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), configmap("shop", "other", a="b")])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)

    clean_source.apply([configmap("shop", "app", a="changed")])
    exported = recovery.export(clean_source)
    imported = recovery.import_into(clean_dr)

    assert changed(exported) == ["updated shop/configmaps/app"]
    assert actions(imported) == {"shop/configmaps/app": Action.UPDATE}
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/app")["data"] == {"a": "changed"}


def test_what_leaves_the_source_leaves_git_and_dr(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), configmap("shop", "other", a="b")])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)

    clean_source.delete("/api/v1/namespaces/shop/configmaps/other")
    exported = recovery.export(clean_source)
    imported = recovery.import_into(clean_dr)

    assert changed(exported) == ["deleted shop/configmaps/other"]
    assert actions(imported) == {"shop/configmaps/other": Action.PRUNE}
    assert not clean_dr.exists("/api/v1/namespaces/shop/configmaps/other")


def test_workloads_arrive_in_standby_and_remember_their_replicas(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), deployment("shop", "web", replicas=3)])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)

    there = clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")
    assert there["spec"]["replicas"] == 0
    assert there["metadata"]["annotations"]["dr-syncer.io/replicas"] == "3"
