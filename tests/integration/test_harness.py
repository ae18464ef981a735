"""What the other integration tests stand on: real clusters, an honest audit log, and faults that really happen."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import ApiError
from tests.cluster.control_plane import ControlPlane, sweep_leftovers
from tests.cluster.fault_proxy import FaultProxy

ROOT = Path(__file__).parents[2]
MakeNamespace = Callable[..., str]
MakeProxy = Callable[[ControlPlane], FaultProxy]


def config_map(namespace: str, name: str = "app", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def deployment(namespace: str) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "example.invalid/web"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": spec,
    }


def widgets(*, group: str = "example.com") -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def widget(namespace: str) -> dict[str, Any]:
    meta = {"name": "one", "namespace": namespace, "finalizers": ["example.com/never-removed"]}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": {"size": 1}}


@contextmanager
def ask(proxy: FaultProxy, path: str, *, method: str = "GET", body: Any = None) -> Iterator[http.client.HTTPResponse]:
    """One request by way of the proxy, as the user `admin`."""
    headers = {"Authorization": "Bearer token-admin", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{proxy.url}{path}", data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10, context=proxy.upstream_context) as response:
        yield response


# Clusters


def test_both_clusters_answer_and_know_nothing_of_each_other(
    source: ControlPlane, dr: ControlPlane, make_namespace: MakeNamespace
) -> None:
    namespace = make_namespace(source)
    source.apply([config_map(namespace, colour="blue")])

    assert source.get(f"/api/v1/namespaces/{namespace}/configmaps/app")["data"] == {"colour": "blue"}
    assert not dr.exists(f"/api/v1/namespaces/{namespace}")
    assert source.network != dr.network


def test_controllers_are_real(source: ControlPlane, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace(source)

    source.apply([deployment(namespace)])

    pods = f"/api/v1/namespaces/{namespace}/pods"
    source.wait_for(lambda: len(source.list(pods)) == 2, what="two pods")


def test_a_deleted_namespace_really_goes(source: ControlPlane, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace(source)
    source.apply([config_map(namespace)])

    source.delete(f"/api/v1/namespaces/{namespace}")

    assert not source.exists(f"/api/v1/namespaces/{namespace}")
    assert not source.exists(f"/api/v1/namespaces/{namespace}/configmaps/app")


def test_the_real_kubectl_works_on_a_kubeconfig(source: ControlPlane, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace(source)

    source.kubectl("create", "configmap", "made", "--from-literal=a=b", "-n", namespace)

    assert source.kubectl("config", "current-context").stdout.strip() == "source"
    assert source.kubectl("get", "configmap", "made", "-n", namespace, "-o", "jsonpath={.data.a}").stdout == "b"


def test_users_may_do_what_they_are_named_for(source: ControlPlane, make_namespace: MakeNamespace) -> None:
    namespace = make_namespace(source)
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    source.wait_for(lambda: source.client("viewer").items(path), what="what every namespace gets")
    for user, method in (("viewer", "POST"), ("limited", "GET")):
        with pytest.raises(ApiError, match="403"):
            source.client(user).request(method, path, body=config_map(namespace) if method == "POST" else None)

    source.grant("limited", cluster_role="view", namespace=namespace)
    source.wait_for(lambda: source.client("limited").items(path), what="the grant to be seen")


def test_the_audit_log_counts_writes_and_nothing_else(
    clean_source: ControlPlane, make_namespace: MakeNamespace
) -> None:
    source, admin = clean_source, clean_source.client("admin")
    namespace = make_namespace(source)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    mark = source.audit.mark()

    admin.items(path)
    admin.request("POST", f"{path}?dryRun=All", body=config_map(namespace))
    source.apply([config_map(namespace, name="by-the-harness")])
    assert source.audit.writes() == []

    admin.request("POST", f"{path}?fieldManager=me", body=config_map(namespace))
    (write,) = source.audit.writes()
    assert (write.user, write.verb, write.type, write.namespace) == ("admin", "create", "configmaps", namespace)
    assert (write.status, write.field_manager) == (201, "me")
    assert [event.verb for event in source.audit.requests(since=mark)] == ["list", "create", "create"]


def test_a_settled_cluster_keeps_its_resource_versions(clean_source: ControlPlane) -> None:
    clean_source.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, deployment("shop")])

    before = clean_source.settle()

    assert before["shop/deployments.apps/web"]
    assert clean_source.resource_versions() == before
    clean_source.patch("/apis/apps/v1/namespaces/shop/deployments/web", {"metadata": {"labels": {"a": "b"}}})
    assert clean_source.resource_versions() != before


def test_reset_leaves_an_empty_cluster(dr: ControlPlane) -> None:
    dr.reset()
    empty = dr.resource_versions().keys()
    fence = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "nothing-goes"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["configmaps"]}
                ]
            },
            "validations": [{"expression": "false"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "nothing-goes"},
        "spec": {"policyName": "nothing-goes", "validationActions": ["Deny"]},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "shop"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    labelled = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {"by": "test"}}}
    mine = [widget("shop"), claim, deployment("shop"), config_map("default"), widgets(), shop, labelled, fence, binding]
    dr.apply(mine)
    dr.delete("/apis/rbac.authorization.k8s.io/v1/clusterroles/view")

    dr.reset()

    assert dr.objects() == {}
    assert dr.resource_versions().keys() == empty
    assert "by" not in dr.get("/api/v1/namespaces/default")["metadata"]["labels"]
    assert dr.audit.writes() == []


def test_the_api_server_comes_back_on_the_same_port_with_its_data(fresh_cluster: Callable[..., ControlPlane]) -> None:
    cluster = fresh_cluster(controllers=False)
    cluster.apply([config_map("default", survives="yes")])

    cluster.stop_api()
    with pytest.raises(OSError, match="refused"):
        cluster.get("/readyz")
    cluster.start_api()

    assert cluster.get("/api/v1/namespaces/default/configmaps/app")["data"] == {"survives": "yes"}


def test_a_killed_test_runner_leaves_no_process(tmp_path: Path) -> None:
    script = """
        import sys, threading, time
        from tests.cluster.control_plane import ControlPlane
        cluster = ControlPlane("doomed", controllers=False)
        threading.Thread(target=cluster.start).start()  # the thread ends; its programs must not
        while not cluster.baseline.known:
            time.sleep(0.05)
        print(cluster.folder, *cluster.pids, flush=True)
        time.sleep(600)
    """
    runner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with runner:
        assert runner.stdout is not None
        folder, *pids = runner.stdout.readline().split()
        programs = processes_that_mention(folder)
        assert len(programs) >= len(pids) * 2

        runner.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while processes_that_mention(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_that_mention(folder) == []
    sweep_leftovers()
    assert not Path(folder).exists()


def processes_that_mention(text: str) -> list[int]:
    """Process ids whose command line holds `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended between the listing and the read
            if text in command:
                found.append(int(entry.name))
    return found


# Faults


def test_a_request_without_a_fault_passes_through(source: ControlPlane, fault_proxy: MakeProxy) -> None:
    proxy = fault_proxy(source)

    with ask(proxy, "/api/v1/namespaces/default") as response:
        assert json.load(response)["metadata"]["name"] == "default"

    (seen,) = proxy.settled()
    assert (seen.method, seen.path, seen.status, seen.fault) == ("GET", "/api/v1/namespaces/default", 200, None)


def test_the_real_kubectl_works_through_the_proxy(source: ControlPlane, fault_proxy: MakeProxy) -> None:
    proxy = fault_proxy(source)

    result = source.kubectl("--kubeconfig", str(proxy.kubeconfig), "get", "namespaces", "-o", "name")

    assert "namespace/default" in result.stdout.splitlines()
    assert any(seen.path.startswith("/api/v1/namespaces") for seen in proxy.settled())


def test_a_status_strikes_as_often_as_told(source: ControlPlane, fault_proxy: MakeProxy) -> None:
    proxy = fault_proxy(source)
    fault = proxy.status(429, path="/namespaces/default", skip=1, times=1, headers={"Retry-After": "7"})

    answers: list[tuple[int, str | None]] = []
    for _ in range(3):
        try:
            with ask(proxy, "/api/v1/namespaces/default") as response:
                answers.append((response.status, None))
        except urllib.error.HTTPError as error:
            with error:
                answers.append((error.code, error.headers["Retry-After"]))
                answered = json.load(error)

    assert answers == [(200, None), (429, "7"), (200, None)]
    assert (answered["kind"], answered["reason"]) == ("Status", "TooManyRequests")
    assert fault.hits == 1
    assert [seen.status for seen in proxy.settled()] == [200, 429, 200]


def test_a_cut_ends_an_answer_in_the_middle(source: ControlPlane, fault_proxy: MakeProxy) -> None:
    proxy = fault_proxy(source)
    proxy.cut(path="/clusterroles", after=1000)

    with (
        pytest.raises(http.client.IncompleteRead) as caught,
        ask(proxy, "/apis/rbac.authorization.k8s.io/v1/clusterroles") as response,
    ):
        response.read()

    assert len(caught.value.partial) == 1000


@pytest.mark.parametrize("forwarded", [True, False])
def test_a_cut_before_the_answer_hides_whether_a_write_was_done(
    source: ControlPlane, make_namespace: MakeNamespace, fault_proxy: MakeProxy, forwarded: bool
) -> None:
    namespace, proxy = make_namespace(source), fault_proxy(source)
    proxy.cut(method="POST", forward=forwarded)
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    with (
        pytest.raises((OSError, http.client.HTTPException)),
        ask(proxy, path, method="POST", body=config_map(namespace)),
    ):
        pass

    assert source.exists(f"{path}/app") is forwarded


def test_a_hang_says_nothing_until_the_client_gives_up(source: ControlPlane, fault_proxy: MakeProxy) -> None:
    proxy = fault_proxy(source)
    proxy.hang(60, path="/readyz")

    with (
        socket.create_connection(("127.0.0.1", proxy.port)) as plain,
        proxy.upstream_context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.settimeout(0.5)
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_watch_streams_through_the_proxy(
    source: ControlPlane, make_namespace: MakeNamespace, fault_proxy: MakeProxy
) -> None:
    namespace, proxy = make_namespace(source), fault_proxy(source)
    delay = proxy.delay(0.1, path="watch=1")

    with ask(proxy, f"/api/v1/namespaces/{namespace}/configmaps?watch=1&timeoutSeconds=30") as response:
        source.apply([config_map(namespace)])
        names = []
        while "app" not in names:
            names.append(json.loads(response.readline())["object"]["metadata"]["name"])

    assert delay.hits == 1
