"""Backups of volumes in a test: a real restic repository behind rest-server, claims with folders as their volumes, and
`dr-syncer volumes backup` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cli.sides import Manner, source_of
from drsyncer.cluster import connect
from drsyncer.cluster.lease import Timing
from drsyncer.config.schema import Config
from drsyncer.progress import Progress
from drsyncer.snapshot import Record, Snapshot, decode
from drsyncer.yaml.emit import emit
from tests.cluster.api import Object
from tests.cluster.cheap_key import make_cheap
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet, Volumes
from tests.cluster.restic_servers import RestServer
from tests.cluster.tools import find
from volumes.claims import Key
from volumes.dispatching import Request, Site, back_up
from volumes.selecting import Asked
from volumes.sharing import Meeting

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"
CLAIMS = "/api/v1/namespaces/{}/persistentvolumeclaims/{}"
SECONDS = 120.0
TIMING = Timing(duration=3, deadline=2, renew=0.5)


@dataclass(frozen=True)
class Ran:
    """How one run ended: its exit code, its JSON and, of the command, what it said on stderr."""

    code: int
    data: dict[str, Any]
    stderr: str

    def volume(self, name: str) -> dict[str, Any]:
        """What it says of the claim of this name."""
        return next(volume for volume in self.data["volumes"] if volume["name"] == name)

    def states(self) -> dict[str, str]:
        """The state of each volume that a mover was run for, by the claim's name."""
        return {volume["name"]: volume["state"] for volume in self.data["volumes"] if volume["state"]}


@dataclass
class Backups:
    """One source cluster with nodes, and one repository. `section` are keys of `volumes`, over what is needed."""

    cluster: ControlPlane
    folder: Path
    server: RestServer
    kubelet: Kubelet
    namespace: str  # of the Leases
    section: dict[str, Any] = field(default_factory=dict)
    repository: str = "repo"
    name: str = "prod"  # of the cluster

    @property
    def volumes(self) -> Volumes:
        """Makes claims."""
        return Volumes(self.cluster, self.folder / "volumes")

    def init(self) -> None:
        """Make the repository, with a key that costs nothing to open."""
        self.restic("init")
        make_cheap(self.server.root / self.repository, PASSWORD)

    def restic(self, *words: str) -> str:
        """Run restic on the repository and return what it prints."""
        env = {**os.environ, **self.server.environment, "RESTIC_PASSWORD": PASSWORD, "HOME": str(self.folder)}
        argv = [str(find("restic")), "--repo", self.server.url(self.repository), "--cacert", str(self.server.ca_file)]
        done = subprocess.run([*argv, "--no-cache", *words], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def config(self, **mover: Any) -> dict[str, Any]:
        """Return the configuration as a person would write it; `mover` are keys of volumes.mover."""
        environment = self.folder / "environment"
        environment.mkdir(exist_ok=True)
        for name, value in self.server.environment.items():
            (environment / name).write_text(value)
        (self.folder / "password").write_text(PASSWORD + "\n")
        auth = {
            "passwordFile": str(self.folder / "password"),
            "environmentDir": str(environment),
            "caFile": str(self.server.ca_file),
        }
        return {
            "apiVersion": "dr-syncer.io/v1",
            "repository": {"url": str(self.folder / "recovery.git")},
            "exporter": {
                "cluster": self.name,
                "kubeconfig": str(self.cluster.kubeconfig),
                "secrets": {"mode": "plaintext", "digestKeyNamespace": self.namespace},
            },
            "volumes": {
                "restic": {"repository": self.server.url(self.repository), "auth": auth, "retryLock": "5s"},
                "mover": {"image": "example.com/dr-syncer:1", "jitter": "1ms", "startTimeout": "30s", **mover},
                **self.section,
            },
        }

    def run(
        self,
        *,
        namespaces: Iterable[str] = (),
        claims: Iterable[Key] = (),
        confirmed: Iterable[Key] = (),
        adopt: bool = False,
        **mover: Any,
    ) -> Ran:
        """Run a backup in this process to its end."""
        request = Request(Asked(frozenset(namespaces), frozenset(claims)), frozenset(confirmed), adopt=adopt)
        return back_up_once(self.config(**mover), self.namespace, request)

    def meeting(self) -> Meeting:
        """Return where those meet who use the repository."""
        to = partial(connect, kubeconfig=str(self.cluster.kubeconfig), timeout=5.0)
        return Meeting(to(), to, self.namespace, "prod", patience=20.0, timing=TIMING)

    def start_killable(self, namespace: str, kubeconfig: Path, **mover: Any) -> subprocess.Popen[str]:
        """Begin a backup as a process of its own that others soon take for dead when it is killed."""
        config = self.config(**mover)
        config["exporter"]["kubeconfig"] = str(kubeconfig)
        (self.folder / "killable.json").write_text(json.dumps(config))
        argv = [sys.executable, "-m", "tests.integration.backups", str(self.folder / "killable.json"), self.namespace]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [*argv, namespace], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )

    def start(self, *arguments: str, **mover: Any) -> subprocess.Popen[str]:
        """Begin a backup by the command with these arguments."""
        file = self.folder / "dr-syncer.yaml"
        file.write_bytes(emit(self.config(**mover)))
        argv = [sys.executable, "-m", "cli.main", "volumes", "backup", "-c", str(file), "-o", "json", *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            argv, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )

    def end(self, process: subprocess.Popen[str]) -> Ran:
        """Wait for the end of a backup that was begun."""
        stdout, stderr = process.communicate(timeout=SECONDS)
        return Ran(process.returncode, json.loads(stdout or "{}"), stderr)

    # What there is afterwards

    def record(self, namespace: str, name: str) -> Record | None:
        """Return what the claim remembers."""
        text = self.cluster.get(CLAIMS.format(namespace, name))["metadata"].get("annotations", {})
        found = text.get("dr-syncer.io/backup-result")
        return decode(found) if found else None

    def whole(self, namespace: str, name: str) -> Snapshot:
        """Return the snapshot of a claim whose newest backup was whole."""
        record = self.record(namespace, name)
        assert record is not None
        assert record.snapshot is not None
        assert record.complete, record.attempt
        return record.snapshot

    def events(self, namespace: str, name: str) -> list[tuple[str, str]]:
        """Return reason and message of the Events about a claim."""
        found = self.cluster.list(f"/api/v1/namespaces/{namespace}/events")
        return [(event["reason"], event["message"]) for event in found if event["involvedObject"]["name"] == name]

    def left(self, namespace: str) -> list[str]:
        """Return what of ours is in a namespace and not about to go."""
        kinds = ("batch/v1/namespaces/{}/jobs", "v1/namespaces/{}/secrets", "v1/namespaces/{}/persistentvolumeclaims")
        found: list[Object] = []
        for kind in kinds:
            path = f"/{'apis' if kind.startswith('batch') else 'api'}/{kind.format(namespace)}"
            found += self.cluster.list(f"{path}?labelSelector=app.kubernetes.io/part-of=dr-syncer")
        return [one["metadata"]["name"] for one in found if not one["metadata"].get("deletionTimestamp")]

    def leases(self) -> list[str]:
        """Return the names of the Leases that are held."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        return [one["metadata"]["name"] for one in self.cluster.list(path) if one["spec"].get("holderIdentity")]


def end_leases(cluster: ControlPlane) -> None:
    """Take the Leases of dead runs away. They would be over in seconds, which test_volume_sharing sees."""
    for one in cluster.list("/apis/coordination.k8s.io/v1/leases"):
        meta = one["metadata"]
        if meta["name"].startswith("dr-syncer-restic-"):
            path = f"/apis/coordination.k8s.io/v1/namespaces/{meta['namespace']}/leases/{meta['name']}"
            cluster.delete(path, wait=False)


def back_up_once(config: dict[str, Any], leases: str, request: Request) -> Ran:
    """Run a backup that looks at its movers often, and whose Lease is short."""
    read = Config.model_validate(config)
    assert read.exporter is not None
    assert read.volumes is not None
    connect = partial(source_of, read.exporter)
    site = Site(source_of(read.exporter, Manner(connections=8)), connect, leases, TIMING)
    try:
        outcome = back_up(
            config=read.volumes,
            exporter=read.exporter,
            site=site,
            request=request,
            progress=Progress(silent=True),
            interval=0.1,
        )
    finally:
        site.cluster.close()
    return Ran(outcome.exit_code, outcome.to_data(), "")


if __name__ == "__main__":
    _file, _leases, _namespace = sys.argv[1:]
    _ran = back_up_once(json.loads(Path(_file).read_text()), _leases, Request(Asked(frozenset({_namespace}))))
    print(json.dumps(_ran.data))
    sys.exit(_ran.code)
