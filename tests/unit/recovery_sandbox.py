"""A real bare repository in a temporary folder, other people's clones of it, and ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from drsyncer.recovery.git import Clone, Remote

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def git(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> str:
    """Run git as somebody else would, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(cwd)}
    identity = ("-c", "user.name=Other", "-c", "user.email=other@example.com", "-c", "gc.auto=0")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, input=stdin, env=environment, check=True, capture_output=True
    ).stdout.decode()


@dataclass
class Sandbox:
    """One recovery repository."""

    folder: Path
    object_format: str = "sha1"
    signing_key: str = ""
    allowed_signers: str = ""
    repository: Path = field(init=False)

    def __post_init__(self) -> None:
        self.repository = self.folder / "recovery.git"
        self.create()

    def create(self) -> None:
        git(
            "init",
            "-q",
            "--bare",
            "-b",
            "main",
            f"--object-format={self.object_format}",
            self.repository,
            cwd=self.folder,
        )
        git("config", "receive.autogc", "false", cwd=self.repository)

    def remote(self, *, cache: str = "cache", path: str = "", branch: str = "main", timeout: float = 60) -> Remote:
        return Remote(
            url=str(self.repository),
            cache_dir=str(self.folder / cache),
            path=path,
            branch=branch,
            timeout=timeout,
            signing_key_file=self.signing_key,
            allowed_signers_file=self.allowed_signers,
        )

    def open(self, *, cache: str = "cache", path: str = "", branch: str = "main", wait: float = 5) -> Clone:
        clone = Clone.open(self.remote(cache=cache, path=path, branch=branch), wait=wait)
        clone.fetch()
        return clone

    def clone_folder(self, *, cache: str = "cache") -> Path:
        return self.folder / cache / self.remote().folder

    def work_tree(self, name: str = "other") -> Path:
        folder = self.folder / name
        if not folder.exists():
            # Not `git clone`: of an empty repository it does not take over the kind of hash.
            git("init", "-q", "-b", "main", f"--object-format={self.object_format}", folder, cwd=self.folder)
            git("remote", "add", "origin", self.repository, cwd=folder)
        return folder

    def somebody_commits(self, files: Mapping[str, str], *, message: str = "by hand", name: str = "other") -> str:
        """Commit `files` to main from a work tree and push; return the commit's id."""
        folder = self.work_tree(name)
        if self.refs().get("refs/heads/main"):
            git("pull", "-q", "--rebase", "origin", "main", cwd=folder)
        for path, content in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        git("add", "--all", cwd=folder)
        git("commit", "-q", "-m", message, cwd=folder)
        git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=folder)
        return git("rev-parse", "HEAD", cwd=folder).strip()

    def refs(self) -> dict[str, str]:
        lines = git("for-each-ref", "--format=%(refname) %(objectname)", cwd=self.repository).splitlines()
        return dict(line.split(" ") for line in lines)

    def head(self) -> str | None:
        return self.refs().get("refs/heads/main")

    def content(self, path: str, *, revision: str = "main") -> str:
        return git("show", f"{revision}:{path}", cwd=self.repository)

    def paths(self, *, revision: str = "main") -> list[str]:
        return git("ls-tree", "-r", "-z", "--name-only", revision, cwd=self.repository).split("\0")[:-1]

    def subjects(self, *, revision: str = "main") -> list[str]:
        """Return the subjects of all commits, oldest first."""
        return git("log", "--reverse", "--format=%s", revision, cwd=self.repository).splitlines()

    def hook(self, name: str, script: str) -> Path:
        file = self.repository / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def fsck(self) -> None:
        git("fsck", "--strict", "--no-dangling", cwd=self.repository)


def commit(
    clone: Clone,
    put: Mapping[str, str],
    *,
    delete: tuple[str, ...] = (),
    message: str = "export",
    when: datetime = NOON,
) -> str | None:
    """Commit `put` (path -> content) on the clone's base."""
    with clone.stage() as stage:
        blobs = {path: stage.add(content.encode()) for path, content in put.items()}
        return stage.commit(parent=clone.base(), put=blobs, delete=delete, message=message, when=when)


def export(
    clone: Clone, put: Mapping[str, str], *, delete: tuple[str, ...] = (), message: str = "export"
) -> str | None:
    """Commit and push, as an exporter does."""
    made = commit(clone, put, delete=delete, message=message)
    clone.push(heartbeat=None)
    return made
