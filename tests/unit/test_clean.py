"""What the cluster wrote goes; everything else stays, byte for byte."""

from __future__ import annotations

import copy
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from drsyncer import own, paths
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, split_api_version
from drsyncer.match import Match, Subject, match
from transforms import reference
from transforms.clean import Cleaned, Cleaner, UserRule
from transforms.clean_rules import BUILT_IN, Rule

GOLDEN = Path(__file__).parent / "golden" / "clean"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
IRREGULAR = {"Endpoints": "endpoints"}


def subject(manifest: Manifest) -> Subject:
    group, version = split_api_version(manifest["apiVersion"])
    kind = manifest["kind"]
    plural = IRREGULAR.get(kind, kind.lower() + ("es" if kind.endswith("s") else "s"))
    meta = manifest.get("metadata") or {}
    namespace = meta.get("namespace", "")
    type_ = ResourceType(group, version, plural, kind, bool(namespace))
    return Subject(ObjectRef(type_.key, namespace, meta.get("name", "")), type_, manifest)


def clean(manifest: Manifest, cleaner: Cleaner | None = None) -> Cleaned:
    return (cleaner or Cleaner()).clean(subject(manifest))


def golden(rule: Rule, which: str) -> Manifest:
    loaded: Manifest = YAML(typ="safe", pure=True).load((GOLDEN / rule.name / f"{which}.yaml").read_text())
    return loaded


def names(rules: tuple[Rule, ...]) -> list[str]:
    return [rule.name for rule in rules]


@pytest.mark.parametrize("rule", BUILT_IN, ids=names(BUILT_IN))
def test_a_rule_removes_what_its_golden_pair_says(rule: Rule) -> None:
    cleaned = clean(golden(rule, "raw"), Cleaner([rule]))
    assert cleaned.manifest == golden(rule, "clean")
    assert cleaned.removed == (rule.name,)


@pytest.mark.parametrize("rule", BUILT_IN, ids=names(BUILT_IN))
def test_all_rules_together_remove_no_less_and_twice_is_once(rule: Rule) -> None:
    raw = golden(rule, "raw")
    before = copy.deepcopy(raw)
    once = clean(raw)
    assert rule.name in once.removed
    assert clean(once.manifest) == Cleaned(once.manifest, (), frozenset())
    assert raw == before


def test_every_golden_pair_belongs_to_a_rule_and_names_are_unique() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(names(BUILT_IN))
    assert len(set(names(BUILT_IN))) == len(BUILT_IN)


def service(
    *ports: dict[str, Any], annotations: dict[str, str] | None = None, entries: Any = (), **spec: Any
) -> Manifest:
    meta = {"name": "web", "namespace": "shop", "uid": "1", "annotations": annotations, "managedFields": list(entries)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": list(ports), **spec}}


def sent_by(manager: str, operation: str, number: int) -> dict[str, Any]:
    ports: dict[str, Any] = {f'k:{{"port":{number},"protocol":"TCP"}}': {".": {}, "f:port": {}, "f:nodePort": {}}}
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:ports": ports}}}


def node_ports(manifest: Manifest) -> list[int | None]:
    return [port.get("nodePort") for port in clean(manifest).manifest["spec"]["ports"]]


A = {"port": 80, "protocol": "TCP", "nodePort": 30080}
B = {"port": 81, "nodePort": 30081}


@pytest.mark.parametrize(
    ("manager", "operation"), [("kubectl", "Apply"), ("kubectl-create", "Update"), ("helm", "Update")]
)
def test_a_node_port_that_a_client_sent_stays(manager: str, operation: str) -> None:
    # The API server gives an allocated port to no manager: seen with Kubernetes 1.36 for create, replace and apply.
    assert node_ports(service(A, B, entries=[sent_by(manager, operation, 81)])) == [None, 30081]


@pytest.mark.parametrize("manager", ["kube-apiserver", "before-first-apply"])
def test_the_servers_own_entries_prove_no_declaration(manager: str) -> None:
    assert node_ports(service(A, entries=[sent_by(manager, "Update", 80)])) == [None]


def test_a_node_port_in_last_applied_stays() -> None:
    last = '{"spec":{"ports":[{"port":80,"nodePort":30080},{"port":81}]}}'
    assert node_ports(service(A, B, annotations={"kubectl.kubernetes.io/last-applied-configuration": last})) == [
        30080,
        None,
    ]


@pytest.mark.parametrize(
    "last", ["", "{", "null", "[]", '{"spec":null}', '{"spec":{"ports":{}}}', '{"spec":{"ports":[1]}}']
)
def test_a_damaged_last_applied_proves_nothing(last: str) -> None:
    assert node_ports(service(A, annotations={"kubectl.kubernetes.io/last-applied-configuration": last})) == [None]


def test_a_node_port_of_an_object_that_was_in_no_cluster_stays() -> None:
    written = service(A)
    del written["metadata"]["uid"]
    assert node_ports(written) == [30080]


def test_node_ports_can_be_kept() -> None:
    keep = [UserRule(match(types=["services"]), (paths.parse("/spec/ports/*/nodePort"),))]
    cleaned = clean(service(A, B), Cleaner(keep=keep))
    assert [port["nodePort"] for port in cleaned.manifest["spec"]["ports"]] == [30080, 30081]
    assert cleaned.used == {"keep[0].paths[0]"}


def test_a_headless_service_stays_headless() -> None:
    spec: dict[str, Any] = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert clean(service(**spec)).manifest["spec"] == {"ports": [], **spec}


CA = {"clientConfig": {"caBundle": "eA=="}}
LABELLED_TEMPLATE = {"template": {"metadata": {"labels": {"job-name": "x"}}}}
STAYS: dict[str, Manifest] = {
    "a volume that a person named": {"kind": "PersistentVolumeClaim", "spec": {"volumeName": "pv-1"}},
    "the mode of a volume": {"kind": "PersistentVolumeClaim", "spec": {"volumeMode": "Block"}},
    "a Job's own selector": {"kind": "Job", "spec": {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}}},
    "a label that is merely called job-name": {"kind": "Job", "metadata": {"labels": {"job-name": "other"}}},
    "a priority without a class": {"kind": "Pod", "spec": {"priority": 5}},
    "an overhead without a class": {"kind": "Pod", "spec": {"overhead": {"cpu": "1"}}},
    "an account without its twin": {"kind": "Pod", "spec": {"serviceAccount": "app"}},
    "rules that nobody aggregates": {"kind": "ClusterRole", "rules": []},
    "data of a Secret of another type": {"kind": "Secret", "type": "Opaque", "data": {"token": "eA=="}},
    "a certificate that a person wrote": {"kind": "ValidatingWebhookConfiguration", "webhooks": [CA]},
    "labels in a CronJob's template": {"kind": "CronJob", "spec": {"jobTemplate": {"spec": LABELLED_TEMPLATE}}},
    "empty things that mean something": {"kind": "NetworkPolicy", "spec": {"podSelector": {}, "egress": [{}]}},
    "nulls": {"kind": "Widget", "spec": {"replicas": None, "list": [None, {"a": None}]}},
    "empty labels and annotations of a person": {"kind": "Widget", "metadata": {"labels": {}, "annotations": {}}},
    "a status that is not the object's": {"kind": "Widget", "spec": {"status": {"a": 1}, "template": {"status": {}}}},
    "server fields of something embedded": {"kind": "Widget", "spec": {"metadata": {"uid": "1", "finalizers": []}}},
}


@pytest.mark.parametrize("found", STAYS.values(), ids=list(STAYS))
def test_what_a_person_wrote_stays(found: Manifest) -> None:
    groups = {"Job": "batch/v1", "CronJob": "batch/v1", "ClusterRole": "rbac.authorization.k8s.io/v1"}
    groups |= {"ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1", "Widget": "example.com/v1"}
    groups |= {"NetworkPolicy": "networking.k8s.io/v1"}
    whole = {"apiVersion": groups.get(found["kind"], "v1"), "metadata": {}, **found}
    whole["metadata"] = {"name": "x", "namespace": "shop", **whole["metadata"]}
    cleaned = clean(whole)
    assert cleaned.manifest is whole
    assert cleaned.removed == ()


def test_untouched_parts_are_shared_not_copied() -> None:
    raw = {**golden(rule_named("server-metadata"), "raw"), "data": {"big": "x" * 100_000}}
    assert clean(raw).manifest["data"] is raw["data"]


def rule_named(name: str) -> Rule:
    return next(rule for rule in BUILT_IN if rule.name == name)


def widget(**annotations: str) -> Manifest:
    meta = {"name": "w", "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "status": {"a": 1, "b": {"c": 2}}}


def user(*texts: str, about: Match | None = None) -> UserRule:
    return UserRule(about or Match(), tuple(paths.parse(text) for text in texts))


def test_a_strip_rule_removes_beyond_the_built_in_ones() -> None:
    cleaned = clean(widget(noise="1", note="2"), Cleaner(strip=[user("/metadata/annotations/noise")]))
    assert cleaned.manifest["metadata"]["annotations"] == {"note": "2"}
    assert cleaned.removed == ("status", "strip[0]")
    assert cleaned.used == {"strip[0].paths[0]"}


def test_annotations_go_when_the_last_one_was_stripped() -> None:
    cleaned = clean(widget(noise="1"), Cleaner(strip=[user("/metadata/annotations/noise")]))
    assert "annotations" not in cleaned.manifest["metadata"]


def test_any_other_mapping_stays_when_its_last_part_was_stripped() -> None:
    raw = widget() | {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}
    cleaned = clean(raw, Cleaner(strip=[user("/spec/podSelector/matchLabels/a")]))
    assert cleaned.manifest["spec"] == {"podSelector": {"matchLabels": {}}}


def test_a_user_rule_is_about_what_it_matches_only() -> None:
    cleaner = Cleaner(
        strip=[user("/spec", about=match(names=["other"]))], keep=[user("/status", about=match(names=["w"]))]
    )
    raw = widget() | {"spec": {}}
    assert clean(raw, cleaner).manifest == raw
    other = {**raw, "metadata": {**raw["metadata"], "name": "other"}}
    assert clean(other, cleaner).removed == ("status", "strip[0]")


def test_a_kept_part_of_what_goes_stays() -> None:
    cleaned = clean(widget(), Cleaner(keep=[user("/status/b/c", "/status/missing")]))
    assert cleaned.manifest["status"] == {"b": {"c": 2}}
    assert cleaned.removed == ("status",)
    assert cleaned.used == {"keep[0].paths[0]"}


def test_keeping_all_parts_of_what_goes_removes_nothing() -> None:
    cleaned = clean(widget(), Cleaner(keep=[user("/status/*")]))
    assert cleaned.manifest["status"] == {"a": 1, "b": {"c": 2}}
    assert cleaned.removed == ()


def test_keeping_above_what_goes_keeps_it() -> None:
    raw = widget(**{"control-plane.alpha.kubernetes.io/leader": "x"})
    cleaned = clean(raw, Cleaner(keep=[user("/metadata/annotations")]))
    assert cleaned.manifest["metadata"]["annotations"] == raw["metadata"]["annotations"]


def test_keep_wins_over_strip() -> None:
    cleaner = Cleaner(keep=[user("/metadata/annotations/a1")], strip=[user("/metadata/annotations/a*")])
    assert clean(widget(a1="x", a2="y"), cleaner).manifest["metadata"]["annotations"] == {"a1": "x"}


def test_an_index_means_the_element_that_came_from_the_cluster() -> None:
    raw = widget() | {"spec": {"list": ["a", "b", "c"]}}
    cleaned = clean(raw, Cleaner(strip=[user("/spec/list/0", "/spec/list/2")]))
    assert cleaned.manifest["spec"]["list"] == ["b"]


@pytest.mark.parametrize("spec", [{"priority": 0}, {"preemptionPolicy": "PreemptLowerPriority"}])
def test_a_default_priority_goes_since_dr_may_have_another_default_class(spec: dict[str, Any]) -> None:
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec}
    assert clean(raw).manifest["spec"] == {}


@pytest.mark.parametrize("rule", [{}, {"clusterRoleSelectors": []}])
def test_an_empty_aggregation_is_one(rule: dict[str, Any]) -> None:
    api = "rbac.authorization.k8s.io/v1"
    raw = {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": "r"}, "aggregationRule": rule, "rules": []}
    assert "rules" not in clean(raw).manifest


def test_what_people_write_for_us_and_what_we_must_remember_stays() -> None:
    ours = {value for name, value in vars(own).items() if name.isupper() and str(value).startswith(own.PREFIX)}
    raw = widget(**dict.fromkeys([*(ours - {own.PREFIX}), "dr-syncer.io/other"], "x"))
    kept = set(clean(raw).manifest["metadata"]["annotations"])
    theirs = {own.PARKED, own.DIGEST, own.CONFIDENTIAL, own.BACKUP_RESULT, own.RESTORED, own.PRUNED}
    assert kept == ours - theirs - {own.PREFIX}


def test_the_reference_pages_are_up_to_date() -> None:
    for name, page in reference.PAGES.items():
        assert (REFERENCE / name).read_text(encoding="utf-8") == page(), "run: make docs"


_KEYS = st.sampled_from(
    """
    metadata spec status labels annotations uid name creationTimestamp finalizers template ports nodePort clusterIP
    volumes containers volumeMounts tolerations key selector data secrets rules aggregationRule manualSelector
    volumeName controller-uid ownerReferences dr-syncer.io/ignore dr-syncer.io/note kro.run/x other
    kubectl.kubernetes.io/last-applied-configuration
    """.strip().split()
)
_VALUES = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "x", "None", "app-token-7x8q4"])
_TREES = st.recursive(
    _VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=20
)
_MAPPINGS = st.dictionaries(_KEYS, _TREES, max_size=5)
_TEXTS = st.dictionaries(_KEYS, st.sampled_from(["", "x", "true", "yes"]), max_size=4)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    kinds = ["v1 Service", "v1 Pod", "v1 ServiceAccount", "v1 PersistentVolumeClaim", "batch/v1 Job", "v1 Namespace"]
    api_version, kind = draw(st.sampled_from([*kinds, "example.com/v1 Widget", "apps/v1 StatefulSet"])).split()
    meta = {**draw(_MAPPINGS), "name": "app", "namespace": "shop", "managedFields": []}
    for word in ("labels", "annotations"):
        meta[word] = draw(_TEXTS)
    return {**draw(_MAPPINGS), "apiVersion": api_version, "kind": kind, "metadata": meta}


@given(manifests())
def test_cleaning_twice_changes_nothing_more_and_never_what_was_given(manifest: Manifest) -> None:
    before = copy.deepcopy(manifest)
    once = clean(manifest)
    assert manifest == before
    assert clean(once.manifest) == Cleaned(once.manifest, (), frozenset())


@given(manifests())
def test_nothing_goes_but_what_a_rule_names(manifest: Manifest) -> None:
    found = subject(manifest)
    assert found.type
    about = [rule for rule in BUILT_IN if rule.match.type_matches(found.type)]
    named = [pointer for rule in about for path in rule.remove for pointer, _ in paths.find(manifest, path)]
    cleaned = clean(manifest)
    before, after = Counter(leaves(manifest).values()), Counter(leaves(cleaned.manifest).values())
    may_go = Counter(leaf for pointer, leaf in leaves(manifest).items() if is_below(pointer, named))
    assert before - after <= may_go
    assert all(leaf.endswith(("{}", "[]")) for leaf in after - before)  # what became empty and stays
    assert set(cleaned.removed) <= {rule.name for rule in about}


def leaves(value: Any, at: str = "") -> dict[str, str]:
    """Return each leaf of `value`, empty ones included: its pointer, and its place without indexes and its value."""
    if isinstance(value, dict | list) and value:
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            pointer: leaf
            for key, part in parts
            for pointer, leaf in leaves(part, f"{at}/{paths.pointer_token(key)}").items()
        }
    return {at: f"{re.sub('/[0-9]+(?=/|$)', '/*', at)}={value!r}"}


def is_below(pointer: str, above: list[str]) -> bool:
    return any(pointer == place or pointer.startswith(f"{place}/") for place in above)


def test_how_many_deployments_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    raw = deployment()
    cleaner = Cleaner()
    found = subject(raw)
    cleaner.clean(found)
    started = time.process_time()
    for _ in range(500):
        cleaner.clean(found)
    rate = 500 / (time.process_time() - started)
    with capsys.disabled():
        print(f"\ncleaning: {rate:,.0f} Deployments a second of one core")


def deployment() -> Manifest:
    """A Deployment of ordinary size, as an API server gives it."""
    container = {
        "image": "registry.example.com/web:1",
        "env": [{"name": f"NAME_{index}", "value": "value"} for index in range(20)],
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "terminationMessagePath": "/dev/termination-log",
    }
    fields: dict[str, Any] = {
        f"f:{name}": {".": {}, **{f"f:{index}": {} for index in range(20)}} for name in ("a", "b", "c", "d")
    }
    entry = {"manager": "kubectl", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "1",
            "resourceVersion": "2",
            "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {f"example.com/{index}": "x" for index in range(6)},
            "annotations": {"deployment.kubernetes.io/revision": "4", "example.com/note": "x"},
            "managedFields": [entry, entry],
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"creationTimestamp": None, "labels": {"app": "web"}},
                "spec": {
                    "containers": [{**container, "name": name} for name in ("web", "proxy")],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
        },
        "status": {"replicas": 2, "conditions": [{"type": "Available", "status": "True"}] * 2},
    }
