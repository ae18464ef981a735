"""Nodes for mover pods, on a control plane that has none: what scheduler and kubelet do, but for the container.

A pod of a mover Job is bound to one of these nodes, its Secret written to a folder, its volume (a hostPath
PersistentVolume) taken as it is, and the mover started as a process that reads and writes them. The pod's status says
what a kubelet would say: running, terminated with exit code, reason and at most 4,096 bytes of last words, or what the
test wants to have happened to the pod.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.api import ApiError, Object
from tests.cluster.control_plane import ControlPlane

TICK = 0.1  # seconds
MOVERS = "dr-syncer.io/operation"
LAST_WORDS = 4096  # bytes that a kubelet takes of them
MERGE = "application/merge-patch+json"
PROGRAM = (sys.executable, "-m", "volumes.mover")


@dataclass
class Running:
    """One pod's process."""

    claim: str  # namespace/name of the claim that is mounted
    folder: Path
    process: subprocess.Popen[bytes]
    started: str
    reason: str = ""  # of its end, where that is no exit code
    told_to_end: float = 0.0

    @property
    def last_words(self) -> str:
        """What it has written to its termination log."""
        file = self.folder / "termination-log"
        return file.read_bytes()[:LAST_WORDS].decode(errors="replace") if file.exists() else ""


@dataclass
class Kubelet:
    """Nodes of these names. A context manager; its processes end with it.

    `program` is what movers are, before their arguments. `holds` says of which claims (namespace/name) pods are not
    started yet, and `waiting` what their status says meanwhile. `environment` is added to that of each mover.
    `exec_port` is where an ExecServer answers for the nodes.
    """

    cluster: ControlPlane
    nodes: tuple[str, ...]
    program: Sequence[str] = PROGRAM
    environment: dict[str, str] = field(default_factory=dict)
    exec_port: int = 0
    holds: Callable[[str], bool] = lambda _: False
    waiting: dict[str, str] = field(default_factory=lambda: {"reason": "ContainerCreating"})
    running: dict[str, Running] = field(default_factory=dict)  # by the pod's UID
    seen: list[Object] = field(default_factory=list)  # every pod that was started, as it was then
    at_once: int = 0  # the most that ran at the same time
    _fault: str = ""
    _ended: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Kubelet:
        self._folder = Path(tempfile.mkdtemp(prefix="dr-syncer-kubelet-"))
        for node in self.nodes:
            self._register(node)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in self.running.values():
            one.process.kill()
            one.process.wait()
        for node in self.nodes:
            with contextlib.suppress(ApiError):
                self.cluster.delete(f"/api/v1/nodes/{node}", wait=False)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._fault:
            raise RuntimeError(f"the kubelet of the tests failed\n{self._fault}")

    # What tests do to pods

    def of(self, claim: str) -> Running | None:
        """Return the process that has the claim namespace/name, None when there is none."""
        with self._lock:
            return next((one for one in self.running.values() if one.claim == claim), None)

    def wait_for(self, claim: str) -> Running:
        """Wait until a mover has the claim."""
        self.cluster.wait_for(lambda: self.of(claim) is not None, what=f"a mover of {claim}", timeout=60)
        found = self.of(claim)
        assert found is not None
        return found

    def kill(self, claim: str, *, reason: str = "Error") -> None:
        """Kill a mover: `OOMKilled` as the kernel does it for want of memory."""
        one = self.wait_for(claim)
        with self._lock:
            one.reason = reason
            one.process.kill()

    def evict(self, claim: str, message: str) -> None:
        """End a pod as the kubelet does when its node runs short: the pod fails, its container says nothing."""
        self.wait_for(claim)
        with self._lock:
            pod = self._pod(self._take(claim))
            status = {"phase": "Failed", "reason": "Evicted", "message": message, "containerStatuses": []}
            self._patch_status(pod, status)

    def lose(self, claim: str) -> None:
        """Lose a pod with its node: nobody says how it ended, and the pod garbage collector takes it away."""
        self.wait_for(claim)
        with self._lock:
            self._remove(self._pod(self._take(claim)))

    def _take(self, claim: str) -> str:
        """End the process that has the claim without a word, and return its pod's UID."""
        uid = next(uid for uid, one in self.running.items() if one.claim == claim)
        self._ended.add(uid)
        process = self.running.pop(uid).process
        process.kill()
        process.wait()
        return uid

    def _pod(self, uid: str) -> Object:
        return next(pod for pod in self._pods() if pod["metadata"]["uid"] == uid)

    # What a scheduler and a kubelet do

    def _run(self) -> None:
        try:
            while not self._stop.wait(TICK):
                for pod in self._pods():
                    # The pod, or what it mounts, may be gone or not there yet: then it is looked at again.
                    with self._lock, contextlib.suppress(ApiError):
                        self._attend(pod)
        except Exception:
            self._fault = traceback.format_exc()
            raise

    def _pods(self) -> list[Object]:
        found = self.cluster.list(f"/api/v1/pods?labelSelector={MOVERS}")
        return [pod for pod in found if pod["spec"].get("nodeName", "") in ("", *self.nodes)]

    def _attend(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        one = self.running.get(uid)
        if one is not None:
            if pod["metadata"].get("deletionTimestamp"):
                self._end(pod, one)
            if one.process.poll() is not None:
                self._tell_the_end(pod, one)
        elif pod["metadata"].get("deletionTimestamp"):
            self._remove(pod)
        elif "nodeName" not in pod["spec"]:
            self._schedule(pod)
        elif uid not in self._ended:
            self._start(pod)

    def _schedule(self, pod: Object) -> None:
        meta = pod["metadata"]
        node = _wanted_node(pod) or self.nodes[0]
        if node not in self.nodes:
            message = f"0/{len(self.nodes)} nodes are available: {len(self.nodes)} didn't match node affinity"
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self._patch_status(pod, {"conditions": [condition]})
            return
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self.cluster.post(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding", binding)

    def _start(self, pod: Object) -> None:
        namespace, uid = pod["metadata"]["namespace"], pod["metadata"]["uid"]
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
        if self.holds(f"{namespace}/{claim}"):
            self._patch_status(pod, _status("Pending", {"waiting": self.waiting}))
            return
        root = self._mounted(namespace, claim)
        if root is None:
            return
        secret = self.cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{volumes['task']['secret']['secretName']}")
        folder = self._folder / uid
        (folder / "secret").mkdir(parents=True)
        (folder / "tmp").mkdir()
        for name, data in secret["data"].items():
            (folder / "secret" / name).write_bytes(base64.b64decode(data))
        # Where the volume is, without a mount namespace of its own.
        task = json.loads((folder / "secret" / "task.json").read_bytes())
        (folder / "secret" / "task.json").write_text(json.dumps({**task, "root": str(root)}))
        (container,) = pod["spec"]["containers"]
        assert container["command"] == ["dr-syncer-mover"]
        argv = [*self.program, "--folder", folder / "secret", "--termination-log", folder / "termination-log"]
        env = {**os.environ, **self.environment, "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "tmp")}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                list(map(str, argv)), stdout=log, stderr=log, env=env, cwd=folder, start_new_session=True
            )
        self.running[uid] = Running(f"{namespace}/{claim}", folder, process, _now())
        self.at_once = max(self.at_once, len(self.running))
        self.seen.append(pod)
        self._patch_status(pod, _status("Running", {"running": {"startedAt": _now()}}))

    def _mounted(self, namespace: str, claim: str) -> Path | None:
        found = self.cluster.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
        if found.get("status", {}).get("phase") != "Bound":
            return None
        volume = self.cluster.get(f"/api/v1/persistentvolumes/{found['spec']['volumeName']}")
        return folder_of(volume)

    def _end(self, pod: Object, one: Running) -> None:
        """Ask a process to end, and kill it when its grace is over."""
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        if not one.told_to_end:
            one.told_to_end = time.monotonic()
            one.process.send_signal(signal.SIGTERM)
        elif time.monotonic() - one.told_to_end > grace:
            one.process.kill()

    def _tell_the_end(self, pod: Object, one: Running) -> None:
        code = one.process.returncode
        code = 128 - code if code < 0 else code
        terminated = {
            "exitCode": code,
            "reason": one.reason or ("Error" if code else "Completed"),
            "message": one.last_words,
            "startedAt": one.started,
            "finishedAt": _now(),
        }
        self._patch_status(pod, _status("Failed" if code else "Succeeded", {"terminated": terminated}))
        uid = pod["metadata"]["uid"]
        self._ended.add(uid)
        del self.running[uid]

    def _remove(self, pod: Object) -> None:
        meta = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        with contextlib.suppress(ApiError):
            self.cluster.api.request("DELETE", path, body=options)

    def _patch_status(self, pod: Object, status: dict[str, Any]) -> None:
        if all(pod.get("status", {}).get(key) == value for key, value in status.items()):
            return
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        body = {"metadata": {"uid": meta["uid"]}, "status": status}
        self.cluster.patch(path, body, content_type=MERGE)

    def _register(self, node: str) -> None:
        self.cluster.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}])
        status = {
            "conditions": [{"type": "Ready", "status": "True", "reason": "Tests", "lastHeartbeatTime": _now()}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.exec_port}},
        }
        self.cluster.patch(f"/api/v1/nodes/{node}/status", {"status": status}, content_type=MERGE)


def folder_of(volume: Object) -> Path:
    """Return the folder that a PersistentVolume of `Volumes` is."""
    spec = volume["spec"]
    return Path(spec["csi"]["volumeHandle"] if "csi" in spec else spec["hostPath"]["path"])


@dataclass(frozen=True)
class Volumes:
    """Makes bound claims whose volumes are folders below `folder`, those of the CSI driver `driver` if there is one.

    Claims and volumes have the StorageClass `storage_class`: "" is what people write who make volumes by hand.
    """

    cluster: ControlPlane
    folder: Path
    driver: str = ""
    storage_class: str = ""

    def make(self, namespace: str, name: str, *, modes: Sequence[str] = ("ReadWriteOnce",), **meta: Any) -> Path:
        """Make a claim and its volume, wait until they are bound, and return the folder. `meta` is the claim's."""
        path = self.begin(namespace, name, modes=modes, **meta)
        claim = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        self.cluster.wait_for(
            lambda: self.cluster.get(claim).get("status", {}).get("phase") == "Bound", what=f"{claim} to be bound"
        )
        return path

    def begin(self, namespace: str, name: str, *, modes: Sequence[str] = ("ReadWriteOnce",), **meta: Any) -> Path:
        """As `make`, without the wait."""
        path = self.folder / namespace / name
        path.mkdir(parents=True)
        volume = f"{namespace}-{name}-{uuid.uuid4().hex[:6]}"
        spec: dict[str, Any] = {"accessModes": list(modes), "storageClassName": self.storage_class}
        self.cluster.apply(
            [
                self.volume(volume, path, namespace=namespace, claim=name, modes=modes),
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name, "namespace": namespace, **meta},
                    "spec": {**spec, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
                },
            ]
        )
        return path

    def volume(self, name: str, path: Path, *, namespace: str, claim: str, modes: Sequence[str]) -> Object:
        """Return a PersistentVolume for a claim."""
        csi = {"csi": {"driver": self.driver, "volumeHandle": str(path)}}
        spec = {
            "accessModes": list(modes),
            "storageClassName": self.storage_class,
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": namespace, "name": claim},
            **(csi if self.driver else {"hostPath": {"path": str(path)}}),
        }
        return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def use(cluster: ControlPlane, namespace: str, claim: str, *, node: str, name: str = "web", **spec: Any) -> None:
    """Make a pod that runs on `node` and uses the claim."""
    container = {"name": "app", "image": "example.com/app:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **spec.pop("metadata", {})},
        "spec": {
            "nodeName": node,
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            **spec,
        },
    }
    cluster.apply([pod])
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
    running = {**_status("Running", {"running": {"startedAt": _now()}}, container="app")}
    cluster.patch(path, {"status": running}, content_type=MERGE)


def _status(phase: str, state: dict[str, Any], *, container: str = "mover") -> dict[str, Any]:
    """Return a pod's status with one container."""
    status = {
        "name": container,
        "image": "example.com/dr-syncer:1",
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }
    return {"phase": phase, "containerStatuses": [status]}


def _wanted_node(pod: Object) -> str:
    """Return the node that a pod's affinity names, "" when it names none."""
    return next(_names_of_nodes(pod), "")


def _names_of_nodes(pod: Object) -> Iterator[str]:
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", ()):
        for one in term.get("matchFields", ()):
            yield from one["values"]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
