"""`run-local.sh`: the Deployment makes way for a service from the working tree, and is always as it was afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import tools
from tests.cluster.control_plane import ControlPlane
from tests.integration.charts import FULLNAME, NAMESPACE, RELEASE, ROOT, chart, helm, merged, rendered, values
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import until

ANNOTATION = "dr-syncer.io/run-local"
NAME = FULLNAME.format("exporter")
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
REPLICAS = 3
LONGEST = 180.0  # seconds until a run has ended, on a machine that does other things too
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/dr-syncer-exporter-prod"

Run = Callable[..., "subprocess.Popen[str]"]


def memory(cluster: ControlPlane) -> tuple[int, str]:
    """The replicas of the Deployment, and what it remembers."""
    found = cluster.get(DEPLOYMENT)
    return found["spec"]["replicas"], found["metadata"].get("annotations", {}).get(ANNOTATION, "")


def is_down(cluster: ControlPlane) -> bool:
    replicas, remembered = memory(cluster)
    return replicas == 0 and remembered.startswith(f"{REPLICAS} ")


def given_values(recovery: Recovery) -> dict[str, Any]:
    """Values of the exporter's chart for the recovery repository of the test."""
    fast = {"quietPeriod": "500ms", "maxDelay": "2s"}
    given = {"replicas": REPLICAS, "config": {"repository": {"url": str(recovery.remote)}, "exporter": fast}}
    return merged(values("exporter"), given)


@pytest.fixture
def installed(clean_source: ControlPlane, recovery: Recovery) -> ControlPlane:
    """A source cluster with the exporter's chart, whose pods wait for a node that there is not."""
    clean_source.apply([namespace(NAMESPACE), namespace("shop"), configmap("shop", "app", colour="red")])
    clean_source.apply(rendered("exporter", given_values(recovery)))
    until(
        lambda: len(clean_source.list(f"/api/v1/namespaces/{NAMESPACE}/pods")) > REPLICAS, "the pods"
    )  # and helm test's
    return clean_source


@pytest.fixture
def run(installed: ControlPlane, tmp_path: Path) -> Iterator[Run]:
    """`run("exporter")` starts the script, in a process group of its own; what is left of it ends with the test."""
    with run_of(installed, tmp_path) as start:
        yield start


def _as_in_a_terminal() -> None:
    """Tests that run in the background have these ignored, and no shell can trap what it finds ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def run_of(cluster: ControlPlane, folder: Path) -> Iterator[Run]:
    """See the fixture `run`; the output of each run goes to a file in `folder`."""
    started: list[subprocess.Popen[str]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def start(*args: str, kubeconfig: Path | None = None) -> subprocess.Popen[str]:
        log = (folder / f"run-{len(started)}.log").open("w")
        environment = {**os.environ, "KUBECTL": str(tools.find("kubectl")), "XDG_CACHE_HOME": str(folder / "cache")}
        command = [str(ROOT / "run-local.sh"), str(kubeconfig or cluster.kubeconfig), *args, "--port", str(port)]
        with log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                start_new_session=True,
                preexec_fn=_as_in_a_terminal,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for number, process in enumerate(started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print((folder / f"run-{number}.log").read_text())


def said(tmp_path: Path, number: int = 0) -> str:
    return (tmp_path / f"run-{number}.log").read_text()


def test_it_works_in_the_place_of_the_pods_and_gives_way_at_ctrl_c(
    installed: ControlPlane, recovery: Recovery, run: Run, tmp_path: Path
) -> None:
    process = run("exporter")
    until(lambda: is_down(installed), "the Deployment to be scaled down")
    until(recovery.head, "an export by the service from the working tree")
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    until(lambda: len(installed.list(pods)) == 1, "the pods to be gone")  # helm test's is nobody's replica
    assert installed.get(LEASE)["spec"]["holderIdentity"]

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them

    assert process.wait(timeout=LONGEST) == 130
    assert memory(installed) == (REPLICAS, "")
    assert "has its 3 replicas back" in said(tmp_path)
    assert not list(Path(tmp_path).glob("dr-syncer-local.*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_puts_the_replicas_back_when_it_is_told_to_end(installed: ControlPlane, run: Run, number: int) -> None:
    process = run("exporter")
    until(lambda: is_down(installed), "the Deployment to be scaled down")

    process.send_signal(number)

    assert process.wait(timeout=LONGEST) == 128 + number
    assert memory(installed) == (REPLICAS, "")


def test_it_puts_the_replicas_back_when_the_service_cannot_start(
    installed: ControlPlane, run: Run, tmp_path: Path
) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(
        "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\nexporter: {cluster: prod, mode: never}\n"
    )

    assert run("exporter", "--config", str(faulty)).wait(timeout=LONGEST) == 2

    assert memory(installed) == (REPLICAS, "")
    assert "exporter.mode" in said(tmp_path)


def test_it_puts_the_replicas_back_when_it_alone_is_killed(
    installed: ControlPlane, recovery: Recovery, run: Run
) -> None:
    process = run("exporter")
    until(recovery.head, "an export by the service from the working tree")

    process.kill()

    until(lambda: memory(installed) == (REPLICAS, ""), "the replicas to be put back")
    process.wait()


def test_when_everything_is_killed_the_next_run_heals(installed: ControlPlane, run: Run, tmp_path: Path) -> None:
    first = run("exporter")
    until(lambda: is_down(installed), "the Deployment to be scaled down")
    os.killpg(first.pid, signal.SIGKILL)  # as when the machine dies
    first.wait()
    assert is_down(installed)

    second = run("exporter")
    until(lambda: "running the exporter" in said(tmp_path, 1), "the second run")
    assert is_down(installed)
    third = run("exporter")
    assert third.wait(timeout=LONGEST) == 1
    assert f"another run is at work here, with process id {second.pid}" in said(tmp_path, 2)
    assert is_down(installed)

    second.terminate()
    assert second.wait(timeout=LONGEST) == 143
    assert memory(installed) == (REPLICAS, "")


def test_when_everything_is_killed_restore_puts_the_replicas_back(
    installed: ControlPlane, run: Run, tmp_path: Path
) -> None:
    first = run("exporter")
    until(lambda: is_down(installed), "the Deployment to be scaled down")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    assert run("--restore").wait(timeout=LONGEST) == 0
    assert memory(installed) == (REPLICAS, "")
    assert run("exporter", "--restore").wait(timeout=LONGEST) == 0
    assert "nothing to put back" in said(tmp_path, 2)


def test_helm_can_change_the_replicas_afterwards(
    clean_source: ControlPlane, recovery: Recovery, tmp_path: Path
) -> None:
    clean_source.apply([namespace(NAMESPACE)])
    at = ("--namespace", NAMESPACE, "--values", "-")
    given = merged(given_values(recovery), {"config": {"exporter": {"mode": "manual"}}})
    helm(
        "install", RELEASE, str(chart("exporter")), *at, input=yaml.safe_dump(given), kubeconfig=clean_source.kubeconfig
    )
    with run_of(clean_source, tmp_path) as start:
        process = start("exporter")
        until(lambda: is_down(clean_source), "the Deployment to be scaled down")
        process.terminate()
        assert process.wait(timeout=LONGEST) == 143
    assert memory(clean_source) == (REPLICAS, "")

    more = {**given, "replicas": REPLICAS + 1}
    helm(
        "upgrade", RELEASE, str(chart("exporter")), *at, input=yaml.safe_dump(more), kubeconfig=clean_source.kubeconfig
    )

    assert memory(clean_source) == (REPLICAS + 1, "")


def test_another_persons_run_is_left_alone_and_a_scale_meanwhile_stays(
    installed: ControlPlane, run: Run, tmp_path: Path
) -> None:
    memo = {ANNOTATION: f"{REPLICAS} somebody@elsewhere 1 2026-01-01T00:00:00Z"}
    installed.patch(DEPLOYMENT, {"metadata": {"annotations": memo}, "spec": {"replicas": 0}})
    assert run("exporter").wait(timeout=LONGEST) == 1
    assert "somebody@elsewhere runs this" in said(tmp_path)
    assert is_down(installed)

    installed.patch(DEPLOYMENT, {"spec": {"replicas": 1}})
    assert run("--restore").wait(timeout=LONGEST) == 0
    assert memory(installed) == (1, "")
    assert "was scaled to 1 meanwhile" in said(tmp_path, 1)


def test_it_says_what_is_missing_before_it_touches_anything(installed: ControlPlane, run: Run, tmp_path: Path) -> None:
    mark = installed.audit.mark()
    nothing = tmp_path / "no-kubeconfig"
    assert run("exporter", kubeconfig=nothing).wait(timeout=LONGEST) == 2
    assert f"{nothing}: no such file" in said(tmp_path, 0)
    assert run("importer").wait(timeout=LONGEST) == 1
    assert "there is no Deployment of DR-Syncer (importer)" in said(tmp_path, 1)
    assert run("exporter", kubeconfig=installed.kubeconfig_for("viewer")).wait(timeout=LONGEST) == 1
    assert f"may not patch the Deployment {NAMESPACE}/{NAME}" in said(tmp_path, 2)
    assert run("exporter", "--nonsense").wait(timeout=LONGEST) == 2
    assert [event for event in installed.audit.writes(since=mark) if "deployments" in event.uri] == []
