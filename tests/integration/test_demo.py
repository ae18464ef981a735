"""The demonstration: it shows what it says, its clusters can stay, and they always end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.claims import lock_file

ROOT = Path(__file__).parents[2]
END_SECONDS = 30.0
START = "from examples.clusters import Keeper\nKeeper()\nprint('ready', flush=True)\ninput()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a demonstration of our own: one of the developer's may be running."""
    folder = tmp_path / "demo"
    yield folder
    demo(folder, "down")


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "DR_SYNCER_DEMO": str(folder)}


def demo(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *args],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def is_held(folder: Path) -> bool:
    """Whether a keeper lives: it holds the lock until its clusters are gone."""
    descriptor = lock_file(folder / "lock")
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def shell(folder: Path, commands: str) -> subprocess.CompletedProcess[str]:
    """Run `commands` in a shell that has evaluated, without quotes, what `demo env` prints."""
    script = f'eval $("{sys.executable}" -m examples.demo env)\n{commands}'
    return subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False
    )


def test_the_demonstration_tells_the_whole_story_and_leaves_clusters_to_play_with(folder: Path) -> None:
    shown = demo(folder, "up", "--keep")

    assert shown.returncode == 0, shown.stdout + shown.stderr
    story = shown.stdout
    assert "76 created, 0 updated, 0 deleted" in story
    assert " create, 3 held, " in story
    assert "nothing changed since" in story
    assert "3 held, 69 unchanged" in story
    assert "0 created, 1 updated, 1 deleted, 74 unchanged" in story
    assert "spec.replicas was changed by kubectl" in story
    assert "3 held, 1 prune, 66 unchanged, 2 update" in " ".join(story.split())
    assert "eval $(make demo-env)" in story
    assert "\x1b" not in story
    assert all(len(line) <= 80 for line in story.splitlines() if line.startswith(("$", "━")))

    played = shell(folder, "kubectl --context dr -n shop get deployment/cart -o name\nkubectl dr-syncer diff")
    assert played.stdout.splitlines() == ["deployment.apps/cart", "no difference"], played.stderr
    again = demo(folder, "up")
    assert (again.returncode, "make demo-down" in again.stderr) == (1, True)

    ended = demo(folder, "down")
    assert (ended.returncode, ended.stdout) == (0, "the demonstration is over\n")
    assert not folder.exists()
    nothing = demo(folder, "env")
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_clusters_that_nobody_asked_to_keep_end_with_the_demonstration(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", START],
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert is_held(folder)
        process.kill()
        process.wait()
        deadline = time.monotonic() + END_SECONDS
        while is_held(folder):
            assert time.monotonic() < deadline, "the keeper lives on"
            time.sleep(0.1)


def test_a_folder_with_other_things_in_it_is_never_cleared(folder: Path) -> None:
    folder.mkdir()
    precious = folder / "precious"
    precious.write_text("mine")

    refused = demo(folder, "up")

    assert refused.returncode == 1
    assert "holds other things" in refused.stderr
    assert precious.read_text() == "mine"
