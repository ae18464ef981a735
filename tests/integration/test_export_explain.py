"""`export --explain`: why an object of the source is in the recovery repository, or is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.written import custom, custom_type, service


@pytest.fixture
def shop(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply(
        [
            namespace("shop", tier="gold"),
            custom_type("services", kind="Service", group="knative.example.com"),
            configmap("shop", "tmp-1"),
            deployment("shop", "web"),
            service("shop", "web"),
        ]
    )
    clean_source.wait_for(lambda: ("knative.example.com/v1", "Service") in clean_source.api.kinds(), what="the type")
    clean_source.apply([custom("shop", "fn", kind="Service", group="knative.example.com")])
    return clean_source


def explained(
    recovery: Recovery, source: ControlPlane, name: str, *, user: str = "admin", **select: Any
) -> dict[str, Any]:
    """Return what `export --explain NAME -o json` says to `user`."""
    said = recovery.cli(
        "export",
        *("--explain", name, "-o", "json"),
        kubeconfig=source.kubeconfig_for(user),
        exporter={"select": select} if select else {},
    )
    assert said.returncode == ExitCode.DONE, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_an_object_that_is_in_shows_its_checks_file_and_cleaning(shop: ControlPlane, recovery: Recovery) -> None:
    shop.settle()
    found = explained(recovery, shop, "shop/deploy/web")

    assert (found["included"], found["path"]) == (True, "namespaces/shop/deployments.apps/web.yaml")
    checks = [check["check"] for check in found["checks"]]
    assert (checks[0], checks[-1]) == ("ignore", "include[0]")
    assert set(found["cleanedBy"]) == {"status", "server-metadata", "rollout-revision"}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("shop/configmaps/tmp-1", "exclude[0]"),
        ("shop/configmaps/kube-root-ca.crt", "cluster-ca"),
        ("shop/serviceaccounts/default", "default-service-account"),
        ("shop/endpoints/web", "service-endpoints"),
        ("default/services/kubernetes", "kubernetes-service"),
        ("clusterroles.rbac.authorization.k8s.io/system:node", "default-rbac"),
        ("priorityclasses/system-node-critical", "system-priority-classes"),
        ("flowschemas/exempt", "system-flow-control"),
        ("apiservices/v1.apps", "local-api-services"),
        ("servicecidrs/kubernetes", "ip-addresses"),
        ("namespaces/kube-system", "system-namespaces"),
    ],
)
def test_an_object_that_is_out_names_the_check(name: str, check: str, shop: ControlPlane, recovery: Recovery) -> None:
    found = explained(recovery, shop, name, exclude=[{"names": ["tmp-*"]}])
    assert (found["included"], found["leftOutBy"], found["checks"][-1]["check"]) == (False, check, check)


def test_a_word_means_here_what_it_means_in_a_rule(shop: ControlPlane, recovery: Recovery) -> None:
    # Kubernetes' own Service, although the cluster has another type that is called so.
    assert explained(recovery, shop, "shop/services/web")["object"] == "shop/services/web"
    assert explained(recovery, shop, "shop/Deployment.apps/web")["object"] == "shop/deployments.apps/web"
    knative = explained(recovery, shop, "shop/Service.knative.example.com/fn")
    assert knative["object"] == "shop/services.knative.example.com/fn"


def test_who_may_read_the_object_gets_an_answer(shop: ControlPlane, recovery: Recovery) -> None:
    shop.grant("limited", cluster_role="view", namespace="shop")

    found = explained(recovery, shop, "shop/deployments.apps/web", user="limited")

    assert found["included"]
    # A rule that asks for the labels of the namespace is judged by them: who may look into it may read it.
    by_label = {"include": [{"namespaceLabels": "tier=gold"}]}
    assert explained(recovery, shop, "shop/configmaps/tmp-1", user="limited", **by_label)["included"]
