"""What restic is called with. Pure: tasks go in, words come out; `volumes/restic.py` runs them.

Neither the repository nor any credential is among the words, since everybody on a node can list its processes: restic
gets both by its environment (`volumes/credentials.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from volumes.task import Access, BackupTask, Volume

Command = tuple[str, ...]  # the words behind `restic` and `surroundings`

MANIFEST_FILE: Final = "manifest.jsonl"
MANIFEST_OF: Final = "manifest-of="
CLAIM: Final = "pvc="
RUN: Final = "run="
CONTENT: Final = "content="  # of a manifest's snapshot: full, or metadata where it has no hashes
STATE: Final = "state="  # of a manifest's snapshot: how the backup ended that it describes
NOTHING: Final = ".dr-syncer-empty"  # the only file in the snapshot of an empty volume
LOST_AND_FOUND: Final = "lost+found"  # the file system's own, in its root

_GLOB = re.compile(r"([\\*?\[\]])")


def surroundings(access: Access, *, ca_file: str = "", ssh: str = "", cache: str = "") -> Command:
    """Return the words before each command. `ssh`: arguments for ssh; `cache`: a folder, "" for no cache."""
    options = dict(access.options)
    if ssh and access.repository.startswith("sftp:") and "sftp.command" not in options:
        options["sftp.args"] = " ".join(filter(None, (ssh, options.get("sftp.args"))))
    words = ["--compression", access.compression]
    words += ["--cache-dir", cache] if cache else ["--no-cache"]
    words += ["--cacert", ca_file] if ca_file else []
    words += ["--limit-upload", str(access.upload_limit)] if access.upload_limit else []
    words += ["--limit-download", str(access.download_limit)] if access.download_limit else []
    for name, value in sorted(options.items()):
        words += ["-o", f"{name}={value}"]
    return tuple(words)


def backup(task: BackupTask, *, root: Path, parent: str = "", gate: Path | None = None) -> Command:
    """Back up the folder that restic runs in, `root` without symlinks. `parent`: what it is compared with.

    Without a parent all is read: restic would otherwise take the newest snapshot of the same host and path, and in
    every mover pod the volume has the same path. When nothing differs from the parent, no snapshot is made. `gate`: the
    named pipe that keeps restic waiting before it reads (volumes/gate.py).
    """
    return (
        *("backup", ".", "--json"),
        *_labels(task.volume, f"{RUN}{task.run}"),
        # By its whole path: a folder of that name further down is somebody's data.
        *("--exclude", _GLOB.sub(r"\\\1", str(root / LOST_AND_FOUND))),
        *(("--exclude-file", str(gate)) if gate else ()),
        *_waiting(task.access),
        *("--read-concurrency", str(task.read_concurrency)),
        *(("--parent", parent, "--skip-if-unchanged") if parent else ("--force",)),
    )


def backup_nothing(task: BackupTask) -> Command:
    """Make the snapshot of an empty volume: restic makes none of nothing, so a placeholder comes on standard input."""
    return (
        *("backup", "--stdin", "--stdin-filename", NOTHING, "--json"),
        *_labels(task.volume, f"{RUN}{task.run}"),
        *_waiting(task.access),
        "--force",
    )


def backup_manifest(task: BackupTask, *, snapshot: str, state: str) -> Command:
    """Store what comes on standard input as the manifest of a snapshot."""
    return (
        *("backup", "--stdin", "--stdin-filename", MANIFEST_FILE, "--json"),
        *_labels(
            task.volume, f"{RUN}{task.run}", f"{MANIFEST_OF}{snapshot}", f"{STATE}{state}", f"{CONTENT}{task.manifest}"
        ),
        *_waiting(task.access),
        "--force",
    )


def restore(
    snapshot: str, *, target: Path, path: str = "", delete: bool = True, verify: bool = False, thorough: bool = False
) -> Command:
    """Make `target` what the snapshot has, or only `path` in it. `delete`: also remove what the snapshot has not.

    `thorough`: restic takes no file for granted that has the right time and size, and reads it. After a crash a file
    may have both and none of its data, since restic sets them before the kernel has written that out.

    `verify`: the same, and it reads what it wrote: the content of all files is compared with the hashes by which the
    repository keeps it.

    With a path, nothing outside of it is deleted: restic deletes only what the pattern covers. `<id>:/path` would not
    give the folder itself its mode, owner and time. Without one, the file system's own folder stays as it is.
    """
    chosen = ("--include", _GLOB.sub(r"\\\1", f"/{path}")) if path else ("--exclude", f"/{LOST_AND_FOUND}")
    return (
        *("restore", snapshot, "--target", str(target), "--json", "--no-lock"),
        *("--overwrite", "always" if verify or thorough else "if-changed"),
        *(("--verify",) if verify else ()),
        *(("--delete",) if delete else ()),
        *chosen,
        "--sparse",
    )


def snapshots(*ids: str, tags: Sequence[str] = (), host: str = "") -> Command:
    """List snapshots: these, or all with all of these tags and this host. Takes no lock, so that it always answers."""
    return (
        *("snapshots", "--json", "--no-lock"),
        *(("--tag", ",".join(tags)) if tags else ()),
        *(("--host", host) if host else ()),
        *ids,
    )


def tree(snapshot: str, path: str) -> Command:
    """List one entry of a snapshot, and what is directly in it."""
    return ("ls", "--json", "--no-lock", snapshot, f"/{path}")


def size(snapshot: str, *, mode: Literal["restore-size", "blobs-per-file"] = "restore-size") -> Command:
    """Ask how much a restore would write; `blobs-per-file` counts equal parts of a file once, so holes hardly."""
    return ("stats", "--json", "--no-lock", "--mode", mode, snapshot)


def dump(snapshot: str, path: str = MANIFEST_FILE) -> Command:
    """Write one file of a snapshot to standard output."""
    return ("dump", "--no-lock", snapshot, f"/{path}")


def archive(snapshot: str) -> Command:
    """Write all of a snapshot to standard output, as tar."""
    return ("dump", "--no-lock", "--archive", "tar", snapshot, "/")


def configuration() -> Command:
    """Print the repository's own configuration, its id among it: what opens it and does nothing else."""
    return ("cat", "config", "--json", "--no-lock")


def version() -> Command:
    """Print restic's version; needs no repository."""
    return ("version", "--json")


def init() -> Command:
    """Make the repository. Only `dr-syncer volumes init` does that."""
    return ("init", "--json")


def check(access: Access, *, subset: str = "") -> Command:
    """Check the repository's structure, and read the share `subset` of its data (`5%`, `1/20`)."""
    return ("check", "--json", *(("--read-data-subset", subset) if subset else ()), *_waiting(access))


def forget(access: Access, ids: Sequence[str]) -> Command:
    """Forget these snapshots. The policy is ours: restic's own cannot know which ones recovery points name."""
    return ("forget", "--json", *_waiting(access), *ids)


def prune(access: Access) -> Command:
    """Remove the data that no snapshot needs. Locks the repository for all others."""
    return ("prune", *_waiting(access))


def locks() -> Command:
    """List the ids of the locks."""
    return ("list", "locks", "--no-lock")


def lock(id_: str) -> Command:
    """Show one lock: whose it is, and since when."""
    return ("cat", "lock", id_, "--no-lock")


def unlock() -> Command:
    """Remove the locks that are stale in restic's eyes: of this host without their process, or 30 minutes old."""
    return ("unlock",)


def _labels(volume: Volume, *tags: str) -> Command:
    words = ["--host", volume.host, "--tag", volume.tag]
    for tag in tags:
        words += ["--tag", tag]
    return tuple(words)


def _waiting(access: Access) -> Command:
    return ("--retry-lock", f"{round(access.retry_lock)}s") if access.retry_lock >= 1 else ()
