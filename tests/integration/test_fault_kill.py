"""Killed at any moment: the next run ends where an undisturbed one would have, and nothing is left over."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from importer.outcome import Outcome
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.git_servers import bare_repository
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.written import custom_type

MOMENTS = 20
SEED = 20_260_501
STARTING = 0.25  # the share of a run in which the interpreter loads modules and nothing can be lost
MEMBER = "applyset.kubernetes.io/part-of"
MakeProxy = Callable[[ControlPlane], FaultProxy]


def common() -> list[dict[str, Any]]:
    return [
        namespace("shop"),
        namespace("bank", tier="gold"),
        custom_type(),
        *(configmap("shop", f"steady-{index}", a="b") for index in range(8)),
        *(configmap("bank", f"steady-{index}", a="b" * 2_000) for index in range(4)),
        deployment("shop", "web"),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "shop:reader"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        },
    ]


def widget(name: str, size: int) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": {"size": size}}


def changing(state: str) -> list[dict[str, Any]]:
    """What differs between the two states: values of some objects, and the existence of others."""
    size = ord(state)
    return [
        *(configmap("shop", f"changing-{index}", state=state) for index in range(4)),
        *(widget(f"changing-{index}", size) for index in range(3)),
        deployment("shop", "changing", image=f"nginx:{size}"),
        configmap("bank", f"only-{state}", state=state),
        configmap("shop", f"only-{state}", state=state),
        widget(f"only-{state}", size),
    ]


def put(cluster: ControlPlane, state: str) -> None:
    """Bring the cluster to `state`, whichever it was in."""
    cluster.apply(changing(state))
    other = "b" if state == "a" else "a"
    for manifest in changing(other):
        if manifest["metadata"]["name"] == f"only-{other}":
            path = cluster.api.path_of(manifest)
            if cluster.exists(path):
                cluster.delete(path, wait=False)


@pytest.fixture
def source_in_a(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply(common())
    listed = ("get", "widgets.v1.example.com", "-A")
    clean_source.wait_for(
        lambda: clean_source.kubectl(*listed, check=False).returncode == 0, what="the new type to be served"
    )
    put(clean_source, "a")
    return clean_source


class Killer:
    """Kills processes at moments spread evenly, in random order, over the time that an undisturbed one takes.

    `moments` are shares of that time. One that ends before its moment shows that it takes less time than thought, as
    when the machine was busy at first.
    """

    def __init__(self, *, usual: float) -> None:
        print(f"seed {SEED}, usual time {usual:.2f} s")
        dice = random.Random(SEED)
        step = (1 - STARTING) / MOMENTS
        self.moments = [STARTING + step * index + dice.uniform(0, step) for index in range(MOMENTS)]
        dice.shuffle(self.moments)
        self.survived = 0
        self._usual = usual

    def run(self, argv: list[str], *, cwd: Path, moment: float, children: bool) -> str:
        """Run `argv` and kill it at `moment`; its children too, as a power cut would, when `children` is true.

        Returns when that was, for messages.
        """
        after = moment * self._usual
        begun = time.monotonic()
        with subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout=after)
                self.survived += 1
                self._usual = time.monotonic() - begun
            except subprocess.TimeoutExpired:
                doomed = [process.pid, *(_descendants(process.pid) if children else ())]
                for pid in doomed:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        return f"killed after {after:.3f} s"


def _descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, by Linux's process table."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _timed(argv: list[str], cwd: Path) -> float:
    begun = time.monotonic()
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)
    return time.monotonic() - begun


def test_an_export_killed_at_any_moment_is_made_up_for_by_the_next(
    source_in_a: ControlPlane, recovery: Recovery, tmp_path: Path
) -> None:
    source = source_in_a
    trees: dict[str, str] = {}
    usual = 0.0
    for state in "ab":
        put(source, state)
        usual = _timed(recovery.argv("export", cluster=source), recovery.folder)
        trees[state] = recovery.git("rev-parse", "main^{tree}")
    killer = Killer(usual=usual)
    state = "b"
    for index, moment in enumerate(killer.moments):
        if index % 5 == 4:  # the very first export, too
            folder = tmp_path / f"fresh-{index}"
            folder.mkdir()
            recovery = Recovery(remote=bare_repository(folder / "recovery.git"), folder=folder)
        state = "a" if state == "b" else "b"
        put(source, state)

        argv = recovery.argv("export", cluster=source)
        killed = killer.run(argv, cwd=recovery.folder, moment=moment, children=index % 2 == 0)
        left = _trees(recovery)
        outcome = recovery.export(source)

        place = f"{killed}, state {state}"
        assert set(left) <= set(trees.values()), f"half a commit: {place}"
        assert (outcome.exit_code, outcome.warnings) == (ExitCode.DONE, ()), place
        assert recovery.git("rev-parse", "main^{tree}") == trees[state], place
        if index % 5 == 3:
            assert recovery.export(source).commit == "", place
            recovery.git("fsck", "--strict", "--connectivity-only")
    assert killer.survived < MOMENTS / 2


def _trees(recovery: Recovery) -> list[str]:
    """Return the tree of each commit of the remote's branch."""
    return recovery.git("log", "--format=%T", "main").split() if recovery.head() else []


def test_an_import_killed_at_any_moment_is_made_up_for_by_the_next(
    source_in_a: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    source, dr = source_in_a, clean_dr
    commits: dict[str, str] = {}
    for state in "ab":
        put(source, state)
        commits[state] = recovery.export(source).commit
    wanted: dict[str, dict[str, Any]] = {}
    usual = 0.0
    for state in "aba":
        usual = max(usual, _timed(_import(recovery, dr, commits[state]), recovery.folder))
        wanted[state] = _content(dr.objects())
    assert wanted["a"].keys() ^ wanted["b"].keys()
    killer = Killer(usual=usual)
    state = "a"
    for index, moment in enumerate(killer.moments):
        if index % 5 == 4:  # the very first import, too
            dr.reset()
        state = "a" if state == "b" else "b"

        argv = _import(recovery, dr, commits[state])
        killed = killer.run(argv, cwd=recovery.folder, moment=moment, children=index % 2 == 0)
        outcome = recovery.import_into(dr, revision=commits[state])

        place = f"{killed}, state {state}"
        assert (outcome.exit_code, outcome.warnings) == (ExitCode.DONE, ()), place
        objects = dr.objects()
        found = _content(objects)
        assert found.keys() == wanted[state].keys(), place
        for name, content in wanted[state].items():
            assert found[name] == content, f"{name}: {place}"
        _check_members(objects, outcome)
    assert killer.survived < MOMENTS / 2
    dr.audit.mark()
    assert recovery.import_into(dr, revision=commits[state]).exit_code is ExitCode.DONE
    assert dr.audit.writes() == []


def _import(recovery: Recovery, dr: ControlPlane, commit: str) -> list[str]:
    return recovery.argv("import", "--revision", commit, "--yes", cluster=dr)


def _content(objects: dict[str, Any]) -> dict[str, Any]:
    """Return what an import is answerable for: without what the server and its controllers make of it."""
    found = {}
    for name, manifest in objects.items():
        content = copy.deepcopy(manifest)
        meta = content["metadata"]
        if "ownerReferences" in meta or "/endpoints/" in name or meta.get("deletionTimestamp"):
            continue
        content.pop("status", None)
        if "-records-" in name:
            content.pop("data")  # digests of when each object was written; whether they are right shows at the end
        for way in ("followed", "head", "run"):  # of the inventory: how far it has come, not where it stands
            content.get("data", {}).pop(way, None)
        entries = meta.pop("managedFields", [])
        for counted in ("uid", "resourceVersion", "generation", "creationTimestamp"):
            meta.pop(counted, None)
        meta.get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
        for assigned in ("clusterIP", "clusterIPs"):
            content.get("spec", {}).pop(assigned, None)
        applied = [entry for entry in entries if entry["operation"] == "Apply"]
        ours = [entry["fieldsV1"] for entry in applied if entry["manager"].startswith("dr-syncer")]
        found[name] = content | {"ours": ours}
    return found


def _check_members(objects: dict[str, Any], outcome: Outcome) -> None:
    """Every object that carries the inventory's label is wanted, and lives where the inventory looks."""
    parent = objects["dr-syncer/configmaps/dr-syncer-prod"]["metadata"]
    kinds = set(parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"].split(","))
    where = set(parent["annotations"]["applyset.kubernetes.io/additional-namespaces"].split(","))
    wanted = {str(result.step.ref) for result in outcome.results}
    for name, manifest in objects.items():
        meta = manifest["metadata"]
        if meta.get("labels", {}).get(MEMBER) != parent["labels"]["applyset.kubernetes.io/id"]:
            continue
        if "ownerReferences" in meta or "/endpoints/" in name:
            continue  # copies of labels by controllers
        group = manifest["apiVersion"].rpartition("/")[0]
        assert name in wanted, f"{name} is a member and nobody wants it"
        assert (f"{manifest['kind']}.{group}" if group else manifest["kind"]) in kinds, name
        assert meta.get("namespace", "shop") in where, name


# Stopped by a person or a pod's end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["export", "import"])
def test_an_interrupted_run_ends_at_once_and_cleanly(
    command: str,
    number: signal.Signals,
    source_in_a: ControlPlane,
    clean_dr: ControlPlane,
    recovery: Recovery,
    fault_proxy: MakeProxy,
) -> None:
    recovery.export(source_in_a)
    before = recovery.head()
    put(source_in_a, "b")
    proxy = fault_proxy(source_in_a if command == "export" else clean_dr)
    method, path = ("GET", "^/api/v1/configmaps") if command == "export" else ("PATCH", "/shop/configmaps/")
    hanging = proxy.hang(60, method=method, path=path, times=None)
    argv = recovery.argv(command, kubeconfig=proxy.kubeconfig)
    with subprocess.Popen(
        argv, cwd=recovery.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        source_in_a.wait_for(lambda: hanging.hits, what="the run to be in the middle")
        begun = time.monotonic()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        seconds = time.monotonic() - begun

    assert process.returncode == ExitCode.INTERRUPTED, stderr
    assert stdout == ""
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert seconds < 10
    assert recovery.head() == before
    if command == "export":
        assert recovery.export(source_in_a).exit_code is ExitCode.DONE
    assert recovery.import_into(clean_dr).exit_code is ExitCode.DONE
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/steady-0")
