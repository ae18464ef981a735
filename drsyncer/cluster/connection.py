"""From a kubeconfig or a pod's ServiceAccount to an authenticated connection pool.

The kubernetes package knows kubeconfig, contexts, exec plug-ins and in-cluster tokens, so it
loads them; the pool that it makes carries our raw bytes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3

from drsyncer.cluster.client import Cluster, NotSent
from drsyncer.errors import UsageError
from drsyncer.retry import Schedule

# Seconds. Asking sets the package's whole configuration anew each time: a quarter of what a small request costs us.
_ASKED_AGAIN = 1.0
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# A watch may be silent for minutes; whether somebody is still there, the kernel finds out within a minute.
_NOTICE_A_DEAD_PEER = [
    *urllib3.connection.HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)  # not on every system
    ),
]


class Connection:
    """A pool of authenticated connections to one API server.

    `server` is its URL and `pool` a urllib3 PoolManager of at least `connections` connections.
    """

    def __init__(self, configuration: Any, *, connections: int) -> None:
        from kubernetes.client import ApiClient

        configuration.connection_pool_maxsize = connections
        configuration.retries = False  # one place owns retries: Cluster.request
        self.server: str = configuration.host.rstrip("/")
        self._api_client = ApiClient(configuration)
        self.pool = self._api_client.rest_client.pool_manager
        _share_one_tls_context(self.pool, configuration)
        self.pool.connection_pool_kw["socket_options"] = _NOTICE_A_DEAD_PEER
        # Asked right before the bytes of a write leave: a process that was stopped for a while may lead no more.
        self.may_write: Callable[[], bool] = lambda: True
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._open_lock = threading.Lock()
        self._aborted = threading.Event()
        self.pool.pool_classes_by_scheme = {
            scheme: self._guarded(pool_class) for scheme, pool_class in self.pool.pool_classes_by_scheme.items()
        }
        self._lock = threading.Lock()
        self._authorization: dict[str, str] = {}
        self._asked = -_ASKED_AGAIN

    def authorization(self) -> dict[str, str]:
        """Return the headers that authenticate a request; tokens that expire are renewed here, minutes before."""
        with self._lock:  # the renewal hook is not made for several threads
            if time.monotonic() - self._asked >= _ASKED_AGAIN:
                headers: dict[str, str] = {}
                self._api_client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
                # As kubectl does: a token file ends with a line feed more often than not.
                self._authorization = {name: value.strip() for name, value in headers.items()}
                self._asked = time.monotonic()
            return dict(self._authorization)

    def close(self) -> None:
        """Close every connection of the pool; one that is in use, when it is given back."""
        # What `clear` lets go of is closed only once it is garbage, and an error that is remembered holds on to it.
        for key in self.pool.pools.keys():  # noqa: SIM118 - no mapping that could be iterated
            self.pool.pools[key].close()
        self.pool.clear()

    def abort(self) -> None:
        """Hang up for good, also on requests in flight: threads that wait for an answer get an error at once."""
        self._aborted.set()
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):  # the other side was faster
                    # Not the TLS socket's own method: that takes TLS away from under the thread that reads.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def _guarded(self, pool_class: Any) -> Any:
        """Return a class of pools like `pool_class` whose connections `abort` knows and `may_write` can stop."""
        ours = self

        class Guarded(pool_class.ConnectionCls):  # type: ignore[misc]
            _writes = False

            def connect(self) -> None:
                super().connect()
                with ours._open_lock:
                    ours._open.add(self)
                if ours._aborted.is_set():  # too late for `abort` to see this one
                    self.close()
                    raise urllib3.exceptions.HTTPError("given up")

            def putrequest(self, method: str, *args: Any, **options: Any) -> None:
                self._writes = method != "GET"
                super().putrequest(method, *args, **options)

            def send(self, data: Any) -> None:
                # Called for the head of a request and again for its body, without which the server does nothing.
                # So nothing that takes time lies between question and bytes: no credentials, no dialling, no TLS.
                if self.sock is None:
                    self.connect()
                if self._writes and not ours.may_write():
                    raise NotSent
                super().send(data)

        return type(pool_class.__name__, (pool_class,), {"ConnectionCls": Guarded})


def _share_one_tls_context(pool: Any, configuration: Any) -> None:
    """Give the whole pool one SSLContext.

    Left alone, urllib3 builds one per connection: 1 MB and 40 ms of CPU each.
    """
    if not configuration.host.startswith("https"):
        return
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise UsageError(
            f"cluster {configuration.host}: its certificate authority cannot be read: {_one_line(error)}",
            hint="Check certificate-authority and certificate-authority-data in the kubeconfig.",
        ) from error
    if not configuration.verify_ssl or configuration.assert_hostname is False:
        context.check_hostname = False
    if not configuration.verify_ssl:
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        try:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cluster {configuration.host}: the client certificate and its key cannot be used: {_one_line(error)}",
                hint="Check client-certificate and client-key of the user in the kubeconfig.",
            ) from error
    for loaded in ("ca_certs", "ca_cert_data", "cert_file", "key_file"):
        pool.connection_pool_kw.pop(loaded, None)
    pool.connection_pool_kw["ssl_context"] = context


def connect(
    *,
    kubeconfig: str = "",
    context: str = "",
    connections: int = 16,
    timeout: float = 30.0,
    schedule: Schedule | None = None,
) -> Cluster:
    """Return the cluster that `kubeconfig` and `context` name; nothing is sent yet.

    Without `kubeconfig`: $KUBECONFIG, else ~/.kube/config where it exists, else the pod's own
    ServiceAccount. `timeout` is in seconds, for one request. Raises UsageError when there is none
    of these, or when the file, the context or its exec plug-in does not work.
    """
    configuration = _load(kubeconfig, context)
    return Cluster(Connection(configuration, connections=connections), timeout=timeout, schedule=schedule or Schedule())


def _load(kubeconfig: str, context: str) -> Any:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import load_incluster_config

    configuration = Configuration()
    file = kubeconfig or os.environ.get("KUBECONFIG", "")
    default = Path("~/.kube/config").expanduser()
    if not file and not default.exists():
        if not _SERVICE_ACCOUNT.exists():
            raise UsageError(
                "no cluster given: there is no --kubeconfig, no $KUBECONFIG, no ~/.kube/config, and this is no pod",
                hint="Name the cluster with --kubeconfig FILE and --context NAME.",
            )
        try:
            load_incluster_config(client_configuration=configuration)
        except ConfigException as error:
            raise UsageError(f"in-cluster credentials: {error}") from error
        return configuration
    _load_file(file or str(default), context, configuration)
    return configuration


def _load_file(file: str, context: str, configuration: Any) -> None:
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigMerger, load_kube_config

    # As kubectl does, $KUBECONFIG may name files that are not there as long as one is.
    if not any(Path(part).expanduser().is_file() for part in file.split(os.pathsep) if part):
        raise UsageError(f"kubeconfig {file}: no such file", hint="Check --kubeconfig and $KUBECONFIG.")
    errors = _CollectErrors()
    logging.getLogger().addHandler(errors)
    try:
        context = context or _current_context(file)
        load_kube_config(file, context=context, client_configuration=configuration, persist_config=False)
        merged = KubeConfigMerger(file).config
        user = _user(merged.value, context) if merged is not None else {}
        _check_server(configuration.host)
    except (ConfigException, ValueError, OSError, AttributeError, TypeError, KeyError) as error:
        raise UsageError(
            f"kubeconfig {file}: {_one_line(error)}",
            hint="`kubectl config get-contexts` lists the contexts of a kubeconfig.",
        ) from error
    except Exception as error:
        # The package parses YAML with a library of its own choice and lets that library's errors through.
        raise UsageError(f"kubeconfig {file}: not a kubeconfig: {_one_line(error)}") from error
    finally:
        logging.getLogger().removeHandler(errors)
    has_credentials = configuration.api_key.get("BearerToken") or configuration.cert_file
    if user.get("exec") and not has_credentials:
        # The package logs a failed plug-in and goes on without credentials; a 401 later explains nothing.
        reason = _one_line("; ".join(errors.messages)) or "it gave no credentials"
        raise UsageError(
            f"kubeconfig {file}: exec plug-in {user['exec'].get('command')!r} failed: {reason}",
            hint="Run that command by hand: it must print an ExecCredential.",
        )


def _current_context(file: str) -> str:
    """Return the current context: the first one that any of the files names.

    That is what kubectl does. The kubernetes package takes the last one, and so another cluster.
    Raises ValueError when there is none, and whatever the package raises for a file that is no kubeconfig.
    """
    from kubernetes.config.kube_config import KubeConfigMerger

    for part in file.split(os.pathsep):
        config = KubeConfigMerger(part).config
        if config is not None and config.value.get("current-context"):
            return str(config.value["current-context"])
    raise ValueError("no current-context is set, and no context was named")


def _check_server(server: str) -> None:
    """Raise ValueError for a server that no request can be sent to: waiting and trying again would not help."""
    try:
        parts = urllib3.util.parse_url(server)
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    if parts.scheme not in ("https", "http") or not parts.host:
        raise ValueError(f"the cluster's server {server!r} is no https or http URL")


def _one_line(error: object) -> str:
    """Return the message as one line: YAML libraries and plug-ins write several."""
    return " ".join(str(error).split())


def _user(kubeconfig: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the user entry of the context `name` in a merged kubeconfig."""
    wanted = [entry.value["context"].get("user") for entry in kubeconfig["contexts"] if entry.value["name"] == name]
    for user in kubeconfig["users"]:
        if user.value["name"] in wanted:
            return dict(user.value.get("user") or {})
    return {}


class _CollectErrors(logging.Handler):
    """Keeps what the kubernetes package only logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
