"""From a kubeconfig to a cluster: what works, and one clear sentence for each thing that does not."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drsyncer.cluster import Cluster, connect
from drsyncer.errors import ExitCode, UsageError
from tests.cluster.certificates import Authority

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(user={…}, cluster={…}, **top)` writes a kubeconfig and returns its path."""

    def write(
        *, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, name: str = "prod", **top: Any
    ) -> Path:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1", **(cluster or {})}}],
            "users": [{"name": name, "user": user if user is not None else {"token": "secret-token"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            **top,
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(json.dumps(content))
        return file

    return write


def program(tmp_path: Path, text: str) -> Path:
    """Write an executable shell script."""
    file = tmp_path / "plug-in"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def exec_user(command: Path | str) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(command),
            "interactiveMode": "Never",
        }
    }


def credential(**status: str) -> str:
    found = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return json.dumps(found)


def authorization(cluster: Cluster) -> str:
    """Return the Authorization header that the cluster's next request would carry."""
    headers = cluster.connection.authorization()
    assert len(headers) <= 1
    return next(iter(headers.values()), "")


def refusal(**given: Any) -> UsageError:
    """Return the error of a connection that cannot be: one line, exit code 2."""
    with pytest.raises(UsageError) as caught:
        connect(**given)
    error = caught.value
    assert error.exit_code is ExitCode.USAGE
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)
    return error


def test_a_token_of_the_current_context_is_used(write: Write) -> None:
    cluster = connect(kubeconfig=str(write()))

    assert cluster.server == "https://127.0.0.1:1"
    assert authorization(cluster) == "Bearer secret-token"
    cluster.close()


def test_a_context_is_chosen_by_name(write: Write, tmp_path: Path) -> None:
    write(name="dr", cluster={"server": "https://127.0.0.1:2/"}, user={"token": "other"})
    write(name="prod")
    files = os.pathsep.join(str(tmp_path / name) for name in ("missing.yaml", "prod.yaml", "dr.yaml"))

    assert connect(kubeconfig=files).server == "https://127.0.0.1:1"
    chosen = connect(kubeconfig=files, context="dr")
    assert chosen.server == "https://127.0.0.1:2"
    assert authorization(chosen) == "Bearer other"


def test_the_environment_names_the_kubeconfig(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(cluster={"server": "https://127.0.0.1:3"})))
    assert connect().server == "https://127.0.0.1:3"


def test_the_home_folder_is_the_last_resort(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    write().rename(home / ".kube" / "config")
    monkeypatch.setenv("HOME", str(home))
    assert connect().server == "https://127.0.0.1:1"


def test_without_any_kubeconfig_the_flags_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("drsyncer.cluster.connection._SERVICE_ACCOUNT", tmp_path / "token")
    error = refusal()
    assert "no cluster given" in str(error)
    assert "--kubeconfig" in error.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refusal(kubeconfig=str(tmp_path / "nothing.yaml"))
    assert str(error) == f"kubeconfig {tmp_path / 'nothing.yaml'}: no such file"
    assert "KUBECONFIG" in error.hint
    assert "no such file" in str(refusal(kubeconfig=str(tmp_path)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just words",
        b"- a\n- b\n",
        b"{",
        b"a: [b\nc: d",
        b"\x00\xff\xfe garbage \x01",
        b"apiVersion: v1\nkind: Config\n",
        b"apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: 5\nclusters: 5\nusers: 5\n",
        b"apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x}]\nclusters: []\nusers: []\n",
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    error = refusal(kubeconfig=str(file))
    assert str(error).startswith(f"kubeconfig {file}: ")


def test_an_unreadable_file_is_named(tmp_path: Path, write: Write) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    file = write()
    file.chmod(0)
    assert "ermission" in str(refusal(kubeconfig=str(file)))


def test_an_unknown_context_is_named_with_the_way_to_find_one(write: Write) -> None:
    error = refusal(kubeconfig=str(write()), context="nothing")
    assert "nothing" in str(error)
    assert "get-contexts" in error.hint


def test_a_context_without_its_cluster_or_user_is_refused(write: Write) -> None:
    assert "prod" in str(refusal(kubeconfig=str(write(clusters=[]))))
    assert "current-context" in str(refusal(kubeconfig=str(write(**{"current-context": ""}))))


def test_a_server_that_is_no_url_is_refused(write: Write) -> None:
    assert "server" in str(refusal(kubeconfig=str(write(cluster={"server": "ftp://127.0.0.1"}))))
    assert "server" in str(refusal(kubeconfig=str(write(cluster={"server": "https://[oops"}))))
    assert "server" in str(refusal(kubeconfig=str(write(cluster={"server": "https://127.0.0.1:notaport"}))))


def test_a_certificate_authority_that_cannot_be_read_is_named(write: Write, tmp_path: Path) -> None:
    missing = write(cluster={"certificate-authority": str(tmp_path / "gone.crt")})
    assert "gone.crt" in str(refusal(kubeconfig=str(missing)))

    (tmp_path / "garbage.crt").write_text("no certificate")
    garbage = write(cluster={"certificate-authority": str(tmp_path / "garbage.crt")})
    assert "certificate" in str(refusal(kubeconfig=str(garbage)))

    assert "certificate" in str(refusal(kubeconfig=str(write(cluster={"certificate-authority-data": "!!!"}))))
    assert "certificate" in str(refusal(kubeconfig=str(write(cluster={"certificate-authority-data": "bm9uZQ=="}))))


def test_a_client_certificate_is_used_and_a_broken_one_named(write: Write, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "pki").issue("person")
    whole = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    assert authorization(connect(kubeconfig=str(write(user=whole)))) == ""

    swapped = {"client-certificate": str(pair.key), "client-key": str(pair.certificate)}
    assert "client certificate" in str(refusal(kubeconfig=str(write(user=swapped))))
    alone = {"client-certificate": str(pair.certificate)}
    assert "client certificate" in str(refusal(kubeconfig=str(write(user=alone))))


def test_a_token_file_is_read_and_a_missing_one_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    file = write(user={"tokenFile": str(tmp_path / "token")})
    assert authorization(connect(kubeconfig=str(file))) == "Bearer from-a-file"

    assert "gone" in str(refusal(kubeconfig=str(write(user={"tokenFile": str(tmp_path / "gone")}))))


def test_an_exec_plug_in_gives_the_token(write: Write, tmp_path: Path) -> None:
    plug_in = program(tmp_path, f"echo '{credential(token='from-the-plug-in')}'")
    assert authorization(connect(kubeconfig=str(write(user=exec_user(plug_in))))) == "Bearer from-the-plug-in"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'your session has expired' >&2; exit 7", "your session has expired"),
        ("echo not json", "failed to decode"),
        (f"echo '{credential(nothing='x')}'", "missing token"),
        ("exit 0", "failed to decode"),
        ("printf 'first line\\nsecond line\\n' >&2; exit 1", "first line"),
    ],
)
def test_a_failing_exec_plug_in_is_named_with_its_own_words(
    script: str, said: str, write: Write, tmp_path: Path
) -> None:
    plug_in = program(tmp_path, script)
    error = refusal(kubeconfig=str(write(user=exec_user(plug_in))))

    assert str(plug_in) in str(error)
    assert said in str(error)
    assert "ExecCredential" in error.hint


def test_an_exec_plug_in_that_is_not_installed_is_named(write: Write) -> None:
    error = refusal(kubeconfig=str(write(user=exec_user("no-such-plug-in"))))
    assert "no-such-plug-in" in str(error)


def test_a_connection_leaves_the_log_as_it_was(write: Write) -> None:
    handlers = list(logging.getLogger().handlers)
    connect(kubeconfig=str(write()))
    refusal(kubeconfig=str(write()), context="nothing")
    assert logging.getLogger().handlers == handlers


def test_all_connections_share_one_tls_context(write: Write) -> None:
    pool = connect(kubeconfig=str(write()), connections=5).connection.pool
    first = pool.connection_from_url("https://127.0.0.1:1")
    second = pool.connection_from_url("https://127.0.0.1:2")
    assert first.conn_kw["ssl_context"] is second.conn_kw["ssl_context"]
    assert first.pool.maxsize == 5
