"""`dr-syncer serve` in tests: real processes with a configuration file, a log and a port."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drsyncer.yaml.emit import emit
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery

PATIENCE = 60.0  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds. `memory` is its resident set in bytes."""

    threads: int
    files: int
    sockets: int
    memory: int


@dataclass
class Service:
    """One `dr-syncer serve`."""

    process: subprocess.Popen[bytes]
    port: int
    config: Path
    log: Path

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET; 0 and "" when nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            return 0, ""
        finally:
            connection.close()

    def call(self, body: bytes, headers: dict[str, str]) -> int:
        """Call the webhook; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/webhook", body, {"X-GitHub-Event": "push", **headers})
            return connection.getresponse().status
        finally:
            connection.close()

    def metric(self, series: str) -> float:
        """Return the value of one series, 0 when there is none."""
        return self.metrics().get(series, 0.0)

    def metrics(self) -> dict[str, float]:
        """Return every series and its value."""
        lines = [line for line in self.ask("/metrics")[1].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def said(self) -> list[str]:
        """Return the lines of the log."""
        return self.log.read_text().splitlines()

    def complaints(self) -> list[str]:
        """Return the warnings and errors of the log."""
        return [
            line for line in self.said() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b|Traceback", line, re.IGNORECASE)
        ]

    def cpu(self) -> float:
        """Return the seconds of processor time that it and its ended children have used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def footprint(self) -> Footprint:
        """Return what it holds now."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        held = []
        for link in (folder / "fd").iterdir():
            try:
                held.append(str(link.readlink()))
            except FileNotFoundError:  # closed meanwhile
                continue
        return Footprint(
            threads=int(status["Threads"]),
            files=len(held),
            sockets=sum(name.startswith("socket:") for name in held),
            memory=int(status["VmRSS"].split()[0]) * 1024,
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@dataclass
class Services:
    """Starts services for one recovery repository, and ends those that were left running. A context manager."""

    recovery: Recovery
    quiet: bool = False  # the logs are not for a test's report
    started: list[Service] = field(default_factory=list)

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        for service in self.started:
            if service.process.poll() is None:
                service.process.kill()
                service.process.wait()
            if not self.quiet:
                print(service.log.read_text())

    def start(
        self,
        side: str,
        cluster: ControlPlane,
        *,
        server: dict[str, Any] | None = None,
        author: str = "",
        volumes: dict[str, Any] | None = None,
        **section: Any,
    ) -> Service:
        """Start one. `section` is its section of the configuration; `author` is who its commits are by."""
        folder = self.recovery.folder / f"service-{len(self.started)}"
        folder.mkdir()
        port = _free_port()
        config = self.recovery.config(**{side: {"kubeconfig": str(cluster.kubeconfig), **section}})
        config["server"] = {"port": port, **(server or {})}
        if volumes is not None:
            config["volumes"] = volumes
        config["repository"]["cacheDir"] = str(folder / "cache")
        if author:
            config["repository"]["author"] = {"name": author}
        file, log = folder / "dr-syncer.yaml", folder / "log"
        file.write_bytes(emit(config))
        argv = [sys.executable, "-m", "cli.main", "serve", side, "--config", str(file)]
        with log.open("wb") as said:
            process = subprocess.Popen(argv, stdout=said, stderr=subprocess.STDOUT, env={**os.environ}, cwd=folder)
        self.started.append(Service(process, port, file, log))
        return self.started[-1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(
    condition: Callable[[], object],
    what: str | Callable[[], str],
    *,
    patience: float = PATIENCE,
    pause: float = 0.1,
) -> None:
    """Wait until `condition` holds, looking every `pause` seconds; fail with `what` it was that did not come."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, what if isinstance(what, str) else what()
        time.sleep(pause)
