"""`python -m tests.e2e.lab up|down`: the two clusters, without the story."""

from __future__ import annotations

import sys
import time

from tests.cluster.tools import ToolMissing
from tests.cluster.tools.build import BuildFailed
from tests.e2e.lab.lab import down, find_docker, up
from tests.e2e.lab.steps import LabFailed, LabImpossible


def main(argv: list[str]) -> int:
    """Bring it up, or down. Returns the exit code."""
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f} s] {text}", flush=True)

    try:
        if argv == ["up"]:
            docker, own = find_docker()
            lab = up(docker, own=own, say=say)
            say(f"up; kubectl --kubeconfig {lab.source} and {lab.dr}")
            if own:
                print(f"DOCKER_HOST={docker.env['DOCKER_HOST']} PATH={docker.program.parent}:$PATH")
        elif argv == ["down"]:
            left = down(say)
            for sentence in left:
                say(f"left: {sentence}")
            say("down")
        else:
            print("usage: python -m tests.e2e.lab up|down", file=sys.stderr)
            return 2
    except (LabImpossible, LabFailed, ToolMissing, BuildFailed) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
