"""restic by hand: what its users would type, with none of our code between it and them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.cheap_key import make_cheap
from tests.cluster.tools import find

PASSWORD = "correct horse battery staple"
SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class PlainRestic:
    """A repository in a folder, with its cache."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RESTIC_REPOSITORY": str(self.folder / "repository"),
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
        }

    def run(self, *words: str, cwd: Path | None = None, codes: tuple[int, ...] = (0,)) -> str:
        """Run restic and return its standard output; fail for any other exit code."""
        result = subprocess.run(
            [find("restic"), *words],
            cwd=cwd or self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        errors = result.stderr.decode(errors="replace")
        assert result.returncode in codes, f"restic {words[0]} ended with {result.returncode}: {errors}"
        return result.stdout.decode(errors="surrogateescape")

    def init(self) -> PlainRestic:
        """Make the repository, with a key that opens it at once. Return this restic."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run("init")
        make_cheap(self.folder / "repository", PASSWORD)
        return self

    def copied_to(self, folder: Path) -> PlainRestic:
        """Return a copy of the repository: making one takes restic a second or two, on purpose."""
        shutil.copytree(self.folder, folder)
        return PlainRestic(folder)

    def backup(self, root: Path, *words: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Back up `root` as a mover does; return restic's summary."""
        lost_and_found = root.resolve() / "lost+found"
        out = self.run("backup", ".", "--json", "--exclude", str(lost_and_found), *words, cwd=root, codes=codes)
        lines = [json.loads(line) for line in out.splitlines()]
        (summary,) = [line for line in lines if line["message_type"] == "summary"]
        return dict(summary)

    def restore(self, snapshot: str, target: Path, *, codes: tuple[int, ...] = (0,)) -> None:
        """Restore a snapshot into `target` as a mover does."""
        self.run("restore", snapshot, "--target", str(target), "--json", "--sparse", codes=codes)
