"""Namespaces in DR: shared with others, on their way out, or kept because of what others put in."""

from __future__ import annotations

import threading
import time

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace, problems
from tests.integration.written import MEMBER, result_of, with_annotations, write

SHOP = "/api/v1/namespaces/shop"
HELD = f"{SHOP}/configmaps/held"
FINALIZER = "example.com/not-yet"


def terminating(dr: ControlPlane) -> None:
    """Make DR's namespace `shop` go away and never arrive: a finalizer holds one object in it."""
    dr.patch(HELD, {"metadata": {"finalizers": [FINALIZER]}})
    dr.delete(SHOP, wait=False)


def test_a_terminating_namespace_is_waited_for_once_and_its_finalizers_stay(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    objects = [configmap("shop", f"app-{number}", a="b") for number in range(20)]
    write(recovery, namespace("shop"), configmap("shop", "held", a="b"), *objects, configmap("default", "free", a="b"))
    recovery.import_into(clean_dr)
    terminating(clean_dr)
    write(recovery, configmap("default", "free", a="changed"), configmap("shop", "late", a="b"))
    clean_dr.audit.mark()

    outcome = recovery.import_into(clean_dr, config={"timeouts": {"namespaces": "2s"}})

    assert outcome.exit_code is ExitCode.PARTIAL
    assert "still being deleted after 2 s" in problems(outcome)["namespaces/shop"]
    assert "kubernetes" in problems(outcome)["namespaces/shop"]
    # Nothing in it counts as done or as there: it all goes with the namespace.
    inside = {f"shop/configmaps/{name}" for name in ("held", "late", *(f"app-{number}" for number in range(20)))}
    assert problems(outcome).keys() == inside | {"namespaces/shop"}
    assert actions(outcome)["default/configmaps/free"] is Action.UPDATE
    # The wait asks for the namespace, never for the objects in it.
    asked = {event.type for event in clean_dr.audit.requests() if event.verb == "get" and event.namespace == "shop"}
    assert asked == {"namespaces"}
    assert clean_dr.get(HELD)["metadata"]["finalizers"] == [FINALIZER]


def test_what_was_in_a_terminating_namespace_is_there_again_after_one_import(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "held", a="b"), configmap("shop", "app", a="b"))
    recovery.import_into(clean_dr)
    old = clean_dr.get(SHOP)["metadata"]["uid"]
    terminating(clean_dr)

    def finish() -> None:
        # The namespace controller deletes the contents after 5 s; here they go at once, as in its own time.
        time.sleep(1)
        for path in (f"{SHOP}/configmaps/app", f"{SHOP}/configmaps/kube-root-ca.crt", HELD):
            if clean_dr.exists(path):  # the controller may have been faster
                clean_dr.kubectl("delete", "--raw", path, check=False)
        clean_dr.patch(HELD, {"metadata": {"finalizers": None}})

    helper = threading.Thread(target=finish)
    helper.start()
    outcome = recovery.import_into(clean_dr, config={"timeouts": {"namespaces": "60s"}})
    helper.join()

    assert problems(outcome) == {}
    assert actions(outcome) == {
        "namespaces/shop": Action.CREATE,
        "shop/configmaps/app": Action.CREATE,
        "shop/configmaps/held": Action.CREATE,
    }
    assert clean_dr.get(SHOP)["metadata"]["uid"] != old
    assert clean_dr.get(HELD)["metadata"].get("finalizers") is None
    assert actions(recovery.import_into(clean_dr)) == {}


def test_an_object_that_is_being_deleted_is_reported_and_keeps_its_finalizers(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "held", a="b"), configmap("shop", "app", a="b"))
    recovery.import_into(clean_dr)
    clean_dr.patch(HELD, {"metadata": {"finalizers": [FINALIZER]}})
    clean_dr.delete(HELD, wait=False)

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {"shop/configmaps/held": Action.BLOCKED}
    assert "is being deleted in DR" in problems(outcome)["shop/configmaps/held"]
    assert clean_dr.get(HELD)["metadata"]["finalizers"] == [FINALIZER]
    clean_dr.patch(HELD, {"metadata": {"finalizers": None}})
    assert actions(recovery.import_into(clean_dr)) == {"shop/configmaps/held": Action.CREATE}


def test_a_namespace_that_dr_has_gets_our_labels_beside_its_own_and_is_never_pruned(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_dr.apply([with_annotations(namespace("shop", team="dr", zone="b"), {"note": "keep"})], field_manager="admins")
    ours = with_annotations(namespace("shop", tier="gold"), {"from": "prod"})
    write(recovery, ours, configmap("shop", "app", a="b"), configmap("shop", "other", a="b"), namespace("made"))

    outcome = recovery.import_into(clean_dr)

    assert result_of(outcome, "namespaces/shop").reason == "shared with others: labels and annotations are merged"
    meta = clean_dr.get(SHOP)["metadata"]
    assert meta["labels"].items() >= {"team": "dr", "zone": "b", "tier": "gold"}.items()
    assert meta["annotations"] == {"note": "keep", "from": "prod"}
    assert MEMBER not in meta["labels"]
    assert actions(recovery.import_into(clean_dr)) == {}

    write(recovery, gone=[ours, configmap("shop", "app", a="b"), namespace("made")])
    pruning = recovery.import_into(clean_dr, confirmed=True)

    assert actions(pruning) == {"shop/configmaps/app": Action.PRUNE, "namespaces/made": Action.PRUNE}
    assert clean_dr.get(SHOP)["metadata"]["labels"]["team"] == "dr"


def test_a_namespace_of_others_whose_labels_differ_is_left_and_named_and_its_content_goes_in(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_dr.apply([namespace("shop", tier="silver")], field_manager="admins")
    write(recovery, namespace("shop", tier="gold"), configmap("shop", "app", a="b"))

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {"namespaces/shop": Action.BLOCKED, "shop/configmaps/app": Action.CREATE}
    assert ".metadata.labels.tier belongs to admins" in problems(outcome)["namespaces/shop"]
    assert clean_dr.get(SHOP)["metadata"]["labels"]["tier"] == "silver"
    settings = {"transforms": {"namespaceLabels": {"remove": ["tier"]}}}
    assert problems(recovery.import_into(clean_dr, config=settings)) == {}


def test_a_namespace_that_others_use_is_not_deleted_with_what_they_keep_in_it(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    ours = [namespace("shop"), configmap("shop", "app", a="b")]
    write(recovery, *ours, configmap("default", "stays", a="b"))
    recovery.import_into(clean_dr)
    clean_dr.apply([configmap("shop", "theirs", a="b")])
    write(recovery, gone=ours)

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert actions(outcome) == {"shop/configmaps/app": Action.PRUNE, "namespaces/shop": Action.BLOCKED}
    assert "shop/configmaps/theirs" in problems(outcome)["namespaces/shop"]
    assert clean_dr.get(f"{SHOP}/configmaps/theirs")["data"] == {"a": "b"}
    assert "deletionTimestamp" not in clean_dr.get(SHOP)["metadata"]

    clean_dr.delete(f"{SHOP}/configmaps/theirs")
    assert actions(recovery.import_into(clean_dr)) == {"namespaces/shop": Action.PRUNE}
