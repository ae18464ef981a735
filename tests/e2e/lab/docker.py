"""Docker's command line, whoever's daemon it speaks to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.lab.steps import LabFailed, answer

ASKING = 15.0  # seconds
PULLING = 600.0


@dataclass(frozen=True, slots=True)
class Docker:
    """A program and the environment that tells it where its daemon is; kind is run in the same one."""

    program: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def __call__(self, *arguments: str | Path, timeout: float = 120.0) -> str:
        """Run `docker ARGUMENTS` and return what it printed. Raises `LabFailed` with its words."""
        return answer([self.program, *arguments], env=self.env, timeout=timeout)

    def answers(self) -> bool:
        """Whether there is a daemon."""
        try:
            self("version", timeout=ASKING)
        except LabFailed:
            return False
        return True

    def has_image(self, name: str) -> bool:
        """Whether the daemon has this image."""
        return bool(self("image", "ls", "--quiet", name))

    def can_pull(self, name: str) -> bool:
        """Have the image, from its registry if need be; return whether that worked."""
        if self.has_image(name):
            return True
        try:
            self("pull", "--quiet", name, timeout=PULLING)
        except LabFailed:
            return False
        return True

    def import_root(self, root: Path, name: str, *, changes: Sequence[str] = ()) -> None:
        """Make an image of one layer of the folder `root`. `changes`: instructions of a Dockerfile, such as ENV."""
        instructions = [part for change in changes for part in ("--change", change)]
        pack = ["tar", "--directory", str(root), "--numeric-owner", "--create", "."]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            argv = [str(self.program), "import", *instructions, "-", name]
            done = subprocess.run(argv, stdin=packing.stdout, env=self.env, capture_output=True, text=True, check=False)
        if packing.returncode or done.returncode:
            raise LabFailed(f"docker import of {name}: exit {done.returncode}\n{done.stderr}")
