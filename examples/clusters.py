"""The two clusters of the demonstration, held by a keeper in the background.

A control plane of the harness ends with the process that started it, however that ends. So a process of its own
holds the pair: until the demonstration is over, or, once that has written `keep` to it, until somebody stops it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.cluster import tools
from tests.cluster.claims import lock_file
from tests.cluster.control_plane import ControlPlane

ROOT = Path(__file__).parents[1]
FOLDER_VARIABLE = "DR_SYNCER_DEMO"
FOLDER = Path(os.environ.get(FOLDER_VARIABLE) or ROOT / "build" / "demo")
NAMES = ("source", "dr")
START_SECONDS = 120.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.05
KEEP = b"keep\n"
LOG = "keeper.log"


class NoDemo(RuntimeError):
    """What was asked for needs a demonstration that runs, or one that does not; the message says which."""


class Keeper:
    """The keeper, seen from the demonstration that started it. Leaving the block ends it unless `keep` was called."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Start the clusters and wait for them. Raises NoDemo when others run there, or when they do not start."""
        if _owner(folder):
            raise NoDemo("a demonstration is running already; `make demo-down` ends it")
        _clear(folder)
        (folder / "bin").mkdir(parents=True)
        with (folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__ if __name__ != "__main__" else "examples.clusters", str(folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C is for the demonstration, which then ends this in order
            )
        self._folder = folder
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def keep(self) -> None:
        """Let the clusters run on; `stop_clusters` ends them."""
        assert self._process.stdin is not None
        self._process.stdin.write(KEEP)
        self._process.stdin.close()
        self._process.returncode = 0  # it is on its own now: no one waits for it here

    def stop(self) -> None:
        """End the clusters and wait until they are gone. Does nothing after `keep`."""
        if self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(STOP_SECONDS)

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not (self._folder / "kubeconfig").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                log = (self._folder / LOG).read_text(errors="replace").strip()
                raise NoDemo(f"the clusters did not start:\n{log}")
            time.sleep(POLL_SECONDS)


def stop_clusters(folder: Path = FOLDER) -> bool:
    """End the demonstration that runs in `folder` and remove it; return whether there was one."""
    pid = _owner(folder)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while _owner(folder):
            if time.monotonic() > end:
                raise NoDemo(f"process {pid} still keeps the clusters after {STOP_SECONDS:g} s; see {folder / LOG}")
            time.sleep(POLL_SECONDS)
    _clear(folder)
    return bool(pid)


def is_running(folder: Path = FOLDER) -> bool:
    """Return whether the clusters of a demonstration run and can be reached."""
    return bool(_owner(folder)) and (folder / "kubeconfig").exists()


def environment(folder: Path = FOLDER) -> dict[str, str]:
    """Return what a shell needs to talk to the demonstration, beside `bin` on its PATH."""
    return {"KUBECONFIG": str(folder / "kubeconfig"), "DR_SYNCER_CONFIG": str(folder / "dr-syncer.yaml")}


def _clear(folder: Path) -> None:
    """Remove what an earlier demonstration left. Raises NoDemo for a folder that is not a demonstration's."""
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / LOG).exists():
        raise NoDemo(f"{folder} holds other things than a demonstration; ${FOLDER_VARIABLE} may name another folder")
    shutil.rmtree(folder)


def _owner(folder: Path) -> int:
    """Return the process that keeps clusters in `folder`, 0 when none does.

    The lock tells, and never the number alone: after a crash that may be anybody's.
    """
    file = folder / "lock"
    if not file.exists():
        return 0
    descriptor = lock_file(file)
    if descriptor is not None:
        os.close(descriptor)
        return 0
    end = time.monotonic() + 1.0
    while not (text := file.read_text().strip()) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)  # it has the lock and is about to write its number
    return int(text or 0)


def _keep(folder: Path) -> None:
    """Hold the clusters: the life of the keeper."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    descriptor = lock_file(folder / "lock")
    if descriptor is None:
        raise NoDemo(f"another process keeps clusters in {folder}")
    os.write(descriptor, f"{os.getpid()}\n".encode())
    with ExitStack() as stack:
        planes = [ControlPlane(name) for name in NAMES]
        for plane in planes:
            stack.callback(plane.stop)
        with ThreadPoolExecutor(len(planes)) as pool:
            list(pool.map(ControlPlane.start, planes))
        _programs(folder / "bin")
        _kubeconfig(planes, folder / "kubeconfig")
        while line := sys.stdin.buffer.readline():
            if line == KEEP:
                while True:
                    signal.pause()


def _programs(folder: Path) -> None:
    """Put `kubectl` and `dr-syncer`, also as kubectl's plug-in, into `folder`."""
    (folder / "kubectl").symlink_to(tools.find("kubectl"))
    script = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cli.main "$@"\n'
    for name in ("dr-syncer", "kubectl-dr_syncer"):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)


def _kubeconfig(planes: list[ControlPlane], file: Path) -> None:
    """Write one kubeconfig with a context for each of `planes`; its appearance says that they are ready."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": planes[0].name}
    for plane in planes:
        one = json.loads(plane.kubeconfig.read_text())
        for part in ("clusters", "users", "contexts"):
            merged.setdefault(part, []).extend(one[part])
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(merged, indent=2) + "\n")  # JSON is YAML
    draft.chmod(0o600)
    draft.replace(file)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
