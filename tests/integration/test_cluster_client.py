"""The one way to a cluster, against a real API server: what passes is tried again, what does not is named."""

from __future__ import annotations

import json
import shlex
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from drsyncer.cluster import Cluster, connect
from drsyncer.cluster.answers import TRIES_ON_500, TRIES_ON_UNAVAILABLE
from drsyncer.errors import (
    ClusterError,
    ClusterUnreachable,
    Conflict,
    ExitCode,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerFailed,
    Throttled,
    Unauthorized,
    UsageError,
)
from drsyncer.json import encode_for_apply
from drsyncer.manifest import ResourceType
from drsyncer.retry import Schedule
from tests.cluster.certificates import Authority
from tests.cluster.claims import claim_port
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.integration.recovery import configmap

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
CLUSTER_ROLES = ResourceType("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
SCHEDULE = Schedule(initial=0.01, factor=2.0, maximum=30.0, jitter=0.0, attempts=4)

MakeNamespace = Callable[..., str]
MakeProxy = Callable[[ControlPlane], FaultProxy]


@dataclass
class Client:
    """A Cluster that notes how long it would have waited, and does not wait."""

    cluster: Cluster
    waits: list[float] = field(default_factory=list)


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """`client(kubeconfig)` connects; `timeout` is in seconds for one try."""
    made: list[Cluster] = []

    def make(kubeconfig: Path, *, timeout: float = 10.0, schedule: Schedule = SCHEDULE) -> Client:
        connected = connect(kubeconfig=str(kubeconfig), connections=4)
        waits: list[float] = []
        made.append(Cluster(connected.connection, timeout=timeout, schedule=schedule, sleep=waits.append))
        return Client(made[-1], waits)

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def proxy(source: ControlPlane, fault_proxy: MakeProxy) -> FaultProxy:
    return fault_proxy(source)


def apply(cluster: Cluster, where: str, name: str = "app", **data: str) -> bool:
    body = encode_for_apply(configmap(where, name, **data))
    return cluster.apply(CONFIGMAPS, body, namespace=where, name=name, force=True).created


def names(cluster: Cluster, where: str, *, limit: int = 500) -> list[str]:
    """Return what one LIST gives, as a reader that honours `Page.first` sees it."""
    found: list[str] = []
    for page in cluster.pages(CONFIGMAPS, namespace=where, limit=limit):
        if page.first:
            found.clear()
        found += [json.loads(bytes(raw))["metadata"]["name"] for raw in page.items]
    return [name for name in found if name != "kube-root-ca.crt"]


# What passes is tried again


@pytest.mark.parametrize("code", [429, 503])
def test_reads_and_writes_wait_as_long_as_the_server_asks(
    code: int,
    source: ControlPlane,
    proxy: FaultProxy,
    client: Callable[..., Client],
    make_namespace: MakeNamespace,
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    proxy.status(code, method="PATCH", path="/configmaps/app", headers={"Retry-After": "7"}, times=2)
    proxy.status(code, method="GET", path="/configmaps", headers={"Retry-After": "3"}, times=1)
    proxy.status(code, method="DELETE", path="/configmaps/app", headers={"Retry-After": "900"}, times=1)

    assert apply(ours.cluster, where, greeting="hello")
    assert names(ours.cluster, where) == ["app"]
    uid = source.get(f"/api/v1/namespaces/{where}/configmaps/app")["metadata"]["uid"]
    ours.cluster.delete(CONFIGMAPS, namespace=where, name="app", uid=uid)

    assert ours.waits == [7, 7, 3, SCHEDULE.maximum]  # a mad Retry-After stops nobody for a quarter of an hour
    assert not source.exists(f"/api/v1/namespaces/{where}/configmaps/app")


def test_who_may_write_no_more_does_not_send_a_write_once_more(
    source: ControlPlane, proxy: FaultProxy, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    fault = proxy.status(503, method="PATCH", path="/configmaps/app", times=1)
    ours.cluster.connection.may_write = lambda: fault.hits == 0  # as a leader who sleeps between two tries

    with pytest.raises(ClusterUnreachable, match="not sent: another replica may lead now"):
        apply(ours.cluster, where, greeting="hello")

    assert [seen.method for seen in proxy.settled() if "configmaps/app" in seen.path] == ["PATCH"]
    assert names(ours.cluster, where) == []  # reading is always allowed


@pytest.mark.parametrize("said_yes", [0, 1], ids=["before its head", "between its head and its body"])
def test_a_write_is_stopped_up_to_the_moment_when_its_last_bytes_leave(
    said_yes: int,
    source: ControlPlane,
    proxy: FaultProxy,
    client: Callable[..., Client],
    make_namespace: MakeNamespace,
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    answers = iter([True] * said_yes)
    ours.cluster.connection.may_write = lambda: next(answers, False)  # as a process that was stopped right there

    with pytest.raises(ClusterUnreachable, match="not sent: another replica may lead now"):
        apply(ours.cluster, where, greeting="hello")

    ours.cluster.connection.may_write = lambda: True
    assert names(ours.cluster, where) == []
    assert apply(ours.cluster, where, greeting="hello")  # what was stopped leaves no connection in disorder


def test_throttled_to_the_end_is_an_error_after_all_tries(proxy: FaultProxy, client: Callable[..., Client]) -> None:
    ours = client(proxy.kubeconfig)
    fault = proxy.status(429, path="/configmaps", times=None)

    with pytest.raises(Throttled, match="list configmaps in default: fault injected: TooManyRequests"):
        names(ours.cluster, "default")

    assert fault.hits == SCHEDULE.attempts
    assert ours.waits == [0.01, 0.02, 0.04]


def test_a_500_that_passes_is_not_seen_and_one_for_ever_costs_few_tries(
    source: ControlPlane, proxy: FaultProxy, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    proxy.status(500, method="PATCH", times=1)
    assert apply(ours.cluster, where)

    for_ever = proxy.status(500, path="/configmaps", times=None)
    with pytest.raises(ServerFailed):
        names(ours.cluster, where)
    assert for_ever.hits == TRIES_ON_500


def test_one_thing_that_stays_unavailable_on_a_ready_server_costs_few_tries(
    proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    ours = client(proxy.kubeconfig, schedule=replace(SCHEDULE, attempts=9))
    for_ever = proxy.status(503, path="/configmaps", times=None)

    with pytest.raises(ServerFailed):
        names(ours.cluster, "default")
    assert for_ever.hits == TRIES_ON_UNAVAILABLE

    # A server that is not ready, as while it restarts, gets all the time there is.
    proxy.clear()
    starting = proxy.status(503, times=None)
    with pytest.raises(ServerFailed):
        names(ours.cluster, "default")
    assert len([seen for seen in proxy.settled() if "/configmaps" in seen.path]) == 9
    assert starting.hits > 9


def test_a_server_that_hangs_is_given_up_after_the_time_for_one_try(
    source: ControlPlane, proxy: FaultProxy, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig, timeout=0.5)
    proxy.hang(20, times=2)
    begun = time.monotonic()

    assert apply(ours.cluster, where)

    assert 1.0 <= time.monotonic() - begun < 5
    assert len(ours.waits) == 2


def test_a_request_that_hangs_while_the_server_is_well_fails_alone(
    source: ControlPlane, proxy: FaultProxy, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig, timeout=0.5)
    assert apply(ours.cluster, where)
    proxy.hang(20, path="/configmaps", times=None)

    with pytest.raises(ServerFailed, match="answers other requests"):
        names(ours.cluster, where)

    assert ours.cluster.version().startswith("v1.")


@pytest.mark.parametrize("after", [-1, 0, 40])
def test_a_connection_cut_in_the_middle_is_tried_again(
    after: int,
    source: ControlPlane,
    proxy: FaultProxy,
    client: Callable[..., Client],
    make_namespace: MakeNamespace,
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    cut_write = proxy.cut(method="PATCH", after=after)
    cut_read = proxy.cut(method="GET", path="/configmaps", after=after)

    # The server had done its work when its answer was lost, so the second try finds the object there.
    assert not apply(ours.cluster, where, greeting="hello")
    assert names(ours.cluster, where) == ["app"]

    assert (cut_write.hits, cut_read.hits) == (1, 1)
    assert source.get(f"/api/v1/namespaces/{where}/configmaps/app")["data"] == {"greeting": "hello"}


def test_a_connection_cut_while_tls_is_agreed_on_is_tried_again(
    source: ControlPlane, tcp_fault_proxy: Callable[[int], TcpFaultProxy], client: Callable[..., Client]
) -> None:
    wire = tcp_fault_proxy(source.port)
    ours = client(source.kubeconfig_for("admin", server=f"https://127.0.0.1:{wire.port}"))
    early = wire.cut(after=0, times=1)
    middle = wire.cut(after=100, times=1)

    assert ours.cluster.version().startswith("v1.")
    assert (early.hits, middle.hits) == (1, 1)


def test_a_closed_client_holds_no_connection_even_while_an_error_of_its_is_remembered(
    proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    ours = client(proxy.kubeconfig)
    ours.cluster.version()
    connection = ours.cluster.connection
    remembered = connection.pool.connection_from_url(proxy.url)  # as the frames of a traceback do
    held = list(connection._open)
    assert any(one.sock for one in held)

    ours.cluster.close()

    assert [one.sock for one in held] == [None] * len(held)
    assert remembered is not None


def test_a_server_that_never_answers_costs_few_tries_once(client: Callable[..., Client], source: ControlPlane) -> None:
    port = claim_port()
    try:
        ours = client(source.kubeconfig_for("admin", server=f"https://127.0.0.1:{port.value}"))
        with pytest.raises(ClusterUnreachable) as caught:
            ours.cluster.uid()
        # More likely named wrongly than restarting, and the others do not each wait as long again.
        for _ in range(10):
            with pytest.raises(ClusterUnreachable):
                ours.cluster.discover()
    finally:
        port.release()
    assert ours.waits == [0.01, 0.02]
    assert f"no answer from https://127.0.0.1:{port.value}" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "0x" not in str(caught.value)
    assert "kubeconfig" in caught.value.hint


def test_a_server_that_stops_answering_gets_all_tries_once_and_may_come_back(
    proxy: FaultProxy, client: Callable[..., Client], source: ControlPlane
) -> None:
    ours = client(proxy.kubeconfig)
    ours.cluster.version()
    proxy.cut(forward=False, times=SCHEDULE.attempts + 1)
    with pytest.raises(ClusterUnreachable):
        ours.cluster.uid()
    assert ours.waits == [0.01, 0.02, 0.04]
    with pytest.raises(ClusterUnreachable):
        ours.cluster.uid()
    assert ours.waits == [0.01, 0.02, 0.04]
    assert ours.cluster.uid() == source.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]

    proxy.cut(forward=False, times=1)
    assert ours.cluster.uid()  # one lost connection is again worth a second try


# Lists


@pytest.fixture
def seven(source: ControlPlane, make_namespace: MakeNamespace) -> str:
    where = make_namespace(source)
    source.apply([configmap(where, f"n{index}") for index in range(7)])
    root_ca = f"/api/v1/namespaces/{where}/configmaps/kube-root-ca.crt"
    source.wait_for(lambda: source.exists(root_ca), what="the controller's own ConfigMap, the eighth")
    return where


ALL = [f"n{index}" for index in range(7)]


def test_a_list_comes_in_pages(
    source: ControlPlane, seven: str, proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    pages = list(client(proxy.kubeconfig).cluster.pages(CONFIGMAPS, namespace=seven, limit=3))

    assert [len(page.items) for page in pages] == [3, 3, 2]
    assert [page.first for page in pages] == [True, False, False]
    assert {page.resource_version for page in pages} == {pages[0].resource_version}
    assert len(proxy.settled()) == 3


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_list_that_expires_in_the_middle_starts_again_and_doubles_nothing(
    skip: int, seven: str, proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    fault = proxy.status(410, path="continue=.", skip=skip, times=1, reason="Expired")

    assert names(client(proxy.kubeconfig).cluster, seven, limit=2) == ALL
    assert fault.hits == 1


def test_a_list_that_always_expires_is_read_in_one_piece(
    seven: str, proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    proxy.status(410, path="continue=.", times=None, reason="Expired")

    assert names(client(proxy.kubeconfig).cluster, seven, limit=2) == ALL
    assert "limit" not in proxy.requests[-1].path


def test_a_list_that_is_gone_from_its_first_page_on_is_an_error(
    seven: str, proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    proxy.status(410, path="/configmaps", times=None, reason="Expired")
    with pytest.raises(Gone):
        names(client(proxy.kubeconfig).cluster, seven)


def test_a_list_cut_in_a_later_page_loses_and_doubles_nothing(
    seven: str, proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    proxy.cut(path="continue=.", skip=1, after=50)
    proxy.status(500, path="continue=.", skip=2, times=1)
    assert names(client(proxy.kubeconfig).cluster, seven, limit=2) == ALL


def test_metadata_alone_can_be_listed_by_label(source: ControlPlane, seven: str, client: Callable[..., Client]) -> None:
    source.apply(
        [{**configmap(seven, "n3", a="b"), "metadata": {"name": "n3", "namespace": seven, "labels": {"x": "y"}}}]
    )
    cluster = client(source.kubeconfig).cluster

    (page,) = cluster.pages(CONFIGMAPS, namespace=seven, metadata_only=True, label_selector="x=y")

    (item,) = page.items
    assert json.loads(bytes(item))["metadata"]["name"] == "n3"
    assert "data" not in json.loads(bytes(item))


@pytest.mark.parametrize("body", ["<html>Welcome</html>", "[]", "5", '{"kind": "Status"', ""])
def test_an_answer_of_something_else_than_an_api_server_is_an_error(
    body: str, proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    cluster = client(proxy.kubeconfig).cluster
    proxy.status(200, times=None, body=body)

    asked: list[Callable[[], object]] = [
        cluster.uid,
        cluster.version,
        cluster.discover,
        lambda: names(cluster, "default"),
        lambda: cluster.read(CONFIGMAPS, namespace="default", name="app"),
    ]
    for ask in asked:
        with pytest.raises(ClusterError) as caught:
            ask()
        assert "127.0.0.1" in str(caught.value) or "answer" in str(caught.value)


@pytest.mark.parametrize("body", ['{"items": 5}', '{"items": [1, 2}', '{"metadata": []}'])
def test_a_list_that_is_none_is_an_error(body: str, proxy: FaultProxy, client: Callable[..., Client]) -> None:
    proxy.status(200, body=body)
    with pytest.raises(ServerFailed, match="the answer is no list"):
        names(client(proxy.kubeconfig).cluster, "default")


def test_a_redirect_is_not_followed(proxy: FaultProxy, client: Callable[..., Client]) -> None:
    proxy.status(302, headers={"Location": "https://127.0.0.1:1/login"}, body="see there")
    with pytest.raises(ServerFailed, match="HTTP 302"):
        client(proxy.kubeconfig).cluster.uid()


# Discovery


def test_discovery_knows_every_type_that_the_server_lists(source: ControlPlane, client: Callable[..., Client]) -> None:
    found = client(source.kubeconfig).cluster.discover()

    assert {type_.key for type_ in found.preferred() if "list" in type_.verbs} == {
        kind.type for kind in source.api.preferred()
    }
    assert found.failing == {}
    deployments = found.get("deployments.apps")
    assert deployments is not None
    assert "scale" in deployments.subresources


def test_an_aggregated_api_that_is_down_is_named_and_hides_nothing_else(
    source: ControlPlane, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, cluster = make_namespace(source), client(source.kubeconfig).cluster
    before = set(cluster.discover().served)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "dead", "namespace": where},
        "spec": {"ports": [{"port": 443}]},
    }
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.dead.example.com"},
        "spec": {
            "group": "dead.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": "dead", "namespace": where},
        },
    }
    source.apply([service, api_service])
    try:
        source.wait_for(lambda: cluster.discover().failing, what="the dead group to show up in discovery")
        found = cluster.discover()
    finally:
        source.delete(f"{APISERVICES}/v1.dead.example.com")

    assert list(found.failing) == ["dead.example.com/v1"]
    assert "does not answer" in found.failing_group("dead.example.com")
    assert set(found.served) == before


# Names, conflicts, refusals


def test_names_with_colons_and_blanks_reach_their_object(source: ControlPlane, client: Callable[..., Client]) -> None:
    cluster, name = client(source.kubeconfig).cluster, "dr-syncer:test:a b"
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    body = encode_for_apply({**role, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})

    applied = cluster.apply(CLUSTER_ROLES, body, namespace="", name=name, force=False)
    uid = cluster.read(CLUSTER_ROLES, namespace="", name=name)["metadata"]["uid"]
    with pytest.raises(Conflict):
        cluster.delete(CLUSTER_ROLES, namespace="", name=name, uid="another")
    cluster.delete(CLUSTER_ROLES, namespace="", name=name, uid=uid)

    assert applied.created
    assert applied.manifest["metadata"]["name"] == name
    with pytest.raises(NotFound, match="dr-syncer:test:a b"):
        cluster.read(CLUSTER_ROLES, namespace="", name=name)


def test_a_conflict_names_the_field_and_its_manager(
    source: ControlPlane, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, cluster = make_namespace(source), client(source.kubeconfig).cluster
    source.apply([configmap(where, "app", colour="blue")], field_manager="somebody")
    body = encode_for_apply(configmap(where, "app", colour="red"))

    with pytest.raises(Conflict) as caught:
        cluster.apply(CONFIGMAPS, body, namespace=where, name="app", force=False)

    assert caught.value.owners == {".data.colour": "somebody"}


def test_what_the_server_refuses_is_not_tried_again(
    source: ControlPlane, proxy: FaultProxy, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    odd = encode_for_apply({**configmap(where, "app"), "colour": "blue"})
    with pytest.raises(Invalid, match=r"apply .*/configmaps/app: .*colour"):
        ours.cluster.apply(CONFIGMAPS, odd, namespace=where, name="app", force=False, strict=True)
    limited = client(proxy.kubeconfig_for("limited"))
    with pytest.raises(Forbidden, match="limited"):
        names(limited.cluster, where)

    assert len(proxy.settled()) == 2
    assert ours.waits == limited.waits == []


# Credentials


def test_a_token_that_is_not_accepted_says_so_at_once(proxy: FaultProxy, client: Callable[..., Client]) -> None:
    ours = client(proxy.kubeconfig_for("expired-token"))
    with pytest.raises(Unauthorized) as caught:
        ours.cluster.uid()

    assert "renew the token" in caught.value.hint
    assert "expired-token" not in str(caught.value) + caught.value.hint
    assert (caught.value.exit_code, len(proxy.settled())) == (ExitCode.FAILED, 1)


def test_a_server_with_another_certificate_authority_is_refused_at_once(
    source: ControlPlane, client: Callable[..., Client], tmp_path: Path
) -> None:
    content = json.loads(source.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["certificate-authority"] = str(Authority(tmp_path / "pki", name="other").file)
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(content))
    ours = client(file)

    with pytest.raises(ClusterUnreachable, match="certificate verify failed") as caught:
        ours.cluster.uid()

    assert "certificate-authority" in caught.value.hint
    assert ours.waits == []


def exec_kubeconfig(source: ControlPlane, tmp_path: Path, script: str) -> Path:
    plug_in = tmp_path / "plug-in"
    plug_in.write_text(f"#!/bin/sh\necho run >> {shlex.quote(str(tmp_path / 'runs'))}\n{script}\n")
    plug_in.chmod(plug_in.stat().st_mode | stat.S_IXUSR)
    content: dict[str, Any] = json.loads(source.kubeconfig.read_text())
    spec = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plug_in), "interactiveMode": "Never"}
    content["users"][0]["user"] = {"exec": spec}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(content))
    return file


def exec_credential(**status: str) -> str:
    found = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return f"echo {shlex.quote(json.dumps(found))}"


def test_an_exec_plug_in_logs_in_and_is_asked_again_when_its_token_expires(
    source: ControlPlane, client: Callable[..., Client], tmp_path: Path
) -> None:
    script = exec_credential(token=source.token("admin"), expirationTimestamp="2020-01-01T00:00:00Z")
    cluster = client(exec_kubeconfig(source, tmp_path, script)).cluster
    before = (tmp_path / "runs").read_text().count("run")

    cluster.uid()

    assert (tmp_path / "runs").read_text().count("run") > before


def test_an_exec_plug_in_that_fails_is_a_wrong_configuration(source: ControlPlane, tmp_path: Path) -> None:
    file = exec_kubeconfig(source, tmp_path, "echo 'session expired: run login' >&2; exit 1")
    with pytest.raises(UsageError, match="session expired: run login"):
        connect(kubeconfig=str(file))


def test_many_threads_share_a_client(
    source: ControlPlane, proxy: FaultProxy, client: Callable[..., Client], make_namespace: MakeNamespace
) -> None:
    where, ours = make_namespace(source), client(proxy.kubeconfig)
    proxy.status(429, method="PATCH", skip=5, times=3)
    failures: list[ClusterError] = []

    def work(index: int) -> None:
        try:
            apply(ours.cluster, where, f"n{index}")
        except ClusterError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(names(ours.cluster, where)) == 12
