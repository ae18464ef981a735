"""Ports and numbers that no other test runner on this machine uses at the same time.

Asking the kernel for a free port and closing it again leaves a gap in which another xdist worker, or an outgoing
connection, takes it. So ports come from below the ephemeral range, and each is claimed by a locked file that the
kernel releases when its owner ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

PORTS = range(16000, 31000)
NETWORKS = range(20, 250)  # the n of 127.n.0.0/16


class NothingFree(RuntimeError):
    """Every candidate is taken."""


class Claim:
    """One claimed number; `release()` or the end of the process gives it back."""

    def __init__(self, value: int, descriptor: int) -> None:
        self.value = value
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the number back. Releasing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def claim_port() -> Claim:
    """Claim a loopback TCP port on which nothing listens."""
    return _claim("port", PORTS, usable=_nobody_listens)


def claim_network() -> Claim:
    """Claim the n of a 127.n.0.0/16 Service range."""
    return _claim("network", NETWORKS, usable=lambda _: True)


def lock_file(path: Path, *, wait: bool = False) -> int | None:
    """Create and lock `path`; return the open descriptor that holds the lock, None when someone else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _claim(kind: str, candidates: Sequence[int], *, usable: Callable[[int], bool]) -> Claim:
    folder = Path(tempfile.gettempdir()) / f"dr-syncer-test-claims-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for value in random.sample(candidates, len(candidates)):
        descriptor = lock_file(folder / f"{kind}-{value}")
        if descriptor is None:
            continue
        if usable(value):
            return Claim(value, descriptor)
        os.close(descriptor)
    raise NothingFree(f"no free {kind} among {len(candidates)}")


def _nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
