"""Drift: what other hands change on imported objects, and what `importer.conflicts` makes of it."""

from __future__ import annotations

import pytest

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace
from tests.integration.written import result_of, write

APP = "/api/v1/namespaces/shop/configmaps/app"
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"


def test_drift_is_put_back_and_the_report_says_who_changed_which_field(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(
        recovery,
        namespace("shop"),
        configmap("shop", "app", colour="blue", size="small"),
        configmap("shop", "cut", first="1", second="2"),
        configmap("shop", "gone", a="b"),
        configmap("shop", "quiet", a="b"),
        deployment("shop", "web"),
    )
    recovery.import_into(clean_dr)
    clean_dr.apply([configmap("shop", "app", colour="red")], field_manager="editor")
    clean_dr.kubectl("scale", "deployment/web", "-n", "shop", "--replicas=5")
    clean_dr.patch("/api/v1/namespaces/shop/configmaps/cut", {"data": {"second": None}})
    clean_dr.delete("/api/v1/namespaces/shop/configmaps/gone")
    # A field that is not ours, and our own value written once more without taking it: no drift.
    clean_dr.patch("/api/v1/namespaces/shop/configmaps/quiet", {"metadata": {"annotations": {"theirs": "x"}}})

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {
        "shop/configmaps/app": Action.UPDATE,
        "shop/configmaps/cut": Action.UPDATE,
        "shop/configmaps/gone": Action.CREATE,
        "shop/deployments.apps/web": Action.UPDATE,
    }
    assert result_of(outcome, "shop/configmaps/app").reason == "data.colour was changed by editor"
    assert result_of(outcome, "shop/deployments.apps/web").reason == "spec.replicas was changed by kubectl"
    assert result_of(outcome, "shop/configmaps/cut").reason == "data.second was removed"
    assert clean_dr.get(APP)["data"] == {"colour": "blue", "size": "small"}
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/cut")["data"] == {"first": "1", "second": "2"}
    assert clean_dr.get(WEB)["spec"]["replicas"] == 0
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/quiet")["metadata"]["annotations"] == {"theirs": "x"}
    assert actions(recovery.import_into(clean_dr)) == {}


@pytest.mark.parametrize(
    ("conflicts", "action", "exit_code"),
    [("fail", Action.BLOCKED, ExitCode.PARTIAL), ("skip", Action.SKIP, ExitCode.DONE)],
)
def test_drift_is_left_alone_when_the_configuration_says_so(
    clean_dr: ControlPlane, recovery: Recovery, conflicts: str, action: Action, exit_code: ExitCode
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", colour="blue"), configmap("shop", "other", a="1"))
    recovery.import_into(clean_dr)
    clean_dr.apply([configmap("shop", "app", colour="red")], field_manager="editor")
    write(recovery, configmap("shop", "other", a="2"))
    settings = {"conflicts": conflicts}

    outcome = recovery.import_into(clean_dr, config=settings)

    assert actions(outcome) == {"shop/configmaps/app": action, "shop/configmaps/other": Action.UPDATE}
    assert outcome.exit_code is exit_code
    result = result_of(outcome, "shop/configmaps/app")
    assert ".data.colour belongs to editor" in (result.error or result.reason)
    assert clean_dr.get(APP)["data"] == {"colour": "red"}
    # Nothing was forgotten: the next import says the same, and one that may use force still puts it back.
    assert actions(recovery.import_into(clean_dr, config=settings)) == {"shop/configmaps/app": action}
    assert actions(recovery.import_into(clean_dr)) == {"shop/configmaps/app": Action.UPDATE}
    assert clean_dr.get(APP)["data"] == {"colour": "blue"}
