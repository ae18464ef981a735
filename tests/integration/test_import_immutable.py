"""Fields that cannot be changed: what `importer.immutable` makes of them, and what is never deleted to replace it."""

from __future__ import annotations

import copy
from typing import Any

from drsyncer.errors import ExitCode
from drsyncer.manifest import Manifest
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import claim, custom_type, job, ref_of, result_of, service, write

# Infrastructure types stay out of an import unless they are asked for.
WITH_CLASSES: dict[str, Any] = {"select": {"disable": ["infrastructure"]}}


def replaced(manifest: Manifest, **changes: Any) -> Manifest:
    """Return `manifest` with other values; `a__b` stands for the field b of a."""
    changed = copy.deepcopy(manifest)
    for place, value in changes.items():
        *parents, last = place.split("__")
        at = changed
        for parent in parents:
            at = at[parent]
        at[last] = value
    return changed


def secret(**data: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": "shop"},
        "immutable": True,
        "data": data,
    }


def stateful_set(name: str, *, service_name: str) -> Manifest:
    found = deployment("shop", name)
    return {**found, "kind": "StatefulSet", "spec": {**found["spec"], "serviceName": service_name}}


def role_binding(role: str) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "readers", "namespace": "shop"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "someone"}],
    }


def storage_class(**parameters: str) -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "fast"},
        "provisioner": "csi.example.com",
        "parameters": parameters,
    }


def volume(folder: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "storageClassName": "by-hand",
            "hostPath": {"path": folder},
        },
    }


def selecting(app: str) -> Manifest:
    made = deployment("shop", "web")
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = {"app": app}
    return made


REPLACEABLE = [
    (selecting("web"), selecting("web2")),
    (stateful_set("db", service_name="db"), stateful_set("db", service_name="db2")),
    (job("shop", "migrate"), job("shop", "migrate", image="busybox:2")),
    (service("shop", "front"), service("shop", "front", clusterIP="None")),
    (secret(a="YQ=="), secret(a="Yg==")),
    (configmap("shop", "fixed", a="1") | {"immutable": True}, configmap("shop", "fixed", a="2") | {"immutable": True}),
    (role_binding("view"), role_binding("edit")),
    (storage_class(type="ssd"), storage_class(type="disk")),
]
KEPT = [
    (claim("shop", "data", storage_class="fast"), claim("shop", "data", storage_class="slow")),
    (volume("/srv/a"), volume("/srv/b")),
    (custom_type(), custom_type(scope="Cluster")),
]


def uids(cluster: ControlPlane, manifests: list[Manifest]) -> dict[str, str]:
    return {str(ref_of(one)): cluster.get(cluster.api.path_of(one))["metadata"]["uid"] for one in manifests}


def test_a_change_that_cannot_be_made_is_named_and_recreates_only_when_told_to(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    replaceable, kept = [old for old, _ in REPLACEABLE], [old for old, _ in KEPT]
    write(recovery, namespace("shop"), configmap("shop", "free", a="1"), *replaceable, *kept)
    assert problems(recovery.import_into(clean_dr, config=WITH_CLASSES)) == {}
    before = uids(clean_dr, replaceable + kept)
    write(recovery, configmap("shop", "free", a="2"), *[new for _, new in REPLACEABLE + KEPT])

    failing = recovery.import_into(clean_dr, config=WITH_CLASSES)

    names, never = {str(ref_of(one)) for one in replaceable}, {str(ref_of(one)) for one in kept}
    assert problems(failing).keys() == names | never
    assert failing.exit_code is ExitCode.PARTIAL
    assert all("importer.immutable: recreate replaces the object" in problems(failing)[name] for name in names)
    assert "spec.selector" in problems(failing)["shop/deployments.apps/web"]
    assert actions(failing)["shop/configmaps/free"] is Action.UPDATE
    assert uids(clean_dr, replaceable + kept) == before

    recreating = recovery.import_into(clean_dr, config=WITH_CLASSES | {"immutable": "recreate"})

    assert {name: action for name, action in actions(recreating).items() if name in names} == dict.fromkeys(
        names, Action.RECREATE
    )
    assert "immutable" in result_of(recreating, "shop/deployments.apps/web").reason
    assert problems(recreating).keys() == never
    assert all("never recreated" in reason for reason in problems(recreating).values())
    after = uids(clean_dr, replaceable + kept)
    assert {name for name in after if after[name] != before[name]} == names
    assert clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"]["selector"] == {
        "matchLabels": {"app": "web2"}
    }
    assert clean_dr.get("/apis/batch/v1/namespaces/shop/jobs/migrate")["spec"]["suspend"] is True

    again = recovery.import_into(clean_dr, config=WITH_CLASSES | {"immutable": "recreate"})
    assert actions(again).keys() == never


def test_an_object_stays_when_its_replacement_would_not_be_accepted(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), selecting("web"))
    recovery.import_into(clean_dr)
    before = uids(clean_dr, [selecting("web")])
    broken = selecting("web2")
    broken["spec"]["template"]["metadata"]["labels"] = {"app": "something-else"}
    write(recovery, broken, configmap("shop", "other", a="1"))

    outcome = recovery.import_into(clean_dr, config={"immutable": "recreate"})

    assert actions(outcome) == {
        "shop/deployments.apps/web": Action.BLOCKED,
        "shop/configmaps/other": Action.CREATE,
    }
    assert "does not match template" in problems(outcome)["shop/deployments.apps/web"]
    assert uids(clean_dr, [selecting("web")]) == before
    assert [event for event in clean_dr.audit.writes() if event.verb == "delete"] == []


def test_an_error_that_is_not_immutability_never_deletes(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), deployment("shop", "web"))
    recovery.import_into(clean_dr)
    before = uids(clean_dr, [deployment("shop", "web")])
    write(recovery, deployment("shop", "web", image=""))

    outcome = recovery.import_into(clean_dr, config={"immutable": "recreate"})

    assert "image: Required value" in problems(outcome)["shop/deployments.apps/web"]
    assert uids(clean_dr, [deployment("shop", "web")]) == before


def test_a_claim_never_shrinks(clean_dr: ControlPlane, recovery: Recovery) -> None:
    path = "/api/v1/namespaces/shop/persistentvolumeclaims/data"
    write(recovery, namespace("shop"), claim("shop", "data", size="5Gi"), claim("shop", "same", size="1Gi"))
    recovery.import_into(clean_dr)
    write(recovery, claim("shop", "data", size="2Gi"), claim("shop", "same", size="1024Mi"))

    outcome = recovery.import_into(clean_dr)

    result = result_of(outcome, "shop/persistentvolumeclaims/data")
    assert outcome.exit_code is ExitCode.DONE
    assert result.action in (Action.UPDATE, Action.UNCHANGED)
    assert result.notes == ("keeps its 5Gi in DR: a claim never shrinks (Git asks for 2Gi)",)
    assert clean_dr.get(path)["spec"]["resources"]["requests"] == {"storage": "5Gi"}
    assert result_of(outcome, "shop/persistentvolumeclaims/same").notes == ()
    assert actions(recovery.import_into(clean_dr)) == {}


def test_a_storage_class_that_dr_lacks_is_a_warning(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), claim("shop", "data", storage_class="nowhere"))

    outcome = recovery.import_into(clean_dr)

    assert outcome.warnings == ("StorageClass nowhere does not exist in DR; named by shop/persistentvolumeclaims/data",)
