"""Which objects are in, which are out, and the check that says why."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer import own
from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.match import Match, Subject, match
from transforms.select import Selection, Verdict
from transforms.select_checks import BUILT_IN, IMPORT

CLUSTER_SCOPED = {"namespaces", "nodes", "storageclasses", "clusterroles", "apiservices", "priorityclasses"}
CLUSTER_SCOPED |= {"clustertrustbundles"}
CLUSTER_SCOPED |= {"servicecidrs", "ipaddresses", "flowschemas", "persistentvolumes", "ingressclasses"}
CONTROLLED = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d", "uid": "1", "controller": True}


def type_of(key: str, *, verbs: frozenset[str] = frozenset({"list", "watch"})) -> ResourceType:
    plural, _, group = key.partition(".")
    return ResourceType(group, "v1", plural, plural.removesuffix("s").title(), plural not in CLUSTER_SCOPED, verbs)


def subject(key: str, name: str = "x", *, namespace: str = "shop", **fields: Any) -> Subject:
    """An object of the type `key`; fields of metadata may be given by name, all others as they are."""
    type_ = type_of(key)
    meta = {word: fields.pop(word) for word in _METADATA if word in fields}
    namespace = namespace if type_.namespaced else ""
    manifest = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {"name": name, **meta}, **fields}
    return Subject(ObjectRef(key, namespace, name), type_, manifest)


_METADATA = ("labels", "annotations", "ownerReferences", "deletionTimestamp", "managedFields")


def entry(manager: str, **fields: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}


FLOW = "flowschemas.flowcontrol.apiserver.k8s.io"
SLICES = "endpointslices.discovery.k8s.io"
TOKEN = "kubernetes.io/service-account-token"
ACCOUNT = {"kubernetes.io/service-account.name": "app"}

OUT = [
    ("ignore", subject("configmaps", labels={own.IGNORE: "true"})),
    ("ignore", subject("configmaps", annotations={own.IGNORE: "true"})),
    ("terminating", subject("configmaps", deletionTimestamp="2026-01-01T00:00:00Z")),
    ("system-namespaces", subject("configmaps", namespace="kube-system")),
    ("system-namespaces", subject("namespaces", "kube-public")),
    ("events", subject("events")),
    ("events", subject("events.events.k8s.io")),
    ("leases", subject("leases.coordination.k8s.io")),
    ("service-endpoints", subject("endpoints", labels={"endpoints.kubernetes.io/managed-by": "endpoint-controller"})),
    ("service-endpoints", subject("endpoints", annotations={"endpoints.kubernetes.io/last-change-trigger-time": "x"})),
    ("service-endpoints", subject("endpoints", managedFields=[entry("kube-controller-manager", **{"f:subsets": {}})])),
    ("service-endpoints", subject("endpoints", managedFields=[entry("kube-controller-manager", **{"f:metadata": {}})])),
    (
        "service-endpoints",
        subject(SLICES, labels={"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}),
    ),
    (
        "service-endpoints",
        subject(SLICES, labels={"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"}),
    ),
    ("service-endpoints", subject(SLICES, ownerReferences=[{"apiVersion": "v1", "kind": "Service", "name": "web"}])),
    ("nodes", subject("nodes")),
    ("nodes", subject("csinodes.storage.k8s.io")),
    ("storage-state", subject("volumeattachments.storage.k8s.io")),
    ("storage-state", subject("csistoragecapacities.storage.k8s.io")),
    ("certificate-requests", subject("certificatesigningrequests.certificates.k8s.io")),
    ("controller-revisions", subject("controllerrevisions.apps")),
    ("storage-versions", subject("storageversions.internal.apiserver.k8s.io")),
    ("storage-versions", subject("storageversionmigrations.storagemigration.k8s.io")),
    ("status-requests", subject("resourcepoolstatusrequests.resource.k8s.io")),
    ("metrics", subject("pods.metrics.k8s.io")),
    ("metrics", subject("anything.custom.metrics.k8s.io")),
    ("component-statuses", subject("componentstatuses")),
    ("reviews", subject("subjectaccessreviews.authorization.k8s.io")),
    ("local-api-services", subject("apiservices.apiregistration.k8s.io", spec={"group": "apps"})),
    ("ip-addresses", subject("ipaddresses.networking.k8s.io", "10.96.0.1")),
    ("ip-addresses", subject("servicecidrs.networking.k8s.io", "kubernetes")),
    ("owned", subject("pods", ownerReferences=[CONTROLLED])),
    ("owned", subject("replicasets.apps", ownerReferences=[{"kind": "Other"}, CONTROLLED])),
    ("owned", subject("pods", ownerReferences=[{"apiVersion": "v1", "kind": "Node", "name": "node-1"}])),
    (
        "owned",
        subject(
            "persistentvolumeclaims", "web-tmp", ownerReferences=[{"kind": "Pod", "name": "web", "controller": True}]
        ),
    ),
    ("finished", subject("jobs.batch", status={"conditions": [{"type": "Complete", "status": "True"}]})),
    ("finished", subject("jobs.batch", status={"conditions": [{"type": "Failed", "status": "True"}]})),
    ("finished", subject("pods", status={"phase": "Succeeded"})),
    ("finished", subject("pods", status={"phase": "Failed"})),
    ("cluster-ca", subject("configmaps", "kube-root-ca.crt")),
    ("cluster-ca", subject("configmaps", "openshift-service-ca.crt")),
    ("cluster-ca", subject("clustertrustbundles.certificates.k8s.io", "kubernetes.io:kube-apiserver-serving:x1")),
    ("default-service-account", subject("serviceaccounts", "default")),
    ("default-service-account", subject("serviceaccounts", "default", secrets=[{"name": "default-token-7x8q4"}])),
    ("kubernetes-service", subject("services", "kubernetes", namespace="default")),
    ("kubernetes-service", subject("endpoints", "kubernetes", namespace="default")),
    ("kubernetes-service", subject(SLICES, "kubernetes", namespace="default")),
    ("bootstrap-tokens", subject("secrets", type="bootstrap.kubernetes.io/token")),
    ("helm-releases", subject("secrets", "sh.helm.release.v1.web.v1", type="helm.sh/release.v1")),
    ("generated-tokens", subject("secrets", "app-token-7x8q4", annotations=ACCOUNT, type=TOKEN)),
    ("dr-syncer", subject("configmaps", labels={"app.kubernetes.io/part-of": "dr-syncer"})),
    ("dr-syncer", subject("configmaps", annotations={own.APPLYSET_TOOLING: "dr-syncer/v0.1.0"})),
    (
        "default-rbac",
        subject("clusterroles.rbac.authorization.k8s.io", labels={"kubernetes.io/bootstrapping": "rbac-defaults"}),
    ),
    ("system-priority-classes", subject("priorityclasses.scheduling.k8s.io", "system-node-critical")),
    ("system-flow-control", subject(FLOW, annotations={"apf.kubernetes.io/autoupdate-spec": "true"})),
    ("system-flow-control", subject(FLOW, "exempt", annotations={"apf.kubernetes.io/autoupdate-spec": "false"})),
    (
        "system-flow-control",
        subject(FLOW, managedFields=[entry("api-priority-and-fairness-config-producer-v1", **{"f:spec": {}})]),
    ),
]


@pytest.mark.parametrize(("check", "found"), OUT, ids=[f"{check}-{found.ref}" for check, found in OUT])
def test_what_the_cluster_makes_for_itself_is_out(check: str, found: Subject) -> None:
    verdict = Selection().verdict(found)
    assert (verdict.included, verdict.check) == (False, check)
    assert verdict.reason


@pytest.mark.parametrize(("check", "found"), [case for case in OUT if case[0] != "ignore"])
def test_a_check_can_be_switched_off_by_name(check: str, found: Subject) -> None:
    assert Selection(disable=[check]).verdict(found).check != check


def test_every_check_has_an_example() -> None:
    assert {check.name for check in BUILT_IN} == {check for check, _ in OUT} | {"not-listable"}


IN = [
    subject("configmaps", "app"),
    subject("configmaps", "kube-root-ca.crt-copy"),
    subject("configmaps", labels={own.IGNORE: "false"}),
    subject("configmaps", ownerReferences=[{"kind": "Widget", "name": "w", "controller": False}]),
    subject("namespaces", "default"),
    subject("endpoints", "hand", managedFields=[entry("kubectl", **{"f:subsets": {}})]),
    subject(SLICES, labels={"endpointslice.kubernetes.io/managed-by": "me", "kubernetes.io/service-name": "db"}),
    subject("apiservices.apiregistration.k8s.io", spec={"service": {"name": "api"}}),
    subject("servicecidrs.networking.k8s.io", "extra"),
    subject("persistentvolumeclaims", "data-db-0", ownerReferences=[{**CONTROLLED, "kind": "StatefulSet"}]),
    subject("persistentvolumeclaims", "orders-1", ownerReferences=[{**CONTROLLED, "kind": "Cluster"}]),
    subject(
        "persistentvolumeclaims", "data-db-0", ownerReferences=[{"kind": "Pod", "name": "db-0", "controller": True}]
    ),
    subject("jobs.batch", status={"conditions": [{"type": "Complete", "status": "False"}], "active": 1}),
    subject("pods", status={"phase": "Running"}),
    subject("serviceaccounts", "default", imagePullSecrets=[{"name": "registry"}]),
    subject("serviceaccounts", "default", secrets=[{"name": "mine"}]),
    subject("serviceaccounts", "default", annotations={"a": "b"}),
    subject("serviceaccounts", "default", automountServiceAccountToken=False),
    subject("services", "kubernetes"),
    subject("secrets", "app-token", annotations=ACCOUNT, type=TOKEN),
    subject(
        "secrets",
        "app-token-7x8q4",
        annotations=ACCOUNT,
        type=TOKEN,
        managedFields=[entry("kubectl", **{"f:type": {}})],
    ),
    subject("secrets", "db-token-7x8q4", annotations=ACCOUNT, type=TOKEN),
    subject("clusterroles.rbac.authorization.k8s.io", "mine"),
    subject("priorityclasses.scheduling.k8s.io", "high"),
    subject(FLOW, "global-default", annotations={"apf.kubernetes.io/autoupdate-spec": "false"}),
    subject(FLOW, "mine", managedFields=[entry("api-priority-and-fairness-config-consumer-v1", **{"f:status": {}})]),
    subject("storageclasses.storage.k8s.io", "fast"),
    subject("persistentvolumes", "pv-1"),
    subject("events.example.com"),
    subject("leases.example.com"),
    subject("nodes.example.com"),
]


@pytest.mark.parametrize("found", IN, ids=[f"{index}-{found.ref}" for index, found in enumerate(IN)])
def test_what_a_person_made_is_in(found: Subject) -> None:
    assert Selection().verdict(found) == Verdict(True, "include", "no check leaves it out")


def test_a_type_that_nobody_wants_need_not_be_listed() -> None:
    selection = Selection(include=[match(types=["configmaps", "events"])], exclude=[match(types=["secrets"])])
    verdicts = {key: selection.type_verdict(type_of(key)) for key in ("configmaps", "events", "secrets", "pods")}
    assert verdicts["configmaps"] is None
    assert {key: verdict.check for key, verdict in verdicts.items() if verdict} == {
        "events": "events",
        "secrets": "exclude[0]",
        "pods": "include",
    }


def test_a_rule_that_asks_for_more_than_the_type_leaves_the_type_open() -> None:
    selection = Selection(exclude=[match(types=["secrets"], names=["tmp-*"])])
    assert selection.type_verdict(type_of("secrets")) is None


def test_a_type_without_list_is_out_whatever_is_configured() -> None:
    virtual = type_of("bindings", verbs=frozenset({"create"}))
    verdict = Selection(include=[match(types=["bindings"])]).type_verdict(virtual)
    assert verdict is not None
    assert verdict.check == "not-listable"


def test_exclude_wins_over_include_and_the_first_rule_is_named() -> None:
    selection = Selection(
        include=[match(types=["configmaps"])],
        exclude=[match(names=["other"]), match(namespaces=["shop"], names=["tmp-*"]), match(names=["tmp-1"])],
    )
    assert selection.verdict(subject("configmaps", "tmp-1")).check == "exclude[1]"
    assert selection.verdict(subject("configmaps", "tmp-1", namespace="pay")).check == "exclude[2]"
    assert selection.verdict(subject("configmaps", "app")).check == "include[0]"


def test_an_object_that_no_include_rule_matches_is_out() -> None:
    selection = Selection(include=[match(namespaces=["shop"]), match(types=["configmaps"], labels="app")])
    assert selection.verdict(subject("secrets")).included
    assert selection.verdict(subject("configmaps", namespace="pay", labels={"app": "x"})).check == "include[1]"
    assert selection.verdict(subject("secrets", namespace="pay")) == Verdict(
        False, "include", "no include rule of the configuration matches it"
    )


def test_an_include_rule_does_not_bring_back_what_a_check_leaves_out() -> None:
    assert not Selection(include=[match(types=["events"])]).verdict(subject("events")).included


def test_ignore_has_the_last_word() -> None:
    ignored = subject("configmaps", labels={own.IGNORE: "true"})
    selection = Selection(include=[match(types=["configmaps"])], exclude=[match(types=["configmaps"], names=["x"])])
    assert selection.verdict(ignored).check == "ignore"
    with pytest.raises(ValueError, match="'ignore' cannot be switched off"):
        Selection(disable=["ignore"])


@pytest.mark.parametrize(
    ("name", "hint"), [("helm-release", "did you mean 'helm-releases'?"), ("zzz", "there are bootstrap-tokens")]
)
def test_switching_off_what_is_not_there_is_an_error_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="there is no built-in exclusion") as refusal:
        Selection(disable=[name])
    assert hint in str(refusal.value)


def test_rules_that_never_decided_anything_are_named() -> None:
    selection = Selection(
        include=[match(types=["*"]), match(types=["gadgets"])],
        exclude=[match(types=["events"]), match(names=["no-such-*"])],
    )
    seen = {selection.verdict(subject("configmaps")).check}
    event = selection.type_verdict(type_of("events"))
    assert event is not None
    seen.add(event.check)
    assert selection.unused(seen) == ["include[1] (types gadgets)", "exclude[1] (names no-such-*)"]


def test_when_not_all_was_seen_nothing_is_said_of_include_rules() -> None:
    selection = Selection(include=[match(types=["gadgets"])], exclude=[match(names=["no-such-*"])])
    assert selection.unused(set(), all_seen=False) == ["exclude[0] (names no-such-*)"]


DEAD = "dead.example.com"


@pytest.mark.parametrize(
    "word",
    ["*", f"*.{DEAD}", f"things.{DEAD}", f"Thing.{DEAD}", "things.*", "th?ngs.*.com", "things", "t*", "*.example.com"],
)
def test_a_group_that_nobody_can_look_into_may_hold_what_a_rule_asks_for(word: str) -> None:
    assert Selection(include=[match(types=[word], namespaces=["shop"])]).may_want(DEAD)


@pytest.mark.parametrize("word", ["configmaps", "cm", "*.other.com", "things.other.com", "*.apps", "deployments.apps"])
def test_a_group_that_no_rule_can_be_about_is_missed_by_nobody(word: str) -> None:
    assert not Selection(include=[match(types=[word])]).may_want(DEAD)


@pytest.mark.parametrize("word", [f"*.{DEAD}", "*"])
def test_a_group_that_is_excluded_as_a_whole_is_missed_by_nobody(word: str) -> None:
    assert not Selection(exclude=[match(types=[word])]).may_want(DEAD)


@pytest.mark.parametrize("word", ["un*", "things", f"things.{DEAD}"])
def test_an_exclusion_of_some_types_says_nothing_about_the_others(word: str) -> None:
    assert Selection(exclude=[match(types=[word])]).may_want(DEAD)


def test_the_walk_shows_each_check_up_to_the_one_that_decided() -> None:
    selection = Selection(exclude=[match(types=["pods"], names=["tmp-*"])])
    walked = selection.walk(subject("pods", "web", ownerReferences=[CONTROLLED]))
    assert [(passage.check, passage.passed) for passage in walked] == [
        ("ignore", True),
        ("exclude[0]", True),
        ("terminating", True),
        ("system-namespaces", True),
        ("owned", False),
    ]
    assert selection.walk(subject("pods"))[-1] == ("include", True, "no check leaves it out")


@pytest.mark.parametrize(("_check", "found"), OUT)
def test_walk_and_verdict_agree(_check: str, found: Subject) -> None:
    verdict = Selection().verdict(found)
    last = Selection().walk(found)[-1]
    assert (last.check, last.passed, last.reason) == (verdict.check, verdict.included, verdict.reason)


INFRASTRUCTURE = [
    subject("persistentvolumes"),
    subject("storageclasses.storage.k8s.io"),
    subject("ingressclasses.networking.k8s.io"),
]


@pytest.mark.parametrize("found", INFRASTRUCTURE, ids=[str(found.ref) for found in INFRASTRUCTURE])
def test_an_import_leaves_infrastructure_out_unless_it_is_named(found: Subject) -> None:
    assert found.type
    for include in ([], [Match()], [match(types=["*"])], [match(types=["*.k8s.io", "persistent*"])]):
        selection = Selection(include=include, checks=IMPORT)
        assert selection.verdict(found).check == "infrastructure"
        verdict = selection.type_verdict(found.type)
        assert verdict is not None
        assert verdict.check == "infrastructure"
    named = Selection(include=[match(types=["*"]), match(types=[found.type.plural])], checks=IMPORT)
    assert named.verdict(found).check == "include[1]"
    assert named.type_verdict(found.type) is None
    assert Selection(disable=["infrastructure"], checks=IMPORT).verdict(found).included


def test_naming_one_infrastructure_object_lets_in_no_other() -> None:
    selection = Selection(include=[Match(), match(types=["storageclasses"], names=["fast"])], checks=IMPORT)
    assert selection.verdict(subject("storageclasses.storage.k8s.io", "fast")).included
    assert selection.verdict(subject("storageclasses.storage.k8s.io", "slow")).check == "infrastructure"


def test_an_import_takes_what_the_recovery_point_holds() -> None:
    selection = Selection(checks=IMPORT)
    assert selection.verdict(subject("secrets", type="helm.sh/release.v1")).included
    assert selection.verdict(subject("priorityclasses.scheduling.k8s.io", "high")).included
    assert selection.verdict(subject("configmaps", labels={own.IGNORE: "true"})).check == "ignore"


@pytest.mark.parametrize(
    "oddity",
    [
        {"status": None},
        {"status": []},
        {"status": {"conditions": [None, "x"]}},
        {"ownerReferences": None},
        {"ownerReferences": [None]},
        {"managedFields": [{"manager": None}]},
        {"labels": None, "annotations": None},
        {"spec": None, "type": None},
    ],
)
@pytest.mark.parametrize(
    "key", ["pods", "jobs.batch", "endpoints", SLICES, "secrets", "apiservices.apiregistration.k8s.io"]
)
def test_odd_objects_get_a_verdict_all_the_same(key: str, oddity: dict[str, Any]) -> None:
    assert Selection().verdict(subject(key, **oddity)).check
