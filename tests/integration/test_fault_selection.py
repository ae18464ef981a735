"""What may not, or cannot, be looked at is incomplete or unknown, never gone: selection, permissions, lost types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from drsyncer.errors import ClusterError, ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.recovery import Recovery, actions, changed, configmap, namespace
from tests.integration.written import PARENT, api_service, custom, custom_type, service, write

MakeProxy = Callable[[ControlPlane], FaultProxy]
KINDS = "applyset.kubernetes.io/contains-group-kinds"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
WIDGET = "/apis/example.com/v1/namespaces/shop/widgets/one"


@contextmanager
def dead_group(cluster: ControlPlane) -> Iterator[None]:
    """A group of an aggregated API whose server is down: nobody can say which types it has."""
    group, path = "dead.example.com", "/apis/apiregistration.k8s.io/v1/apiservices/v1.dead.example.com"
    cluster.apply([service("shop", "dead"), api_service("v1", group, service=("shop", "dead"))])
    cluster.wait_for(lambda: _stale(cluster), what="the API to show as stale")
    try:
        yield
    finally:
        cluster.delete(path)
        cluster.wait_for(lambda: not _stale(cluster), what="the API to be gone from discovery")


def _stale(cluster: ControlPlane) -> bool:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = cluster.api.request("GET", "/apis", accept=accept)["items"]
    return any(version.get("freshness") == "Stale" for group in groups for version in group["versions"])


def including(*types: str, **more: Any) -> dict[str, Any]:
    return {"select": {"include": [{"types": ["configmaps"]}, {"types": list(types), **more}]}}


@pytest.mark.parametrize(
    "word", ["things.dead.example.com", "Thing.dead.example.com", "*.dead.example.com", "things.*", "things", "th*"]
)
def test_a_group_that_an_include_may_be_about_makes_the_export_incomplete(
    word: str, clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app")])
    with dead_group(clean_source):
        outcome = recovery.export(clean_source, config=including(word))

    assert outcome.exit_code is ExitCode.PARTIAL
    assert list(outcome.incomplete) == ["dead.example.com/v1"]
    assert "created shop/configmaps/app" in changed(outcome)


@pytest.mark.parametrize("word", ["deployments.apps", "secrets", "*.other.example.com"])
def test_a_group_that_no_include_can_be_about_is_missed_by_nobody(
    word: str, clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app")])
    with dead_group(clean_source):
        outcome = recovery.export(clean_source, config=including(word))

    assert (outcome.exit_code, outcome.incomplete) == (ExitCode.DONE, {})


BY_LABEL = {"select": {"include": [{"types": ["*"], "namespaceLabels": "tier=gold"}]}}
BUT_LABEL = {"select": {"exclude": [{"namespaceLabels": "tier=bronze"}]}}


@pytest.mark.parametrize("rules", [BY_LABEL, BUT_LABEL], ids=["include", "exclude"])
@pytest.mark.parametrize("status", [403, 500])
def test_rules_about_namespace_labels_stop_an_export_that_cannot_read_namespaces(
    status: int, rules: dict[str, Any], clean_source: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    clean_source.apply([namespace("shop", tier="gold"), namespace("lab", tier="bronze")])
    clean_source.apply([configmap("shop", "app"), configmap("lab", "app")])
    recovery.export(clean_source, config=rules)
    before = recovery.head()
    assert "namespaces/shop/configmaps/app.yaml" in recovery.paths()
    assert "namespaces/lab/configmaps/app.yaml" not in recovery.paths()
    proxy = fault_proxy(clean_source)
    proxy.status(status, path=r"^/api/v1/namespaces\?", times=None)

    with pytest.raises(ClusterError, match="rules ask for the labels of namespaces, which cannot be read") as raised:
        recovery.export(clean_source, kubeconfig=proxy.kubeconfig, config=rules)

    assert "Grant `list` on namespaces" in raised.value.hint
    assert recovery.head() == before
    # Without such rules only the namespaces themselves are unknown.
    without = recovery.export(clean_source, kubeconfig=proxy.kubeconfig)
    assert list(without.incomplete) == ["namespaces"]
    assert not [change for change in changed(without) if change.startswith("deleted")]


def test_rules_about_namespace_labels_need_the_labels_of_every_namespace_that_is_read(
    clean_source: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    clean_source.apply([namespace("shop", tier="gold"), namespace("pay", tier="gold")])
    clean_source.apply([configmap("shop", "app"), configmap("pay", "app")])
    rules = {
        "select": {"include": [{"namespaces": ["shop"]}, {"types": ["configmaps"], "namespaceLabels": "tier=gold"}]}
    }
    recovery.export(clean_source, config=rules)
    assert "namespaces/pay/configmaps/app.yaml" in recovery.paths()
    proxy = fault_proxy(clean_source)
    proxy.status(403, path=r"^/api/v1/namespaces\?", times=None)

    # ConfigMaps can be listed everywhere, but of the namespaces only the one that is named can be read.
    with pytest.raises(ClusterError, match="may be listed only in shop"):
        recovery.export(clean_source, kubeconfig=proxy.kubeconfig, config=rules)

    # Where nothing else is asked for, the named ones will do.
    confined = {"select": {"include": [{"namespaces": ["shop"], "namespaceLabels": "tier=gold"}]}}
    outcome = recovery.export(clean_source, kubeconfig=proxy.kubeconfig, config=confined, confirmed=True)
    assert outcome.incomplete == {}
    assert "namespaces/shop/configmaps/app.yaml" in recovery.paths()


def stop_serving(cluster: ControlPlane, *, served: bool = False) -> None:
    """Take a type out of the API, or bring it back; its objects stay in the store."""
    cluster.patch(CRD, [{"op": "replace", "path": "/spec/versions/0/served", "value": served}], content_type=JSON_PATCH)
    cluster.wait_for(lambda: (("example.com/v1", "Widget") in cluster.api.kinds()) is served, what="the type to change")


JSON_PATCH = "application/json-patch+json"


@pytest.fixture
def with_a_widget(clean_dr: ControlPlane, recovery: Recovery) -> Recovery:
    """A widget imported into a DR cluster that brings the type itself; then Git drops it."""
    clean_dr.apply([custom_type()])
    clean_dr.wait_for(lambda: ("example.com/v1", "Widget") in clean_dr.api.kinds(), what="widgets to be served")
    kept = [namespace("shop"), *(configmap("shop", f"n{number}") for number in range(4))]
    write(recovery, *kept, custom("shop", "one"))
    recovery.import_into(clean_dr)
    assert clean_dr.exists(WIDGET)
    write(recovery, gone=[custom("shop", "one")])
    return recovery


def test_members_of_a_type_that_dr_does_not_serve_are_looked_for_when_it_does_again(
    with_a_widget: Recovery, clean_dr: ControlPlane
) -> None:
    stop_serving(clean_dr)
    outcome = with_a_widget.import_into(clean_dr)
    assert (outcome.exit_code, actions(outcome)) == (ExitCode.DONE, {})
    assert "Widget.example.com" in clean_dr.get(PARENT)["metadata"]["annotations"][KINDS]

    stop_serving(clean_dr, served=True)
    assert clean_dr.exists(WIDGET)
    after = with_a_widget.import_into(clean_dr)

    assert actions(after) == {"shop/widgets.example.com/one": Action.PRUNE}
    assert not clean_dr.exists(WIDGET)
    assert "Widget.example.com" not in clean_dr.get(PARENT)["metadata"]["annotations"][KINDS]


def test_a_lost_type_is_unknown_while_a_part_of_drs_api_is_silent(
    with_a_widget: Recovery, clean_dr: ControlPlane
) -> None:
    with dead_group(clean_dr):
        stop_serving(clean_dr)
        outcome = with_a_widget.import_into(clean_dr)

        assert outcome.exit_code is ExitCode.PARTIAL
        assert outcome.unknown == {
            "Widget.example.com": "DR does not serve it now, and a part of its API does not answer"
        }
        assert Action.PRUNE not in actions(outcome).values()
        assert "Widget.example.com" in clean_dr.get(PARENT)["metadata"]["annotations"][KINDS]
        stop_serving(clean_dr, served=True)


def test_an_import_rule_that_decides_nothing_is_reported_every_time(clean_dr: ControlPlane, recovery: Recovery) -> None:
    rules = {"select": {"exclude": [{"names": ["app"]}, {"names": ["nobody-*"]}]}}
    write(recovery, namespace("shop"), configmap("shop", "app"), configmap("shop", "other"))

    for _ in range(2):
        warnings = recovery.import_into(clean_dr, config=rules).warnings
        assert [line for line in warnings if "decided nothing" in line] == [
            "importer.select.exclude[1] (names nobody-*) decided nothing"
        ]
    # One namespace tells nothing about rules for others.
    assert "decided nothing" not in str(recovery.import_into(clean_dr, config=rules, only=("shop",)).warnings)


def test_an_import_judges_nothing_by_namespace_labels_that_it_cannot_read(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    rules = {"select": {"exclude": [{"namespaceLabels": "tier=bronze"}]}}
    write(recovery, namespace("shop", tier="gold"), namespace("lab", tier="bronze"))
    write(recovery, configmap("shop", "app"), configmap("lab", "app"))
    recovery.commit({"cluster/namespaces/lab.yaml": "kind: [\n"})

    outcome = recovery.import_into(clean_dr, config=rules)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert actions(outcome)["lab/configmaps/app"] is Action.BLOCKED
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/app")
    assert not clean_dr.exists("/api/v1/namespaces/lab/configmaps/app")
