"""What an API server serves: aggregated discovery, and the paths of its objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.cluster import discovery, urls
from drsyncer.cluster.discovery import Discovery
from drsyncer.manifest import ResourceType


def resource(plural: str, kind: str, *, scope: str = "Namespaced", **more: Any) -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": scope,
        "singularResource": kind.lower(),
        "verbs": ["get", "list", "watch"],
        **more,
    }


def group(name: str, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metadata": {"name": name} if name else {},
        "versions": [
            {"version": version, "freshness": "Current", "resources": found} for version, found in versions.items()
        ],
    }


def parse(*groups: dict[str, Any]) -> Discovery:
    return discovery.parse([{"items": list(groups)}])


def test_the_preferred_version_is_the_first_one_that_serves_the_type() -> None:
    found = parse(
        group(
            "example.com",
            v2=[resource("widgets", "Widget")],
            v1=[resource("widgets", "Widget"), resource("gadgets", "Gadget")],
        )
    )

    assert [type_.api_version for type_ in found.preferred()] == ["example.com/v1", "example.com/v2"]
    assert [type_.key for type_ in found.preferred()] == ["gadgets.example.com", "widgets.example.com"]
    assert found.get("widgets.example.com") == found.get("widgets.example.com", "v2")
    assert (older := found.get("widgets.example.com", "v1")) is not None
    assert older.version == "v1"
    assert found.get("widgets.example.com", "v3") is None
    assert found.get("nothing.example.com") is None


def test_a_type_keeps_what_others_ask_of_it() -> None:
    described = resource(
        "deployments",
        "Deployment",
        shortNames=["deploy"],
        subresources=[{"subresource": "scale", "verbs": ["get"]}, {"subresource": "status", "verbs": ["get"]}],
    )
    type_ = parse(group("apps", v1=[described])).get("deployments.apps")

    assert type_ == ResourceType(
        group="apps",
        version="v1",
        plural="deployments",
        kind="Deployment",
        namespaced=True,
        verbs=frozenset({"get", "list", "watch"}),
        short_names=("deploy",),
        singular="deployment",
        subresources=frozenset({"scale", "status"}),
    )


def test_core_and_groups_come_from_two_documents() -> None:
    found = discovery.parse(
        [
            {"items": [group("", v1=[resource("nodes", "Node", scope="Cluster")])]},
            {"items": [group("apps", v1=[resource("deployments", "Deployment")])]},
        ]
    )

    assert set(found.served) == {"nodes", "deployments.apps"}
    node = found.get("nodes")
    assert node is not None
    assert (node.api_version, node.namespaced) == ("v1", False)


def test_a_group_that_does_not_answer_is_named() -> None:
    stale = {
        "metadata": {"name": "metrics.k8s.io"},
        "versions": [{"version": "v1beta1", "freshness": "Stale"}],
    }
    found = parse(stale, group("apps", v1=[resource("deployments", "Deployment")]))

    assert list(found.failing) == ["metrics.k8s.io/v1beta1"]
    assert "does not answer" in found.failing_group("metrics.k8s.io")
    assert found.failing_group("apps") == ""
    assert found.failing_group("k8s.io") == ""


def test_a_type_that_serves_no_objects_has_no_kind() -> None:
    odd = {"resource": "tokenreviews", "scope": "Cluster", "verbs": ["create"], "responseKind": None}
    type_ = parse(group("authentication.k8s.io", v1=[odd])).get("tokenreviews.authentication.k8s.io")

    assert type_ is not None
    assert type_.kind == ""
    assert type_.verbs == {"create"}


@pytest.mark.parametrize("empty", [{}, {"items": None}, {"items": [{}]}, {"items": [{"metadata": None}]}])
def test_an_empty_document_serves_nothing(empty: dict[str, Any]) -> None:
    assert discovery.parse([empty]) == Discovery({}, {})


SHARED = parse(
    group("", v1=[resource("services", "Service", shortNames=["svc"])]),
    group("serving.example.com", v1=[resource("services", "Service", shortNames=["ksvc"])]),
    group("apps", v1=[resource("deployments", "Deployment", shortNames=["deploy"])]),
    group("a.example.com", v1=[resource("routes", "Route")]),
    group("b.example.com", v1=[resource("routes", "Route")]),
)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("services", ["services"]),  # an exact plural.group wins alone
        ("services.serving.example.com", ["services.serving.example.com"]),
        ("Service", ["services"]),  # a word of Kubernetes' own means that type
        ("Service.serving.example.com", ["services.serving.example.com"]),
        ("route", ["routes.a.example.com", "routes.b.example.com"]),
        ("svc", ["services"]),
        ("ksvc", ["services.serving.example.com"]),
        ("deployments", ["deployments.apps"]),
        ("DEPLOYMENT", ["deployments.apps"]),
        ("deploy", ["deployments.apps"]),
        ("nothing", []),
    ],
)
def test_what_a_person_may_mean(word: str, expected: list[str]) -> None:
    assert [type_.key for type_ in SHARED.find(word)] == expected


CORE = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
ROLES = ResourceType("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)


@pytest.mark.parametrize(
    ("type_", "namespace", "name", "path"),
    [
        (CORE, "", "", "/api/v1/configmaps"),
        (CORE, "shop", "", "/api/v1/namespaces/shop/configmaps"),
        (CORE, "shop", "app", "/api/v1/namespaces/shop/configmaps/app"),
        (ROLES, "", "", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        (ROLES, "shop", "admin", "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin"),
        (ROLES, "", "system:a b?#c", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa%20b%3F%23c"),
        (ROLES, "", "straße", "/apis/rbac.authorization.k8s.io/v1/clusterroles/stra%C3%9Fe"),
    ],
)
def test_the_path_of_a_type_or_object(type_: ResourceType, namespace: str, name: str, path: str) -> None:
    assert urls.path_of(type_, namespace=namespace, name=name) == path


def test_the_path_of_a_subresource() -> None:
    deployments = ResourceType("apps", "v1", "deployments", "Deployment", namespaced=True)
    path = urls.path_of(deployments, namespace="shop", name="web", subresource="scale")
    assert path == "/apis/apps/v1/namespaces/shop/deployments/web/scale"


@given(st.text(min_size=1).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)))
def test_no_name_leaves_its_place_in_the_path(name: str) -> None:
    path = urls.path_of(ROLES, namespace="", name=name)
    assert path.count("/") == 5
    assert not set("?#& \n") & set(path)


def test_empty_values_stay_out_of_the_query() -> None:
    assert urls.with_query("/api/v1/pods", {"limit": "500", "continue": ""}) == "/api/v1/pods?limit=500"
    assert urls.with_query("/api/v1/pods", {"continue": ""}) == "/api/v1/pods"
    assert urls.with_query("/x", {"labelSelector": "a!=b,c"}) == "/x?labelSelector=a%21%3Db%2Cc"
