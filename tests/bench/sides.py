"""The two ends of a measurement: clusters, a recovery repository between them, and the two command lines."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import stopwatch
from tests.bench.stopwatch import Memory, Run
from tests.cluster import tools
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import bare_repository, git


@dataclass
class Sides:
    """`folder` holds the recovery repository, the configuration, caches and outputs."""

    source: ControlPlane
    dr: ControlPlane
    folder: Path

    @property
    def remote(self) -> Path:
        """The recovery repository."""
        return self.folder / "recovery.git"

    @property
    def config(self) -> Path:
        """The configuration of both sides: everything travels and nothing is parked, as with kubectl."""
        return self.folder / "dr-syncer.yaml"

    def write_config(self) -> None:
        """Write the configuration file."""
        content = {
            "apiVersion": "dr-syncer.io/v1",
            "repository": {"url": str(self.remote), "cacheDir": str(self.folder / "cache")},
            "exporter": {"cluster": "prod", "secrets": {"mode": "plaintext"}},
            "importer": {"cluster": "dr", "standby": {"enabled": False}},
        }
        self.config.write_text(json.dumps(content))  # JSON is YAML

    def forget_clone(self) -> None:
        """Remove the local clone: the next run has to fetch everything."""
        shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def fresh_remote(self) -> None:
        """Make the recovery repository anew, empty."""
        shutil.rmtree(self.remote, ignore_errors=True)
        self.forget_clone()
        bare_repository(self.remote)

    def export(self) -> tuple[Run, dict[str, Any]]:
        """Run `dr-syncer export` and return its measure and its result."""
        done = stopwatch.run(self._dr_syncer("export", self.source), env=self._env(self.source))
        return done, json.loads(done.output)

    def import_(self) -> tuple[Run, dict[str, Any]]:
        """Run `dr-syncer import` and return its measure and its result."""
        done = stopwatch.run(self._dr_syncer("import", self.dr), env=self._env(self.dr))
        return done, json.loads(done.output)

    def memory_of(self, command: str, plane: ControlPlane) -> Memory:
        """Run `dr-syncer export` or `import` and return its peak memory."""
        return stopwatch.run_for_memory(self._arguments(command, plane), env=self._env(plane))

    def kubectl(self, plane: ControlPlane, *arguments: str, output: Path | None = None) -> Run:
        """Run kubectl and return its measure."""
        return stopwatch.run([str(tools.find("kubectl")), *arguments], env=self._env(plane), output=output)

    def exported_files(self) -> dict[str, bytes]:
        """Return path → content of every object in the newest recovery point."""
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        git("clone", "-q", str(self.remote), str(work))
        files = sorted(path for top in ("cluster", "namespaces") for path in (work / top).rglob("*.yaml"))
        return {str(path.relative_to(work)): path.read_bytes() for path in files}

    def _dr_syncer(self, command: str, plane: ControlPlane) -> list[str]:
        return stopwatch.dr_syncer(*self._arguments(command, plane))

    def _arguments(self, command: str, plane: ControlPlane) -> list[str]:
        return [command, "--config", str(self.config), "--kubeconfig", str(plane.kubeconfig), "-o", "json"]

    def _env(self, plane: ControlPlane) -> dict[str, str]:
        # As installed: with its bytecode, which developers' machines are often told not to write.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "KUBECONFIG": str(plane.kubeconfig),
            "KUBECACHEDIR": str(plane.folder / "kubectl-cache"),
            "BENCH_OUTPUT": str(self.folder / "output"),
        }
