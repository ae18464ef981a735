"""One grammar for "these objects" on both sides, with the meaning that the API server itself gives to selectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from drsyncer import selectors
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import bare_repository
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.written import custom, custom_type, service, with_annotations, with_labels

Shop = tuple[ControlPlane, Path]


@pytest.fixture(scope="module")
def shop(_pair: tuple[ControlPlane, ControlPlane], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Three namespaces of mixed content in the source cluster, and a recovery point of all of it."""
    source, folder = _pair[0], tmp_path_factory.mktemp("select")
    for cluster in _pair:  # DR would remember what an import before this one brought
        cluster.reset()
    source.apply(
        [
            namespace("shop", tier="gold"),
            namespace("shop-lab", tier="bronze"),
            namespace("pay", tier="gold", team="pay"),
            custom_type("services", kind="Service", group="knative.example.com"),
            with_labels(configmap("shop", "app"), {"app": "web", "tier": "gold"}),
            with_labels(configmap("shop", "tmp-1"), {"app": "web", "canary": ""}),
            with_annotations(configmap("shop", "noted"), {"example.com/backup": "daily"}),
            with_labels(configmap("shop-lab", "app"), {"app": "api", "weight": "7"}),
            configmap("pay", "app"),
            deployment("shop", "web"),
            service("shop", "web"),
        ]
    )
    source.wait_for(lambda: ("knative.example.com/v1", "Service") in source.api.kinds(), what="the type to be served")
    source.apply([custom("shop", "fn", kind="Service", group="knative.example.com")])
    recovery = Recovery(remote=bare_repository(folder / "recovery.git"), folder=folder)
    recovery.export(source)
    yield source, recovery.remote
    source.reset()


APP, TMP, NOTED = "shop/configmaps/app", "shop/configmaps/tmp-1", "shop/configmaps/noted"
LAB, PAY = "shop-lab/configmaps/app", "pay/configmaps/app"
WEB, SERVICE, FUNCTION = "shop/deployments.apps/web", "shop/services/web", "shop/services.knative.example.com/fn"
CONFIG = {APP, TMP, NOTED, LAB, PAY}

RULES: list[tuple[dict[str, Any], set[str]]] = [
    ({"types": ["deployments.apps"]}, {WEB}),
    ({"types": ["Deployment"]}, {WEB}),
    ({"types": ["deploy"]}, {WEB}),
    ({"types": ["Deployment.apps", "svc"]}, {WEB, SERVICE}),
    ({"types": ["services"]}, {SERVICE}),  # a word of Kubernetes' own means that type only
    ({"types": ["*.knative.example.com"]}, {FUNCTION}),
    ({"types": ["services*"]}, {SERVICE, FUNCTION}),
    ({"types": ["config?aps"]}, CONFIG),
    ({"types": ["cm"], "namespaces": ["shop"]}, {APP, TMP, NOTED}),
    ({"types": ["cm"], "namespaces": ["shop-*", "pay"]}, {LAB, PAY}),
    ({"types": ["cm"], "namespaceLabels": "tier=gold"}, {APP, TMP, NOTED, PAY}),
    ({"types": ["cm"], "namespaceLabels": "tier=gold,!team"}, {APP, TMP, NOTED}),
    ({"types": ["cm"], "names": ["app"]}, {APP, LAB, PAY}),
    ({"types": ["cm"], "names": ["tmp-*", "no*"]}, {TMP, NOTED}),
    ({"types": ["cm"], "labels": "app"}, {APP, TMP, LAB}),
    ({"types": ["cm"], "labels": "app=web,!canary"}, {APP}),
    ({"types": ["cm"], "labels": "app in (web,api),tier notin (gold)"}, {TMP, LAB}),
    ({"types": ["cm"], "labels": "app!=web"}, {NOTED, LAB, PAY}),
    ({"types": ["cm"], "annotations": {"example.com/backup": "*"}}, {NOTED}),
    ({"types": ["cm"], "annotations": {"example.com/backup": "week*"}}, set()),
    (
        {"types": ["cm"], "namespaces": ["shop*"], "names": ["app"], "labels": "app=web", "namespaceLabels": "tier"},
        {APP},
    ),
]
IDS = [" ".join(f"{key}={value}" for key, value in rule.items()) for rule, _ in RULES]
OURS = {*CONFIG, WEB, SERVICE, FUNCTION}


@pytest.mark.parametrize(("rule", "wanted"), RULES, ids=IDS)
def test_a_rule_means_the_same_for_an_export_and_an_import(
    rule: dict[str, Any], wanted: set[str], shop: Shop, dr: ControlPlane, tmp_path: Path
) -> None:
    source, remote = shop
    elsewhere = Recovery(remote=bare_repository(tmp_path / "new.git"), folder=tmp_path / "new")

    exported = elsewhere.export(source, dry_run=True, config={"select": {"include": [rule]}})
    assert {str(change.ref) for change in exported.changes} & OURS == wanted
    left = elsewhere.export(source, dry_run=True, config={"select": {"exclude": [rule]}})
    assert {str(change.ref) for change in left.changes} & OURS == OURS - wanted

    there = Recovery(remote=remote, folder=tmp_path)
    for side, expected in (("include", wanted), ("exclude", OURS - wanted)):
        plan = there.import_into(dr, plan_only=True, config={"select": {side: [rule]}})
        assert {str(result.step.ref) for result in plan.results} & OURS == expected
        # A rule that nothing matches is named, on both sides.
        idle = [line for line in plan.warnings if "decided nothing" in line]
        assert bool(idle) is not bool(wanted)
    assert bool([line for line in left.warnings if "decided nothing" in line]) is not bool(wanted)


SELECTORS = [
    *("", "app", "!app", "app=web", "app==web", "app!=web", "app = web , tier", "tier,!canary", "canary="),
    *("app in (web)", "app in (web,api)", "app notin (web)", "app notin (web,api),app", "canary in ()", "weight>5"),
    *("weight<5", "weight>6,weight<8", "tier notin (),app", "app in (web, api ),!tier", "kubernetes.io/x", "a.b/c!=d"),
]


@pytest.mark.parametrize("text", SELECTORS)
def test_a_label_selector_means_what_the_api_server_makes_of_it(text: str, shop: Shop) -> None:
    source, _ = shop
    everything = source.list("/api/v1/configmaps")
    asked = source.list(f"/api/v1/configmaps?labelSelector={quote(text)}")

    selector = selectors.parse(text)
    ours = {_name(found) for found in everything if selector.matches(found["metadata"].get("labels", {}))}
    assert ours == {_name(found) for found in asked}


@pytest.mark.parametrize(
    "text", ["app in", "app in web", "=x", "app=a=b", "!", "a,,b", "app in (a", "/x", "a=b c", "a>b"]
)
def test_what_the_api_server_refuses_is_refused(text: str, shop: Shop) -> None:
    source, _ = shop
    refusal = source.kubectl("get", "--raw", f"/api/v1/configmaps?labelSelector={quote(text)}", check=False)
    assert refusal.returncode != 0
    with pytest.raises(ValueError, match="label selector"):
        selectors.parse(text)


def _name(found: dict[str, Any]) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"
