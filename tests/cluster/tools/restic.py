"""restic: that of the PATH when it is new enough, else Debian's, unpacked into the cache. It is never installed."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

from tests.cluster.claims import lock_file
from tests.cluster.tools import ToolMissing, cache_home
from tests.cluster.tools.debian import KEYRING, apt, mirror

OLDEST = (0, 18)
SUITE = "trixie"  # the first with such a restic; the program is static, so it runs on older ones, too
ASK_SECONDS = 30.0
FETCH_SECONDS = 600.0
HOW = "install restic 0.18 or later on the PATH (https://restic.readthedocs.io/en/stable/020_installation.html)"


def find_restic() -> Path:
    """Return the path of restic. Raises `ToolMissing`, which says how to get it."""
    found = _on_path() or _unpacked()
    if found is None:
        raise ToolMissing(f"restic is not there yet: run `make tools`, or {HOW}")
    return found


def get_restic(*, out: TextIO = sys.stdout) -> Path:
    """As `find_restic`, but fetch it first where that is possible."""
    if found := _on_path() or _unpacked():
        return found
    source = mirror()
    if source is None or not KEYRING.is_file() or shutil.which("dpkg") is None:
        raise ToolMissing(f"there is no restic, and it can be fetched on Debian only: {HOW}")
    out.write(f"restic: unpacking Debian's ({SUITE}) into the cache\n")
    out.flush()
    cache_home().mkdir(parents=True, exist_ok=True)
    lock = lock_file(cache_home() / ".lock-restic", wait=True)
    try:
        return _unpacked() or _fetched(source)
    finally:
        if lock is not None:
            os.close(lock)


def restic_version(output: str) -> tuple[int, ...]:
    """Return the version in what `restic version` prints; `(0,)`, older than any, for anything else."""
    found = re.search(r"\brestic (\d+(?:\.\d+)+)", output)
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)


def _fetched(source: str) -> Path:
    target = _folder()
    # Beside its place: the last step is a rename, so nobody ever finds half of it.
    with tempfile.TemporaryDirectory(dir=cache_home(), prefix=".restic-") as name:
        work = Path(name)
        command = apt(work / "apt", suite=SUITE, mirror=source)
        _run([*command, "update"], cwd=work)
        _run([*command, "download", "restic"], cwd=work)
        _run(["dpkg", "--extract", *map(str, work.glob("restic_*.deb")), "root"], cwd=work)
        shutil.rmtree(target, ignore_errors=True)
        (work / "root").rename(target)
    _new_enough.cache_clear()
    found = _unpacked()
    if found is None:
        raise ToolMissing(f"Debian's restic ({SUITE}) does not run here, or is too old: {HOW}")
    return found


def _run(command: list[str], *, cwd: Path) -> None:
    try:
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except OSError as error:
        raise ToolMissing(f"{command[0]} can't be run: {error.strerror}; {HOW}") from error
    if result.returncode:
        raise ToolMissing(f"Debian's restic can't be had: {(result.stderr or result.stdout).strip()[-400:]}; {HOW}")


def _folder() -> Path:
    return cache_home() / f"restic-{SUITE}"


def _on_path() -> Path | None:
    found = shutil.which("restic")
    return Path(found) if found and _new_enough(found) else None


def _unpacked() -> Path | None:
    path = _folder() / "usr" / "bin" / "restic"
    return path if os.access(path, os.X_OK) and _new_enough(str(path)) else None


@functools.cache
def _new_enough(path: str) -> bool:
    try:
        result = subprocess.run([path, "version"], capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except OSError:
        return False
    return restic_version(result.stdout) >= OLDEST
