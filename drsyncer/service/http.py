"""The little HTTP server of a service: metrics, health, webhook.

waitress does the protocol: a slow client occupies no thread and is cut off in the end, a large body is refused.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from drsyncer.errors import UsageError
from drsyncer.log import get

_LOG = get(__name__)
_THREADS = 4
_SLOWEST = 10  # seconds that a client may be silent in the middle of something
_MOST_CONNECTIONS = 200
_PATIENCE = 5  # seconds for requests that are being answered when the server stops
_LARGEST_HEADERS = 32 * 1024
LARGEST_BODY = 1024 * 1024  # bytes

_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_REASONS |= {405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large", 429: "Too Many Requests"}
_REASONS |= {500: "Internal Server Error", 503: "Service Unavailable"}
# Nothing here is for other sites, to be kept, or to be guessed at.
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked. `headers` are by lower-case name; `body` has at most `LARGEST_BODY` bytes.

    `query` has the last value of each name in the URL's query.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """What it gets; `headers` are beside those that every answer has, or in their place."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"nothing can listen at {address}:{port}: {error.strerror or error}",
            hint="Is another service running here? See server.address and server.port.",
        ) from error
    return listening


class Server:
    """Serves `routes`, (method, path) → handler, until `stop`. HEAD is answered wherever GET is.

    Raises UsageError when nothing can listen at this address.
    """

    def __init__(self, *, address: str, port: int, routes: Mapping[tuple[str, str], Handler]) -> None:
        from waitress.server import create_server

        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._routes = dict(routes)
        # One socket makes a server with these attributes; the stubs know only what it has in common with others.
        make: Any = create_server
        self._server = make(
            self._answer,
            sockets=[_listen(address, port)],
            threads=_THREADS,
            channel_timeout=_SLOWEST,
            cleanup_interval=5,
            connection_limit=_MOST_CONNECTIONS,
            max_request_header_size=_LARGEST_HEADERS,
            max_request_body_size=LARGEST_BODY,
            ident=None,
        )
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and return when the threads have ended."""
        # First those who answer: with their last words they wake the loop, by a pipe that is closed with it.
        self._server.task_dispatcher.shutdown(timeout=_PATIENCE)
        # From inside of its loop: there it is safe to take the sockets away.
        self._server.trigger.pull_trigger(self._server.close)
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        response = self._handle(method, path, environ)
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *{**_HEADERS, **response.headers}.items(),
        ]
        start_response(f"{response.status} {_REASONS[response.status]}", headers)
        return [b"" if method == "HEAD" else response.body]

    def _handle(self, method: str, path: str, environ: dict[str, Any]) -> Response:
        handler = self._routes.get(("GET" if method == "HEAD" else method, path))
        if handler is None:
            known = any(path == route for _, route in self._routes)
            return Response(405, b"not allowed here\n") if known else Response(404, b"nothing here\n")
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name == "CONTENT_TYPE"
        }
        try:
            query = dict(parse_qsl(environ.get("QUERY_STRING", ""), max_num_fields=20))
            return handler(Request(method, path, headers, environ["wsgi.input"].read(), query))
        except Exception:  # noqa: BLE001
            # The boundary of the server: a client learns nothing of what went wrong inside.
            _LOG.exception("a request could not be answered", method=method, path=path)
            return Response(500, b"it is in the log\n")
