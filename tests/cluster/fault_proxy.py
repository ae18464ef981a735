"""An HTTP proxy in front of an API server that does what a bad day does: refuses, hangs, cuts, delays.

    with FaultProxy(cluster) as proxy:
        proxy.status(429, method="PATCH", path="/configmaps/", headers={"Retry-After": "1"}, times=2)
        proxy.cut(method="GET", path=r"/api/v1/secrets", after=1000)
        … a program that uses proxy.kubeconfig …
        assert [request.fault for request in proxy.requests] == …

Everything else passes through unchanged: the caller's Authorization header, streams, the server's answers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.cluster.tls_server import HOST, TlsServer, hang_up

if TYPE_CHECKING:
    from tests.cluster.certificates import Authority
    from tests.cluster.control_plane import ControlPlane

CHUNK = 65536
TIMEOUT_SECONDS = 600.0  # longer than any watch of a test
SETTLE_SECONDS = 30.0
# These describe one connection; each side of the proxy has its own.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer"})


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with an HTTP status and a Kubernetes Status body; the API server never sees the request."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing for some seconds, then close the connection; the API server never sees the request."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after so many bytes of the answer's body; -1: before the first byte of the answer.

    The API server has done its work by then, unless `forward` is false.
    """

    after: int
    forward: bool


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait, then pass the request on."""

    seconds: float


Action = Status | Hang | Cut | Delay


@dataclass(slots=True)
class Fault:
    """A fault and the requests that it hits: after the first `skip` matching ones, `times` of them (None: all)."""

    action: Action
    method: re.Pattern[str]
    path: re.Pattern[str]
    skip: int
    times: int | None
    seen: int = 0
    hits: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Count a request; return whether the fault hits it."""
        if not (self.method.fullmatch(method) and self.path.search(path)):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came to the proxy. `status` is 0 when it got no answer; `fault` is None when it passed through."""

    method: str
    path: str
    status: int
    fault: Action | None
    headers: dict[str, str]


class FaultProxy:
    """A proxy in front of one cluster. `kubeconfig` reaches the cluster through it as `admin`.

    `path` in the methods below is a regular expression, searched in the decoded path with its query; `method` one that
    must match in full. The first fault that strikes wins.
    """

    def __init__(self, cluster: ControlPlane, *, user: str = "admin") -> None:
        self._cluster = cluster
        self._faults: list[Fault] = []
        self._requests: list[Seen] = []
        self._under_way = 0
        self._lock = threading.Condition()
        self.stopping = threading.Event()
        self.upstream_context = cluster.authority.client_context()
        self._server = TlsServer(_Handler, owner=self, timeout=TIMEOUT_SECONDS)
        self.port = self._server.port
        self.url = f"https://{HOST}:{self.port}"
        self.kubeconfig: Path = cluster.kubeconfig_for(user, server=self.url)

    def __enter__(self) -> FaultProxy:
        self._server.start(self._cluster.authority.issue(f"proxy-{self.port}"))
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.stop()

    def kubeconfig_for(self, user_token: str) -> Path:
        """As `ControlPlane.kubeconfig_for`, by way of the proxy."""
        return self._cluster.kubeconfig_for(user_token, server=self.url)

    def change_authority(self, authority: Authority) -> None:
        """Show a certificate of another authority from now on; nobody who trusts the cluster's trusts that."""
        self._server.show(authority.issue(f"proxy-{self.port}"))

    @property
    def upstream_port(self) -> int:
        """The API server's port."""
        return self._cluster.port

    @property
    def requests(self) -> list[Seen]:
        """The requests that ended so far, in the order in which they ended."""
        with self._lock:
            return list(self._requests)

    def settled(self) -> list[Seen]:
        """The requests so far, once none is under way: a client has its answer a moment before that ends here."""
        with self._lock:
            if not self._lock.wait_for(lambda: not self._under_way, timeout=SETTLE_SECONDS):
                raise TimeoutError(f"{self._under_way} requests are still under way")
            return list(self._requests)

    def clear(self) -> None:
        """Forget all faults and all requests."""
        with self._lock:
            self._faults.clear()
            self._requests.clear()

    def status(
        self,
        code: int,
        *,
        method: str = ".*",
        path: str = "",
        skip: int = 0,
        times: int | None = 1,
        headers: dict[str, str] | None = None,
        reason: str = "",
        body: str | None = None,
    ) -> Fault:
        """Answer `code` with a Kubernetes Status of `reason`, or with `body` as it is."""
        action = Status(code, headers or {}, reason, body)
        return self.add(action, method=method, path=path, skip=skip, times=times)

    def hang(
        self, seconds: float, *, method: str = ".*", path: str = "", skip: int = 0, times: int | None = 1
    ) -> Fault:
        """Say nothing for `seconds`."""
        return self.add(Hang(seconds), method=method, path=path, skip=skip, times=times)

    def cut(
        self,
        *,
        after: int = -1,
        forward: bool = True,
        method: str = ".*",
        path: str = "",
        skip: int = 0,
        times: int | None = 1,
    ) -> Fault:
        """Close the connection after `after` bytes of the answer's body; -1: without any answer."""
        return self.add(Cut(after, forward), method=method, path=path, skip=skip, times=times)

    def delay(
        self, seconds: float, *, method: str = ".*", path: str = "", skip: int = 0, times: int | None = 1
    ) -> Fault:
        """Hold requests back for `seconds`."""
        return self.add(Delay(seconds), method=method, path=path, skip=skip, times=times)

    def add(self, action: Action, *, method: str, path: str, skip: int, times: int | None) -> Fault:
        """Add a fault; its `hits` tells later how often it struck."""
        fault = Fault(action, re.compile(method), re.compile(path), skip, times)
        with self._lock:
            self._faults.append(fault)
        return fault

    def begun(self, method: str, path: str) -> Action | None:
        """A request has come in; return the action for it."""
        with self._lock:
            self._under_way += 1
            return next((fault.action for fault in self._faults if fault.strikes(method, unquote(path))), None)

    def record(self, seen: Seen) -> None:
        """Remember a request that has ended."""
        with self._lock:
            self._under_way -= 1
            self._requests.append(seen)
            self._lock.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TlsServer
    _status = 0

    def setup(self) -> None:
        super().setup()
        self._proxy: FaultProxy = self.server.owner

    def log_message(self, format: str, *args: object) -> None:
        """Requests are recorded as values, not printed."""

    def _serve(self) -> None:
        body = self._body()
        fault = self._proxy.begun(self.command, self.path)
        self._status = 0
        try:
            self._act(fault, body)
        finally:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._proxy.record(Seen(self.command, self.path, self._status, fault, headers))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve

    def _act(self, fault: Action | None, body: bytes) -> None:
        if isinstance(fault, Status):
            self._refuse(fault)
        elif isinstance(fault, Hang):
            self._proxy.stopping.wait(fault.seconds)
            self._hang_up()
        elif isinstance(fault, Cut) and not fault.forward:
            self._hang_up()
        else:
            if isinstance(fault, Delay):
                self._proxy.stopping.wait(fault.seconds)
            self._pass_on(body, limit=fault.after if isinstance(fault, Cut) else None)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _refuse(self, fault: Status) -> None:
        reason = fault.reason or http.client.responses.get(fault.code, "").replace(" ", "")
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"fault injected: {reason}",
            "reason": reason,
            "code": fault.code,
        }
        body = (json.dumps(status) if fault.body is None else fault.body).encode()
        self._status = fault.code
        self.send_response_only(fault.code)
        for name, value in {"Content-Type": "application/json", **fault.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _pass_on(self, body: bytes, *, limit: int | None) -> None:
        """Ask over a new connection each time: a kept one may have died, and a write must not be sent twice."""
        upstream = http.client.HTTPSConnection(
            HOST, self._proxy.upstream_port, timeout=TIMEOUT_SECONDS, context=self._proxy.upstream_context
        )
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            with contextlib.closing(upstream):
                upstream.connect()
                with self.server.tracking(upstream.sock):
                    upstream.request(self.command, self.path, body=body or None, headers=headers)
                    with upstream.getresponse() as response:
                        self._answer(response, limit=limit)
        except (OSError, http.client.HTTPException):
            # The API server (or the client) is gone in mid-answer: so is the connection that we stand for.
            self._hang_up()

    def _answer(self, response: http.client.HTTPResponse, *, limit: int | None) -> None:
        if limit is not None and limit < 0:
            self._hang_up()
            return
        self._status = response.status
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = response.getheader("Content-Length")
        chunked = length is None and response.status not in (204, 304) and self.command != "HEAD"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self._stream(response, chunked=chunked, limit=limit)

    def _stream(self, response: http.client.HTTPResponse, *, chunked: bool, limit: int | None) -> None:
        left = limit
        while left != 0 and (data := response.read1(CHUNK if left is None else min(CHUNK, left))):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            left = None if left is None else left - len(data)
        if left == 0:
            self._hang_up()
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _hang_up(self) -> None:
        self.close_connection = True
        hang_up(self.connection)
