"""What an export says and leaves behind: dry runs, heartbeats, the hands behind changes, Secrets left out by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from drsyncer.errors import ExitCode
from drsyncer.recovery.git import Clone
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, changed, configmap, namespace

HEARTBEAT = "refs/dr-syncer/heartbeat"
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "db", "namespace": "shop"},
    "data": {"password": "aHVudGVyMg=="},
}


@pytest.fixture
def shop(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), SECRET])
    return clean_source


def refs(recovery: Recovery) -> str:
    return recovery.git("for-each-ref")


def test_a_dry_run_says_what_would_be_committed_and_leaves_nothing_behind(
    shop: ControlPlane, recovery: Recovery
) -> None:
    first = recovery.cli("export", "--dry-run", "-o", "json", cluster=shop)
    assert first.returncode == ExitCode.DONE, first.stderr
    said = json.loads(first.stdout)
    assert (said["dryRun"], said["commit"]) == (True, None)
    assert {"namespaces/shop", "shop/configmaps/app", "shop/secrets/db"} <= set(said["created"])
    assert refs(recovery) == ""

    recovery.export(shop)
    before = refs(recovery)
    shop.apply([configmap("shop", "app", a="changed")])
    outcome = recovery.export(shop, dry_run=True)
    assert (changed(outcome), outcome.commit) == (["updated shop/configmaps/app"], "")
    assert refs(recovery) == before
    # And nothing of it waits for the next export.
    assert changed(recovery.export(shop)) == ["updated shop/configmaps/app"]


def test_each_export_moves_the_heartbeat_and_an_import_says_when_it_was(
    shop: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    recovery.export(shop)
    head, beat = recovery.head(), recovery.git("rev-parse", HEARTBEAT)
    recovery.import_into(clean_dr)

    assert recovery.export(shop).commit == ""

    assert recovery.head() == head
    assert recovery.git("rev-parse", HEARTBEAT) != beat
    told = json.loads(recovery.git("log", "-1", "--format=%B", HEARTBEAT))
    assert (told["head"], told["complete"]) == (head, True)
    imported = recovery.import_into(clean_dr)
    assert imported.heartbeat is not None
    assert imported.exported_at is not None
    assert imported.heartbeat > imported.exported_at


def test_an_export_by_hand_keeps_the_promise_of_the_next_sign_of_life(shop: ControlPlane, recovery: Recovery) -> None:
    def promised() -> datetime | None:
        with Clone.open(recovery.remote_of()) as clone:
            clone.fetch()
            beat = clone.heartbeat()
        assert beat is not None
        return beat.due

    recovery.export(shop)
    assert promised() is None  # nobody has promised anything

    tick = datetime(2030, 1, 1, tzinfo=UTC)
    recovery.export(shop, due=tick, foreseen=True)
    scheduled = promised()
    assert scheduled is not None
    assert tick <= scheduled < tick + timedelta(minutes=10)  # with room for the run itself

    recovery.export(shop)
    assert promised() == scheduled

    recovery.export(shop, foreseen=True)  # the service is manual now
    assert promised() is None


def test_a_commit_names_the_hands_behind_each_change(shop: ControlPlane, recovery: Recovery) -> None:
    recovery.export(shop)
    shop.apply([configmap("shop", "app", a="changed")], field_manager="helm")
    shop.kubectl("create", "configmap", "new", "-n", "shop", "--from-literal=a=b")
    shop.delete("/api/v1/namespaces/shop/secrets/db")

    recovery.export(shop)

    subject, _, rest = recovery.git("log", "-1", "--format=%B", "main").partition("\n\n")
    assert subject.startswith("prod: 1 updated, 1 created, 1 deleted")
    assert sorted(rest.split("\n\n")[0].splitlines()) == [
        "created shop/configmaps/new by kubectl-create",
        "deleted shop/secrets/db",
        "updated shop/configmaps/app by helm",
    ]
    assert f"DR-Syncer-Cluster: prod\nDR-Syncer-Cluster-UID: {_uid(shop)}\n" in rest


def _uid(cluster: ControlPlane) -> str:
    uid: str = cluster.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    return uid


def test_secrets_are_left_out_by_name_only_and_each_export_says_so(shop: ControlPlane, recovery: Recovery) -> None:
    omit = {"exporter": {"secrets": {"mode": "omit"}}}
    for _ in range(2):
        said = recovery.cli("export", "-o", "json", cluster=shop, **omit)
        assert said.returncode == ExitCode.DONE, said.stderr
        assert json.loads(said.stdout)["secretsOmitted"] == 1
        assert "Secrets left out: 1 " in said.stderr
        assert "aHVudGVyMg" not in said.stdout + said.stderr
    assert "namespaces/shop/configmaps/app.yaml" in recovery.paths()
    assert [path for path in recovery.paths() if "/secrets/" in path] == []

    unnamed = recovery.cli("export", cluster=shop, exporter={"secrets": {}})
    assert unnamed.returncode == ExitCode.USAGE
    for choice in ("recipients", "mode: omit", "mode: plaintext"):
        assert choice in unnamed.stderr
