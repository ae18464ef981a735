"""The two clusters, by kind: created side by side, loaded with images, deleted without a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from drsyncer.yaml.emit import emit
from tests.cluster.tools import ToolMissing, find, path_of
from tests.cluster.tools.build import build_missing
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.programs import KIND, KIND_MODULE
from tests.e2e.lab.steps import LabFailed, answer

SOURCE, DR = "dr-syncer-source", "dr-syncer-dr"
NAMES = (SOURCE, DR)
NETWORK = "kind"
LABEL = "io.x-k8s.kind.cluster"
AUDITED = "dr-syncer"  # the namespace of ours, whose service accounts' requests are written down
_AUDIT_POLICY = "/etc/kubernetes/audit-policy.yaml"
_AUDIT_FOLDER = "/var/log/kubernetes"
_AUDIT_LOG = f"{_AUDIT_FOLDER}/audit.log"
CREATING = 600.0  # seconds
READY = "180s"
DELETING_TRIES = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """kind, in the environment of one Docker. `node_image`: "" for the stock one of this kind."""

    program: Path
    docker: Docker
    folder: Path
    node_image: str

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of one of `NAMES`."""
        return self.folder / f"{name}.kubeconfig"

    def running(self) -> tuple[str, ...]:
        """Those of `NAMES` that there are, whole or not."""
        there = self("get", "clusters").split()
        return tuple(name for name in NAMES if name in there)

    def create(self, *, logs: Path) -> None:
        """Create both clusters at the same time. Raises `LabFailed` with kind's own words; the nodes' are in `logs`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "kind.yaml"
        policy = self.folder / "audit-policy.yaml"
        policy.write_bytes(emit(audit_policy()))
        config.write_bytes(emit(cluster_configuration(local=bool(self.node_image), policy=policy)))
        image = ["--image", self.node_image] if self.node_image else []

        def create(name: str) -> None:
            self(
                *("create", "cluster", "--name", name, "--config", str(config), *image),
                *("--kubeconfig", str(self.kubeconfig(name)), "--wait", READY, "--retain"),
                timeout=CREATING,
            )

        try:
            _side_by_side(create, NAMES)
        except LabFailed as error:
            self.export_logs(logs)
            raise LabFailed(f"{error}\nwhat the nodes know is in {logs}") from error

    def load(self, images: Sequence[str]) -> None:
        """Bring images of this Docker onto the nodes."""
        _side_by_side(lambda name: self("load", "docker-image", *images, "--name", name, timeout=CREATING), NAMES)

    def export_logs(self, folder: Path) -> None:
        """Write down what the nodes know, for looking at a failure."""
        for name in self.running():
            self("export", "logs", str(folder / name), "--name", name, timeout=CREATING)

    def audit_log(self, name: str) -> str:
        """What our service accounts asked of the API server of one of `NAMES`: its audit log."""
        return self.docker("exec", f"{name}-control-plane", "cat", _AUDIT_LOG)

    def delete(self) -> None:
        """Delete both clusters, and make sure that they are gone. Raises `LabFailed` when they do not go."""
        for _ in range(DELETING_TRIES):
            # It fails when a container does not die at once, and is done when asked again.
            subprocess.run(
                [self.program, "delete", "clusters", *NAMES],
                env=self._env(),
                capture_output=True,
                timeout=CREATING,
                check=False,
            )
            left = [self.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}") for name in NAMES]
            if not any(left):
                shutil.rmtree(self.folder, ignore_errors=True)
                return
        raise LabFailed(f"kind could not delete {', '.join(NAMES)}: docker ps --all shows their containers")

    def __call__(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run kind and return what it printed."""
        return answer([self.program, *arguments], env=self._env(), timeout=timeout)

    def _env(self) -> dict[str, str]:
        # kind finds docker by its name. And Docker it shall be, whatever else is installed.
        path = f"{self.docker.program.parent}:{os.environ.get('PATH', '')}"
        return {**self.docker.env, "PATH": path, "KIND_EXPERIMENTAL_PROVIDER": "docker"}


def kind_program() -> Path:
    """Return kind, as pinned: the one on the PATH when it is of that version, else built."""
    on_path = shutil.which("kind")
    if on_path and pinned_version() in answer([on_path, "version"]).split():
        return Path(on_path)
    build_missing([KIND])
    return path_of(KIND)


def pinned_version() -> str:
    """The version of kind in go.mod, as `v0.33.0`."""
    lines = (KIND_MODULE / "go.mod").read_text().splitlines()
    return next(line.split()[-1] for line in lines if line.startswith("require sigs.k8s.io/kind "))


def audit_policy() -> dict[str, object]:
    """Return what the API servers write down: each request of ours, without what was in it."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{AUDITED}"]},
            {"level": "None"},
        ],
    }


def cluster_configuration(*, local: bool, policy: Path) -> dict[str, object]:
    """Return kind's configuration of either cluster. `local`: for the node image that was built here.

    `policy` is the file with the `audit_policy`.
    """
    # A machine that does other things, too, takes longer than the minute that kubeadm gives it.
    patient: dict[str, object] = {"kind": "InitConfiguration", "timeouts": {"kubernetesAPICall": "5m0s"}}
    policy_mount = {"hostPath": str(policy), "containerPath": _AUDIT_POLICY, "readOnly": True}
    base: dict[str, object] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane", "extraMounts": [policy_mount]}],
        "kubeadmConfigPatches": [_text(patient), _text(_audited())],
    }
    if not local:
        return base
    return base | {
        # It brings a file for its one node instead.
        "networking": {"disableDefaultCNI": True},
        # Machines without Docker are often such that cgroup v1 is all that there is, which kubelet has to be told.
        "kubeadmConfigPatches": [
            _text(patient),
            _text(_audited()),
            _text({"kind": "KubeletConfiguration", "failCgroupV1": False}),
        ],
        # Without CAP_SYS_RESOURCE nobody may lower the score by which the kernel picks whom it ends for memory.
        "containerdConfigPatches": ['[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'],
    }


def _audited() -> dict[str, object]:
    """Return the patch of kubeadm's configuration by which the API server writes its audit log."""
    return {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": [
                {"name": "audit-policy-file", "value": _AUDIT_POLICY},
                {"name": "audit-log-path", "value": _AUDIT_LOG},
            ],
            "extraVolumes": [
                {
                    "name": "audit-policy",
                    "hostPath": _AUDIT_POLICY,
                    "mountPath": _AUDIT_POLICY,
                    "readOnly": True,
                    "pathType": "File",
                },
                {
                    "name": "audit-log",
                    "hostPath": _AUDIT_FOLDER,
                    "mountPath": _AUDIT_FOLDER,
                    "pathType": "DirectoryOrCreate",
                },
            ],
        },
    }


def kubectl_program() -> Path:
    """Return a kubectl: the harness's own, else the one on the PATH. Raises `LabFailed`."""
    try:
        return find("kubectl")
    except ToolMissing:
        on_path = shutil.which("kubectl")
        if on_path is None:
            raise LabFailed("kubectl is not there: run `make tools`, or install it") from None
        return Path(on_path)


def _text(document: dict[str, object]) -> str:
    return emit(document).decode()


def _side_by_side(act: Callable[[str], object], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(act, names))
