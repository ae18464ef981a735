"""A recovery repository in a test, with an exporter on one side and an importer on the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drsyncer.cluster import connect
from drsyncer.config.schema import Config
from drsyncer.progress import Progress
from drsyncer.recovery.remote import Remote
from drsyncer.retry import Schedule
from drsyncer.yaml.emit import emit
from exporter.action import Request as ExportRequest
from exporter.action import export
from exporter.outcome import Outcome as Exported
from importer.action import import_recovery_point
from importer.basis import Request as ImportRequest
from importer.outcome import Outcome as Imported
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import git

# Failures in tests are meant: no need to wait long for them to pass.
IMPATIENT = Schedule(initial=0.05, factor=2.0, maximum=0.5, jitter=0.0, attempts=4)


@dataclass
class Recovery:
    """One recovery repository. `exporter` and `importer` are sections of the configuration, over the defaults."""

    remote: Path
    folder: Path
    exporter: dict[str, Any] = field(default_factory=dict)
    importer: dict[str, Any] = field(default_factory=dict)
    repository: dict[str, Any] = field(default_factory=dict)

    def config(self, *, exporter: Mapping[str, Any] = {}, importer: Mapping[str, Any] = {}) -> dict[str, Any]:
        """Return the configuration as a person would write it."""
        return {
            "apiVersion": "dr-syncer.io/v1",
            "repository": {
                "url": str(self.remote),
                "cacheDir": str(self.folder / "cache"),
                **self.repository,
            },
            "exporter": {"cluster": "prod", "secrets": {"mode": "plaintext"}, **self.exporter, **exporter},
            "importer": {"cluster": "dr", **self.importer, **importer},
        }

    def remote_of(self) -> Remote:
        """Return the recovery repository for the actions."""
        from cli.sides import remote_of

        return remote_of(Config.model_validate(self.config()).repository)

    def export(self, source: ControlPlane, *, kubeconfig: Path | None = None, **request: Any) -> Exported:
        """Run one export of `source`; `request` are fields of the exporter's Request, or `config` for its section."""
        section = request.pop("config", {})
        config = Config.model_validate(self.config(exporter=section)).exporter
        assert config is not None
        cluster = connect(
            kubeconfig=str(kubeconfig or source.kubeconfig), connections=config.workers, schedule=IMPATIENT
        )
        try:
            return export(
                config=config,
                remote=self.remote_of(),
                cluster=cluster,
                request=ExportRequest(**request),
                progress=Progress(silent=True),
            )
        finally:
            cluster.close()

    def import_into(self, dr: ControlPlane, *, kubeconfig: Path | None = None, **request: Any) -> Imported:
        """Run one import into `dr`; `request` are fields of the importer's Request, or `config` for its section."""
        section = request.pop("config", {})
        config = Config.model_validate(self.config(importer=section)).importer
        assert config is not None
        cluster = connect(
            kubeconfig=str(kubeconfig or dr.kubeconfig),
            connections=config.workers,
            timeout=config.timeouts.request,
            schedule=IMPATIENT,
        )
        try:
            return import_recovery_point(
                config=config,
                remote=self.remote_of(),
                cluster=cluster,
                request=ImportRequest(**request),
                progress=Progress(silent=True),
            )
        finally:
            cluster.close()

    # What is in Git

    def git(self, *args: str) -> str:
        """Run git in the remote repository and return what it prints."""
        return git("-C", str(self.remote), *args)

    def head(self) -> str:
        """Return the commit of `main`, "" when there is none."""
        found = git("-C", str(self.remote), "rev-parse", "--verify", "-q", "main", check=False)
        return found.strip()

    def paths(self, at: str = "main") -> list[str]:
        """Return every path of the recovery point `at`, the newest one without it."""
        return self.git("ls-tree", "-r", "--name-only", "-z", at).strip("\0").split("\0")

    def file(self, path: str, at: str = "main") -> str:
        """Return a file of the recovery point `at`, the newest one without it."""
        return self.git("show", f"{at}:{path}")

    def commit(self, files: Mapping[str, bytes | str | None], *, message: str = "by hand") -> str:
        """Commit `files` (None: delete) to main as somebody else would; return the commit."""
        work = self.folder / "work"
        if not work.exists():
            git("clone", "-q", str(self.remote), str(work))
        git("-C", str(work), "fetch", "-q", "origin")
        if self.head():
            git("-C", str(work), "checkout", "-q", "-B", "main", "origin/main")
        for path, content in files.items():
            target = work / path
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        git("-C", str(work), "add", "-A")
        identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
        git("-C", str(work), *identity, "commit", "-q", "-m", message)
        git("-C", str(work), "push", "-q", "origin", "HEAD:main")
        return self.head()

    # The command line

    def cli(
        self, *args: str, cluster: ControlPlane | None = None, kubeconfig: Path | None = None, **section: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run the command `dr-syncer` as a person does, in a process of its own, and return what it said."""
        return subprocess.run(
            self.argv(*args, cluster=cluster, kubeconfig=kubeconfig, **section),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )

    def argv(
        self, *args: str, cluster: ControlPlane | None = None, kubeconfig: Path | None = None, **section: Any
    ) -> list[str]:
        """Return the command line; `section` may hold `exporter` and `importer` settings."""
        path = self.folder / "dr-syncer.yaml"
        fast = {"retry": {"initial": "50ms", "max": "500ms", "attempts": 4}}
        exporter = {**fast, **section.get("exporter", {})}
        importer = {**fast, **section.get("importer", {})}
        path.write_bytes(emit(self.config(exporter=exporter, importer=importer)))
        file = kubeconfig or (cluster.kubeconfig if cluster else None)
        where = ["--kubeconfig", str(file)] if file else []
        return [sys.executable, "-m", "cli.main", args[0], "--config", str(path), *where, *args[1:]]


def actions(outcome: Imported) -> dict[str, Action]:
    """Return object → action of everything that is not unchanged."""
    return {str(result.step.ref): result.action for result in outcome.results if result.action is not Action.UNCHANGED}


def problems(outcome: Imported) -> dict[str, str]:
    """Return object → reason of everything that is blocked."""
    return {
        str(result.step.ref): result.error or result.reason
        for result in outcome.results
        if result.action is Action.BLOCKED
    }


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """Return a Namespace."""
    meta: dict[str, Any] = {"name": name}
    if labels:
        meta["labels"] = labels
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def configmap(where: str, name: str, **data: str) -> dict[str, Any]:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": where}, "data": data}


def deployment(where: str, name: str, *, replicas: int = 2, image: str = "nginx:1") -> dict[str, Any]:
    """Return a Deployment of one container."""
    selector = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": where, "labels": selector},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": selector},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


def changed(outcome: Exported) -> Iterable[str]:
    """Return `verb object` of each change, sorted."""
    return sorted(f"{change.verb} {change.ref}" for change in outcome.changes)
