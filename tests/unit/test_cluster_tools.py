"""Finding and building the programs of the test clusters; what the harness claims and reads."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import tools
from tests.cluster.audit import AuditLog
from tests.cluster.claims import claim_network, claim_port, lock_file
from tests.cluster.tools.build import LOG_SECONDS, Progress, build_command
from tests.cluster.tools.go import build_environment, printed_version, required_version
from tests.cluster.tools.restic import get_restic, restic_version


def program(path: Path, *, prints: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with neither cache nor assets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(tools.ASSETS_VARIABLE, raising=False)
    return tmp_path


def test_a_missing_program_says_how_to_get_it(empty_machine: Path) -> None:
    with pytest.raises(tools.ToolMissing, match="make tools"):
        tools.find("etcd")
    assert tools.missing() == tools.PROGRAMS


def test_a_program_in_the_cache_is_found(empty_machine: Path) -> None:
    built = program(tools.cache_folder() / "etcd")

    assert tools.find("etcd") == built
    assert [missing.name for missing in tools.missing()] == [
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
        "sops",
        "helm",
        "promtool",
        "rest-server",
        "versitygw",
    ]


def test_a_half_written_program_is_not_found(empty_machine: Path) -> None:
    program(tools.cache_folder() / "etcd.part")
    program(tools.cache_folder() / "kubectl").chmod(stat.S_IRUSR | stat.S_IWUSR)

    for name in ("etcd", "kubectl"):
        with pytest.raises(tools.ToolMissing):
            tools.find(name)


@pytest.mark.parametrize(("version", "fits"), [("v1.36.0", True), ("v1.35.9", False), ("unknown", False)])
def test_assets_count_only_in_the_pinned_minor_version(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    assets = empty_machine / "assets"
    program(assets / "kube-apiserver", prints=f"Kubernetes {version}")
    program(assets / "etcd")
    monkeypatch.setenv(tools.ASSETS_VARIABLE, str(assets))

    missing = {missing.name for missing in tools.missing()}

    assert ("etcd" not in missing) is fits
    assert ("kube-apiserver" not in missing) is fits
    assert "kube-controller-manager" in missing


def test_each_module_has_a_cache_of_its_own(empty_machine: Path) -> None:
    program(tools.cache_folder() / "sops")
    with pytest.raises(tools.ToolMissing):
        tools.find("sops")

    built = program(tools.cache_folder(tools.SOPS) / "sops")
    assert tools.find("sops") == built


def test_the_pinned_version_is_read_from_go_mod() -> None:
    assert tools.kubernetes_version().startswith("v1.")


def test_a_build_is_stamped_with_the_pinned_version() -> None:
    command = build_command(Path("/go"), tools.PROGRAMS[1], Path("/out"))

    assert command[0] == "/go"
    assert command[-1] == "k8s.io/kubernetes/cmd/kube-apiserver"
    flags = command[command.index("-ldflags") + 1]
    assert f"gitVersion={tools.kubernetes_version()}" in flags


def test_a_build_keeps_the_go_settings_of_its_user() -> None:
    environment = build_environment({"GOFLAGS": "-p=1", "GOPROXY": "https://proxy.example"})

    assert environment["GOFLAGS"] == "-p=1 -mod=readonly"
    assert environment["GOPROXY"] == "https://proxy.example"
    assert environment["CGO_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("output", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go version devel", (0,)), ("", (0,))],
)
def test_the_version_of_go_is_understood(output: str, version: tuple[int, ...]) -> None:
    assert printed_version(output) == version


def test_go_mod_says_which_go_it_needs() -> None:
    assert required_version("module x\n\ngo 1.26.0\n\ngodebug default=go1.26\n") == (1, 26, 0)
    with pytest.raises(tools.ToolMissing):
        required_version("module x\n")


@pytest.mark.parametrize(
    ("output", "version"),
    [("restic 0.18.0 compiled with go1.24.4 on linux/amd64", (0, 18, 0)), ("restic: not found", (0,)), ("", (0,))],
)
def test_the_version_of_restic_is_understood(output: str, version: tuple[int, ...]) -> None:
    assert restic_version(output) == version


@pytest.mark.parametrize(("version", "fits"), [("0.19.1", True), ("0.18.0", True), ("0.17.3", False)])
def test_a_restic_on_the_path_counts_when_it_is_new_enough(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    found = program(empty_machine / "bin" / "restic", prints=f"restic {version} compiled with go1.24 on linux/amd64")
    monkeypatch.setenv("PATH", f"{found.parent}:/usr/bin:/bin")

    if fits:
        assert tools.find("restic") == get_restic() == found
    else:
        with pytest.raises(tools.ToolMissing, match=r"make tools.*0\.18"):
            tools.find("restic")


def test_where_there_is_no_debian_restic_must_be_installed(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(empty_machine))

    with pytest.raises(tools.ToolMissing, match=r"on Debian only: install restic 0\.18"):
        get_restic()


def test_a_long_build_shows_that_it_lives() -> None:
    now, out = [0.0], io.StringIO()
    progress = Progress("[1/4] etcd", out, clock=lambda: now[0])

    progress.tick()
    assert out.getvalue().count("\n") == 1
    now[0] = LOG_SECONDS
    progress.tick()
    progress.done("done")

    assert out.getvalue().splitlines() == [
        "[1/4] etcd: building, 0 s",
        "[1/4] etcd: building, 15 s",
        "[1/4] etcd: done, 15 s",
    ]


def test_nobody_claims_what_is_claimed() -> None:
    claims = [claim_port() for _ in range(20)] + [claim_network() for _ in range(3)]
    try:
        assert len({claim.value for claim in claims}) == len(claims)
    finally:
        for claim in claims:
            claim.release()


def test_a_lock_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    first = lock_file(tmp_path / "lock")
    assert first is not None
    assert lock_file(tmp_path / "lock") is None

    os.close(first)
    second = lock_file(tmp_path / "lock")
    assert second is not None
    os.close(second)


def audit_line(number: int, *, stage: str = "ResponseComplete", uri: str = "/x", **more: object) -> str:
    entry = {
        "auditID": str(number),
        "stage": stage,
        "verb": "patch",
        "requestURI": uri,
        "user": {"username": "admin"},
        "objectRef": {"resource": "deployments", "apiGroup": "apps", "namespace": "shop", "name": "web"},
        "responseStatus": {"code": 200},
    }
    return json.dumps({**entry, **more}) + "\n"


def test_an_audit_log_is_read_on_from_its_mark(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    log = AuditLog(file)
    assert log.requests() == []

    file.write_text(audit_line(1, stage="RequestReceived", responseStatus={}) + audit_line(1))
    assert [event.id for event in log.writes()] == ["1"]
    log.mark()
    assert log.writes() == []

    with file.open("a") as stream:
        stream.write(audit_line(2) + audit_line(3)[:-5])  # the server is in the middle of a line
    assert [event.id for event in log.writes()] == ["2"]
    assert [event.id for event in log.writes(since=0)] == ["1", "2"]
    assert log.writes()[0].type == "deployments.apps"


@pytest.mark.parametrize(
    "more",
    [
        {"uri": "/x?dryRun=All"},
        {"verb": "list"},
        {"user": {"username": "harness"}},
        {"objectRef": {"resource": "selfsubjectaccessreviews", "apiGroup": "authorization.k8s.io"}, "verb": "create"},
    ],
)
def test_what_stores_nothing_is_no_write(tmp_path: Path, more: dict[str, Any]) -> None:
    file = tmp_path / "audit.log"
    file.write_text(audit_line(1, **more))

    assert AuditLog(file).writes() == []
