"""Exports on a bad day of the source cluster: what cannot be read is named and kept, all the rest is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ClusterUnreachable, ExitCode, Forbidden, Refused, Unauthorized
from exporter.outcome import Outcome
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.recovery import Recovery, changed, configmap, deployment, namespace

MakeProxy = Callable[[ControlPlane], FaultProxy]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SECONDS = 20.0  # generous for a busy machine; one bad type must not cost minutes


def definition(*, stored: str, conversion: bool = True) -> dict[str, Any]:
    """A CRD of two served versions whose conversion webhook answers nobody."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [
        {"name": name, "served": True, "storage": name == stored, "schema": {"openAPIV3Schema": schema}}
        for name in ("v1", "v2")
    ]
    webhook = {
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "shop", "name": "nobody", "path": "/convert"}},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": versions,
            "conversion": webhook if conversion else {"strategy": "None"},
        },
    }


def widget(name: str, version: str) -> dict[str, Any]:
    return {
        "apiVersion": f"example.com/{version}",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"size": 1},
    }


@contextmanager
def converting_again(cluster: ControlPlane) -> Iterator[None]:
    """At the end of the block, let the type be listed again: else nobody could ever empty this cluster."""
    try:
        yield
    finally:
        conversion = {"spec": {"conversion": {"strategy": "None", "webhook": None}}}
        cluster.patch(f"{CRDS}/widgets.example.com", conversion)
        cluster.wait_for(lambda: _listable(cluster), what="widgets to be listed again")


def _taken(cluster: ControlPlane, manifest: dict[str, Any]) -> bool:
    """Apply an object; false while the API server still works by the old definition."""
    return cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(manifest), check=False).returncode == 0


def _listable(cluster: ControlPlane) -> bool:
    found = cluster.kubectl("get", "widgets.v1.example.com,widgets.v2.example.com", "-A", check=False)
    return found.returncode == 0


def test_a_type_with_a_dead_conversion_webhook_is_read_in_its_storage_version(
    clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), definition(stored="v1")])
    clean_source.wait_for(lambda: _taken(clean_source, widget("one", "v1")), what="the type to be served")
    with converting_again(clean_source):
        outcome = recovery.export(clean_source)

        assert (outcome.exit_code, outcome.incomplete) == (ExitCode.DONE, {})
        assert "apiVersion: example.com/v1\n" in recovery.file("namespaces/shop/widgets.example.com/one.yaml")
        assert recovery.export(clean_source).commit == ""


def test_a_type_that_no_version_can_list_is_incomplete_and_the_rest_is_done(
    clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), definition(stored="v1"), configmap("shop", "app")])
    clean_source.wait_for(lambda: _taken(clean_source, widget("one", "v1")), what="the type to be served")
    with converting_again(clean_source):
        recovery.export(clean_source)
        # One object stored in each version: no version can be listed without a conversion.
        clean_source.apply([definition(stored="v2"), configmap("shop", "app", colour="blue")])
        clean_source.wait_for(lambda: _taken(clean_source, widget("two", "v2")), what="v2 to be what is stored")

        outcome = recovery.export(clean_source)

        assert outcome.exit_code is ExitCode.PARTIAL
        assert list(outcome.incomplete) == ["widgets.example.com"]
        assert "conversion webhook" in outcome.incomplete["widgets.example.com"]
        assert changed(outcome) == [
            "updated customresourcedefinitions.apiextensions.k8s.io/widgets.example.com",
            "updated shop/configmaps/app",
        ]
        assert "namespaces/shop/widgets.example.com/one.yaml" in recovery.paths()
        assert outcome.seconds < SECONDS
        assert "incomplete" in recovery.git("log", "-1", "--format=%B", "main").lower()


def test_a_type_that_answers_500_for_ever_keeps_its_files_and_holds_up_nobody(
    clean_source: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    clean_source.apply(
        [
            namespace("shop"),
            *(configmap("shop", f"n{index}") for index in range(15)),
            deployment("shop", "web"),
            deployment("shop", "old"),
        ]
    )
    recovery.export(clean_source)
    clean_source.delete("/api/v1/namespaces/shop/configmaps/n0")
    clean_source.delete("/apis/apps/v1/namespaces/shop/deployments/old")
    clean_source.apply([configmap("shop", "n1", a="b"), deployment("shop", "web", replicas=5)])
    proxy = fault_proxy(clean_source)
    proxy.status(500, path=r"^/api/v1/configmaps", times=None)

    outcome = recovery.export(clean_source, kubeconfig=proxy.kubeconfig)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert list(outcome.incomplete) == ["configmaps"]
    assert changed(outcome) == ["deleted shop/deployments.apps/old", "updated shop/deployments.apps/web"]
    assert "namespaces/shop/configmaps/n0.yaml" in recovery.paths()
    assert outcome.seconds < SECONDS

    # The same when the list breaks off after its first page: what was seen of it counts for nothing.
    proxy.clear()
    proxy.status(500, path=r"^/api/v1/configmaps.*continue=.", times=None)
    again = recovery.export(clean_source, kubeconfig=proxy.kubeconfig, config={"pageSize": 10})
    assert (again.commit, list(again.incomplete)) == ("", ["configmaps"])

    # And once it can be listed, everything that happened meanwhile travels.
    whole = recovery.export(clean_source)
    assert whole.exit_code is ExitCode.DONE
    assert changed(whole) == ["deleted shop/configmaps/n0", "updated shop/configmaps/n1"]


def test_a_list_that_expires_in_the_middle_loses_and_doubles_nothing(
    clean_source: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    clean_source.apply([namespace("shop"), *(configmap("shop", f"n{index}") for index in range(45))])
    first = recovery.export(clean_source)
    tree = recovery.git("rev-parse", "main^{tree}")
    proxy = fault_proxy(clean_source)
    expired = proxy.status(410, path=r"^/api/v1/configmaps.*continue=.", skip=2, times=2, reason="Expired")
    # Not the list's own requests: with the lost connection they would use up all tries of one of them.
    throttled = proxy.status(429, path=r"^(?!/api/v1/configmaps)", skip=10, times=3, headers={"Retry-After": "0"})
    lost = proxy.cut(path=r"^/api/v1/configmaps", after=100, skip=1, times=1)

    outcome = recovery.export(clean_source, kubeconfig=proxy.kubeconfig, config={"pageSize": 10})

    assert (outcome.exit_code, outcome.commit, outcome.incomplete) == (ExitCode.DONE, "", {})
    assert (expired.hits, throttled.hits, lost.hits) == (2, 3, 1)
    assert outcome.unchanged == len(first.changes)
    assert recovery.git("rev-parse", "main^{tree}") == tree


def test_an_aggregated_api_that_is_down_keeps_its_files(clean_source: ControlPlane, recovery: Recovery) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app")])
    recovery.export(clean_source)
    # As if an export had read them when the API still answered.
    thing = "apiVersion: dead.example.com/v1\nkind: Thing\nmetadata:\n  name: one\n"
    recovery.commit({"cluster/things.dead.example.com/one.yaml": thing})
    service = {"metadata": {"name": "dead", "namespace": "shop"}, "spec": {"ports": [{"port": 443}]}}
    api_service = {
        "metadata": {"name": "v1.dead.example.com"},
        "spec": {
            "group": "dead.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": "dead", "namespace": "shop"},
        },
    }
    clean_source.apply(
        [
            {"apiVersion": "v1", "kind": "Service", **service},
            {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", **api_service},
        ]
    )
    clean_source.wait_for(lambda: "dead.example.com" in str(_stale(clean_source)), what="the API to show as stale")

    outcome = recovery.export(clean_source)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert list(outcome.incomplete) == ["dead.example.com/v1"]
    assert "created apiservices.apiregistration.k8s.io/v1.dead.example.com" in changed(outcome)
    assert "cluster/things.dead.example.com/one.yaml" in recovery.paths()
    assert outcome.seconds < SECONDS

    # When the API itself is taken away, so are its objects.
    clean_source.delete("/apis/apiregistration.k8s.io/v1/apiservices/v1.dead.example.com")
    clean_source.wait_for(lambda: not _stale(clean_source), what="the API to be gone from discovery")
    after = recovery.export(clean_source)
    assert after.exit_code is ExitCode.DONE
    assert changed(after) == [
        "deleted apiservices.apiregistration.k8s.io/v1.dead.example.com",
        "deleted things.dead.example.com/one",
    ]


def _stale(cluster: ControlPlane) -> list[str]:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = cluster.api.request("GET", "/apis", accept=accept)
    return [
        group["metadata"]["name"]
        for group in found["items"]
        for version in group["versions"]
        if version.get("freshness") == "Stale"
    ]


def test_a_user_of_one_namespace_exports_that_namespace(clean_source: ControlPlane, recovery: Recovery) -> None:
    clean_source.apply(
        [
            namespace("shop", tier="gold"),
            namespace("other"),
            configmap("shop", "app", a="b"),
            deployment("shop", "web"),
            configmap("other", "app", a="b"),
        ]
    )
    _let_read(clean_source, "limited", where="shop", groups=["*"], resources=["*"], verbs=["get", "list"])
    kubeconfig = clean_source.kubeconfig_for("limited")
    named = {"select": {"include": [{"types": ["*"], "namespaces": ["shop"]}]}}

    # Whose cluster is it? Without an answer nothing may be written.
    with pytest.raises(Forbidden, match="kube-system") as refused:
        recovery.export(clean_source, kubeconfig=kubeconfig, config=named)
    assert "namespace kube-system" in refused.value.hint
    assert recovery.head() == ""

    with readable_identity(clean_source, "limited"):
        _one_namespace(clean_source, recovery, kubeconfig, named)


def _one_namespace(clean_source: ControlPlane, recovery: Recovery, kubeconfig: Path, named: dict[str, Any]) -> None:
    outcome = recovery.export(clean_source, kubeconfig=kubeconfig, config=named)
    assert "namespaces/shop/configmaps/app.yaml" in recovery.paths()
    assert "namespaces/shop/deployments.apps/web.yaml" in recovery.paths()
    assert not [path for path in recovery.paths() if "/other/" in path]
    assert "tier: gold" in recovery.file("cluster/namespaces/shop.yaml")
    assert (outcome.exit_code, outcome.incomplete) == (ExitCode.DONE, {})

    # What leaves the namespace leaves Git; a second run changes nothing.
    clean_source.delete("/api/v1/namespaces/shop/configmaps/app")
    after = recovery.export(clean_source, kubeconfig=kubeconfig, config=named)
    assert changed(after) == ["deleted shop/configmaps/app"]
    assert recovery.export(clean_source, kubeconfig=kubeconfig, config=named).commit == ""

    # A person who may see all gets the same from the same selection.
    assert recovery.export(clean_source, config=named).commit == ""

    # A selection that reaches further than the permissions is read as far as they go, and says so.
    further = {"select": {"include": [*named["select"]["include"], {"types": ["configmaps"]}]}}
    partly = recovery.export(clean_source, kubeconfig=kubeconfig, config=further)
    assert partly.exit_code is ExitCode.PARTIAL
    assert partly.incomplete["configmaps"] == "may be listed only in shop"


def test_a_limited_user_without_a_named_namespace_deletes_nothing(
    clean_source: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), deployment("shop", "web")])
    recovery.export(clean_source)
    before = recovery.head()
    clean_source.grant("limited", cluster_role="admin", namespace="shop")

    with readable_identity(clean_source, "limited"):
        outcome = recovery.export(clean_source, kubeconfig=clean_source.kubeconfig_for("limited"))

    assert outcome.exit_code is ExitCode.PARTIAL
    assert {"configmaps", "deployments.apps", "namespaces"} <= outcome.incomplete.keys()
    assert "forbidden" in outcome.incomplete["configmaps"]
    assert (outcome.changes, outcome.commit, recovery.head()) == ((), "", before)


@contextmanager
def readable_identity(cluster: ControlPlane, user: str) -> Iterator[None]:
    """Allow the one thing outside its namespaces that an exporter must read: who this cluster is."""
    made = _let_read(cluster, user, where="kube-system", groups=[""], resources=["namespaces"], verbs=["get"])
    try:
        yield
    finally:
        for path in made:  # a cluster's reset leaves kube-system alone
            cluster.delete(path)


def _let_read(
    cluster: ControlPlane, user: str, *, where: str, groups: list[str], resources: list[str], verbs: list[str]
) -> list[str]:
    """Make a Role in one namespace and bind `user` to it; return the paths of both."""
    group, meta = "rbac.authorization.k8s.io", {"name": f"{user}-reads", "namespace": where}
    rule = {"apiGroups": groups, "resources": resources, "verbs": verbs}
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [rule]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": meta["name"]},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    cluster.apply([role, binding])
    return [cluster.api.path_of(role), cluster.api.path_of(binding)]


def test_an_emptied_source_is_refused_until_somebody_confirms(clean_source: ControlPlane, recovery: Recovery) -> None:
    clean_source.apply([namespace("shop"), *(configmap("shop", f"n{index}") for index in range(8))])
    recovery.export(clean_source)
    before = recovery.head()
    clean_source.delete("/api/v1/namespaces/shop")

    with pytest.raises(Refused, match="deletion guard: 9 of 10 objects") as caught:
        recovery.export(clean_source)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "--yes" in caught.value.hint
    assert "shop/configmaps/n0" in caught.value.hint
    assert recovery.head() == before

    said = recovery.cli("export", "-o", "json", cluster=clean_source)
    assert (said.returncode, said.stdout) == (ExitCode.REFUSED, "")
    assert "deletion guard: 9 of 10 objects" in said.stderr

    confirmed = recovery.cli("export", "--yes", "-o", "json", cluster=clean_source)
    assert confirmed.returncode == ExitCode.DONE, confirmed.stderr
    assert len(json.loads(confirmed.stdout)["deleted"]) == 9
    assert recovery.paths() == ["cluster/namespaces/default.yaml", "dr-syncer.yaml"]


@pytest.mark.parametrize("fault", ["cut", "refused"])
def test_a_source_that_goes_away_in_the_middle_commits_nothing(
    fault: str, clean_source: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app")])
    recovery.export(clean_source)
    before = recovery.head()
    clean_source.apply([configmap("shop", "app", a="b")])
    proxy = fault_proxy(clean_source)
    if fault == "cut":
        proxy.cut(forward=False, skip=20, times=None)
    else:
        proxy.status(401, skip=20, times=None)

    with pytest.raises(ClusterUnreachable if fault == "cut" else Unauthorized):
        recovery.export(clean_source, kubeconfig=proxy.kubeconfig)
    assert recovery.head() == before

    outcome: Outcome = recovery.export(clean_source)
    assert changed(outcome) == ["updated shop/configmaps/app"]
