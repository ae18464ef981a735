"""What must not happen although every single step seems right: lost records, emptied containers, half scopes."""

from __future__ import annotations

from datetime import UTC, datetime

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace, problems
from tests.integration.written import STATE, custom_type, write

SCALE = {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}


def test_going_back_after_an_import_whose_records_were_never_written_brings_the_old_values_back(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    before = write(recovery, namespace("shop"), configmap("shop", "app", version="a"))
    recovery.import_into(clean_dr)
    records = f"{STATE}/dr-syncer-prod-records-0"
    remembered = clean_dr.get(records)["data"]
    write(recovery, configmap("shop", "app", version="b"))
    clean_dr.wait_for(lambda: _seconds_old(clean_dr) >= 1, what="another second in managedFields")
    recovery.import_into(clean_dr)
    # As a run leaves it that was killed between its last apply and its records.
    clean_dr.patch(records, {"data": remembered})

    outcome = recovery.import_into(clean_dr, revision=before)

    assert actions(outcome) == {"shop/configmaps/app": Action.UPDATE}
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/app")["data"] == {"version": "a"}
    assert actions(recovery.import_into(clean_dr, revision=before)) == {}


def _seconds_old(dr: ControlPlane) -> float:
    made = dr.get("/api/v1/namespaces/shop/configmaps/app")["metadata"]["creationTimestamp"]
    return (datetime.now(UTC) - datetime.fromisoformat(made)).total_seconds()


def test_a_namespace_that_left_git_is_kept_while_something_in_it_did_not(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    kept = configmap("shop", "kept", a="b")
    kept["metadata"]["annotations"] = {"dr-syncer.io/prune": "false"}
    others = [configmap("shop", name, a="b") for name in ("one", "two", "three", "four", "five")]
    write(recovery, namespace("shop"), kept, *others)
    recovery.import_into(clean_dr)

    write(recovery, gone=[namespace("shop")])
    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert "what is in it did not" in problems(outcome)["namespaces/shop"]
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/one")

    write(recovery, gone=[kept, *others])
    protected = recovery.import_into(clean_dr, confirmed=True)

    assert "kept" in problems(protected)["namespaces/shop"]
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/kept")


def test_a_definition_that_left_git_is_kept_while_its_objects_did_not(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "namespace": "shop"},
        "spec": {"size": 1},
    }
    write(recovery, custom_type(), namespace("shop"), widget)
    recovery.import_into(clean_dr)

    write(recovery, gone=[custom_type()])
    outcome = recovery.import_into(clean_dr)

    assert (
        "what is in it did not"
        in problems(outcome)["customresourcedefinitions.apiextensions.k8s.io/widgets.example.com"]
    )
    assert clean_dr.exists("/apis/example.com/v1/namespaces/shop/widgets/one")


def test_a_scalable_custom_resource_is_parked_whether_or_not_its_definition_comes_along(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    definition = custom_type(subresources=SCALE)
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "namespace": "shop"},
        "spec": {"replicas": 5},
    }
    path = "/apis/example.com/v1/namespaces/shop/widgets/one"
    clean_dr.apply([definition])
    clean_dr.wait_for(
        lambda: clean_dr.kubectl("get", "widgets.example.com", "-A", check=False).returncode == 0,
        what="the type to be served",
    )
    write(recovery, namespace("shop"), widget)

    only_in_dr = recovery.import_into(clean_dr)

    assert only_in_dr.exit_code is ExitCode.DONE
    assert clean_dr.get(path)["spec"]["replicas"] == 0

    clean_dr.delete(path)
    write(recovery, definition)
    recovery.import_into(clean_dr, only=("shop",))

    assert clean_dr.get(path)["spec"]["replicas"] == 0


def test_importing_only_a_namespace_that_left_git_prunes_it(clean_dr: ControlPlane, recovery: Recovery) -> None:
    gone = [configmap("pay", "one", a="b"), configmap("pay", "two", a="b")]
    write(recovery, namespace("shop"), namespace("pay"), configmap("shop", "app", a="b"), *gone)
    recovery.import_into(clean_dr)

    write(recovery, gone=[namespace("pay"), *gone])
    outcome = recovery.import_into(clean_dr, only=("pay",), confirmed=True)

    assert actions(outcome) == {"pay/configmaps/one": Action.PRUNE, "pay/configmaps/two": Action.PRUNE}
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/app")
