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
        config.write_bytes(emit(cluster_configuration(local=bool(self.node_image))))
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


def cluster_configuration(*, local: bool) -> dict[str, object]:
    """Return kind's configuration of either cluster. `local`: for the node image that was built here."""
    # A machine that does other things, too, takes longer than the minute that kubeadm gives it.
    patient: dict[str, object] = {"kind": "InitConfiguration", "timeouts": {"kubernetesAPICall": "5m0s"}}
    base: dict[str, object] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane"}],
        "kubeadmConfigPatches": [_text(patient)],
    }
    if not local:
        return base
    return base | {
        # It brings a file for its one node instead.
        "networking": {"disableDefaultCNI": True},
        # Machines without Docker are often such that cgroup v1 is all that there is, which kubelet has to be told.
        "kubeadmConfigPatches": [_text(patient), _text({"kind": "KubeletConfiguration", "failCgroupV1": False})],
        # Without CAP_SYS_RESOURCE nobody may lower the score by which the kernel picks whom it ends for memory.
        "containerdConfigPatches": ['[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'],
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
