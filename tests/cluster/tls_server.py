"""A threaded HTTPS server on loopback, for the proxies and remotes of the harness."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cluster.certificates import KeyPair

HOST = "127.0.0.1"
POLL_SECONDS = 0.05


class TlsServer(ThreadingHTTPServer):
    """An HTTPS server on `address`, a free loopback port unless told; `owner` is what its handlers serve.

    `stop` hangs up on open connections and then waits for their threads, so that nothing outlives a test.
    """

    daemon_threads = False  # socketserver waits for the others only

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], *, owner: Any, timeout: float, address: tuple[str, int] = (HOST, 0)
    ) -> None:
        super().__init__(address, handler)
        self.owner = owner
        self.port: int = self.server_address[1]
        self._context: ssl.SSLContext | None = None
        self._connection_timeout = timeout
        self._open: set[socket.socket] = set()
        self._failures: list[str] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True)

    def start(self, pair: KeyPair) -> None:
        """Serve in the background, showing the certificate of `pair`."""
        self._context = pair.server_context()
        self._thread.start()

    def show(self, pair: KeyPair) -> None:
        """Show the certificate of `pair` from now on, and hang up on whoever saw the one before."""
        self._context = pair.server_context()
        self._hang_up()

    def stop(self) -> None:
        """Take no new connections, hang up on the open ones, and wait for their threads.

        Raises `RuntimeError` with the traceback of the first fault of the server itself, so that its test fails.
        """
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self._hang_up()
        self.server_close()
        if self._failures:
            raise RuntimeError(f"{len(self._failures)} requests failed inside the harness\n{self._failures[0]}")

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS is agreed on in the connection's own thread: a client that stalls there stalls nobody else."""
        assert self._context is not None
        request.settimeout(self._connection_timeout)
        with (
            self.tracking(request),
            self._context.wrap_socket(request, server_side=True) as secured,
            self.tracking(secured),
        ):
            super().finish_request(secured, client_address)
            # Without a farewell of TLS, git's GnuTLS takes a complete answer for a truncated one.
            # ValueError: this end has hung up on purpose, so there is nobody to say it to.
            with contextlib.suppress(OSError, ValueError):
                secured.unwrap()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or does not trust us, finds out by itself; everything else `stop` will raise."""
        if not isinstance(sys.exception(), OSError):
            self._failures.append(traceback.format_exc())

    def _hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                hang_up(connection)

    @contextlib.contextmanager
    def tracking(self, connection: socket.socket) -> Iterator[None]:
        """Hang up on `connection` too when the server stops inside the block."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


def hang_up(connection: socket.socket) -> None:
    """Close a connection in both directions. That the other side was faster changes nothing."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
