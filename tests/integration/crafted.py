"""Commits that no work tree would give: symbolic links, submodules, names such as `..`, files of any size."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.integration.recovery import Recovery

REGULAR, LINK, SUBMODULE, FOLDER = "100644", "120000", "160000", "40000"

Entry = tuple[str, str]  # mode, object id


def blob(recovery: Recovery, data: bytes) -> str:
    """Write a blob into the remote repository; return its id."""
    return _hash(recovery.remote, data, "blob")


def link(recovery: Recovery, target: str) -> Entry:
    """A symbolic link."""
    return LINK, blob(recovery, target.encode())


def submodule() -> Entry:
    """A submodule: the id of a commit that is nowhere."""
    return SUBMODULE, "1" * 40


def commit(recovery: Recovery, entries: Mapping[str, bytes | Entry], *, message: str = "by a stranger") -> str:
    """Put `entries` (content, or mode and id) over what `main` holds, straight into the remote; return the commit."""
    files: dict[str, Entry] = {}
    for line in recovery.git("ls-tree", "-r", "-z", "main").strip("\0").split("\0"):
        about, _, path = line.partition("\t")
        mode, _, object_id = about.split()
        files[path] = (mode, object_id)
    for path, entry in entries.items():
        files[path] = (REGULAR, blob(recovery, entry)) if isinstance(entry, bytes) else entry
    tree = _tree(recovery.remote, files)
    identity = ("-c", "user.name=stranger", "-c", "user.email=stranger@example.com")
    made = recovery.git(*identity, "commit-tree", tree, "-p", "main", "-m", message).strip()
    recovery.git("update-ref", "refs/heads/main", made)
    return made


def _tree(repository: Path, files: Mapping[str, Entry]) -> str:
    """Write tree objects byte by byte: `git mktree` and `git update-index` would refuse some names."""
    here: dict[str, Entry] = {}
    below: dict[str, dict[str, Entry]] = {}
    for path, entry in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = entry
        else:
            here[name] = entry
    here |= {name: (FOLDER, _tree(repository, inside)) for name, inside in below.items()}
    ordered = sorted(here.items(), key=lambda item: item[0] + ("/" if item[1][0] == FOLDER else ""))
    data = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(id_) for name, (mode, id_) in ordered)
    return _hash(repository, data, "tree")


def _hash(repository: Path, data: bytes, kind: str) -> str:
    command = ["git", "-C", str(repository), "hash-object", "-t", kind, "--literally", "-w", "--stdin"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode().strip()
