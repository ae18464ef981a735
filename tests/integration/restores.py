"""Restores in tests: volumes that are folders, snapshots that real movers made, recovery points that name them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from cli.sides import remote_of
from cli.volumes_restoring import Asked, carried_out, planned, shown
from drsyncer import own
from drsyncer.cluster import Cluster, connect
from drsyncer.cluster.lease import Timing
from drsyncer.config.schema import Config
from drsyncer.manifest import ObjectRef
from drsyncer.progress import Progress
from drsyncer.recovery import identity, layout, volumes
from drsyncer.recovery.git import Clone
from drsyncer.restored import Marker
from drsyncer.restored import Progress as How
from drsyncer.snapshot import Record, Snapshot
from drsyncer.yaml.emit import emit
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet, Volumes
from tests.integration.movers import ROOT, Mover
from tests.integration.recovery import IMPATIENT, Recovery, namespace
from tests.integration.written import SOURCE, claim, path_of
from volumes.announcing import Announcing
from volumes.restore_outcome import Done, Outcome, undone
from volumes.restore_plan import Key
from volumes.task import Volume

SLOWLY = 100  # KiB/s
SHORT = Timing(duration=3.0, deadline=2.0, renew=0.5)
SHOP = "shop"
DATA = Key(SHOP, "data")


@dataclass
class Scene:
    """A DR cluster with nodes, a restic repository, and the recovery repository that names its snapshots."""

    dr: ControlPlane
    recovery: Recovery
    kubelet: Kubelet
    mover: Mover  # for backups, as processes
    folder: Path
    commits: dict[Key, Record] = field(default_factory=dict)

    # What there is

    def volume(self, name: str = "data", *, where: str = SHOP, **more: Any) -> Path:
        """Make a bound claim in DR; return the folder that is its volume."""
        self.dr.apply([namespace(where)])
        return Volumes(self.dr, self.folder / "dr").make(where, name, **more)

    def available(self, name: str, *, where: str, storage_class: str, volume: str = "") -> Path:
        """Make a volume, called `volume`, that the next claim of this name and class gets; return its folder."""
        self.dr.apply([namespace(where)])
        path = self.folder / "dr" / where / name
        path.mkdir(parents=True)
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": str(path)},
            "claimRef": {"namespace": where, "name": name},
        }
        metadata = {"name": volume or f"{where}-{name}"}
        self.dr.apply([{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}])
        return path

    def backup(self, root: Path, source: Key = DATA, **more: Any) -> Snapshot:
        """Back up a folder as the source's volume `source`."""
        volume = Volume(host="prod", namespace=source.namespace, name=source.name)
        return self.mover.backup(root, volume=volume, **more).snapshot

    def record(self, snapshot: Snapshot | None, **more: Any) -> Record:
        """Return what a claim's record says of a snapshot."""
        return Record(repository=more.pop("repository", self.mover.repository_id), snapshot=snapshot, **more)

    def point(
        self, records: Mapping[Key, Record], *, message: str = "by hand", size: str = "1Gi", class_: str = "none"
    ) -> str:
        """Commit a recovery point with these records, and claims of the same names; return the commit."""
        spaces = [namespace(name) for name in sorted({key.namespace for key in records})]
        claims = [claim(key.namespace, key.name, size=size, storage_class=class_) for key in records]
        files: dict[str, bytes | str | None] = {path_of(one): emit(one) for one in (*spaces, *claims)}
        files[identity.FILE] = identity.emit(SOURCE)
        for key, record in records.items():
            ref = ObjectRef(layout.CLAIMS, key.namespace, key.name)
            files[f"volumes/{key.namespace}/{key.name}.yaml"] = volumes.emit(record, ref)
        return self.recovery.commit(files, message=message)

    def marker(self, key: Key = DATA) -> Marker | None:
        """Return the marker on a claim in DR."""
        from drsyncer.restored import marker_of

        return marker_of(self.dr.get(self.path(key)))

    def states(self, key: Key = DATA) -> tuple[How | None, str]:
        """Return what the marker says: state and reason."""
        found = self.marker(key)
        return (found.state, found.reason) if found else (None, "")

    def events(self, key: Key = DATA) -> list[tuple[str, str, str]]:
        """Return what the Events about a claim in DR say, oldest first: their word, the reason, and the sentence."""
        found = [
            event
            for event in self.dr.list(f"/api/v1/namespaces/{key.namespace}/events")
            if event["involvedObject"]["uid"] == self.dr.get(self.path(key))["metadata"]["uid"]
            and event["source"].get("component") == own.OWN_NAME
        ]
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [(event["reason"], *event["message"].split(": ", 1)) for event in found]

    def path(self, key: Key = DATA) -> str:
        """Return where a claim is in DR's API."""
        return f"/api/v1/namespaces/{key.namespace}/persistentvolumeclaims/{key.name}"

    # Restores

    def config(self, **volumes: Any) -> dict[str, Any]:
        """Return the configuration as a person would write it."""
        secret = self.folder / "secret"
        self.mover.backend.write(secret)
        environment = secret / "environment"
        if environment.exists():
            shutil.rmtree(environment)
        environment.mkdir()
        for name, value in self.mover.backend.environment.items():
            (environment / name).write_text(value)
        auth = {"passwordFile": str(secret / "password"), "environmentDir": str(environment)}
        if self.mover.backend.ca_file:
            auth["caFile"] = str(self.mover.backend.ca_file)
        restic = {"repository": self.mover.backend.repository, "auth": auth, "retryLock": "1s"}
        mover = {"image": "example.com/dr-syncer:1", "jitter": "1ms", **volumes.pop("mover", {})}
        section = {"restic": restic, "mover": mover, "restore": {"verify": "none"}, **volumes}
        importer = {"retry": {"initial": "50ms", "max": "500ms", "attempts": 4}, "kubeconfig": str(self.dr.kubeconfig)}
        return {**self.recovery.config(importer=importer), "volumes": section}

    def restore(
        self,
        *,
        plan_only: bool = False,
        mover: Mapping[str, Any] = {},
        slowly: bool = False,
        section: Mapping[str, Any] = {},
        between: Callable[[], object] = lambda: None,
        announcing: Announcing | None = None,
        **asked: Any,
    ) -> Outcome:
        """Restore in this process, as the command does. `between` the plan and its execution something may happen.

        `section` are keys of `volumes`, over what is needed. `announcing` knows what earlier restores told.
        """
        written = self.config(mover=dict(mover), **section)
        written["volumes"]["restic"]["downloadLimit"] = SLOWLY if slowly else 0
        config = Config.model_validate(written)
        wanted = Asked(plan_only=plan_only, **asked)
        cluster = self.cluster()
        try:
            with Clone.open(self.recovery.remote_of()) as clone:
                found = planned(config, clone, cluster, wanted, Progress(silent=True))
            between()
            done: tuple[Done, ...] = (
                tuple(map(undone, found.steps))
                if plan_only
                else carried_out(
                    config, cluster, found, wanted, connect=self.cluster, announcing=announcing, interval=0.3
                )
            )
            return shown(config, found, done, planned_only=plan_only, seconds=0.0)
        finally:
            cluster.close()

    def start_killable(self, kubeconfig: Path) -> subprocess.Popen[str]:
        """Begin a restore, confirmed, as a process of its own that others soon take for dead when it is killed."""
        config = self.config()
        config["importer"]["kubeconfig"] = str(kubeconfig)
        file = self.folder / "killable.json"
        file.write_text(json.dumps(config))
        argv = [sys.executable, "-m", "tests.integration.restores", str(file)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)

    def cluster(self) -> Cluster:
        """Return a connection to DR."""
        return _connect(str(self.dr.kubeconfig))

    def cli(self, *words: str, **volumes: Any) -> subprocess.CompletedProcess[str]:
        """Run `dr-syncer volumes restore` as a person does."""
        file = self.folder / "dr-syncer.yaml"
        file.write_bytes(emit(self.config(**volumes)))
        argv = [sys.executable, "-m", "cli.main", "volumes", "restore", "-c", str(file), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=self.folder)

    def secrets(self) -> list[str]:
        """Return the names of the Secrets of movers in DR."""
        found = self.dr.list(f"/api/v1/secrets?labelSelector={own.PREFIX}operation")
        return [secret["metadata"]["name"] for secret in found]

    def tidy(self) -> bool:
        """Wait until no Job, pod or Secret of a mover is left in DR."""
        paths = ("/apis/batch/v1/jobs", "/api/v1/pods", "/api/v1/secrets")
        selector = f"labelSelector={own.PREFIX}operation"
        self.dr.wait_for(
            lambda: not any(self.dr.list(f"{path}?{selector}") for path in paths), what="movers to be gone", timeout=60
        )
        return True


def _connect(kubeconfig: str) -> Cluster:
    return connect(kubeconfig=kubeconfig, connections=20, schedule=IMPATIENT)


def restore_once(file: Path) -> None:
    """Restore all that the configuration in `file` says; look at movers often, and hold a Lease that is short."""
    config = Config.model_validate(json.loads(file.read_text()))
    assert config.importer is not None
    to, asked = partial(_connect, config.importer.kubeconfig), Asked(confirmed=True)
    cluster = to()
    with Clone.open(remote_of(config.repository)) as clone:
        found = planned(config, clone, cluster, asked, Progress(silent=True))
    carried_out(config, cluster, found, asked, connect=to, interval=0.1, timing=SHORT)


def endings(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return volume → ending and reason."""
    return {str(done.step.source): (str(done.ending), done.reason) for done in outcome.volumes}


def data(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON that a command printed."""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def when(text: str) -> datetime:
    """Return a time of a test."""
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    restore_once(Path(sys.argv[1]))
