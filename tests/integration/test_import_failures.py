"""One bad object never stops the others: failing webhooks, refusals, quotas, and what the report says of each."""

from __future__ import annotations

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import ref_of, service, validating_webhook, with_labels, write


def test_a_webhook_that_fails_in_dr_is_tried_again_at_the_end_and_named(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    # A Service without a backend: its address is on loopback, where nobody listens.
    only_guarded = {"matchLabels": {"guarded": "yes"}}
    hook = validating_webhook("guard", service=("theirs", "guard"), resources=["configmaps"], selector=only_guarded)
    clean_dr.apply([namespace("theirs"), service("theirs", "guard", ports=[{"name": "https", "port": 443}]), hook])
    write(
        recovery,
        namespace("guarded", guarded="yes"),
        configmap("guarded", "app", a="b"),
        deployment("guarded", "web"),
        namespace("free"),
        configmap("free", "app", a="b"),
    )

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert problems(outcome).keys() == {"guarded/configmaps/app"}
    reason = problems(outcome)["guarded/configmaps/app"]
    assert reason.startswith("the admission webhook guard.example.com failed in DR")
    assert "connection refused" in reason
    assert actions(outcome)["free/configmaps/app"] is Action.CREATE
    assert actions(outcome)["guarded/deployments.apps/web"] is Action.CREATE
    tries = [
        (event.namespace, event.type, event.name) for event in clean_dr.audit.writes() if event.namespace != "dr-syncer"
    ]
    blocked = ("guarded", "configmaps", "app")
    assert tries.index(blocked) < tries.index(("guarded", "deployments.apps", "web"))
    assert tries[-1] == blocked

    clean_dr.delete("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guard")
    assert actions(recovery.import_into(clean_dr)) == {"guarded/configmaps/app": Action.CREATE}


def test_each_bad_object_is_reported_by_itself_and_all_the_others_go_in(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_dr.apply([namespace("full")])
    clean_dr.limit("full", "small", hard={"count/secrets": "1"})
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "full"}, "data": {"a": "YQ=="}}
        for name in ("first", "second")
    ]
    good = [
        namespace("shop"),
        configmap("shop", "app", a="b"),
        deployment("shop", "web"),
        service("shop", "web"),
    ]
    bad = {
        "shop/configmaps/wrong": (configmap("shop", "wrong") | {"data": {"a": 1}}, "wrong"),
        "shop/deployments.apps/empty": (deployment("shop", "empty", image=""), "image: Required value"),
        "shop/services/odd": (service("shop", "odd", type="Odd"), 'Unsupported value: "Odd"'),
        "nowhere/configmaps/app": (configmap("nowhere", "app", a="b"), 'namespaces "nowhere" not found'),
        "shop/gizmos.example.com/one": (
            {"apiVersion": "example.com/v1", "kind": "Gizmo", "metadata": {"name": "one", "namespace": "shop"}},
            "DR does not serve gizmos.example.com",
        ),
        "shop/configmaps/labelled": (
            with_labels(configmap("shop", "labelled", a="b"), {"not a label": "x"}),
            "not a label",
        ),
    }
    bad["shop/deployments.apps/odd"] = (
        # A transform that fails blocks its object: it never goes in half-changed.
        with_labels(deployment("shop", "odd"), {"dr-syncer.io/scale-override": "many"}),
        "scale-override",
    )
    write(recovery, *good, *secrets, *(manifest for manifest, _ in bad.values()))

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    found = problems(outcome)
    over_quota = {name for name in found if name.startswith("full/secrets/")}
    assert len(over_quota) == 1
    assert found.keys() - over_quota == bad.keys()
    for name, (_, expected) in bad.items():
        assert expected in found[name], name
    assert "exceeded quota: small" in found[over_quota.pop()]
    created = {name for name, action in actions(outcome).items() if action is Action.CREATE}
    assert created >= {str(ref_of(manifest)) for manifest in good}

    # The next import tries them again, and only them.
    again = recovery.import_into(clean_dr)
    assert actions(again).keys() == found.keys()
    write(recovery, configmap("shop", "wrong", a="1"), namespace("nowhere"))
    assert (
        actions(recovery.import_into(clean_dr)).items()
        >= {
            "shop/configmaps/wrong": Action.CREATE,
            "nowhere/configmaps/app": Action.CREATE,
            "namespaces/nowhere": Action.CREATE,
        }.items()
    )


def test_nothing_is_pruned_from_a_namespace_while_something_in_it_is_blocked(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    old, fine = configmap("shop", "old", a="b"), configmap("other", "old", a="b")
    stay = [configmap("other", f"stays-{number}", a="b") for number in range(9)]
    write(recovery, namespace("shop"), namespace("other"), old, fine, *stay)
    recovery.import_into(clean_dr)
    broken = deployment("shop", "new", image="")
    write(recovery, broken, gone=[old, fine])

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {
        "shop/deployments.apps/new": Action.BLOCKED,
        "shop/configmaps/old": Action.BLOCKED,
        "other/configmaps/old": Action.PRUNE,
    }
    reason = problems(outcome)["shop/configmaps/old"]
    assert reason.startswith("not deleted while")
    assert "shop/deployments.apps/new" in reason
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/old")
    write(recovery, gone=[broken])
    assert actions(recovery.import_into(clean_dr)) == {"shop/configmaps/old": Action.PRUNE}
