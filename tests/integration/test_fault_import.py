"""Imports on a bad day of the DR cluster: what passes is waited for, what does not is said, nothing is half done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from drsyncer.errors import AuthenticationFailed, ClusterUnreachable, ExitCode, Refused
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.git_servers import HttpsRemote
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import custom_type, write

MakeProxy = Callable[[ControlPlane], FaultProxy]


@pytest.fixture
def shop(recovery: Recovery) -> Recovery:
    """A recovery point of some types, two namespaces and a CRD with its resources."""
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one", "namespace": "shop"}}
    write(
        recovery,
        namespace("shop"),
        namespace("bank"),
        *(configmap(where, f"n{index}", a="b") for where in ("shop", "bank") for index in range(10)),
        deployment("shop", "web"),
        custom_type(),
        widget,
    )
    return recovery


def test_a_busy_and_flaky_api_server_costs_time_and_nothing_else(
    shop: Recovery, clean_dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(clean_dr)
    throttled = proxy.status(
        429, method="PATCH", path="/(shop|bank)/configmaps/", times=8, headers={"Retry-After": "0"}
    )
    failed = proxy.status(500, method="PATCH", path="/namespaces/shop", times=2)
    lost = proxy.cut(method="PATCH", path="/configmaps/n[3-5]", times=3)
    torn = proxy.cut(method="PATCH", path="/configmaps/n[6-7]", after=20, times=2)
    expired = proxy.status(410, method="GET", path="continue=.", times=1)

    outcome = shop.import_into(clean_dr, kubeconfig=proxy.kubeconfig, config={"pageSize": 10})

    assert (throttled.hits, failed.hits, lost.hits, torn.hits) == (8, 2, 3, 2)
    assert (outcome.exit_code, problems(outcome)) == (ExitCode.DONE, {})
    assert expired.hits <= 1
    clean_dr.audit.mark()
    again = shop.import_into(clean_dr, kubeconfig=proxy.kubeconfig, config={"pageSize": 10})
    assert actions(again) == {}
    assert clean_dr.audit.writes() == []


@pytest.mark.parametrize("answered", [1, 6, 15])
def test_an_api_server_that_stops_answering_is_said_per_object_and_the_next_run_goes_on(
    answered: int, shop: Recovery, clean_dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(clean_dr)
    proxy.cut(forward=False, method="PATCH", path="/(shop|bank)/", skip=answered, times=None)

    outcome = shop.import_into(clean_dr, kubeconfig=proxy.kubeconfig)

    assert outcome.exit_code is ExitCode.FAILED
    reasons = problems(outcome).values()
    assert any("no answer from" in reason for reason in reasons)
    assert any("not tried: the DR cluster stopped answering" in reason for reason in reasons)
    whole = shop.import_into(clean_dr)
    assert (whole.exit_code, problems(whole)) == (ExitCode.DONE, {})
    assert actions(shop.import_into(clean_dr)) == {}


@pytest.mark.parametrize("requests", [5, 15, 30])
def test_an_api_server_that_is_gone_for_good_ends_the_run(
    requests: int, shop: Recovery, clean_dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(clean_dr)
    proxy.cut(forward=False, skip=requests, times=None)

    try:
        exit_code = shop.import_into(clean_dr, kubeconfig=proxy.kubeconfig).exit_code
    except ClusterUnreachable as error:  # before there was a plan
        exit_code = error.exit_code

    assert exit_code is ExitCode.FAILED
    assert shop.import_into(clean_dr).exit_code is ExitCode.DONE
    assert actions(shop.import_into(clean_dr)) == {}


def test_a_login_that_ends_in_the_middle_is_said_and_loses_nothing(
    shop: Recovery, clean_dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    proxy = fault_proxy(clean_dr)
    proxy.status(401, method="PATCH", path="/(shop|bank)/", skip=5, times=None)

    outcome = shop.import_into(clean_dr, kubeconfig=proxy.kubeconfig)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert problems(outcome)
    assert all("renew the token" in reason for reason in problems(outcome).values())
    assert shop.import_into(clean_dr).exit_code is ExitCode.DONE
    assert actions(shop.import_into(clean_dr)) == {}


def test_a_type_that_dr_cannot_list_blocks_itself_and_prunes_nothing(
    shop: Recovery, clean_dr: ControlPlane, fault_proxy: MakeProxy
) -> None:
    shop.import_into(clean_dr)
    write(
        shop,
        configmap("shop", "n0", a="changed"),
        deployment("shop", "web", replicas=5),
        gone=[configmap("shop", "n1")],
    )
    proxy = fault_proxy(clean_dr)
    proxy.status(500, method="GET", path="^/api/v1/configmaps", times=None)

    outcome = shop.import_into(clean_dr, kubeconfig=proxy.kubeconfig)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert list(outcome.unknown) == ["configmaps"]
    assert actions(outcome)["shop/deployments.apps/web"] is Action.UPDATE
    assert "cannot be listed" in problems(outcome)["shop/configmaps/n0"]
    assert Action.PRUNE not in actions(outcome).values()
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/n1")

    whole = shop.import_into(clean_dr)
    assert actions(whole) == {"shop/configmaps/n0": Action.UPDATE, "shop/configmaps/n1": Action.PRUNE}


def test_an_emptied_recovery_point_is_refused_until_somebody_confirms(shop: Recovery, clean_dr: ControlPlane) -> None:
    shop.import_into(clean_dr)
    shop.commit({path: None for path in shop.paths() if path != "dr-syncer.yaml"})
    clean_dr.audit.mark()

    with pytest.raises(Refused, match="prune guard: 25 of 25 objects") as caught:
        shop.import_into(clean_dr)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "--yes" in caught.value.hint
    said = shop.cli("import", "-o", "json", cluster=clean_dr)
    assert said.returncode == ExitCode.REFUSED
    assert "prune guard: 25 of 25 objects" in json.loads(said.stdout)["refused"]
    assert clean_dr.audit.writes() == []

    confirmed = shop.cli("import", "--yes", "-o", "json", cluster=clean_dr)
    assert confirmed.returncode == ExitCode.DONE, confirmed.stdout
    assert json.loads(confirmed.stdout)["summary"] == {"prune": 25}


def test_an_expired_token_for_git_is_said_and_what_was_fetched_can_be_imported(
    clean_dr: ControlPlane, https_remote: HttpsRemote, tmp_path: Path
) -> None:
    token, user = tmp_path / "token", tmp_path / "user"
    token.write_text(https_remote.token)
    user.write_text(https_remote.user)
    auth = {"tokenFile": str(token), "usernameFile": str(user), "caFile": str(https_remote.ca_file)}
    recovery = Recovery(remote=https_remote.path, folder=tmp_path, repository={"url": https_remote.url, "auth": auth})
    commit = write(recovery, namespace("shop"), configmap("shop", "app", a="b"))
    recovery.import_into(clean_dr)
    clean_dr.delete("/api/v1/namespaces/shop/configmaps/app")
    https_remote.token = "second-token"
    clean_dr.audit.mark()

    with pytest.raises(AuthenticationFailed) as caught:
        recovery.import_into(clean_dr)

    assert caught.value.exit_code is ExitCode.FAILED
    assert "repository.auth.tokenFile" in caught.value.hint
    assert "--revision with its full id" in caught.value.hint
    assert clean_dr.audit.writes() == []
    outcome = recovery.import_into(clean_dr, revision=commit)
    assert actions(outcome) == {"shop/configmaps/app": Action.CREATE}
    assert any("the remote was not asked" in warning for warning in outcome.warnings)

    token.write_text("second-token")
    assert recovery.import_into(clean_dr).warnings == ()


def test_a_commit_that_is_here_can_be_imported_without_the_remote(shop: Recovery, clean_dr: ControlPlane) -> None:
    commit = shop.head()
    shop.import_into(clean_dr)
    clean_dr.delete("/api/v1/namespaces/shop/configmaps/n0")
    shop.remote.rename(shop.folder / "away.git")

    said = shop.cli("import", cluster=clean_dr)
    assert said.returncode == ExitCode.FAILED
    assert "--revision with its full id" in said.stderr

    outcome = shop.import_into(clean_dr, revision=commit)
    assert outcome.exit_code is ExitCode.DONE
    assert any("the remote was not asked" in warning for warning in outcome.warnings)
    assert actions(outcome) == {"shop/configmaps/n0": Action.CREATE}
