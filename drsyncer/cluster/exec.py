"""Running a command in a container, as `kubectl exec` does.

Over a WebSocket with the protocol v4.channel.k8s.io: each message begins with the number of its channel, and what comes
last, on the channel for errors, is a Status that says how the command ended. What v5 adds is about a command's input,
which none of ours has, and API servers translate it to another protocol on the way to the kubelet.
See https://kubernetes.io/docs/reference/using-api/api-concepts/ and k8s.io/apimachinery/pkg/util/remotecommand.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from drsyncer.cluster import answers, urls
from drsyncer.errors import ClusterError, ClusterUnreachable
from drsyncer.manifest import ResourceType

if TYPE_CHECKING:
    from drsyncer.cluster.client import Cluster

_PODS = ResourceType("", "v1", "pods", "Pod", namespaced=True)
_PROTOCOL: Final = "v4.channel.k8s.io"
_OUTPUT, _ERRORS, _STATUS = 1, 2, 3  # channels
_CONNECT_TIMEOUT = 10.0
_KEPT = 4096  # bytes: the end of what a command says


@dataclass(frozen=True, slots=True)
class Executed:
    """How a command ended. `output` is the end of what it wrote, to both streams, in the order that it came."""

    exit_code: int
    output: str


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] = ()


class _Status(msgspec.Struct, frozen=True):
    """How a command ended. It comes from the container runtime, which gives it no `kind`."""

    status: str = ""
    message: str = ""
    details: _Details | None = None


class CommandTimedOut(ClusterError):
    """A command did not end in time. It may still run."""


def execute(
    cluster: Cluster, *, namespace: str, pod: str, container: str, command: Sequence[str], timeout: float
) -> Executed:
    """Run `command` in a container and wait for its end, for `timeout` seconds at most.

    It is sent once: nobody knows whether a command may be run twice. Raises CommandTimedOut, and ClusterError when it
    could not be run, or when how it ended is not known.
    """
    import websocket

    what = f"run a command in {namespace}/{pod} ({container})"
    until = time.monotonic() + timeout
    try:
        connection = _connected(cluster, _path(namespace, pod, container, command), timeout=timeout)
    except websocket.WebSocketBadStatusException as refusal:
        raise answers.to_error(refusal.status_code, bytes(refusal.resp_body or b""), what=what) from None
    except (websocket.WebSocketException, OSError) as error:
        raise ClusterUnreachable(f"{what}: no answer from {cluster.server}: {error}") from error
    output = b""
    try:
        while True:
            connection.settimeout(max(0.01, until - time.monotonic()))
            message = connection.recv()
            if not message:  # the other side closed the connection
                raise ClusterUnreachable(f"{what}: the connection ended before the command did{_said(output)}")
            data = message.encode() if isinstance(message, str) else bytes(message)
            if data[0] == _STATUS:
                return Executed(_exit_code(data[1:], what), _text(output))
            if data[0] in (_OUTPUT, _ERRORS):
                output = (output + data[1:])[-_KEPT:]
    except websocket.WebSocketTimeoutException:
        raise CommandTimedOut(f"{what}: it did not end within {timeout:g} s{_said(output)}") from None
    except (websocket.WebSocketException, OSError) as error:
        raise ClusterUnreachable(f"{what}: the connection was lost: {error}{_said(output)}") from error
    finally:
        with contextlib.suppress(websocket.WebSocketException, OSError):
            connection.close(timeout=1)


def _path(namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
    asked = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
    return f"{urls.path_of(_PODS, namespace=namespace, name=pod, subresource='exec')}?{urlencode(asked)}"


def _connected(cluster: Cluster, path: str, *, timeout: float) -> Any:
    """Return a WebSocket with the credentials, certificates and proxy that all other requests have."""
    import websocket

    pool = cluster.connection.pool
    proxy = getattr(pool, "proxy", None)
    through: dict[str, Any] = {"http_no_proxy": ["*"]}  # not what the environment says: the pool does not ask it either
    if proxy is not None:
        through = {"http_proxy_host": proxy.host, "http_proxy_port": proxy.port, "proxy_type": proxy.scheme}
    context = pool.connection_pool_kw.get("ssl_context")
    return websocket.create_connection(
        "ws" + cluster.server.removeprefix("http") + path,
        timeout=min(_CONNECT_TIMEOUT, timeout),
        header=[f"{name}: {value}" for name, value in cluster.connection.authorization().items()],
        subprotocols=[_PROTOCOL],
        sslopt={"context": context} if context is not None else {},
        suppress_origin=True,
        enable_multithread=False,
        **through,
    )


def _exit_code(status: bytes, what: str) -> int:
    try:
        found = msgspec.json.decode(status, type=_Status)
    except (msgspec.MsgspecError, ValueError):
        found = _Status()
    if found.status == "Success":
        return 0
    for cause in found.details.causes if found.details else ():
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message)
    raise ClusterError(f"{what}: {found.message or 'nobody says how it ended'}")


def _said(output: bytes) -> str:
    return f"; it said: {_text(output)}" if output.strip() else ""


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace").strip()
