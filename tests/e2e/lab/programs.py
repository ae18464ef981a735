"""The programs that the lab builds from Go modules, each pinned by the go.sum beside its name in `modules/`.

etcd, kube-apiserver, kube-controller-manager and kubectl are those of the control-plane harness. `nodes` pins the same
Kubernetes in a module of its own: another go.sum would have every developer build the harness's programs anew.
"""

from __future__ import annotations

from pathlib import Path

from tests.cluster.tools import CLUSTER_PROGRAMS, Program, cache_folder, path_of

_MODULES = Path(__file__).with_name("modules")
NODES = _MODULES / "nodes"
CONTAINERD = _MODULES / "containerd"
KIND_MODULE = _MODULES / "kind"

KIND = Program("kind", "sigs.k8s.io/kind", KIND_MODULE)
NODE_PROGRAMS = (
    Program("kubelet", "k8s.io/kubernetes/cmd/kubelet", NODES),
    Program("kubeadm", "k8s.io/kubernetes/cmd/kubeadm", NODES),
    Program("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", NODES),
    Program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", NODES),
    Program("containerd", "github.com/containerd/containerd/v2/cmd/containerd", CONTAINERD),
    Program("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", CONTAINERD),
    Program("ctr", "github.com/containerd/containerd/v2/cmd/ctr", CONTAINERD),
    Program("crictl", "sigs.k8s.io/cri-tools/cmd/crictl", _MODULES / "crictl"),
    Program("coredns", ".", _MODULES / "coredns"),
    Program("local-path-provisioner", "github.com/rancher/local-path-provisioner", _MODULES / "storage"),
    Program("pause", ".", _MODULES / "pause"),
)
IMAGE_PROGRAMS = (*CLUSTER_PROGRAMS, *NODE_PROGRAMS)  # what a node image is made of


def program(name: str) -> Path:
    """Return the path of a program that was built. Raises `ToolMissing`."""
    return path_of(next(each for each in (KIND, *IMAGE_PROGRAMS) if each.name == name))


def described() -> bytes:
    """Return bytes that change with the version of any program of the node image."""
    folders = sorted({str(cache_folder(each.module)) for each in (KIND, *IMAGE_PROGRAMS)})
    return "\n".join(Path(folder).name for folder in folders).encode()
