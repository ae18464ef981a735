"""A small client for the API server: the standard library only, so that it shares no fault with what it tests."""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

Object = dict[str, Any]

TIMEOUT_SECONDS = 30.0
KIND_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.05
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
APPLY = "application/apply-patch+yaml"


class ApiError(RuntimeError):
    """The API server refused a request of the harness."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status}: {body[:2000]}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Kind:
    """One served type: where its objects live."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def type(self) -> str:
        """`plural.group`, or `plural` alone for the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of one object, or of a collection when `name` is empty (`namespace` empty: all of them)."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{base}{inside}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


class Api:
    """Requests to one API server with one token, over a pool of kept-alive connections. Safe to use from threads."""

    def __init__(self, *, host: str, port: int, context: ssl.SSLContext, token: str) -> None:
        self._host, self._port, self._context = host, port, context
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "dr-syncer-test-harness"}
        self._idle: queue.LifoQueue[http.client.HTTPSConnection] = queue.LifoQueue()
        self._kinds: dict[tuple[str, str], Kind] = {}

    def close(self) -> None:
        """Close the idle connections; the client can be used again afterwards."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """Send one request and return the decoded answer (text when it is no JSON). Raises `ApiError`, `OSError`.

        `path` may carry a query string. `body` is encoded as JSON, which is YAML too.
        """
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {**self._headers, "Accept": accept, "Content-Type": content_type}
        with self._connection() as connection:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            text = response.read().decode()
        if response.status >= 400:
            raise ApiError(method, path, response.status, text)
        is_json = response.headers.get_content_type() == "application/json"
        return json.loads(text) if is_json else text

    def items(self, path: str) -> list[Object]:
        """Return all objects of a collection, page by page. They carry no apiVersion and kind, as in any list."""
        separator = "&" if "?" in path else "?"
        found: list[Object] = []
        token = ""
        while True:
            page = self.request("GET", f"{path}{separator}{urlencode({'limit': 500, 'continue': token})}")
            found.extend(page.get("items") or [])
            token = page["metadata"].get("continue", "")
            if not token:
                return found

    def exists(self, path: str) -> bool:
        """Whether an object is there."""
        try:
            self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def kinds(self) -> dict[tuple[str, str], Kind]:
        """Discover what is served now: `(apiVersion, kind)` → type, in the server's order of preference."""
        found: dict[tuple[str, str], Kind] = {}
        for root in ("/api", "/apis"):
            for group in self.request("GET", root, accept=AGGREGATED)["items"]:
                found.update(_kinds_of(group))
        self._kinds = found
        return found

    def preferred(self) -> list[Kind]:
        """Each listable type once, in its preferred version."""
        found: dict[str, Kind] = {}
        for kind in self.kinds().values():
            if "list" in kind.verbs:
                found.setdefault(kind.type, kind)
        return list(found.values())

    def kind_of(self, manifest: Mapping[str, Any]) -> Kind:
        """Return the type of a manifest; waits up to 15 s for a type that a CRD has just brought. Raises `KeyError`."""
        wanted = (manifest["apiVersion"], manifest["kind"])
        deadline = time.monotonic() + KIND_TIMEOUT_SECONDS
        while wanted not in self._kinds:
            if wanted in self.kinds():
                break
            if time.monotonic() > deadline:
                raise KeyError(f"{wanted[1]} of {wanted[0]} is not served")
            time.sleep(POLL_SECONDS)
        return self._kinds[wanted]

    def path_of(self, manifest: Mapping[str, Any]) -> str:
        """Return the URL path of the object that a manifest describes; without a namespace it lives in `default`."""
        kind = self.kind_of(manifest)
        meta = manifest["metadata"]
        return kind.path(meta.get("namespace") or "default", meta["name"])

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPSConnection]:
        """Lend a connection: one that the server closed meanwhile is never lent, one that failed is never kept."""
        connection = None
        while connection is None and not self._idle.empty():
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                break
            if not _alive(connection):
                connection.close()
                connection = None
        connection = connection or http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._context
        )
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)


def _alive(connection: http.client.HTTPSConnection) -> bool:
    """An idle connection with something to read has been closed by the server (or answers what nobody asked)."""
    if connection.sock is None:
        return False
    connection.sock.setblocking(False)
    try:
        connection.sock.recv(1)
    except (ssl.SSLWantReadError, BlockingIOError):
        connection.sock.settimeout(TIMEOUT_SECONDS)
        return True
    except OSError:
        return False
    return False


def _kinds_of(group: Object) -> dict[tuple[str, str], Kind]:
    name = group["metadata"].get("name", "")
    found = {}
    for version in group["versions"]:
        for resource in version.get("resources", []):
            kind = resource["responseKind"].get("kind", "")
            api_version = f"{name}/{version['version']}" if name else version["version"]
            found[(api_version, kind)] = Kind(
                group=name,
                version=version["version"],
                kind=kind,
                plural=resource["resource"],
                namespaced=resource["scope"] == "Namespaced",
                verbs=frozenset(resource["verbs"]),
            )
    return found
