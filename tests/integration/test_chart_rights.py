"""With the rights that its chart gives it, each side does all of its work; it has no others, and uses each of them."""

from __future__ import annotations

from typing import Any

import yaml

from tests.cluster.control_plane import ControlPlane
from tests.integration.charts import NAMESPACE, merged, one, rendered, values
from tests.integration.charts.rights import Account, Grant, unused
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.services import Service, Services, until

FAST = {"quietPeriod": "500ms", "maxDelay": "2s"}
DONE = 'dr_syncer_runs_total{result="done"}'
CONNECTED = 'dr_syncer_watches{state="connected"}'
LOST = 'dr_syncer_watches{state="lost"}'
APP = "/api/v1/namespaces/shop/configmaps/app"
# What would be the end of the source cluster, should the exporter be taken over.
NEVER_OF_AN_EXPORTER = (
    ("get", "secrets", "shop"),
    ("get", "pods/exec", "shop"),
    ("create", "pods/exec", "shop"),
    ("get", "pods/log", "shop"),
    ("get", "nodes/proxy", ""),
    ("create", "pods", "shop"),
    ("create", "pods", NAMESPACE),
    ("patch", "deployments.apps", "shop"),
    ("delete", "configmaps", "shop"),
    ("create", "serviceaccounts/token", NAMESPACE),
    ("impersonate", "users", ""),
    ("escalate", "clusterroles.rbac.authorization.k8s.io", ""),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", ""),
    ("create", "secrets", "shop"),
    ("get", "secrets/another", NAMESPACE),
    ("update", "leases.coordination.k8s.io/another", NAMESPACE),
    ("update", "leases.coordination.k8s.io/dr-syncer-exporter-prod", "shop"),
)


def shop() -> list[dict[str, Any]]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "shop"},
        "stringData": {"password": "hunter2"},
    }
    return [
        namespace("shop"),
        namespace("other"),
        configmap("shop", "app", colour="red"),
        configmap("other", "app", colour="red"),
        deployment("shop", "web"),
        secret,
        *roles(),
    ]


def roles() -> list[dict[str, Any]]:
    """A role that grants what no service of ours may do, and its binding."""
    group, meta = "rbac.authorization.k8s.io", {"name": "watcher", "namespace": "shop"}
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch", "deletecollection"]}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "watcher"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "shop"}],
        },
    ]


def chart_of(side: str, recovery: Recovery, **given: Any) -> list[dict[str, Any]]:
    """The chart's objects, with minimal values and `given`, for the recovery repository of the test."""
    repository = {"config": {"repository": {"url": str(recovery.remote)}}}
    return rendered(side, merged(merged(values(side), repository), given))


def start(
    services: Services, side: str, cluster: ControlPlane, objects: list[dict[str, Any]], account: Account
) -> Service:
    """Start the service with the configuration of the chart, as its service account."""
    config = yaml.safe_load(one(objects, "ConfigMap")["data"]["dr-syncer.yaml"])
    fast = FAST if side == "exporter" else {"interval": "1s", "drift": {"interval": "2s"}}
    section = {**config[side], **fast, "kubeconfig": str(account.kubeconfig)}
    section.pop("cluster")  # the same as the fixture gives it
    section.get("secrets", {}).pop("ageKeyFile", None)
    return services.start(side, cluster, server={"leaderElection": True}, **section)


def test_an_exporter_can_do_its_work_and_nothing_else(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace(NAMESPACE), *shop()])
    objects = chart_of("exporter", recovery)
    account = Account(clean_source, objects)

    service = start(services, "exporter", clean_source, objects, account)
    until(recovery.head, "the first export")
    until(lambda: service.metric(CONNECTED) > 10 and service.metric(LOST) == 0, "the watches")
    before = recovery.head()
    clean_source.apply([configmap("shop", "app", colour="blue")])
    until(lambda: recovery.head() != before, "the change in Git")
    until(lambda: service.metric(DONE) >= 1, "a run that left nothing out")

    assert "ENC[AES256_GCM" in recovery.file("namespaces/shop/secrets/db.yaml")
    assert service.complaints() == []
    assert service.end() == 0
    assert account.refused() == []
    assert without_events(unused(account.granted, account.requests())) == []
    for where in (NAMESPACE, "shop", "kube-system"):
        expected = {grant_here(grant) for grant in account.granted if grant.namespace in ("", where)}
        assert account.may(where) == expected, where
    for verb, what, where in NEVER_OF_AN_EXPORTER:
        assert not allowed(clean_source, account, verb, what, where), (
            f"it may {verb} {what} in {where or 'the cluster'}"
        )


def test_an_exporter_of_some_namespaces_sees_no_other(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace(NAMESPACE), *shop()])
    objects = chart_of("exporter", recovery, rbac={"namespaces": ["shop"]})
    account = Account(clean_source, objects)

    service = start(services, "exporter", clean_source, objects, account)
    until(recovery.head, "the first export")
    until(lambda: service.metric(CONNECTED) > 10 and service.metric(LOST) == 0, "the watches")
    before = recovery.head()
    clean_source.apply([configmap("shop", "app", colour="blue"), configmap("other", "app", colour="blue")])
    until(lambda: recovery.head() != before, "the change in Git")
    until(lambda: service.metric(DONE) >= 1, "a run that left nothing out")

    assert "cluster/namespaces/shop.yaml" in recovery.paths()
    assert not [path for path in recovery.paths() if "other" in path]
    assert service.complaints() == []
    assert service.end() == 0
    assert without_events(unused(account.granted, account.requests())) == []
    for verb, what in (("list", "configmaps"), ("watch", "secrets"), ("list", "pods")):
        assert allowed(clean_source, account, verb, what, "shop")
        assert not allowed(clean_source, account, verb, what, "other")
        assert not allowed(clean_source, account, verb, what, "")


def test_an_exporter_of_some_types_sees_no_other(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace(NAMESPACE), *shop()])
    types = ["namespaces", "configmaps", "*.rbac.authorization.k8s.io"]
    objects = chart_of("exporter", recovery, rbac={"types": types})
    account = Account(clean_source, objects)

    service = start(services, "exporter", clean_source, objects, account)
    until(recovery.head, "the first export")
    until(lambda: service.metric(DONE) >= 1, "a run that left nothing out")

    assert {path.split("/")[-2] for path in recovery.paths() if path.startswith("namespaces/shop/")} == {
        "configmaps",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
    }
    assert service.complaints() == []
    assert account.refused() == []
    assert not allowed(clean_source, account, "list", "secrets", "shop")
    assert not allowed(clean_source, account, "list", "deployments.apps", "")


def test_an_importer_can_do_its_work_and_uses_all_that_it_may(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply(shop())
    recovery.export(clean_source)
    clean_dr.apply([namespace(NAMESPACE)])
    objects = chart_of("importer", recovery)
    account = Account(clean_dr, objects)

    service = start(services, "importer", clean_dr, objects, account)
    until(lambda: service.metric(DONE) >= 1, "the first import")
    assert clean_dr.exists("/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/watcher")
    clean_dr.patch(APP, {"data": {"colour": "green"}})
    until(lambda: clean_dr.get(APP)["data"] == {"colour": "red"}, "drift to be put back")
    clean_source.delete(APP)
    clean_source.delete("/apis/apps/v1/namespaces/shop/deployments/web")
    recovery.export(clean_source)
    until(lambda: not clean_dr.exists(APP), "what left Git to be pruned")
    assert clean_dr.exists(f"/api/v1/namespaces/{NAMESPACE}/configmaps/dr-syncer-prod")

    assert [line for line in service.complaints() if "put back" not in line] == []
    assert service.end() == 0
    assert account.refused() == []
    assert without_events(unused(account.granted, account.requests())) == RECORDS_LEFT
    for where in (NAMESPACE, "shop"):
        expected = {grant_here(grant) for grant in account.granted if grant.namespace in ("", where)}
        assert account.may(where) == expected, where
    for verb, what in (("impersonate", "users"), ("approve", "signers.certificates.k8s.io"), ("update", "secrets")):
        assert not allowed(clean_dr, account, verb, what, "")


def test_an_importer_into_some_namespaces_can_touch_no_other(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply(shop())
    recovery.export(clean_source)
    clean_dr.apply([namespace(NAMESPACE), namespace("shop-dr"), configmap("shop-dr", "ours", kept="yes")])
    objects = chart_of(
        "importer",
        recovery,
        rbac={"namespaces": ["shop-dr"]},
        config={
            "importer": {
                "select": {"include": [{"namespaces": ["shop"]}]},
                "transforms": {"namespaces": {"shop": "shop-dr"}},
            }
        },
    )
    account = Account(clean_dr, objects)

    service = start(services, "importer", clean_dr, objects, account)
    path = "/api/v1/namespaces/shop-dr/configmaps/app"
    until(lambda: clean_dr.exists(path), "the first import")
    until(lambda: service.metric(DONE) >= 1, "a run that left nothing out")
    clean_source.delete(APP)
    recovery.export(clean_source)
    until(lambda: not clean_dr.exists(path), "what left Git to be pruned")

    assert clean_dr.exists("/apis/apps/v1/namespaces/shop-dr/deployments/web")
    assert clean_dr.exists("/api/v1/namespaces/shop-dr/configmaps/ours")
    assert service.complaints() == []
    assert service.end() == 0
    for verb, what in (("create", "configmaps"), ("delete", "secrets"), ("patch", "deployments.apps")):
        assert allowed(clean_dr, account, verb, what, "shop-dr")
        assert not allowed(clean_dr, account, verb, what, "default")
        assert not allowed(clean_dr, account, verb, what, "")
    assert not allowed(clean_dr, account, "create", "namespaces", "")


def without_events(grants: list[Grant]) -> list[Grant]:
    """What is left but for Events: what they tell is rare, and tests/integration/test_events.py makes it happen."""
    events = {Grant(NAMESPACE, "", "events", verb) for verb in ("create", "patch")}
    return [grant for grant in grants if grant not in events]


def grant_here(grant: Grant) -> Grant:
    """The grant as a review in a namespace tells it."""
    return Grant("", grant.group, grant.resource, grant.verb, grant.names)


def allowed(cluster: ControlPlane, account: Account, verb: str, what: str, where: str) -> bool:
    """Ask the API server whether an account may do something; `what` is type, type/subresource or type/name."""
    resource, _, rest = what.partition("/")
    named, _, group = resource.partition(".")
    spec = {"verb": verb, "resource": named, "group": group, "namespace": where}
    known = ("exec", "log", "proxy", "token")
    spec["subresource" if rest in known else "name"] = rest
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": account.user,
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": spec,
        },
    }
    return bool(cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])


# A record's ConfigMap is deleted when an import has far fewer objects than the one before: see test_records.py.
RECORDS_LEFT = [Grant(NAMESPACE, "", "configmaps", "delete")]
