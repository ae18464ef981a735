"""Webhooks and aggregated APIs that are live in the source: they guard it, are exported, and block nothing in DR."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.certificates import Authority
from tests.cluster.control_plane import ControlPlane
from tests.cluster.tls_server import TlsServer
from tests.integration.recovery import Recovery, actions, changed, configmap, deployment, namespace
from tests.integration.written import api_service, result_of, service, validating_webhook

PORT = 18443  # of the Service; one that every user may listen on
GROUP = "live.example.com"
GATE = "validatingwebhookconfigurations.admissionregistration.k8s.io/gate"
API = f"apiservices.apiregistration.k8s.io/v1.{GROUP}"
APISERVICE = f"/apis/apiregistration.k8s.io/v1/apiservices/v1.{GROUP}"
WHY = "its backend, Service ops/backend, has no ready endpoints"


class Backend:
    """The program behind a Service: it answers admission reviews and serves an API of one type, which holds nothing.

    It refuses what has the label `refuse`. `calls` counts the reviews by kind.
    """

    def __init__(self, address: str, authority: Authority) -> None:
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._authority = authority
        self._server = TlsServer(_Handler, owner=self, timeout=10, address=(address, PORT))

    def __enter__(self) -> Backend:
        self._server.start(self._authority.issue("backend", hosts=("backend.ops.svc",)))
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TlsServer

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        with self.server.owner.lock:
            self.server.owner.calls[request["kind"]["kind"]] += 1
        labels = (request.get("object") or {}).get("metadata", {}).get("labels") or {}
        verdict = {"uid": request["uid"], "allowed": "refuse" not in labels}
        self._answer({**review, "response": verdict})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        thing = {"name": "things", "singularName": "thing", "namespaced": False, "kind": "Thing", "verbs": ["list"]}
        found: dict[str, dict[str, Any]] = {
            f"/apis/{GROUP}/v1": {"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1", "resources": [thing]},
            f"/apis/{GROUP}/v1/things": {"kind": "ThingList", "apiVersion": f"{GROUP}/v1", "metadata": {}, "items": []},
        }
        self._answer(found.get(path, {"kind": "Status", "status": "Failure"}), code=200 if path in found else 404)

    def _answer(self, content: dict[str, Any], *, code: int = 200) -> None:
        body = json.dumps({"apiVersion": "v1", **content}).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(frozen=True)
class Guarded:
    """A source cluster with a live backend."""

    source: ControlPlane
    backend: Backend


@pytest.fixture
def guarded(clean_source: ControlPlane, tmp_path: Path) -> Iterator[Guarded]:
    source, authority = clean_source, Authority(tmp_path / "pki")
    ports = [{"name": "https", "port": PORT, "protocol": "TCP"}]
    # Else its pod would need a node to count.
    backend_service = service("ops", "backend", ports=ports, publishNotReadyAddresses=True)
    source.apply([namespace("ops"), backend_service, deployment("ops", "backend", replicas=1)])
    _make_ready(source)
    # The API server asks a Service at its address, which lies on loopback.
    address = source.get("/api/v1/namespaces/ops/services/backend")["spec"]["clusterIP"]
    hook = validating_webhook("gate", service=("ops", "backend"), resources=["configmaps", "deployments"], group="*")
    client = hook["webhooks"][0]["clientConfig"]
    client["service"]["port"] = PORT
    client["caBundle"] = base64.b64encode(authority.pem).decode()
    api = api_service("v1", GROUP, service=("ops", "backend"))
    api["spec"]["service"]["port"] = PORT
    with Backend(address, authority) as backend:
        try:
            source.apply([hook, api])
            source.wait_for(lambda: _available(source), what="the API to be available", timeout=60)
            source.wait_for(lambda: (f"{GROUP}/v1", "Thing") in source.api.kinds(), what="things to be discovered")
            yield Guarded(source, backend)
        finally:
            # Before the backend goes: a dead one would be in the way of whoever empties this cluster.
            source.delete(APISERVICE)
            source.delete("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/gate")


def _available(source: ControlPlane) -> bool:
    conditions = source.get(APISERVICE).get("status", {}).get("conditions", [])
    return any(found["type"] == "Available" and found["status"] == "True" for found in conditions)


def _make_ready(source: ControlPlane) -> None:
    """Say of the Deployment's pod what a kubelet would; the real controllers make endpoints of it."""
    pods = "/api/v1/namespaces/ops/pods"
    source.wait_for(lambda: source.list(pods), what="the pod")
    name = source.list(pods)[0]["metadata"]["name"]
    ready = {"type": "Ready", "status": "True"}
    address = "192.0.2.1"
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
    source.patch(f"{pods}/{name}/status", {"status": status})


def test_what_guards_the_source_is_held_in_dr_and_blocks_nothing_there(
    guarded: Guarded, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    source = guarded.source
    source.apply([namespace("shop"), configmap("shop", "app", a="b"), deployment("shop", "web")])
    # Live it is: it was asked, and what it refuses stays out.
    assert guarded.backend.calls["ConfigMap"] >= 1
    refused = configmap("shop", "refused")
    refused["metadata"]["labels"] = {"refuse": "yes"}
    said = source.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(refused), check=False)
    assert "denied the request" in said.stderr

    exported = recovery.export(source)
    imported = recovery.import_into(clean_dr)

    assert (exported.exit_code, exported.incomplete) == (ExitCode.DONE, {})
    assert {f"created {GATE}", f"created {API}"} <= set(changed(exported))
    assert imported.exit_code is ExitCode.DONE
    held = {name for name, action in actions(imported).items() if action is Action.HELD}
    assert held == {GATE, API}
    assert {result_of(imported, name).reason for name in held} == {WHY}
    assert clean_dr.exists("/apis/apps/v1/namespaces/shop/deployments/web")

    # Life goes on in DR: writes, discovery and the deletion of namespaces need nobody who is asleep.
    calls = guarded.backend.calls.total()
    source.apply([configmap("shop", "app", a="changed"), namespace("new"), configmap("new", "app")])
    source.delete("/api/v1/namespaces/shop/configmaps/app")
    again, second = recovery.export(source), recovery.import_into(clean_dr)
    assert (again.exit_code, second.exit_code) == (ExitCode.DONE, ExitCode.DONE)
    assert actions(second)["new/configmaps/app"] is Action.CREATE
    assert actions(second)["shop/configmaps/app"] is Action.PRUNE
    assert guarded.backend.calls.total() > calls
    clean_dr.delete("/api/v1/namespaces/new")
    assert not clean_dr.exists("/api/v1/namespaces/new")
