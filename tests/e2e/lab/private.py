"""Root file systems, made in memory and inside a mount namespace of their own.

On a disk dpkg's syncs would take most of the time. And the memory, with every mount in it, is gone when the program
that makes them ends, however it ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.lab.docker import Docker
from tests.e2e.lab.steps import answer, home, watched

SIZE = "4g"  # at most; a node takes 1.2


def build_privately(module: str, docker: Docker, *, title: str) -> None:
    """Run `python -m MODULE FOLDER DOCKER` in a namespace of its own, with signs of life; it calls `claim_memory`."""
    work = home() / "private"
    work.mkdir(exist_ok=True)
    private = ["unshare", "--mount", "--propagation", "private"]
    build = [sys.executable, "-m", module, str(work), str(docker.program)]
    log = home() / "logs" / f"{title.replace(' ', '-')}.log"
    watched([*private, *build], title=title, log=log, env=docker.env, doing="building")


def claim_memory(work: Path) -> None:
    """Put a memory file system over the folder `work`, until this namespace ends."""
    answer(["mount", "-t", "tmpfs", "-o", f"size={SIZE},dev,exec,suid", "dr-syncer-lab", work])
