"""The programs that a test cluster is made of, sops, helm, promtool and two backup servers, found or built anywhere.

Each folder beside this file is a Go module that pins the programs in it: sops has hundreds of dependencies of its own,
which must not decide about Kubernetes'. Order of search, per program:
1. the folder in `KUBEBUILDER_ASSETS`, if what lies there is of the pinned Kubernetes minor version (only Kubernetes');
2. the cache, `$XDG_CACHE_HOME/dr-syncer/tools/<digest of the module's go.sum>/`;
3. `python -m tests.cluster.tools` builds them into the cache with Go (minutes, once per machine and version).
restic is none of them: see restic.py.

Release binaries are left out on purpose: they would need pinned digests of their own beside go.sum, which already
pins every byte that the build reads, and a second source that machines without free internet access never exercise.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = Path(__file__).with_name("kubernetes")
SOPS = Path(__file__).with_name("sops")
HELM = Path(__file__).with_name("helm")
PROMTOOL = Path(__file__).with_name("promtool")
REST_SERVER = Path(__file__).with_name("restserver")
S3 = Path(__file__).with_name("s3")
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
VERSION_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program, the Go package that it is built from, the folder of the module that pins it, and its build tags."""

    name: str
    package: str
    module: Path = KUBERNETES
    tags: tuple[str, ...] = ()


PROGRAMS = (
    Program("etcd", "go.etcd.io/etcd/server/v3"),
    Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Program("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    Program("sops", "github.com/getsops/sops/v3/cmd/sops", SOPS),
    Program("helm", "helm.sh/helm/v4/cmd/helm", HELM),
    # Without the clients of two dozen clouds, which only `promtool check service-discovery` needs.
    Program("promtool", "github.com/prometheus/prometheus/cmd/promtool", PROMTOOL, ("remove_all_sd",)),
    Program("rest-server", "github.com/restic/rest-server/cmd/rest-server", REST_SERVER),
    Program("versitygw", "github.com/versity/versitygw/cmd/versitygw", S3),
)
CLUSTER_PROGRAMS = tuple(program for program in PROGRAMS if program.module == KUBERNETES)


class ToolMissing(RuntimeError):
    """A program is neither in `KUBEBUILDER_ASSETS` nor in the cache."""


def kubernetes_version() -> str:
    """The version that go.mod pins, as `v1.36.3`."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)$", (KUBERNETES / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ToolMissing(f"{KUBERNETES / 'go.mod'} does not require k8s.io/kubernetes")
    return found[1]


def cache_home() -> Path:
    """The folder that outlives a checkout: `$XDG_CACHE_HOME/dr-syncer/tools`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dr-syncer" / "tools"


def cache_folder(module: Path = KUBERNETES) -> Path:
    """The folder of the programs that the module's go.sum, and its own code if it has any, describe."""
    described = [module / "go.sum", *module.glob("main.go")]
    return cache_home() / hashlib.sha256(b"".join(file.read_bytes() for file in described)).hexdigest()[:16]


def find(name: str) -> Path:
    """Return the path of the program `name`. Raises `ToolMissing`, which says how to get it."""
    if name == "restic":
        from tests.cluster.tools.restic import find_restic

        return find_restic()
    found = next((_found(program) for program in PROGRAMS if program.name == name), None)
    if found is None:
        raise ToolMissing(f"{name} is not there yet: run `make tools` (once, minutes), or set {ASSETS_VARIABLE}")
    return found


def path_of(program: Program) -> Path:
    """Return the path of a program that has been built before. Raises `ToolMissing`."""
    found = _found(program)
    if found is None:
        raise ToolMissing(f"{program.name} has not been built")
    return found


def missing(programs: Sequence[Program] = PROGRAMS) -> tuple[Program, ...]:
    """Those of `programs` that `find` would not find."""
    return tuple(program for program in programs if _found(program) is None)


def same_minor(version_output: str, wanted: str) -> bool:
    """Whether what `--version` printed and the version `wanted` agree in major and minor."""
    pattern = re.compile(r"v?(\d+)\.(\d+)\.\d+")
    found, expected = pattern.search(version_output), pattern.search(wanted)
    return found is not None and expected is not None and found.groups() == expected.groups()


def _found(program: Program) -> Path | None:
    asset = _asset(program.name) if program.module == KUBERNETES else None
    return asset or _cached(program)


def _cached(program: Program) -> Path | None:
    path = cache_folder(program.module) / program.name
    return path if os.access(path, os.X_OK) and path.is_file() else None


def _asset(name: str) -> Path | None:
    folder = os.environ.get(ASSETS_VARIABLE)
    if not folder or not _assets_fit(folder):
        return None
    path = Path(folder) / name
    return path if os.access(path, os.X_OK) and path.is_file() else None


@functools.cache
def _assets_fit(folder: str) -> bool:
    """An API server of another minor version would run beside a controller manager that it does not support."""
    server = Path(folder) / "kube-apiserver"
    if not server.is_file():
        return False
    result = subprocess.run(
        [server, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False
    )
    return result.returncode == 0 and same_minor(result.stdout, kubernetes_version())
