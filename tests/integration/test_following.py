"""The continuous export: each change travels by itself, and what is no change costs nothing."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.follower import Follower
from tests.integration.recovery import Recovery, changed, configmap, deployment, namespace
from tests.integration.test_export_churn import churn, population
from tests.integration.test_fault_export import readable_identity

CORE = "/api/v1/namespaces/shop"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APP = "namespaces/shop/configmaps/app.yaml"


@pytest.fixture
def shop(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b")])
    clean_source.settle()
    return clean_source


def is_settled(shop: ControlPlane, recovery: Recovery) -> None:
    """Git holds what one full export would put there."""
    outcome = recovery.export(shop)
    assert (list(changed(outcome)), outcome.commit, outcome.incomplete) == ([], "", {})


def definition(plural: str = "gadgets") -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].capitalize()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def gadget(name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": meta, "spec": {"size": 1}}


def test_what_is_created_changed_and_deleted_travels_by_itself(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop) as follower:
        follower.ready()
        assert APP in recovery.paths()

        shop.apply([configmap("shop", "new", a="b"), configmap("shop", "app", a="c")], field_manager="anna")
        follower.commits(2)
        assert recovery.git("log", "-1", "--format=%s", "main").strip() == "prod: 1 updated, 1 created in shop"
        assert "updated shop/configmaps/app by anna" in recovery.git("log", "-1", "--format=%b", "main")
        assert "a: c" in recovery.file(APP)

        shop.delete(f"{CORE}/configmaps/new")
        follower.wait_for(lambda: "namespaces/shop/configmaps/new.yaml" not in recovery.paths(), what="the deletion")
        follower.wait_for(lambda: len(follower.told.lags) == follower.count(), what="the pushes to be told")
        assert follower.told.errors == []
    is_settled(shop, recovery)


def test_what_a_cluster_does_by_itself_makes_no_commit_and_asks_for_no_list(
    clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply(population())
    clean_source.settle()
    with Follower(recovery, clean_source) as follower:
        follower.ready()
        head, mark = recovery.head(), clean_source.audit.mark()

        for turn in (1, 2, 3):
            churn(clean_source, turn)
        clean_source.settle(quiet=2.0)

        assert recovery.head() == head
        ours = [event for event in clean_source.audit.requests(since=mark) if "dr-syncer" in event.user_agent]
        assert [event.uri for event in ours if event.verb != "watch"] == []
        clean_source.apply([configmap("shop", "app", a="really")])
        follower.commits(2)
        assert "updated shop/configmaps/app" in recovery.git("log", "-1", "--format=%b", "main")


def test_changes_that_come_together_are_one_commit(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop, quietPeriod="2s", maxDelay="20s") as follower:
        follower.ready()
        for number in range(20):
            shop.apply([configmap("shop", f"n{number % 7}", a=str(number))])
        follower.commits(2)
        assert recovery.git("log", "-1", "--format=%s", "main").strip() == "prod: 7 created in shop"
    is_settled(shop, recovery)


def test_a_new_type_and_its_objects_travel_and_go_when_it_goes(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop) as follower:
        follower.ready()
        shop.apply([definition()])
        # A type that has just come answers 404, then 429, before it answers.
        served = ("get", "gadgets.v1.example.com", "-A")
        shop.wait_for(lambda: shop.kubectl(*served, check=False).returncode == 0, what="the type to be served")
        shop.apply([gadget("one")])
        follower.wait_for(
            lambda: "namespaces/shop/gadgets.example.com/one.yaml" in recovery.paths(), what="the custom resource"
        )
        follower.ready()
        shop.apply([gadget("two")])
        follower.wait_for(
            lambda: "namespaces/shop/gadgets.example.com/two.yaml" in recovery.paths(), what="the second one"
        )

        shop.delete(f"{CRDS}/gadgets.example.com")
        follower.wait_for(lambda: not any("gadgets" in path for path in recovery.paths()), what="all of it to be gone")
        follower.ready()
    is_settled(shop, recovery)


def test_what_leaves_the_selection_leaves_git_and_comes_back_with_it(shop: ControlPlane, recovery: Recovery) -> None:
    exclude = {"exclude": [{"labels": "tier in (test)"}]}
    with Follower(recovery, shop, select=exclude) as follower:
        follower.ready()
        shop.patch(f"{CORE}/configmaps/app", {"metadata": {"labels": {"tier": "test"}}})
        follower.wait_for(lambda: APP not in recovery.paths(), what="it to leave by its label")
        shop.patch(f"{CORE}/configmaps/app", {"metadata": {"labels": {"tier": None}}})
        follower.wait_for(lambda: APP in recovery.paths(), what="it to come back")
        shop.patch(f"{CORE}/configmaps/app", {"metadata": {"annotations": {"dr-syncer.io/ignore": "true"}}})
        follower.wait_for(lambda: APP not in recovery.paths(), what="it to leave by its annotation")


def test_a_namespace_that_gets_another_label_takes_its_objects_along(shop: ControlPlane, recovery: Recovery) -> None:
    shop.apply([namespace("other", team="a"), configmap("other", "app", a="b")])
    with Follower(recovery, shop, select={"exclude": [{"namespaceLabels": "team=b"}]}) as follower:
        follower.ready()
        assert "namespaces/other/configmaps/app.yaml" in recovery.paths()
        shop.patch("/api/v1/namespaces/other", {"metadata": {"labels": {"team": "b"}}})
        follower.wait_for(lambda: not any("other" in path for path in recovery.paths()), what="the namespace to leave")
        follower.ready()
        shop.apply([namespace("third", team="a"), configmap("third", "app", a="b")])
        follower.wait_for(lambda: "namespaces/third/configmaps/app.yaml" in recovery.paths(), what="a new namespace")


def test_too_many_deletions_wait_for_somebody_and_the_rest_goes_on(shop: ControlPlane, recovery: Recovery) -> None:
    shop.apply([configmap("shop", f"n{number}", a="b") for number in range(5)])
    with Follower(recovery, shop, guard={"maxDeletions": 3}) as follower:
        follower.ready()
        for number in range(5):
            shop.delete(f"{CORE}/configmaps/n{number}")
        follower.wait_for(lambda: "guard" in follower.told.failures, what="the guard to refuse")
        held = sum("configmaps/n" in path for path in recovery.paths())
        shop.apply([configmap("shop", "app", a="goes on")])
        follower.wait_for(lambda: "a: goes on" in recovery.file(APP), what="other changes to go on")
        assert sum("configmaps/n" in path for path in recovery.paths()) == held
        assert follower.told.outcomes[-1].held is not None
        assert '"complete": false' in recovery.git("log", "-1", "--format=%B", "refs/dr-syncer/heartbeat")

        recovery.export(shop, confirmed=True)
        assert not any("configmaps/n" in path for path in recovery.paths())
        shop.apply([configmap("shop", "app", a="confirmed")])
        follower.wait_for(lambda: "a: confirmed" in recovery.file(APP), what="the next change")
        follower.wait_for(lambda: follower.told.waiting == 0, what="nothing to wait any more")
    is_settled(shop, recovery)


def test_deletions_bit_by_bit_are_held_like_those_at_once(shop: ControlPlane, recovery: Recovery) -> None:
    shop.apply([configmap("shop", f"n{number}", a="b") for number in range(6)])
    recovery.export(shop)
    _age(recovery)  # what was created lately is no loss
    with Follower(recovery, shop, guard={"maxDeletions": 3}) as follower:
        follower.ready()
        for number in range(3):
            before = recovery.head()
            shop.delete(f"{CORE}/configmaps/n{number}")
            follower.wait_for(lambda head=before: recovery.head() != head, what="one deletion to be committed")
        shop.delete(f"{CORE}/configmaps/n3")
        follower.wait_for(lambda: "guard" in follower.told.failures, what="the guard to refuse")
        assert "namespaces/shop/configmaps/n3.yaml" in recovery.paths()

        recovery.export(shop, confirmed=True)
        assert "namespaces/shop/configmaps/n3.yaml" not in recovery.paths()
        assert "DR-Syncer-Confirmed: deletions" in recovery.git("log", "-1", "--format=%B", "main")
        shop.delete(f"{CORE}/configmaps/n4")
        gone = "namespaces/shop/configmaps/n4.yaml"
        follower.wait_for(lambda: gone not in recovery.paths(), what="one more, after what somebody confirmed")


def _age(recovery: Recovery) -> None:
    """Let the newest recovery point be an hour old."""
    file = recovery.folder / "commit"
    file.write_text(re.sub(r"(?m)^(committer .*>) (\d+)", _an_hour_before, recovery.git("cat-file", "commit", "main")))
    aged = recovery.git("hash-object", "-t", "commit", "-w", str(file)).strip()
    recovery.git("update-ref", "refs/heads/main", aged)


def _an_hour_before(found: re.Match[str]) -> str:
    return f"{found[1]} {int(found[2]) - 3600}"


def test_whoever_does_not_lead_commits_nothing(shop: ControlPlane, recovery: Recovery) -> None:
    leads = False
    with Follower(recovery, shop, leading=lambda: leads) as follower:
        follower.wait_for(lambda: follower.told.turns >= 3, what="some turns")
        assert recovery.head() == ""
        leads = True
        follower.commits(1)
        leads = False
        shop.apply([configmap("shop", "app", a="c")])
        turns = follower.told.turns
        follower.wait_for(lambda: follower.told.turns >= turns + 6, what="more turns than a commit takes")
        assert follower.count() == 1
        leads = True
        follower.commits(2)


def test_a_trigger_compares_everything(shop: ControlPlane, recovery: Recovery) -> None:
    with Follower(recovery, shop) as follower:
        follower.ready()
        recovery.commit({APP: "nonsense\n"})
        follower.following.wake()
        follower.wait_for(lambda: "a: b" in recovery.file(APP), what="the file to be put back")
        assert follower.count() == 3


def test_a_restart_finds_what_happened_meanwhile(shop: ControlPlane, recovery: Recovery) -> None:
    shop.apply([configmap("shop", "goes", a="b")])
    with Follower(recovery, shop) as follower:
        follower.ready()
    shop.delete(f"{CORE}/configmaps/goes")
    shop.apply([configmap("shop", "comes", a="b"), configmap("shop", "app", a="c")])
    with Follower(recovery, shop) as follower:
        follower.ready()
    assert recovery.git("log", "-1", "--format=%s", "main").strip() == "prod: 1 updated, 1 created, 1 deleted in shop"


def test_an_encrypted_secret_travels_and_stays_as_it_is_without_a_change(
    shop: ControlPlane, recovery: Recovery
) -> None:
    from pyrage import x25519

    recipient = str(x25519.Identity.generate().to_public())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "shop"},
        "stringData": {"password": "hunter2"},
    }
    path = "namespaces/shop/secrets/db.yaml"
    shop.apply([secret])
    with Follower(recovery, shop, secrets={"mode": "encrypt", "recipients": [recipient]}) as follower:
        follower.ready()
        first = recovery.file(path)
        assert "hunter2" not in first
        shop.patch(f"{CORE}/secrets/db", {"metadata": {"managedFields": [{}]}})  # an event that changes nothing
        shop.apply([configmap("shop", "app", a="c")])
        follower.commits(2)
        assert recovery.file(path) == first
        shop.patch(f"{CORE}/secrets/db", {"stringData": {"password": "hunter3"}})
        follower.commits(3)
        assert recovery.file(path) != first
        assert "updated shop/secrets/db" in recovery.git("log", "-1", "--format=%b", "main")


def test_credentials_for_one_namespace_follow_that_namespace(shop: ControlPlane, recovery: Recovery) -> None:
    shop.apply([namespace("other")])
    shop.grant("limited", cluster_role="admin", namespace="shop")
    select = {"include": [{"namespaces": ["shop"], "types": ["configmaps", "services"]}]}
    with (
        readable_identity(shop, "limited"),
        Follower(recovery, shop, kubeconfig=shop.kubeconfig_for("limited"), select=select) as follower,
    ):
        follower.ready()
        shop.apply([configmap("other", "app", a="b"), configmap("shop", "app", a="c"), configmap("shop", "n", a="b")])
        follower.commits(2)
        shop.delete(f"{CORE}/configmaps/n")
        follower.wait_for(lambda: "namespaces/shop/configmaps/n.yaml" not in recovery.paths(), what="the deletion")
        assert "a: c" in recovery.file(APP)
        assert not any("other" in path for path in recovery.paths())
        assert follower.told.outcomes[-1].incomplete == {}


def test_while_nothing_changes_only_heartbeats_travel(
    shop: ControlPlane, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.following._BEAT", 1.0)
    with Follower(recovery, shop) as follower:
        follower.ready()
        shop.settle(quiet=2.0)
        head, mark, beats = recovery.head(), shop.audit.mark(), len(follower.told.beats)
        follower.wait_for(lambda: len(follower.told.beats) >= beats + 3, what="heartbeats")
        ours = [event for event in shop.audit.requests(since=mark) if "dr-syncer" in event.user_agent]
        assert ours == []
        assert recovery.head() == head
        assert '"complete": true' in recovery.git("log", "-1", "--format=%B", "refs/dr-syncer/heartbeat")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_day_ends_with_the_tree_of_a_full_export(seed: int, shop: ControlPlane, recovery: Recovery) -> None:
    dice = random.Random(seed)
    with Follower(recovery, shop) as follower:
        follower.ready()
        for _ in range(120):
            name = f"n{dice.randrange(8)}"
            match dice.randrange(4):
                case 0 | 1:
                    shop.apply([configmap("shop", name, a=str(dice.randrange(3)))])
                case 2:
                    shop.apply([deployment("shop", name, replicas=dice.randrange(3))])
                case 3 if shop.exists(f"{CORE}/configmaps/{name}"):
                    shop.delete(f"{CORE}/configmaps/{name}")
        shop.settle()
        last = configmap("shop", "app", a="the end")
        shop.apply([last])
        follower.wait_for(lambda: "a: the end" in recovery.file(APP), what="the last change")
        follower.wait_for(lambda: follower.told.waiting == 0, what="nothing to wait")
    is_settled(shop, recovery)
