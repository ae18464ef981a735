"""`python -m tests.e2e.lab up|down|image NAME`: the two clusters, or our image, without the story."""

from __future__ import annotations

import sys
import time

from tests.cluster.tools import ToolMissing
from tests.cluster.tools.build import BuildFailed
from tests.e2e.lab import daemon
from tests.e2e.lab.image import ROOT, build_image
from tests.e2e.lab.lab import Say, claim, down, find_docker, up
from tests.e2e.lab.steps import LabFailed, LabImpossible

ARCHIVE = ROOT / "build/image.tar"
SAVING = 600.0  # seconds


def main(argv: list[str]) -> int:
    """Bring it up, or down. Returns the exit code."""
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f} s] {text}", flush=True)

    try:
        claim()
        if argv == ["up"]:
            docker, own = find_docker()
            lab = up(docker, own=own, say=say)
            say(f"up; kubectl --kubeconfig {lab.source} and {lab.dr}")
            if own:
                print(f"DOCKER_HOST={docker.env['DOCKER_HOST']} PATH={docker.program.parent}:$PATH")
        elif argv == ["down"]:
            return _tell_left(down(say), say)
        elif len(argv) == 2 and argv[0] == "image":
            return _image(argv[1], say)
        else:
            print("usage: python -m tests.e2e.lab up|down|image NAME", file=sys.stderr)
            return 2
    except (LabImpossible, LabFailed, ToolMissing, BuildFailed) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _image(name: str, say: Say) -> int:
    """Build our image where no Docker answers: its archive is what is left, to be loaded elsewhere."""
    if daemon.exists():
        # A build needs another sort of daemon, which would end what runs.
        raise LabFailed("a lab is still there; end it with `make e2e-down`, then try again")
    docker, own = find_docker()
    try:
        build_image(docker, name, own=own)
        ARCHIVE.parent.mkdir(exist_ok=True)
        docker("save", "--output", ARCHIVE, name, timeout=SAVING)
        say(f"{name} is in {ARCHIVE}: `docker load --input` takes it")
    finally:
        left = daemon.stop() if own else []
    return _tell_left(left, say)


def _tell_left(left: list[str], say: Say) -> int:
    for sentence in left:
        say(f"left: {sentence}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
