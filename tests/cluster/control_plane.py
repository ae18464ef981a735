"""A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager.

No nodes: Pods stay Pending, all else is real (namespaces finish deleting, ReplicaSets, Jobs, quota, garbage
collection, admission, RBAC). Every process ends with the Python process that started it.
"""

from __future__ import annotations

import builtins
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.cluster import tools
from tests.cluster.api import APPLY, Api, ApiError, Object
from tests.cluster.audit import HARNESS_USER, AuditEvent, AuditLog
from tests.cluster.certificates import Authority
from tests.cluster.claims import Claim, claim_network, claim_port, lock_file
from tests.cluster.flags import (
    CONTROLLER_MANAGER,
    HOST,
    USERS,
    Layout,
    api_server_arguments,
    controller_manager_arguments,
    etcd_arguments,
    token_of,
    write_files,
)
from tests.cluster.process import Process
from tests.cluster.state import Baseline, resource_versions

READY_SECONDS = 180.0
GONE_SECONDS = 60.0
POLL_SECONDS = 0.05
UNSERVED = "404 page not found"  # of a path that no handler has; of an object that is not there there is a Status
FOLDER_PREFIX = "dr-syncer-cluster-"
LOGS_VARIABLE = "DR_SYNCER_TEST_LOGS"
DEFAULT_LOGS = Path(__file__).parents[2] / "build" / "test-logs"
SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

ORDER = {"Namespace": 0, "CustomResourceDefinition": 1, "ServiceAccount": 2}


class ControlPlane:
    """One cluster. `name` is also the context's name in its kubeconfig files.

    Public attributes: `name`, `folder`, `port`, `url`, `authority`, `audit`, `kubeconfig` (user `admin`).
    """

    def __init__(self, name: str, *, api_flags: Sequence[str] = (), controllers: bool = True) -> None:
        """Claim ports and write the files; nothing runs before `start`. `api_flags` are added to kube-apiserver's."""
        sweep_leftovers()
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{name}-"))
        self._lock = lock_file(self.folder / "lock")
        self._api_flags, self._controllers = tuple(api_flags), controllers
        self._claims: list[Claim] = []
        self.network = self._claim(claim_network())
        self._layout = Layout(
            folder=self.folder,
            port=self._claim(claim_port()),
            etcd_port=self._claim(claim_port()),
            etcd_peer_port=self._claim(claim_port()),
            network=self.network,
        )
        self.port = self._layout.port
        self.url = f"https://{HOST}:{self.port}"
        self.authority = Authority(self.folder / "pki", name=f"dr-syncer tests {name}")
        self.audit = AuditLog(self.folder / "audit.log")
        self.baseline = Baseline()
        self._processes: dict[str, Process] = {}
        write_files(self._layout, self.authority)
        self.kubeconfig = self.kubeconfig_for("admin")
        self._kubectl_config = self.kubeconfig_for(HARNESS_USER)
        self._clients: list[Api] = []
        self.api = self.client(HARNESS_USER)

    # Life

    def start(self) -> ControlPlane:
        """Start everything and wait until it is ready. Stops what was started when that fails."""
        try:
            self._run("etcd", etcd_arguments(self._layout))
            self.start_api()
            if self._controllers:
                self._start_controller_manager()
            self.baseline = Baseline.take(self.api)
            self.audit.mark()
        except BaseException:
            self.stop(keep_logs=True)
            raise
        return self

    def stop(self, *, keep_logs: bool = False) -> None:
        """End every process and remove the folder. `keep_logs` copies the logs to `build/test-logs/` first."""
        self._hang_up()
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._processes:
                self._processes.pop(name).stop()
        if keep_logs and self.folder.exists():
            print(f"cluster {self.name}: logs kept in {self._keep_logs()}", flush=True)
        for claim in self._claims:
            claim.release()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> ControlPlane:
        return self.start()

    def __exit__(self, exc_type: object, exc: object, traceback: object) -> None:
        self.stop(keep_logs=exc_type is not None)

    def stop_api(self) -> None:
        """Kill the API server, as a crash would. etcd keeps all that was answered."""
        self._processes.pop("kube-apiserver").stop()
        self._hang_up()

    def start_api(self) -> None:
        """Start the API server, on the same port and data as before, and wait until it is ready."""
        arguments = api_server_arguments(self._layout, self.authority, extra=self._api_flags)
        process = self._run("kube-apiserver", arguments)
        process.wait_until(self._ready, what="readiness", timeout=READY_SECONDS)

    @property
    def pids(self) -> builtins.list[int]:
        """The process ids of the supervisors of this cluster's programs."""
        return [process.pid for process in self._processes.values()]

    # Access

    def token(self, user: str) -> str:
        """The bearer token of one of `USERS`."""
        return token_of(user)

    def client(self, user: str) -> Api:
        """A client of the harness that speaks as `user`; `stop` closes it."""
        context = self.authority.client_context()
        client = Api(host=HOST, port=self.port, context=context, token=token_of(user))
        self._clients.append(client)
        return client

    def kubeconfig_for(self, user_token: str, server: str | None = None) -> Path:
        """Write a kubeconfig and return its path.

        `user_token` is a user of `USERS`, or any other bearer token as it is. `server` is the URL to call instead of
        the API server (a fault proxy); the cluster's own authority is trusted there too. The context is `name`.
        """
        token = token_of(user_token) if user_token in USERS else user_token
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": self.name,
            "clusters": [{"name": self.name, "cluster": _cluster_entry(server or self.url, self.authority.file)}],
            "users": [{"name": self.name, "user": {"token": token}}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": self.name}}],
        }
        descriptor, path = tempfile.mkstemp(prefix="kubeconfig-", suffix=".yaml", dir=self.folder)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(content, stream, indent=2)  # JSON is YAML
        return Path(path)

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl with a user of system:masters. `check` raises when it fails."""
        env = {
            **os.environ,
            "KUBECONFIG": str(self._kubectl_config),
            "KUBECACHEDIR": str(self.folder / "kubectl-cache"),
        }
        command = [str(tools.find("kubectl")), *args]
        result = subprocess.run(command, input=input, capture_output=True, text=True, env=env, check=False)
        if check and result.returncode:
            raise RuntimeError(f"kubectl {' '.join(args)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def grant(self, user: str, *, cluster_role: str, namespace: str = "") -> None:
        """Bind `user` to a ClusterRole, in `namespace` only when it is given. `reset` takes it away again."""
        name = f"{user}-{cluster_role}".replace(":", "-")
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        group = "rbac.authorization.k8s.io"
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": cluster_role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
        self.apply([binding])

    # Objects

    def get(self, path: str) -> Object:
        """Return what a GET of `path` answers, e.g. `/api/v1/namespaces/shop/configmaps/app`."""
        return self.api.request("GET", path)  # type: ignore[no-any-return]

    def list(self, path: str) -> builtins.list[Object]:
        """Return all objects of the collection at `path`."""
        return self.api.items(path)

    def exists(self, path: str) -> bool:
        """Whether there is an object at `path`."""
        return self.api.exists(path)

    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return one object by its kind and name, None when it is not there."""
        manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        path = self.api.path_of(manifest)
        return self.get(path) if self.exists(path) else None

    def post(self, path: str, body: Object) -> Object:
        """Create an object in the collection at `path`."""
        return self.api.request("POST", path, body=body)  # type: ignore[no-any-return]

    def put(self, path: str, body: Object) -> Object:
        """Replace the object at `path`."""
        return self.api.request("PUT", path, body=body)  # type: ignore[no-any-return]

    def patch(self, path: str, body: Any, *, content_type: str = "application/merge-patch+json") -> Object:
        """Patch the object at `path`; a JSON merge patch unless `content_type` says otherwise."""
        return self.api.request("PATCH", path, body=body, content_type=content_type)  # type: ignore[no-any-return]

    def apply(self, manifests: Iterable[Object], *, field_manager: str = "kubectl") -> None:
        """Apply `manifests` server-side with force, namespaces and CRDs first; waits for types that CRDs bring."""
        for manifest in sorted(manifests, key=lambda manifest: ORDER.get(manifest["kind"], len(ORDER))):
            query = urlencode({"fieldManager": field_manager, "force": "true"})
            path = f"{self.api.path_of(manifest)}?{query}"
            self._apply_one(path, manifest)

    def limit(self, namespace: str, name: str, **spec: Any) -> None:
        """Apply a ResourceQuota and wait until it is counted: before, admission may let pass what it would refuse."""
        meta = {"name": name, "namespace": namespace}
        self.apply([{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}])
        path = f"/api/v1/namespaces/{namespace}/resourcequotas/{name}"
        self.wait_for(lambda: self.get(path).get("status", {}).get("hard"), what=f"quota {name} to be in force")

    def delete(self, path: str, *, wait: bool = True) -> None:
        """Delete the object at `path` and, by default, wait until it is really gone."""
        self.api.request("DELETE", path, body={"propagationPolicy": "Background"})
        if wait:
            self.wait_for(lambda: not self.exists(path), what=f"{path} to be gone", timeout=GONE_SECONDS)

    def objects(self) -> dict[str, Object]:
        """Every object that is not part of an empty cluster: "namespace/type/name" → manifest."""
        return {str(entry.key): entry.manifest for entry in self.baseline.additions(self.api)}

    def resource_versions(self) -> dict[str, str]:
        """ "namespace/type/name" ("type/name" for cluster-scoped ones) → resourceVersion, of every object.

        Left out: what the control plane touches without being asked (events, leases, API service availability, …).
        """
        return resource_versions(self.api)

    def settle(self, *, quiet: float = 0.5, timeout: float = 60.0) -> dict[str, str]:
        """Wait until no object has changed for `quiet` seconds and return the resource versions then."""
        deadline = time.monotonic() + timeout
        before = self.resource_versions()
        while True:
            time.sleep(quiet)
            after = self.resource_versions()
            if after == before:
                return after
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name} is not quiet after {timeout} s: {set(after.items()) ^ set(before.items())}"
                )
            before = after

    def audit_events(self, since: int | None = None) -> builtins.list[AuditEvent]:
        """All requests since a mark of `audit.mark()`; the same as `audit.requests`."""
        return self.audit.requests(since=since)

    def wait_for(self, condition: Callable[[], object], *, what: str, timeout: float = 60.0) -> None:
        """Poll `condition` until it is true. Raises `TimeoutError` that names `what`."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: waited {timeout:.0f} s for {what}")
            time.sleep(POLL_SECONDS)

    def reset(self) -> None:
        """Bring the cluster back to how it was after `start` (additions removed, changes undone); `audit.mark()`."""
        self.baseline.restore(self.api)
        self.audit.mark()

    # Inside

    def _hang_up(self) -> None:
        for client in self._clients:
            client.close()

    def _claim(self, claim: Claim) -> int:
        self._claims.append(claim)
        return claim.value

    def _run(self, name: str, arguments: Iterable[str]) -> Process:
        log = self.folder / f"{name}.log"
        # A bare environment: KUBECONFIG, proxies and Go settings of the machine are none of the cluster's business.
        env = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
        process = Process([tools.find(name), *arguments], log=log, env=env)
        self._processes[name] = process
        return process

    def _ready(self) -> bool:
        try:
            return bool(self.api.request("GET", "/readyz") == "ok")
        except (OSError, http.client.HTTPException, ApiError):
            return False

    def _start_controller_manager(self) -> None:
        config = self.kubeconfig_for(CONTROLLER_MANAGER)
        arguments = controller_manager_arguments(self._layout, self.authority, kubeconfig=config)
        process = self._run("kube-controller-manager", arguments)
        things = ("serviceaccounts/default", "configmaps/kube-root-ca.crt")
        wanted = [f"/api/v1/namespaces/{namespace}/{thing}" for namespace in SYSTEM_NAMESPACES for thing in things]
        process.wait_until(
            lambda: all(self.api.exists(path) for path in wanted), what="service accounts", timeout=READY_SECONDS
        )

    def _apply_one(self, path: str, manifest: Object) -> None:
        """For a few milliseconds a new namespace has no service account, and admission refuses Pods; and a new type
        is in the discovery, and not served.
        """
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            try:
                self.patch(path, manifest, content_type=APPLY)
            except ApiError as error:
                missing = error.status == 403 and "serviceaccount" in error.body and "not found" in error.body
                unserved = error.status == 404 and error.body.strip() == UNSERVED
                if not (missing or unserved) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return

    def _keep_logs(self) -> Path:
        target = Path(os.environ.get(LOGS_VARIABLE) or DEFAULT_LOGS) / self.folder.name
        target.mkdir(parents=True, exist_ok=True)
        for log in self.folder.glob("*.log"):
            shutil.copy2(log, target)
        return target


def sweep_leftovers() -> None:
    """Remove the folders of clusters whose owner was killed. A living owner holds the lock of its folder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            # A folder without a lock file is a moment old: its owner is about to lock it.
            if not (folder / "lock").exists():
                continue
            descriptor = lock_file(folder / "lock")
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def _cluster_entry(server: str, authority: Path) -> dict[str, str]:
    if server.startswith("http://"):
        return {"server": server}
    return {"server": server, "certificate-authority": str(authority)}
