"""`python -m tests.e2e`: the whole story on two kind clusters, and nothing left of it afterwards."""

from __future__ import annotations

import argparse
import platform
import sys
import time

from tests.cluster.tools import CLUSTER_PROGRAMS, HELM, PROGRAMS, ToolMissing
from tests.cluster.tools.build import BuildFailed, build_missing
from tests.e2e.acts import play
from tests.e2e.lab.lab import claim
from tests.e2e.lab.steps import LabFailed, LabImpossible
from tests.e2e.scene import Say, Scene, build, keep_logs, tear_down
from tests.e2e.story import Story

NEEDED = (*CLUSTER_PROGRAMS, *(program for program in PROGRAMS if program.module == HELM))


def main() -> int:
    """Play the story; print what was seen. Returns 0 only when all of it was seen."""
    options = _options()
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f} s] {text}", flush=True)

    try:
        claim()
        if options.down:
            return _end(say)
        build_missing(NEEDED)
        return _run(say, keep=options.keep)
    except LabImpossible as error:
        # Not green: who asked for the story has not seen it.
        print(f"e2e: not possible on this machine: {error}", file=sys.stderr)
        return 1
    except (LabFailed, ToolMissing, BuildFailed) as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("e2e: interrupted", file=sys.stderr)
        return 130


def _run(say: Say, *, keep: bool) -> int:
    code, scene = 1, None
    try:
        scene = build(say)
        story = Story(scene, say)
        code = _play(story, scene)
    finally:
        if keep and scene is not None:
            say(f"kept; kubectl --kubeconfig {scene.lab.source} and {scene.lab.dr}; `make e2e-down` ends it")
        else:
            code = _end(say) or code
    say("green" if code == 0 else "RED")
    return code


def _play(story: Story, scene: Scene) -> int:
    try:
        play(story)
    except BaseException:
        story.say(f"FAILED in: {story.acts[-1].title if story.acts else 'the beginning'}")
        keep_logs(scene, story.say)
        raise
    late = [what for act in story.acts for what in act.late]
    story.say(f"all {len(story.acts)} acts were seen" + (f"; later than promised: {', '.join(late)}" if late else ""))
    for sentence in not_seen(own_nodes=bool(scene.lab.kind.node_image)):
        story.say(f"not seen here: {sentence}")
    return 0


def not_seen(*, own_nodes: bool) -> list[str]:
    """Return what the story leaves out, and why. `own_nodes`: they are of the image that was built here."""
    left_out = [
        f"any other processor than {platform.machine()}: the image is built for the one that the nodes have",
        "two nodes in one cluster: the story has one each, so that volumes never have to be read on another",
        "copies of volumes: the nodes' storage has no CSI driver that makes VolumeSnapshots",
    ]
    if own_nodes:
        left_out.append("that NetworkPolicies keep others out: the network of nodes that were built here ignores them")
    return left_out


def _end(say: Say) -> int:
    left = tear_down(say)
    for sentence in left:
        say(f"left: {sentence}")
    say("nothing is left running")
    return 1 if left else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the clusters running")
    parser.add_argument("--down", action="store_true", help="end what a kept or killed run left, and do nothing else")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
