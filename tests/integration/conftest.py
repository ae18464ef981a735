"""Fixtures: two control planes per test runner, and Git remotes of every kind, fresh for each test.

source, dr                  the pair, started together, once per runner; use namespaces of your own
clean_source, clean_dr      the same, emptied before the test: for what looks at a whole cluster
fresh_cluster               a factory of clusters that no other test sees, for faults and odd flags
make_namespace              a factory of unique namespaces: `make_namespace(source)`
fault_proxy                 a factory of proxies: `fault_proxy(source)`
recovery_remote             the path of an empty bare repository
https_remote, ssh_remote    one that is served over https or ssh
tcp_fault_proxy             a factory of proxies in front of any loopback port
recovery                    a recovery repository with an exporter and an importer: `recovery.export(source)`
mover                       movers as processes, with a restic repository of their own: `mover.backup(volume)`
volume, large, target       folders to back up, the second one slowly, and an empty one to restore to
services                    a factory of `dr-syncer serve` processes: `services.start("exporter", source)`
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.git_servers import HttpsRemote, SshRemote, bare_repository, why_no_sshd
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.integration.movers import Mover, fill
from tests.integration.recovery import Recovery
from tests.integration.restic_backends import Backend
from tests.integration.services import Services


def _stop(plane: ControlPlane, request: pytest.FixtureRequest, *, failed_before: int) -> Callable[..., None]:
    """An exit callback that keeps the logs when a test has failed meanwhile."""
    return lambda *_: plane.stop(keep_logs=request.session.testsfailed > failed_before)


@pytest.fixture(scope="session")
def _pair(request: pytest.FixtureRequest) -> Iterator[tuple[ControlPlane, ControlPlane]]:
    with ExitStack() as stack:
        planes = []
        for name in ("source", "dr"):
            planes.append(ControlPlane(name))
            stack.push(_stop(planes[-1], request, failed_before=0))
        with ThreadPoolExecutor(len(planes)) as pool:
            started = list(pool.map(lambda plane: plane.start(), planes))
        yield started[0], started[1]


@pytest.fixture
def source(_pair: tuple[ControlPlane, ControlPlane]) -> ControlPlane:
    return _pair[0]


@pytest.fixture
def dr(_pair: tuple[ControlPlane, ControlPlane]) -> ControlPlane:
    return _pair[1]


@pytest.fixture
def clean_source(source: ControlPlane) -> ControlPlane:
    source.reset()
    return source


@pytest.fixture
def clean_dr(dr: ControlPlane) -> ControlPlane:
    dr.reset()
    return dr


@pytest.fixture
def fresh_cluster(request: pytest.FixtureRequest) -> Iterator[Callable[..., ControlPlane]]:
    """`fresh_cluster("name", api_flags=(…))` returns a started cluster; it ends with the test."""
    failed_before = request.session.testsfailed
    with ExitStack() as stack:

        def start(name: str = "fresh", **settings: Any) -> ControlPlane:
            plane = ControlPlane(name, **settings)
            stack.push(_stop(plane, request, failed_before=failed_before))
            return plane.start()

        yield start


@pytest.fixture
def make_namespace() -> Iterator[Callable[..., str]]:
    """`make_namespace(cluster, prefix="shop")` creates a namespace of a unique name and returns the name."""
    made: list[tuple[ControlPlane, str]] = []

    def make(cluster: ControlPlane, prefix: str = "test") -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
        made.append((cluster, name))
        return name

    yield make
    for cluster, name in made:
        path = f"/api/v1/namespaces/{name}"
        if cluster.exists(path):
            cluster.delete(path, wait=False)


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[ControlPlane], FaultProxy]]:
    """`fault_proxy(cluster)` returns a running proxy in front of its API server; see `FaultProxy`."""
    with ExitStack() as stack:
        yield lambda cluster: stack.enter_context(FaultProxy(cluster))


@pytest.fixture
def tcp_fault_proxy() -> Iterator[Callable[[int], TcpFaultProxy]]:
    """`tcp_fault_proxy(port)` returns a running proxy in front of a loopback port; see `TcpFaultProxy`."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(TcpFaultProxy(port))


@pytest.fixture
def recovery_remote(tmp_path: Path) -> Path:
    """An empty bare repository with `main` as its default branch."""
    return bare_repository(tmp_path / "recovery.git")


@pytest.fixture
def recovery(recovery_remote: Path, tmp_path: Path) -> Recovery:
    """A recovery repository in a folder, its two sides configured with the defaults; Secrets travel in plain text."""
    return Recovery(remote=recovery_remote, folder=tmp_path)


@pytest.fixture
def services(recovery: Recovery) -> Iterator[Services]:
    """Whatever a test leaves running ends with it; what the services said is shown when it fails."""
    with Services(recovery) as made:
        yield made


@pytest.fixture
def https_remote(tmp_path: Path) -> Iterator[HttpsRemote]:
    with HttpsRemote(tmp_path / "https-remote") as remote:
        yield remote


@pytest.fixture
def ssh_remote(tmp_path: Path) -> Iterator[SshRemote]:
    reason = why_no_sshd()
    if reason:
        pytest.skip(reason)
    with SshRemote(tmp_path / "ssh-remote") as remote:
        yield remote


@pytest.fixture(scope="session")
def restic_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to be copied: making one takes restic seconds."""
    folder = tmp_path_factory.mktemp("repository")
    Mover(folder / "movers", Backend(repository=str(folder / "r"), folder=folder / "r")).init()
    return folder / "r"


@pytest.fixture
def mover_backend(tmp_path: Path) -> Backend:
    return Backend(repository=str(tmp_path / "repository"), folder=tmp_path / "repository")


@pytest.fixture
def mover(tmp_path: Path, mover_backend: Backend, restic_repository: Path) -> Mover:
    """Movers for a new repository in a folder."""
    shutil.copytree(restic_repository, mover_backend.folder)
    return Mover(tmp_path / "movers", mover_backend)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with data."""
    (tmp_path / "volume").mkdir()
    return fill(tmp_path / "volume")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Another, empty volume."""
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.fixture
def large(volume: Path) -> Path:
    """A volume that takes a while when it is backed up slowly."""
    (volume / "large").write_bytes(os.urandom(3_000_000))
    return volume
