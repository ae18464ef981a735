"""Exports on a bad day of the Git server: no recovery point is lost, none is forced, and each failure says why."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drsyncer.errors import AuthenticationFailed, ExitCode, PushRejected, Refused, RemoteUnreachable
from exporter.outcome import Outcome
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.git_servers import HttpsRemote, SshRemote
from tests.integration import crafted
from tests.integration.recovery import Recovery, changed, configmap, namespace

MakeProxy = Callable[[ControlPlane], FaultProxy]


@pytest.fixture
def shop(clean_source: ControlPlane) -> ControlPlane:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b"), configmap("shop", "other", a="b")])
    return clean_source


def subjects(recovery: Recovery) -> list[str]:
    """Return the first line of each commit, newest first."""
    return recovery.git("log", "--format=%s", "main").splitlines()


def test_somebody_who_commits_during_an_export_loses_nothing_and_stops_nobody(
    shop: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    recovery.export(shop)
    shop.apply([configmap("shop", "app", a="changed")])
    proxy = fault_proxy(shop)
    reading = proxy.delay(2.0, path=r"^/api/v1/configmaps", times=1)
    outcomes: list[Outcome] = []
    export = threading.Thread(target=lambda: outcomes.append(recovery.export(shop, kubeconfig=proxy.kubeconfig)))
    export.start()
    shop.wait_for(lambda: reading.hits, what="the export to be in the middle of its reading")
    theirs = recovery.commit({"README.md": "hello\n", "namespaces/shop/configmaps/other.yaml": "nonsense\n"})
    export.join()

    (outcome,) = outcomes
    assert (outcome.exit_code, changed(outcome)) == (ExitCode.DONE, ["updated shop/configmaps/app"])
    assert outcome.commit == recovery.head()
    assert recovery.git("rev-parse", "main^") == theirs
    assert recovery.file("README.md") == "hello"
    assert "a: changed" in recovery.file("namespaces/shop/configmaps/app.yaml")

    # The next export puts back what they wrote into our files, and leaves theirs alone.
    assert changed(recovery.export(shop)) == ["updated shop/configmaps/other"]
    assert "README.md" in recovery.paths()


def test_a_remote_that_cannot_be_reached_gets_everything_later(shop: ControlPlane, recovery: Recovery) -> None:
    recovery.export(shop)
    before = recovery.head()
    away = recovery.remote.rename(recovery.folder / "away.git")
    for value in ("one", "two"):
        shop.apply([configmap("shop", "app", a=value)])
        outcome = recovery.export(shop)
        assert isinstance(outcome.push_error, RemoteUnreachable)
        assert (outcome.exit_code, changed(outcome)) == (ExitCode.FAILED, ["updated shop/configmaps/app"])

    said = recovery.cli("export", "-o", "json", cluster=shop)
    assert said.returncode == ExitCode.FAILED
    assert "Check repository.url" in said.stderr
    assert "Traceback" not in said.stderr
    assert json.loads(said.stdout)["pushError"]

    away.rename(recovery.remote)
    assert recovery.head() == before
    outcome = recovery.export(shop)
    assert (outcome.exit_code, changed(outcome)) == (ExitCode.DONE, [])
    assert recovery.head() == outcome.head
    assert recovery.git("rev-list", "--count", f"{before}..main") == "2"
    assert "a: two" in recovery.file("namespaces/shop/configmaps/app.yaml")


def test_a_remote_that_was_never_reached_is_an_error(shop: ControlPlane, recovery: Recovery) -> None:
    recovery.remote.rename(recovery.folder / "away.git")
    with pytest.raises(RemoteUnreachable) as caught:
        recovery.export(shop)
    assert (caught.value.exit_code, "repository.url" in caught.value.hint) == (ExitCode.FAILED, True)


def test_an_expired_token_says_so_and_a_new_one_pushes_what_waited(
    shop: ControlPlane, https_remote: HttpsRemote, tmp_path: Path
) -> None:
    token, user = tmp_path / "token", tmp_path / "user"
    token.write_text(f"{https_remote.token}\n")
    user.write_text(https_remote.user)
    auth = {"tokenFile": str(token), "usernameFile": str(user), "caFile": str(https_remote.ca_file)}
    recovery = Recovery(remote=https_remote.path, folder=tmp_path, repository={"url": https_remote.url, "auth": auth})
    recovery.export(shop)
    shop.apply([configmap("shop", "app", a="while the token is expired")])

    https_remote.token = "second-token"
    outcome = recovery.export(shop)
    assert isinstance(outcome.push_error, AuthenticationFailed)
    assert outcome.exit_code is ExitCode.FAILED
    assert "repository.auth.tokenFile" in outcome.push_error.hint
    assert "first-token" not in str(outcome.push_error)

    token.write_text("second-token")
    assert recovery.export(shop).exit_code is ExitCode.DONE
    assert "while the token is expired" in recovery.file("namespaces/shop/configmaps/app.yaml")


def test_an_unknown_host_key_is_refused(shop: ControlPlane, ssh_remote: SshRemote, tmp_path: Path) -> None:
    nobody = tmp_path / "known_hosts"
    nobody.write_text("")

    def recovery(known_hosts: Path, key: Path) -> Recovery:
        auth = {"sshKeyFile": str(key), "knownHostsFile": str(known_hosts)}
        return Recovery(remote=ssh_remote.path, folder=tmp_path, repository={"url": ssh_remote.url, "auth": auth})

    with pytest.raises(AuthenticationFailed) as unknown:
        recovery(nobody, ssh_remote.key_file).export(shop)
    assert "repository.auth.knownHostsFile" in unknown.value.hint
    with pytest.raises(AuthenticationFailed) as wrong_key:
        recovery(ssh_remote.known_hosts_file, ssh_remote.other_key_file).export(shop)
    assert "repository.auth.sshKeyFile" in wrong_key.value.hint

    outcome = recovery(ssh_remote.known_hosts_file, ssh_remote.key_file).export(shop)
    assert outcome.exit_code is ExitCode.DONE


def test_a_protected_branch_says_so_and_keeps_the_commit(shop: ControlPlane, recovery: Recovery) -> None:
    recovery.export(shop)
    before = recovery.head()
    hook = recovery.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncat >/dev/null\necho 'main is protected: ask the platform team' >&2\nexit 1\n")
    hook.chmod(0o755)
    shop.apply([configmap("shop", "app", a="changed")])

    outcome = recovery.export(shop)

    assert isinstance(outcome.push_error, PushRejected)
    assert outcome.exit_code is ExitCode.FAILED
    assert "main is protected: ask the platform team" in str(outcome.push_error)
    assert "protected branch" in outcome.push_error.hint
    assert recovery.head() == before

    hook.unlink()
    assert recovery.export(shop).exit_code is ExitCode.DONE
    assert "a: changed" in recovery.file("namespaces/shop/configmaps/app.yaml")
    assert len(subjects(recovery)) == 2


def test_a_path_that_belongs_to_another_cluster_is_refused(
    shop: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    recovery.export(shop)
    before = recovery.head()
    clean_dr.apply([namespace("shop"), configmap("shop", "app", a="from another cluster")])

    with pytest.raises(Refused, match="the recovery repository's cluster was prod") as caught:
        recovery.export(clean_dr)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "--adopt" in caught.value.hint
    assert recovery.head() == before

    # A path of its own needs nothing; nor does taking the path over, once that is said.
    beside = Recovery(remote=recovery.remote, folder=recovery.folder, repository={"path": "other"})
    assert beside.export(clean_dr).exit_code is ExitCode.DONE
    assert "a: from another cluster" in beside.file("other/namespaces/shop/configmaps/app.yaml")
    adopted = recovery.export(clean_dr, adopt=True, confirmed=True)
    assert adopted.exit_code is ExitCode.DONE
    assert "updated shop/configmaps/app" in changed(adopted)
    assert recovery.export(clean_dr).commit == ""


def test_what_others_made_of_our_files_is_put_right(shop: ControlPlane, recovery: Recovery) -> None:
    recovery.export(shop)
    tree = recovery.git("rev-parse", "main^{tree}")
    crafted.commit(
        recovery,
        {
            "namespaces/shop/configmaps/app.yaml": crafted.submodule(),
            "namespaces/shop/configmaps/other.yaml": crafted.link(recovery, "/etc/passwd"),
            "namespaces/shop/configmaps/gone.yaml": crafted.submodule(),
        },
    )

    outcome = recovery.export(shop)

    assert changed(outcome) == [
        "deleted shop/configmaps/gone",
        "updated shop/configmaps/app",
        "updated shop/configmaps/other",
    ]
    assert recovery.git("rev-parse", "main^{tree}") == tree
