"""What must not be live while its backend sleeps: webhooks, aggregated APIs, conversions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import (
    api_service,
    converted_by,
    custom,
    custom_type,
    ready_endpoints,
    result_of,
    service,
    validating_webhook,
    write,
)

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
API = "/apis/apiregistration.k8s.io/v1/apiservices/v1.metrics.example.com"
BACKEND = ("ops", "backend")
WIDGETS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"


@pytest.fixture
def dr_with_dead_conversions(clean_dr: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster that can be emptied again: a type whose conversion is dead cannot even be listed."""
    yield clean_dr
    if clean_dr.exists(WIDGETS):
        clean_dr.patch(WIDGETS, {"spec": {"conversion": {"strategy": "None", "webhook": None}}})


def test_webhooks_and_aggregated_apis_wait_for_their_backend_and_block_nothing_meanwhile(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    everything = validating_webhook("gate", service=BACKEND, resources=["configmaps", "deployments"], group="*")
    api = api_service("v1", "metrics.example.com", service=BACKEND)
    write(
        recovery,
        namespace("ops"),
        service("ops", "backend"),
        deployment("ops", "backend"),
        configmap("ops", "app", a="b"),
        everything,
        api,
    )

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.DONE
    gate = "validatingwebhookconfigurations.admissionregistration.k8s.io/gate"
    aggregated = "apiservices.apiregistration.k8s.io/v1.metrics.example.com"
    held = {name for name, action in actions(outcome).items() if action is Action.HELD}
    assert held == {gate, aggregated}
    for name in held:
        assert result_of(outcome, name).reason == "its backend, Service ops/backend, has no ready endpoints"
    assert not clean_dr.exists(f"{HOOKS}/gate")
    assert not clean_dr.exists(API)
    write(recovery, configmap("ops", "app", a="c"))
    assert actions(recovery.import_into(clean_dr))["ops/configmaps/app"] is Action.UPDATE


def test_a_backend_that_lives_in_dr_on_its_own_lets_them_in(clean_dr: ControlPlane, recovery: Recovery) -> None:
    clean_dr.apply([namespace("ops"), service("ops", "backend"), ready_endpoints("ops", "backend")])
    hook = validating_webhook("gate", service=BACKEND, resources=["widgets"], group="example.com")
    api = api_service("v1", "metrics.example.com", service=BACKEND)
    sleeping = validating_webhook("asleep", service=("ops", "nobody"), resources=["widgets"], group="example.com")
    write(recovery, hook, api, sleeping)

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {
        "validatingwebhookconfigurations.admissionregistration.k8s.io/gate": Action.CREATE,
        "apiservices.apiregistration.k8s.io/v1.metrics.example.com": Action.CREATE,
        "validatingwebhookconfigurations.admissionregistration.k8s.io/asleep": Action.HELD,
    }
    assert clean_dr.exists(f"{HOOKS}/gate")
    assert clean_dr.exists(API)

    # They stay when they sleep again: held is not pruned, and nothing is written.
    clean_dr.delete("/apis/discovery.k8s.io/v1/namespaces/ops/endpointslices/backend-by-hand")
    assert set(actions(recovery.import_into(clean_dr)).values()) <= {Action.HELD}
    assert clean_dr.exists(f"{HOOKS}/gate")


def test_an_endpoint_that_is_not_ready_is_no_backend(clean_dr: ControlPlane, recovery: Recovery) -> None:
    slice_ = ready_endpoints("ops", "backend")
    slice_["endpoints"][0]["conditions"]["ready"] = False
    clean_dr.apply([namespace("ops"), service("ops", "backend"), slice_])
    write(recovery, validating_webhook("gate", service=BACKEND, resources=["widgets"], group="example.com"))

    outcome = recovery.import_into(clean_dr)

    assert set(actions(outcome).values()) == {Action.HELD}


def test_without_standby_nothing_is_held(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, validating_webhook("gate", service=BACKEND, resources=["widgets"], group="example.com"))

    outcome = recovery.import_into(clean_dr, config={"standby": {"enabled": False}})

    assert set(actions(outcome).values()) == {Action.CREATE}


def test_resources_go_in_by_their_storage_version_when_nobody_converts(
    dr_with_dead_conversions: ControlPlane, recovery: Recovery
) -> None:
    clean_dr = dr_with_dead_conversions
    conversion = converted_by("ops", "backend")
    definition = custom_type(versions=("v2", "v1"), storage="v1", conversion=conversion)
    write(
        recovery,
        namespace("ops"),
        service("ops", "backend"),
        definition,
        custom("ops", "stored", version="v1"),
        custom("ops", "converted", version="v2"),
        configmap("ops", "app", a="b"),
    )

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert problems(outcome).keys() == {"ops/widgets.example.com/converted"}
    assert "needs a conversion by Service ops/backend" in problems(outcome)["ops/widgets.example.com/converted"]
    assert actions(outcome)["ops/widgets.example.com/stored"] is Action.CREATE
    assert actions(outcome)["ops/configmaps/app"] is Action.CREATE
    assert clean_dr.get("/apis/example.com/v1/namespaces/ops/widgets/stored")["spec"] == {"size": 1, "nothing": None}
    # What was blocked was blocked by the plan: no write was tried.
    assert [event for event in clean_dr.audit.writes() if event.name == "converted"] == []

    # Again, with lists that only the stored version can answer.
    again = recovery.import_into(clean_dr)
    assert again.unknown == {}
    assert actions(again) == {"ops/widgets.example.com/converted": Action.BLOCKED}
