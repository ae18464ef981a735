"""The namespace map: what moves, what follows, and what is only reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from transforms.namespaces import map_namespaces, merged, target_ref
from transforms.settings import Settings, Subject, TransformFailed, namespace_map

MAP = {"shop": "shop-dr", "team-*": "dr-team-*", "team-red-*": "red-*", "*-tmp": "tmp"}
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
GATEWAY = "gateway.networking.k8s.io"


def mapped(type_key, manifest, *, entries=MAP, namespace="", known=()):
    if namespace:
        manifest = {**manifest, "metadata": {"name": "x", "namespace": namespace, **manifest.get("metadata", {})}}
    name = manifest.get("metadata", {}).get("name", "x")
    subject = Subject(
        ObjectRef(type_key, namespace, name), Settings(namespaces=entries), known_namespaces=frozenset(known)
    )
    return map_namespaces(manifest, subject)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("shop", "shop-dr"),
        ("team-a", "dr-team-a"),
        ("team-red-x", "red-x"),
        ("team-a-tmp", "dr-team-a-tmp"),
        ("x-tmp", "tmp"),
        ("shop-dr", "shop-dr"),
        ("${pvc.namespace}", "${pvc.namespace}"),
        ("other", "other"),
    ],
)
def test_exact_beats_pattern_and_the_longest_prefix_wins(source, target):
    assert namespace_map(MAP).target(source) == target


@given(st.permutations(list(MAP.items())), st.sampled_from(["shop", "team-a", "team-red-x", "team-red-tmp", "z-tmp"]))
def test_the_order_of_the_configuration_never_matters(entries, name):
    assert namespace_map(dict(entries)).target(name) == namespace_map(MAP).target(name)


def test_the_map_is_not_chained():
    assert (
        mapped("configmaps", {}, entries={"a": "b", "b": "c"}, namespace="a").manifest["metadata"]["namespace"] == "b"
    )


def test_a_star_alone_leaves_class_parameters_that_are_no_names():
    manifest = {
        "metadata": {"name": "x"},
        "parameters": {"csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}"},
    }

    assert mapped("storageclasses.storage.k8s.io", manifest, entries={"*": "dr-*"}).manifest is manifest


def test_a_namespace_takes_its_new_name_and_label():
    manifest = {"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop", "tier": "1"}}}

    result = mapped("namespaces", manifest)

    assert result.manifest["metadata"] == {
        "name": "shop-dr",
        "labels": {"kubernetes.io/metadata.name": "shop-dr", "tier": "1"},
    }
    assert result.applied == (
        "/metadata/name shop -> shop-dr",
        "/metadata/labels/kubernetes.io~1metadata.name shop -> shop-dr",
    )
    assert target_ref(ObjectRef("namespaces", "", "shop"), namespace_map(MAP)).name == "shop-dr"


@pytest.mark.parametrize("known", [("shop", "store"), ("shop", "market")])
def test_namespaces_that_become_one_are_noted(known):
    entries = {"shop": "market", "store": "market"}

    result = mapped("namespaces", {"metadata": {"name": "shop"}}, entries=entries, known=known)

    assert result.manifest["metadata"]["name"] == "market"
    assert result.notes == (f"market in DR takes in {known[1]} too: objects with the same type and name collide",)
    assert merged(namespace_map(entries), known) == {"market": tuple(sorted(known))}


# Every row: type, what surrounds the reference (a function of the value), before, after.
REFERENCES = {
    "service account subject": (
        f"rolebindings.{RBAC}",
        lambda ns: {"subjects": [{"kind": "ServiceAccount", "name": "shop", "namespace": ns}]},
    ),
    "user subject": (
        f"clusterrolebindings.{RBAC}",
        lambda ns: {"subjects": [{"kind": "User", "name": f"system:serviceaccount:{ns}:shop"}]},
    ),
    "group subject": (
        f"clusterrolebindings.{RBAC}",
        lambda ns: {"subjects": [{"kind": "Group", "name": f"system:serviceaccounts:{ns}"}]},
    ),
    "flow schema": (
        "flowschemas.flowcontrol.apiserver.k8s.io",
        lambda ns: {"spec": {"rules": [{"subjects": [{"serviceAccount": {"name": "a", "namespace": ns}}]}]}},
    ),
    "flow schema user": (
        "flowschemas.flowcontrol.apiserver.k8s.io",
        lambda ns: {"spec": {"rules": [{"subjects": [{"user": {"name": f"system:serviceaccount:{ns}:a"}}]}]}},
    ),
    "security context constraints": (
        "securitycontextconstraints.security.openshift.io",
        lambda ns: {"users": ["admin", f"system:serviceaccount:{ns}:a"], "groups": [f"system:serviceaccounts:{ns}"]},
    ),
    "claimRef": ("persistentvolumes", lambda ns: {"spec": {"claimRef": {"namespace": ns, "name": "data"}}}),
    "CSI secret": (
        "persistentvolumes",
        lambda ns: {"spec": {"csi": {"nodeStageSecretRef": {"namespace": ns, "name": "s"}}}},
    ),
    "class parameters": (
        "storageclasses.storage.k8s.io",
        lambda ns: {"parameters": {"csi.storage.k8s.io/provisioner-secret-namespace": ns, "namespace": "shop"}},
    ),
    "webhook": (
        f"validatingwebhookconfigurations.{ADMISSION}",
        lambda ns: {"webhooks": [{"clientConfig": {"service": {"namespace": ns, "name": "hook"}}}]},
    ),
    "webhook selector": (
        f"mutatingwebhookconfigurations.{ADMISSION}",
        lambda ns: {"webhooks": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}}]},
    ),
    "policy": (
        f"validatingadmissionpolicies.{ADMISSION}",
        lambda ns: {
            "spec": {"matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}}}
        },
    ),
    "policy binding": (
        f"validatingadmissionpolicybindings.{ADMISSION}",
        lambda ns: {
            "spec": {
                "paramRef": {"namespace": ns, "name": "p"},
                "matchResources": {
                    "namespaceSelector": {
                        "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": [ns]}]
                    }
                },
            }
        },
    ),
    "network policy": (
        "networkpolicies.networking.k8s.io",
        lambda ns: {
            "spec": {
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}}]}]
            }
        },
    ),
    "aggregated API": ("apiservices.apiregistration.k8s.io", lambda ns: {"spec": {"service": {"namespace": ns}}}),
    "conversion webhook": (
        "customresourcedefinitions.apiextensions.k8s.io",
        lambda ns: {"spec": {"conversion": {"webhook": {"clientConfig": {"service": {"namespace": ns}}}}}},
    ),
    "gateway certificate": (
        f"gateways.{GATEWAY}",
        lambda ns: {"spec": {"listeners": [{"tls": {"certificateRefs": [{"name": "c", "namespace": ns}]}}]}},
    ),
    "route": (
        f"httproutes.{GATEWAY}",
        lambda ns: {
            "spec": {
                "parentRefs": [{"name": "g", "namespace": ns}],
                "rules": [{"backendRefs": [{"name": "b", "namespace": ns}]}],
            }
        },
    ),
    "grant": (f"referencegrants.{GATEWAY}", lambda ns: {"spec": {"from": [{"kind": "HTTPRoute", "namespace": ns}]}}),
    "CA injection": (
        "apiservices.apiregistration.k8s.io",
        lambda ns: {"metadata": {"name": "x", "annotations": {"cert-manager.io/inject-ca-from": f"{ns}/cert"}}},
    ),
    "data source": (
        "persistentvolumeclaims",
        lambda ns: {"spec": {"dataSourceRef": {"kind": "VolumeSnapshot", "name": "s", "namespace": ns}}},
    ),
    "template's data source": (
        "statefulsets.apps",
        lambda ns: {"spec": {"volumeClaimTemplates": [{"spec": {"dataSourceRef": {"name": "s", "namespace": ns}}}]}},
    ),
    "pod affinity": (
        "deployments.apps",
        lambda ns: {
            "spec": {
                "template": {
                    "spec": {
                        "affinity": {
                            "podAntiAffinity": {
                                "requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": [ns]}],
                                "preferredDuringSchedulingIgnoredDuringExecution": [
                                    {"podAffinityTerm": {"namespaces": ["kept", ns]}}
                                ],
                            }
                        }
                    }
                }
            }
        },
    ),
    "ingress class": (
        "ingressclasses.networking.k8s.io",
        lambda ns: {"spec": {"parameters": {"scope": "Namespace", "name": "p", "namespace": ns}}},
    ),
    "ingress authentication": (
        "ingresses.networking.k8s.io",
        lambda ns: {
            "metadata": {"name": "x", "annotations": {"nginx.ingress.kubernetes.io/auth-tls-secret": f"{ns}/ca"}}
        },
    ),
    "driver's own parameters": ("storageclasses.storage.k8s.io", lambda ns: {"parameters": {"secretNamespace": ns}}),
    "cluster-wide policy": (
        "adminnetworkpolicies.policy.networking.k8s.io",
        lambda ns: {
            "spec": {
                "subject": {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": ns}}},
                "egress": [
                    {"to": [{"pods": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}}}]}
                ],
            }
        },
    ),
    "listener set": (
        f"listenersets.{GATEWAY}",
        lambda ns: {"spec": {"parentRef": {"name": "g", "namespace": ns}}},
    ),
    "service monitor": (
        "servicemonitors.monitoring.coreos.com",
        lambda ns: {"spec": {"namespaceSelector": {"matchNames": [ns, "kept"]}}},
    ),
}


@pytest.mark.parametrize("case", REFERENCES.values(), ids=REFERENCES)
def test_a_reference_follows_and_what_is_not_mapped_stays(case):
    type_key, around = case

    assert mapped(type_key, around("shop")).manifest == around("shop-dr")
    assert mapped(type_key, around("shop")).notes == ()
    untouched = around("other")
    assert mapped(type_key, untouched).manifest is untouched


def test_selected_names_that_become_one_are_listed_once():
    expression = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a-tmp", "b-tmp", "kept"]}
    other = {"key": "name", "operator": "In", "values": ["a-tmp"]}
    manifest = {"webhooks": [{"namespaceSelector": {"matchExpressions": [expression, other]}}]}

    result = mapped(f"validatingwebhookconfigurations.{ADMISSION}", manifest).manifest

    found = result["webhooks"][0]["namespaceSelector"]["matchExpressions"]
    assert found == [{**expression, "values": ["tmp", "kept"]}, other]


def test_a_name_that_grows_too_long_blocks_the_object():
    long = "team-" + "x" * 58

    with pytest.raises(TransformFailed, match=r"/metadata/namespace: .*63 characters"):
        mapped("configmaps", {}, namespace=long)


def test_a_manifest_that_contradicts_its_place_blocks_the_object():
    subject = Subject(ObjectRef("configmaps", "shop", "x"), Settings(namespaces=MAP))

    with pytest.raises(TransformFailed, match="expected 'shop'"):
        map_namespaces({"metadata": {"name": "x", "namespace": "kube-system"}}, subject)


def test_a_pattern_moves_only_references_to_what_the_recovery_point_holds():
    def allowed(ns):
        return {
            "spec": {"egress": [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}}]}]}
        }

    more = {"entries": {"*": "dr-*"}, "namespace": "shop", "known": ["shop", "pay"]}
    for name, target in (("pay", "dr-pay"), ("shop", "dr-shop"), ("kube-system", "kube-system")):
        done = mapped("networkpolicies.networking.k8s.io", allowed(name), **more).manifest
        assert (done["spec"], done["metadata"]["namespace"]) == (allowed(target)["spec"], "dr-shop")
    named = {**more, "entries": {"*": "dr-*", "kube-system": "dr-system"}}
    done = mapped("networkpolicies.networking.k8s.io", allowed("kube-system"), **named).manifest
    assert done["spec"] == allowed("dr-system")["spec"]
    assert mapped("widgets.example.com", {"spec": {"namespace": "kube-system"}}, **more).notes == ()


def test_malformed_subjects_block_the_object():
    with pytest.raises(TransformFailed, match="namespaces: /subjects: found a string, expected a list"):
        mapped(f"rolebindings.{RBAC}", {"subjects": "shop"})


def test_references_in_custom_resources_are_reported_and_stay():
    spec = {
        "secretRef": {"name": "s", "namespace": "shop"},
        "destination": {"server": "https://x", "namespace": "shop"},
        "targetNamespace": "shop",
        "watch": {"namespaces": ["other", "shop"]},
        "namespace": "other",
        "shop": "shop",
    }

    result = mapped("widgets.example.com", {"spec": spec}, namespace="shop")

    assert result.manifest["metadata"]["namespace"] == "shop-dr"
    assert result.manifest["spec"] == spec
    assert result.notes == tuple(
        f"/spec/{place} refers to shop, not rewritten: it is shop-dr in DR"
        for place in ("secretRef/namespace", "destination/namespace", "targetNamespace", "watch/namespaces/1")
    )


def test_a_cluster_roles_rule_follows_when_it_is_about_namespaces_alone():
    def roles(ns):
        return {"rules": [{"apiGroups": [""], "resources": ["namespaces", "namespaces/status"], "resourceNames": [ns]}]}

    assert mapped(f"clusterroles.{RBAC}", roles("shop")).manifest == roles("shop-dr")
    other = {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["shop"]}, {"verbs": ["get"]}]}
    assert mapped(f"clusterroles.{RBAC}", other).manifest is other


def test_a_swap_is_not_reported_as_left_over():
    manifest = {"spec": {"parentRefs": [{"name": "g", "namespace": "a"}]}}

    result = mapped(f"httproutes.{GATEWAY}", manifest, entries={"a": "b", "b": "a"}, namespace="b")

    assert result.manifest["spec"]["parentRefs"] == [{"name": "g", "namespace": "b"}]
    assert result.notes == ()
