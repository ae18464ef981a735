"""The stage of the story: both images, both clusters, the Git server, and what is torn down afterwards."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import git_server
from tests.e2e.git_server import GitServer
from tests.e2e.kubectl import Cluster
from tests.e2e.lab import lab
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.image import ROOT, build_image, network
from tests.e2e.lab.lab import Lab
from tests.e2e.lab.steps import LabFailed, home, watched

IMAGE = "dr-syncer:e2e"
LOGS = ROOT / "build/e2e-logs"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the story plays with."""

    lab: Lab
    git: GitServer
    source: Cluster
    dr: Cluster


def build(say: Say) -> Scene:
    """Build and start everything. Raises `LabImpossible` where it cannot be, `LabFailed` where it should have been."""
    docker, own = lab.find_docker()
    build_images(docker, own=own, say=say)
    running = lab.up(docker, own=own, say=say)
    say(f"loading {IMAGE}")
    running.kind.load([IMAGE])
    folder = Path(tempfile.mkdtemp(prefix="e2e-", dir=home()))
    git = GitServer(running.docker, folder / "git")
    git.start()
    return Scene(
        lab=running,
        git=git,
        source=Cluster("source", running.source, folder),
        dr=Cluster("dr", running.dr, folder),
    )


def build_images(docker: Docker, *, own: bool, say: Say) -> None:
    """Build our image as people do, and the Git server's on top of it."""
    say(f"building {IMAGE}")
    build_image(docker, IMAGE, own=own)
    build: list[str | Path] = [docker.program, "build", *network(own=own)]
    build += ["--build-arg", f"IMAGE={IMAGE}", "--tag", git_server.IMAGE, git_server.FOLDER]
    # Whatever builds it: nothing in it needs BuildKit, which is not everywhere, while the classic builder is.
    env = {**docker.env, "DOCKER_BUILDKIT": "0"}
    watched(build, title=git_server.IMAGE, log=home() / "logs/git-image.log", env=env, doing="building")


def keep_logs(scene: Scene, say: Say) -> None:
    """Write down what the clusters and the Git server know, for looking at a failure."""
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    try:
        scene.lab.kind.export_logs(LOGS)
        (LOGS / "git.log").write_text(scene.lab.docker("logs", git_server.NAME))
    except LabFailed as error:  # what went wrong before is what matters
        print(f"e2e: some logs could not be had: {error}", file=sys.stderr)
    say(f"logs are in {LOGS}")


def tear_down(say: Say) -> list[str]:
    """Take everything down, whatever of it there is. Returns sentences about what is left."""
    docker, own = lab.running_docker()
    if docker is not None:
        docker("rm", "--force", "--volumes", git_server.NAME)
        if own:
            # What builds leave is what makes the next one short; what is older than a week is of another time.
            docker("container", "prune", "--force")
            docker("image", "prune", "--force", "--filter", "until=168h")
    left = lab.down(say)
    for folder in home().glob("e2e-*"):
        shutil.rmtree(folder, ignore_errors=True)
    return left
