"""Our own image, built as `make docker-build` builds it, on a base that is there."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.lab.base import STOCK_IMAGE, ensure_base
from tests.e2e.lab.debian import why_not
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.steps import LabImpossible, home, watched

ROOT = Path(__file__).parents[3]


def build_image(docker: Docker, name: str, *, own: bool) -> None:
    """Build it, with signs of life. Raises `LabImpossible` where there is no base, `LabFailed` when it fails."""
    flags = " ".join(network(own=own))
    variables = [f"IMAGE={name}", f"BASE_IMAGE={_base(docker, own=own)}", f"DOCKER_FLAGS={flags}"]
    path = f"{docker.program.parent}:{os.environ.get('PATH', '')}"
    watched(
        ["make", "-C", ROOT, "docker-build", *variables],
        title=name,
        log=home() / "logs/image.log",
        env={**docker.env, "PATH": path},
        doing="building",
    )


def network(*, own: bool) -> list[str]:
    """Flags for a build: the containers of a daemon of our own have no name server but the machine's."""
    return ["--network", "host"] if own else []


def _base(docker: Docker, *, own: bool) -> str:
    if not own and docker.can_pull(STOCK_IMAGE):
        return STOCK_IMAGE
    reason = why_not()
    if reason:
        raise LabImpossible(f"{STOCK_IMAGE} cannot be pulled, and building one is for root on Debian only: {reason}")
    return ensure_base(docker)
