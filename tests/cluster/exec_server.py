"""The end of `kubectl exec` on a node: what the API server asks a kubelet, over TLS, for a command in a container.

It speaks WebSocket (RFC 6455) with the protocol v4.channel.k8s.io, which API servers pass on as it is. A command is
run as a process on this machine, in a folder that stands for its container.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.certificates import Authority
from tests.cluster.tls_server import TlsServer

PROTOCOL = "v4.channel.k8s.io"
OUTPUT, ERRORS, STATUS = 1, 2, 3
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_BINARY, _CLOSE = 0x82, 0x88
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was run, and in which container: namespace/pod/container."""

    where: str
    words: tuple[str, ...]


@dataclass
class ExecServer:
    """Runs commands with `folder` as their working folder. A context manager; `port` is its."""

    folder: Path
    commands: list[Command] = field(default_factory=list)

    def __enter__(self) -> ExecServer:
        authority = Authority(self.folder / "pki", name="dr-syncer tests kubelet")
        self._server = TlsServer(_Handler, owner=self, timeout=SECONDS)
        self._server.start(authority.issue("kubelet"))
        self.port = self._server.port
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def words(self) -> list[str]:
        """The last word of every command that was run, in order."""
        return [command.words[-1] for command in self.commands]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TlsServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        owner: ExecServer = self.server.owner
        url = urlsplit(self.path)
        _, kind, *where = url.path.split("/")
        assert kind == "exec"
        assert PROTOCOL in self.headers["Sec-WebSocket-Protocol"]
        key = self.headers["Sec-WebSocket-Key"]
        accepted = base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accepted)):
            self.send_header(name, value)
        self.send_header("Sec-WebSocket-Protocol", PROTOCOL)
        self.end_headers()
        command = Command("/".join(where), tuple(parse_qs(url.query)["command"]))
        owner.commands.append(command)
        done = subprocess.run(command.words, cwd=owner.folder, capture_output=True, check=False)
        for channel, data in ((OUTPUT, done.stdout), (ERRORS, done.stderr)):
            if data:
                self._send(bytes([channel]) + data)
        self._send(bytes([STATUS]) + json.dumps(_status(done.returncode)).encode())
        self._send(b"\x03\xe8", kind=_CLOSE)  # 1000: as it should be
        self.close_connection = True

    def _send(self, data: bytes, *, kind: int = _BINARY) -> None:
        size = struct.pack("!B", len(data)) if len(data) < 126 else struct.pack("!BH", 126, len(data))
        self.wfile.write(bytes([kind]) + size + data)
        self.wfile.flush()


def _status(code: int) -> dict[str, Any]:
    """Return how a command ended, as a kubelet says it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
