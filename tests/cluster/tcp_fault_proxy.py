"""A TCP proxy in front of a loopback port: for remotes whose protocol it need not understand (Git over ssh, https).

with TcpFaultProxy(remote.port) as proxy:
    proxy.cut(after=20_000, direction="up")     # the next connection dies in the middle of a push
    … git push to proxy.port …
"""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from dataclasses import dataclass
from typing import Literal

HOST = "127.0.0.1"
CHUNK = 16384
POLL_SECONDS = 0.1

Direction = Literal["up", "down"]


@dataclass(slots=True)
class ConnectionFault:
    """What happens to a connection: it is cut after `after` bytes in `direction`, having hung for `hang` seconds."""

    direction: Direction
    after: int
    hang: float
    skip: int
    times: int | None
    seen: int = 0
    hits: int = 0

    def strikes(self) -> bool:
        """Count a connection; return whether the fault hits it."""
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class TcpFaultProxy:
    """A proxy in front of `upstream_port` on loopback; connect to `port`."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.stopping = threading.Event()
        self.connections = 0
        self._faults: list[ConnectionFault] = []
        self._lock = threading.Lock()
        self._server = _Server((HOST, 0), self)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> TcpFaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def cut(
        self, *, after: int = 0, direction: Direction = "down", skip: int = 0, times: int | None = 1
    ) -> ConnectionFault:
        """Reset connections after `after` bytes from the client ("up") or from the server ("down")."""
        return self._add(ConnectionFault(direction, after, 0.0, skip, times))

    def hang(
        self,
        seconds: float,
        *,
        after: int = 0,
        direction: Direction = "down",
        skip: int = 0,
        times: int | None = 1,
    ) -> ConnectionFault:
        """Let connections fall silent for `seconds` after `after` bytes, then reset them."""
        return self._add(ConnectionFault(direction, after, seconds, skip, times))

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def fault_for_new_connection(self) -> ConnectionFault | None:
        """Count a connection and return its fault."""
        with self._lock:
            self.connections += 1
            return next((fault for fault in self._faults if fault.strikes()), None)

    def _add(self, fault: ConnectionFault) -> ConnectionFault:
        with self._lock:
            self._faults.append(fault)
        return fault


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], proxy: TcpFaultProxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Relay)


class _Relay(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        proxy = self.server.proxy
        fault = proxy.fault_for_new_connection()
        try:
            with socket.create_connection((HOST, proxy.upstream_port)) as upstream:
                self._relay(upstream, fault)
        except OSError:
            # One side is gone; closing the other is all that a wire can do, and leaving this method does it.
            return

    def _relay(self, upstream: socket.socket, fault: ConnectionFault | None) -> None:
        passed: dict[Direction, int] = {"up": 0, "down": 0}
        ends: dict[socket.socket, tuple[Direction, socket.socket]] = {
            self.request: ("up", upstream),
            upstream: ("down", self.request),
        }
        while ends and not self.server.proxy.stopping.is_set():
            for readable in select.select(list(ends), [], [], POLL_SECONDS)[0]:
                direction, target = ends[readable]
                data = readable.recv(CHUNK)
                if fault is not None and direction == fault.direction and passed[direction] + len(data) > fault.after:
                    target.sendall(data[: fault.after - passed[direction]])
                    self.server.proxy.stopping.wait(fault.hang)
                    self._reset()
                    return
                passed[direction] += len(data)
                if data:
                    target.sendall(data)
                else:
                    target.shutdown(socket.SHUT_WR)
                    del ends[readable]

    def _reset(self) -> None:
        """Close with RST, so that the client sees a broken connection and not an orderly end."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.request.close()
