"""Runs that are asked for, and runs that were missed: each is made once, across restarts too."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Service, Services, until
from tests.integration.written import write

REQUESTED_AT = "dr-syncer.io/requested-at"
NAMES = {"exporter": "dr-syncer-exporter-prod", "importer": "dr-syncer-importer-dr"}
APP = "/api/v1/namespaces/shop/configmaps/app"
NEVER = {"mode": "scheduled", "schedule": "0 0 1 1 *"}  # in no test's time, but at new year
RUNS = 'dr_syncer_runs_total{result="done"}'


def path(side: str) -> str:
    return f"/api/v1/namespaces/dr-syncer/configmaps/{NAMES[side]}"


def told(cluster: ControlPlane, side: str) -> dict[str, Any]:
    """What the side has told of itself; nothing when it has not yet."""
    if not cluster.exists(path(side)):
        return {}
    found: dict[str, Any] = json.loads((cluster.get(path(side)).get("data") or {}).get("status.json", "{}"))
    return found


def ask(cluster: ControlPlane, side: str, value: str) -> None:
    cluster.kubectl("annotate", "-n", "dr-syncer", f"configmap/{NAMES[side]}", f"{REQUESTED_AT}={value}", "--overwrite")


def handled(cluster: ControlPlane, side: str, value: str) -> bool:
    request = told(cluster, side).get("request") or {}
    return bool(request.get("value") == value and request.get("run"))


def ready(service: Service) -> None:
    until(lambda: service.ask("/readyz") == (200, "working\n"), "the service to be ready")


@pytest.fixture
def scene(clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery) -> dict[str, ControlPlane]:
    """Both clusters with a namespace for the status; something to export, and something to import."""
    for cluster in (clean_source, clean_dr):
        cluster.apply([namespace("dr-syncer")])
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red")])
    return {"exporter": clean_source, "importer": clean_dr}


def something_new(side: str, scene: dict[str, ControlPlane], recovery: Recovery, colour: str) -> None:
    if side == "exporter":
        scene["exporter"].apply([configmap("shop", "app", colour=colour)])
    else:
        write(recovery, namespace("shop"), configmap("shop", "app", colour=colour))


def has(side: str, scene: dict[str, ControlPlane], recovery: Recovery, colour: str) -> bool:
    """Whether the change has come through this side."""
    if side == "exporter":
        return bool(recovery.head()) and f"colour: {colour}" in recovery.file("namespaces/shop/configmaps/app.yaml")
    dr = scene["importer"]
    return dr.exists(APP) and dr.get(APP)["data"] == {"colour": colour}


@pytest.mark.parametrize("side", ["exporter", "importer"])
def test_in_manual_mode_nothing_happens_until_it_is_asked_for_twice(
    side: str, scene: dict[str, ControlPlane], recovery: Recovery, services: Services
) -> None:
    cluster = scene[side]
    something_new(side, scene, recovery, "red")
    service = services.start(side, cluster, mode="manual")
    ready(service)
    until(lambda: told(cluster, side), "the status")
    time.sleep(1.0)
    assert not has(side, scene, recovery, "red")
    assert told(cluster, side)["lastRun"] is None

    done = recovery.cli("trigger", side, "--wait", "-o", "json", cluster=cluster)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert json.loads(done.stdout)["run"]["result"] == "done"
    assert has(side, scene, recovery, "red")

    something_new(side, scene, recovery, "blue")
    time.sleep(1.0)
    assert not has(side, scene, recovery, "blue")
    ask(cluster, side, "again")
    until(lambda: handled(cluster, side, "again"), "the second run")
    assert has(side, scene, recovery, "blue")
    assert service.metric(RUNS) == 2
    assert service.end() == 0


@pytest.mark.parametrize("side", ["exporter", "importer"])
def test_a_restart_repeats_no_request_and_does_the_one_that_came_meanwhile(
    side: str, scene: dict[str, ControlPlane], recovery: Recovery, services: Services
) -> None:
    cluster = scene[side]
    something_new(side, scene, recovery, "red")
    first = services.start(side, cluster, mode="manual")
    until(lambda: told(cluster, side), "the status")
    ask(cluster, side, "one")
    until(lambda: handled(cluster, side, "one"), "the run")
    assert first.end() == 0
    assert told(cluster, side)["state"] == "ended"

    second = services.start(side, cluster, mode="manual")
    until(lambda: told(cluster, side)["state"] == "working", "the second service")
    time.sleep(1.0)
    assert second.metric(RUNS) == 0
    assert told(cluster, side)["lastRun"]["cause"] == "asked"  # what the first one did is not forgotten
    assert second.end() == 0

    something_new(side, scene, recovery, "blue")
    asked = recovery.cli("trigger", side, cluster=cluster)
    assert (asked.returncode, "it starts again" in asked.stderr) == (ExitCode.DONE, True)
    third = services.start(side, cluster, mode="manual")
    until(lambda: has(side, scene, recovery, "blue"), "the run that was asked for meanwhile")
    until(lambda: third.metric(RUNS) == 1, "the run to be counted")
    assert third.end() == 0


@pytest.mark.parametrize("side", ["exporter", "importer"])
def test_a_tick_that_passed_while_the_service_was_down_is_made_up_for_once(
    side: str, scene: dict[str, ControlPlane], recovery: Recovery, services: Services
) -> None:
    cluster = scene[side]
    something_new(side, scene, recovery, "red")
    first = services.start(side, cluster, **NEVER)
    until(lambda: told(cluster, side), "the status")
    ask(cluster, side, "one")
    until(lambda: handled(cluster, side, "one"), "the run")
    assert first.end() == 0

    second = services.start(side, cluster, **NEVER)
    until(lambda: told(cluster, side)["state"] == "working", "the second service")
    time.sleep(1.0)
    assert second.metric(RUNS) == 0  # no tick was missed
    assert second.end() == 0

    status = told(cluster, side)
    settled = datetime.fromisoformat(status["settled"])
    status["settled"] = settled.replace(year=settled.year - 2, day=1).isoformat()
    cluster.patch(path(side), {"data": {"status.json": json.dumps(status)}})
    something_new(side, scene, recovery, "blue")
    third = services.start(side, cluster, **NEVER)
    until(lambda: has(side, scene, recovery, "blue"), "the missed run")
    until(lambda: third.metric(RUNS) == 1, "the run to be counted")
    time.sleep(1.0)
    assert third.metric(RUNS) == 1  # two new years, one run
    assert told(cluster, side)["lastRun"]["cause"] in ("due", "asked")
    assert third.end() == 0


def test_a_request_makes_a_run_in_continuous_mode_too_and_its_result_is_told(
    scene: dict[str, ControlPlane], recovery: Recovery, services: Services, tmp_path: Path
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", colour="red"))
    dr = scene["importer"]
    service = services.start("importer", dr, interval="1h")
    until(lambda: service.metric(RUNS) == 1, "the first import")

    done = recovery.cli("trigger", "importer", "--wait", cluster=dr)
    assert (done.returncode, done.stdout[:34]) == (
        ExitCode.DONE,
        "the importer's run ended: done, " + recovery.head()[:2],
    )
    assert service.metric(RUNS) == 2

    # A namespace that refuses objects: the run is partial, and so is the exit code.
    dr.limit("shop", "none", hard={"count/configmaps": "0"})
    write(recovery, configmap("shop", "more", colour="red"))
    partial = recovery.cli("trigger", "importer", "--wait", cluster=dr)
    assert partial.returncode == ExitCode.PARTIAL, partial.stdout + partial.stderr
    assert "1 objects are blocked" in partial.stdout
    blocked = told(dr, "importer")["blocked"]
    assert (blocked["total"], blocked["items"][0]["what"]) == (1, "shop/configmaps/more")
    assert service.end() == 0

    late = recovery.cli("trigger", "importer", "--wait", "--timeout", "1s", cluster=dr)
    assert late.returncode == ExitCode.FAILED
    assert "the importer ended at" in late.stderr


def test_whoever_leads_does_what_was_asked_for_and_his_successor_does_not_do_it_again(
    scene: dict[str, ControlPlane], recovery: Recovery, services: Services
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", colour="red"))
    dr, elected = scene["importer"], {"leaderElection": True}
    first = services.start("importer", dr, server=elected, mode="manual")
    ready(first)
    second = services.start("importer", dr, server=elected, mode="manual")
    until(lambda: second.ask("/readyz") == (200, "standing by\n"), "the second to stand by")

    done = recovery.cli("trigger", "importer", "--wait", cluster=dr)
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert (first.metric(RUNS), second.metric(RUNS)) == (1, 0)
    until(lambda: recovery.head()[:12] in second.ask("/")[1], "the second to show what the leader told")
    assert "Another replica does the work" in second.ask("/")[1]

    assert first.end() == 0
    ready(second)
    until(lambda: told(dr, "importer")["state"] == "working", "the second's status")
    time.sleep(1.0)
    assert second.metric(RUNS) == 0
    assert told(dr, "importer")["lastRun"]["cause"] == "asked"
    ask(dr, "importer", "more")
    until(lambda: handled(dr, "importer", "more"), "the second's own run")
    assert second.metric(RUNS) == 1
    assert second.end() == 0


def test_no_value_of_a_secret_is_told_by_whatever_an_admission_policy_says(
    scene: dict[str, ControlPlane], recovery: Recovery, services: Services
) -> None:
    dr, canary = scene["importer"], "c4nary-in-the-mine"
    quotes = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "quotes"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
                ]
            },
            "validations": [{"expression": "false", "messageExpression": "'I refuse ' + string(object.data.password)"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "quotes"},
        "spec": {"policyName": "quotes", "validationActions": ["Deny"]},
    }
    encoded = base64.b64encode(canary.encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "app", "namespace": "shop"},
        "data": {"password": encoded},
    }
    dr.apply([namespace("shop"), quotes, binding])
    dry = json.dumps(secret)
    until(
        lambda: "I refuse" in dr.kubectl("create", "--dry-run=server", "-f", "-", input=dry, check=False).stderr, "it"
    )
    write(recovery, namespace("shop"), secret)
    service = services.start("importer", dr, mode="manual")
    done = recovery.cli("trigger", "importer", "--wait", cluster=dr)
    assert done.returncode == ExitCode.PARTIAL, done.stdout + done.stderr

    blocked = told(dr, "importer")["blocked"]["items"]
    assert [item["what"] for item in blocked] == ["shop/secrets/app"]
    assert "I refuse ***" in blocked[0]["why"]
    shown = [json.dumps(told(dr, "importer")), service.ask("/")[1], service.ask("/status.json")[1], done.stdout]
    shown += [recovery.cli("status", cluster=None, importer={"kubeconfig": str(dr.kubeconfig)}).stdout, *service.said()]
    for text in shown:
        assert canary not in text
        assert encoded not in text
    assert service.end() == 0
