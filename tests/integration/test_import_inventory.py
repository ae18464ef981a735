"""Inventory, records and prune: what is ours in DR, how it is found again, and what is left alone."""

from __future__ import annotations

import pytest

from drsyncer.errors import ExitCode, Refused
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace
from tests.integration.written import (
    MEMBER,
    PARENT,
    STATE,
    custom,
    custom_type,
    result_of,
    with_annotations,
    with_labels,
    write,
)

RECORDS = f"{STATE}?labelSelector=dr-syncer.io/records-of=prod"
SHOP = "/api/v1/namespaces/shop/configmaps"


def test_the_parent_is_written_before_all_else_and_the_label_with_each_object(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(
        recovery,
        namespace("shop"),
        configmap("shop", "app", a="b"),
        deployment("shop", "web"),
        custom_type(),
        custom("shop", "one"),
    )

    recovery.import_into(clean_dr)

    writes = [(event.type, event.namespace, event.name) for event in clean_dr.audit.writes(user="admin")]
    assert writes[:2] == [("namespaces", "dr-syncer", "dr-syncer"), ("configmaps", "dr-syncer", "dr-syncer-prod")]
    parent = clean_dr.get(PARENT)["metadata"]
    identity = parent["labels"]["applyset.kubernetes.io/id"]
    kinds = parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"].split(",")
    assert kinds == [
        "ConfigMap",
        "CustomResourceDefinition.apiextensions.k8s.io",
        "Deployment.apps",
        "Namespace",
        "Widget.example.com",
    ]
    assert parent["annotations"]["applyset.kubernetes.io/additional-namespaces"] == "shop"
    for path in (f"{SHOP}/app", "/api/v1/namespaces/shop", "/apis/example.com/v1/namespaces/shop/widgets/one"):
        assert clean_dr.get(path)["metadata"]["labels"][MEMBER] == identity
    # One write for each object: nothing exists for a moment without its label.
    objects = [write for write in writes if write[1] == "shop" or write[0].startswith("customresource")]
    assert len(objects) == len(set(objects)) == 5


def test_an_import_that_was_cut_off_leaves_nothing_that_the_next_one_does_not_find(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    gone = configmap("shop", "gone", a="b")
    keep = [namespace("shop"), *(configmap("shop", f"app-{number}", a="b") for number in range(5))]
    write(recovery, *keep, gone)
    with FaultProxy(clean_dr) as proxy:
        proxy.status(403, method="PATCH", path="/configmaps/dr-syncer-prod-records")
        cut_off = recovery.import_into(clean_dr, kubeconfig=proxy.kubeconfig)
    assert "the records could not be saved" in cut_off.warnings[-1]
    assert clean_dr.list(RECORDS) == []
    write(recovery, gone=[gone])

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {"shop/configmaps/gone": Action.PRUNE}
    assert outcome.summary == {"unchanged": 6, "prune": 1}


def test_lost_records_cost_one_apply_for_each_object_that_changes_nothing(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(
        recovery,
        namespace("shop"),
        configmap("shop", "app", a="b"),
        deployment("shop", "web"),
        custom_type(),
        custom("shop", "one"),
    )
    recovery.import_into(clean_dr)
    for item in clean_dr.list(RECORDS):
        clean_dr.delete(f"{STATE}/{item['metadata']['name']}")
    before = clean_dr.settle()

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {}
    assert outcome.summary == {"unchanged": 5}
    after = clean_dr.settle()
    changed = {name for name in after if before.get(name) != after[name]}
    # Whoever is to apply something writes the inventory first, whatever comes of it.
    assert changed == {"dr-syncer/configmaps/dr-syncer-prod", "dr-syncer/configmaps/dr-syncer-prod-records-0"}
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr)) == {}
    assert clean_dr.audit.writes() == []


def test_damaged_records_are_as_good_as_none(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="b"))
    recovery.import_into(clean_dr)
    clean_dr.patch(f"{STATE}/dr-syncer-prod-records-0", {"data": {"records": "nonsense\tof\nsome\tkind\t\t\t\t"}})

    assert actions(recovery.import_into(clean_dr)) == {}
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr)) == {}
    assert clean_dr.audit.writes() == []


def test_only_what_we_made_is_pruned(clean_dr: ControlPlane, recovery: Recovery) -> None:
    gone = [configmap("shop", "gone", a="b"), custom_type(), custom("shop", "one")]
    kept = with_annotations(configmap("shop", "kept", a="b"), {"dr-syncer.io/prune": "false"})
    write(
        recovery, namespace("shop"), *(configmap("shop", f"stays-{number}", a="b") for number in range(9)), *gone, kept
    )
    recovery.import_into(clean_dr)
    identity = clean_dr.get(PARENT)["metadata"]["labels"]["applyset.kubernetes.io/id"]
    clean_dr.apply(
        [
            configmap("shop", "theirs", a="b"),
            # A controller that copies labels makes no member.
            with_labels(configmap("shop", "copied", a="b"), {MEMBER: identity}),
        ],
        field_manager="others",
    )
    write(recovery, gone=[*gone, kept])

    off = recovery.import_into(clean_dr, config={"prune": {"enabled": False}})

    left = {
        "shop/configmaps/gone",
        "shop/configmaps/kept",
        "shop/widgets.example.com/one",
        "customresourcedefinitions.apiextensions.k8s.io/widgets.example.com",
    }
    assert actions(off) == dict.fromkeys(left, Action.SKIP)

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == dict.fromkeys(left, Action.PRUNE) | {"shop/configmaps/kept": Action.SKIP}
    assert result_of(outcome, "shop/configmaps/kept").reason == 'left Git; its annotation dr-syncer.io/prune is "false"'
    assert outcome.exit_code is ExitCode.DONE
    names = {item["metadata"]["name"] for item in clean_dr.list(SHOP)} - {"kube-root-ca.crt"}
    assert names == {"kept", "theirs", "copied", *(f"stays-{number}" for number in range(9))}
    # A custom resource goes before its definition.
    deleted = [event.type for event in clean_dr.audit.writes(user="admin") if event.verb == "delete"]
    assert deleted.index("widgets.example.com") < deleted.index("customresourcedefinitions.apiextensions.k8s.io")


def test_a_prune_of_too_much_is_refused_until_a_person_confirms(clean_dr: ControlPlane, recovery: Recovery) -> None:
    objects = [configmap("shop", f"app-{number}", a="b") for number in range(30)]
    write(recovery, namespace("shop"), *objects)
    recovery.import_into(clean_dr)
    write(recovery, configmap("shop", "app-29", a="changed"), gone=objects[:8])
    before = clean_dr.settle()
    clean_dr.audit.mark()

    for settings, why in (
        ({"maxDeletions": 7, "maxDeletionPercent": 100}, "8 of 31 objects would be deleted; the limit is 7"),
        ({"maxDeletions": 50, "maxDeletionPercent": 25}, "8 of 31 objects (26 %) would be deleted; the limit is 25 %"),
    ):
        with pytest.raises(Refused) as refused:
            recovery.import_into(clean_dr, config={"prune": settings})
        assert refused.value.exit_code is ExitCode.REFUSED
        assert why in str(refused.value)
        assert "shop/configmaps/app-0, shop/configmaps/app-1, " in refused.value.hint
        assert "--yes" in refused.value.hint
    assert clean_dr.audit.writes() == []
    assert clean_dr.resource_versions() == before

    plan = recovery.import_into(clean_dr, config={"prune": {"maxDeletions": 7}}, plan_only=True)
    assert plan.summary == {"prune": 8, "update": 1, "unchanged": 22}
    assert clean_dr.audit.writes() == []
    confirmed = recovery.import_into(clean_dr, config={"prune": {"maxDeletions": 7}}, confirmed=True)
    assert confirmed.summary == {"prune": 8, "update": 1, "unchanged": 22}


def test_an_empty_recovery_point_deletes_nothing_without_a_person(clean_dr: ControlPlane, recovery: Recovery) -> None:
    objects = [namespace("shop"), configmap("shop", "app", a="b"), configmap("default", "app", a="b")]
    write(recovery, *objects)
    recovery.import_into(clean_dr)
    before = clean_dr.settle()
    emptied = write(recovery, gone=objects)
    recovery.commit({"dr-syncer.yaml": None, "README.md": "nothing here any more\n"})
    clean_dr.audit.mark()

    with pytest.raises(Refused, match=r"holds no dr-syncer\.yaml"):
        recovery.import_into(clean_dr, confirmed=True)
    refused = recovery.cli("import", "--revision", emptied, cluster=clean_dr)

    assert refused.returncode == ExitCode.REFUSED
    assert "prune guard: 3 of 3 objects (100 %) would be deleted" in refused.stderr
    assert "--yes" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert clean_dr.audit.writes() == []
    assert clean_dr.resource_versions() == before

    confirmed = recovery.cli("import", "--revision", emptied, "--yes", cluster=clean_dr)
    assert confirmed.returncode == ExitCode.DONE, confirmed.stderr
    assert clean_dr.objects().keys() & {"shop/configmaps/app", "default/configmaps/app"} == set()
