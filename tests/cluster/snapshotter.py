"""VolumeSnapshots in a test: their real definitions, and a small driver whose copies are copies of folders."""

from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.api import ApiError, Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import MERGE, TICK, Volumes, folder_of
from tests.cluster.tools.go import module_folder

MODULE = "github.com/kubernetes-csi/external-snapshotter/client/v8"
PINNED = Path(__file__).parent / "tools" / "snapshots"
DRIVER = "csi.example.com"
API = "/apis/snapshot.storage.k8s.io/v1"
_NAMES = ("volumesnapshots", "volumesnapshotclasses", "volumesnapshotcontents")


@dataclass
class Snapshotter:
    """The driver `DRIVER` for the claims of `namespace`. A context manager; the definitions go with it.

    As a real one, it makes a volume of a copy only for a claim with a StorageClass of its own: that of `volumes`.

    `error` is what it says of every snapshot in the place of making it.
    """

    cluster: ControlPlane
    volumes: Volumes
    namespace: str
    error: str = ""
    made: list[str] = field(default_factory=list)  # the claims that were copied
    cut: list[datetime] = field(default_factory=list)  # and when
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Snapshotter:
        folder = module_folder(MODULE, required_by=PINNED) / "config" / "crd"
        self._definitions = [
            yaml.safe_load((folder / f"snapshot.storage.k8s.io_{name}.yaml").read_text()) for name in _NAMES
        ]
        self.cluster.apply([*self._definitions, self._storage_class])
        self.cluster.wait_for(lambda: all(map(self._is_served, _NAMES)), what="VolumeSnapshots to be served")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.cluster.delete(f"/apis/storage.k8s.io/v1/storageclasses/{self.volumes.storage_class}")
        for one in self._definitions:
            self.cluster.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{one['metadata']['name']}")

    @property
    def _storage_class(self) -> Object:
        meta = {"name": self.volumes.storage_class}
        return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta, "provisioner": DRIVER}

    def _is_served(self, name: str) -> bool:
        try:
            self.cluster.list(f"{API}/{name}")
        except ApiError:  # not there yet, or "storage is (re)initializing"
            return False
        return True

    def make_class(self, name: str, *, default: bool = False, policy: str = "Delete") -> None:
        """Make a VolumeSnapshotClass of the driver."""
        marks = {"snapshot.storage.kubernetes.io/is-default-class": "true"} if default else {}
        one: Object = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "driver": DRIVER}
        self.cluster.apply([{**one, "metadata": {"name": name, "annotations": marks}, "deletionPolicy": policy}])

    def snapshots(self) -> list[Object]:
        """Return the VolumeSnapshots of the namespace."""
        return self.cluster.list(f"{API}/namespaces/{self.namespace}/volumesnapshots")

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            with contextlib.suppress(ApiError):  # gone in the middle
                for snapshot in self.snapshots():
                    if not snapshot.get("status"):
                        self._cut(snapshot)
                for claim in self.cluster.list(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"):
                    spec = claim["spec"]
                    is_ours = spec.get("storageClassName") == self.volumes.storage_class
                    if is_ours and spec.get("dataSource") and not spec.get("volumeName"):
                        self._provide(claim)

    def _cut(self, snapshot: Object) -> None:
        name, source = snapshot["metadata"]["name"], snapshot["spec"]["source"]["persistentVolumeClaimName"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status: dict[str, Any] = {"error": {"message": self.error, "time": now}, "readyToUse": False}
        if not self.error:
            claim = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims/{source}")
            folder = folder_of(self.cluster.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"))
            shutil.rmtree(self.volumes.folder / "copies" / name, ignore_errors=True)  # of one that is gone
            shutil.copytree(folder, self.volumes.folder / "copies" / name)
            self.made.append(source)
            self.cut.append(datetime.now(UTC))
            status = {"creationTime": now, "readyToUse": True, "restoreSize": "1Gi"}
        path = f"{API}/namespaces/{self.namespace}/volumesnapshots/{name}/status"
        self.cluster.patch(path, {"status": status}, content_type=MERGE)

    def _provide(self, claim: Object) -> None:
        name, data = claim["metadata"]["name"], claim["spec"]["dataSource"]["name"]
        volume = self.volumes.volume(
            f"copy-{uuid.uuid4().hex[:8]}",
            self.volumes.folder / "copies" / data,
            namespace=self.namespace,
            claim=name,
            modes=claim["spec"]["accessModes"],
        )
        self.cluster.apply([volume])
        self.cluster.wait_for(
            lambda: (
                self.cluster.get(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims/{name}")["status"].get(
                    "phase"
                )
                == "Bound"
            ),
            what="a copy to be bound",
        )
