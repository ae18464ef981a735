"""A second, simple description of a folder, which shares no code and no idea with the manifest's."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any


def describe(root: Path) -> dict[bytes, dict[str, Any]]:
    """Return all that a restore should give back of everything below `root`, by its path."""
    described: dict[bytes, dict[str, Any]] = {}
    names: dict[tuple[int, int], set[bytes]] = {}
    base = os.fsencode(root)
    for folder, folders, files in os.walk(base):
        for name in folders + files:
            path = folder + b"/" + name
            about = os.lstat(path)
            relative = path[len(base) + 1 :]
            described[relative] = {
                "mode": about.st_mode,
                "owner": (about.st_uid, about.st_gid),
                "mtime": about.st_mtime_ns,
                "xattrs": {
                    each: os.getxattr(path, each, follow_symlinks=False)
                    for each in os.listxattr(path, follow_symlinks=False)
                },
            }
            if stat.S_ISREG(about.st_mode):
                described[relative]["size"] = about.st_size
                described[relative]["sha256"] = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
                names.setdefault((about.st_dev, about.st_ino), set()).add(relative)
                described[relative]["names"] = names[about.st_dev, about.st_ino]
            elif stat.S_ISLNK(about.st_mode):
                described[relative]["target"] = Path(os.fsdecode(path)).readlink()
            elif stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
                described[relative]["device"] = about.st_rdev
    return described
