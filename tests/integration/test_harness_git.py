"""The Git remotes that the other integration tests push to: a path, https with a login, ssh with keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.git_servers import HttpsRemote, SshRemote, git
from tests.cluster.tcp_fault_proxy import TcpFaultProxy

MakeTcpProxy = Callable[[int], TcpFaultProxy]


def commit_to(remote: str, folder: Path, env: dict[str, str]) -> str:
    """Clone, commit a file, push; return the commit."""
    git("clone", "--quiet", remote, folder, env=env)
    (folder / "file.txt").write_text("content\n" * 1000)
    git("add", "file.txt", cwd=folder)
    git("commit", "--quiet", "-m", "A file", cwd=folder)
    git("push", "--quiet", "origin", "HEAD:main", cwd=folder, env=env)
    return git("rev-parse", "HEAD", cwd=folder)


def test_a_path_serves_as_a_remote(recovery_remote: Path, tmp_path: Path) -> None:
    commit = commit_to(str(recovery_remote), tmp_path / "clone", {})

    assert git("rev-parse", "main", cwd=recovery_remote) == commit


def test_git_over_https_asks_for_the_login_of_the_moment(https_remote: HttpsRemote, tmp_path: Path) -> None:
    url, env = https_remote.url_with_credentials, https_remote.git_env

    commit = commit_to(url, tmp_path / "clone", env)
    assert git("rev-parse", "main", cwd=https_remote.path) == commit
    assert git("ls-remote", url, "main", env=env).startswith(commit)

    https_remote.token = "second-token"
    with pytest.raises(RuntimeError, match="Authentication failed"):
        git("ls-remote", url, env=env)
    assert git("ls-remote", https_remote.url_with_credentials, "main", env=env).startswith(commit)


def test_a_big_push_over_https_arrives(https_remote: HttpsRemote, tmp_path: Path) -> None:
    clone, env = tmp_path / "clone", https_remote.git_env
    git("clone", "--quiet", https_remote.url_with_credentials, clone, env=env)
    (clone / "big").write_bytes(os.urandom(3_000_000))  # more than http.postBuffer: git sends it in chunks
    git("add", "big", cwd=clone)
    git("commit", "--quiet", "-m", "Big", cwd=clone)

    git("push", "--quiet", "origin", "HEAD:main", cwd=clone, env=env)

    assert git("rev-parse", "main", cwd=https_remote.path) == git("rev-parse", "HEAD", cwd=clone)
    git("fsck", "--strict", cwd=https_remote.path)


def test_an_unknown_authority_is_refused(https_remote: HttpsRemote) -> None:
    with pytest.raises(RuntimeError, match="certificate"):
        git("ls-remote", https_remote.url_with_credentials)


def test_a_connection_is_cut_in_the_middle_of_a_push(
    https_remote: HttpsRemote, tcp_fault_proxy: MakeTcpProxy, tmp_path: Path
) -> None:
    proxy, clone, env = tcp_fault_proxy(https_remote.port), tmp_path / "clone", https_remote.git_env
    url = https_remote.url_with_credentials.replace(str(https_remote.port), str(proxy.port))
    git("clone", "--quiet", url, clone, env=env)
    (clone / "big").write_bytes(os.urandom(1_000_000))
    git("add", "big", cwd=clone)
    git("commit", "--quiet", "-m", "Big", cwd=clone)
    fault = proxy.cut(after=300_000, direction="up", times=None)

    with pytest.raises(RuntimeError, match="exit 1"):
        git("push", "--quiet", "origin", "HEAD:main", cwd=clone, env=env)
    assert fault.hits
    assert git("for-each-ref", cwd=https_remote.path) == ""

    proxy.clear()
    git("push", "--quiet", "origin", "HEAD:main", cwd=clone, env=env)
    assert git("rev-parse", "main", cwd=https_remote.path) == git("rev-parse", "HEAD", cwd=clone)


def test_git_over_ssh_knows_host_and_key(ssh_remote: SshRemote, tmp_path: Path) -> None:
    commit = commit_to(ssh_remote.url, tmp_path / "clone", ssh_remote.git_env)

    assert git("rev-parse", "main", cwd=ssh_remote.path) == commit
    command = ssh_remote.git_env["GIT_SSH_COMMAND"]
    wrong_key = command.replace(str(ssh_remote.key_file), str(ssh_remote.other_key_file))
    with pytest.raises(RuntimeError, match="Permission denied"):
        git("ls-remote", ssh_remote.url, env={"GIT_SSH_COMMAND": wrong_key})
    ssh_remote.known_hosts_file.write_text("")
    with pytest.raises(RuntimeError, match="Host key verification failed"):
        git("ls-remote", ssh_remote.url, env=ssh_remote.git_env)
