"""Whose objects: what exists in DR by other hands, other importers, and other clusters."""

from __future__ import annotations

import pytest

from drsyncer.errors import ExitCode, Refused
from drsyncer.recovery.identity import Identity
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace, problems
from tests.integration.written import MEMBER, PARENT, result_of, with_labels, write

SHOP = "/api/v1/namespaces/shop/configmaps"
STAGING = Identity("staging", "6f1c0d6e-0000-4000-8000-000000000002")


def there_by_other_hands(dr: ControlPlane) -> None:
    dr.apply([namespace("shop")], field_manager="installer")
    dr.apply(
        [configmap("shop", "same", a="1", theirs="x"), configmap("shop", "differs", a="theirs")],
        field_manager="installer",
    )


def ours() -> list[dict[str, object]]:
    return [
        namespace("shop"),
        configmap("shop", "same", a="1"),
        configmap("shop", "differs", a="ours"),
        configmap("shop", "new", a="1"),
    ]


def test_a_matching_object_is_taken_over_and_another_is_left_and_named(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    there_by_other_hands(clean_dr)
    write(recovery, *ours())

    outcome = recovery.import_into(clean_dr)

    assert actions(outcome) == {
        "namespaces/shop": Action.UPDATE,
        "shop/configmaps/same": Action.UPDATE,
        "shop/configmaps/differs": Action.BLOCKED,
        "shop/configmaps/new": Action.CREATE,
    }
    assert outcome.exit_code is ExitCode.PARTIAL
    reason = problems(outcome)["shop/configmaps/differs"]
    assert ".data.a belongs to installer" in reason
    assert "importer.adopt: always" in reason
    assert clean_dr.get(f"{SHOP}/differs")["data"] == {"a": "theirs"}
    assert MEMBER not in clean_dr.get(f"{SHOP}/differs")["metadata"].get("labels", {})
    taken = clean_dr.get(f"{SHOP}/same")
    assert taken["data"] == {"a": "1", "theirs": "x"}
    assert MEMBER in taken["metadata"]["labels"]
    assert actions(recovery.import_into(clean_dr)) == {"shop/configmaps/differs": Action.BLOCKED}
    # What was blocked was never ours: it is not pruned when it leaves Git.
    write(recovery, gone=[configmap("shop", "differs", a="ours")])
    assert actions(recovery.import_into(clean_dr)) == {}
    assert clean_dr.exists(f"{SHOP}/differs")


def test_nothing_or_everything_is_taken_over_when_the_configuration_says_so(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    there_by_other_hands(clean_dr)
    write(recovery, *ours())

    never = recovery.import_into(clean_dr, config={"adopt": "never"})

    assert problems(never).keys() == {"shop/configmaps/same", "shop/configmaps/differs"}
    assert "made by other hands (adopt: never)" in problems(never)["shop/configmaps/same"]
    assert clean_dr.get(f"{SHOP}/same")["metadata"].get("labels") is None
    assert clean_dr.exists(f"{SHOP}/new")

    always = recovery.import_into(clean_dr, config={"adopt": "always"})

    assert problems(always) == {}
    assert result_of(always, "shop/configmaps/differs").reason == "taken over (adopt: always)"
    assert clean_dr.get(f"{SHOP}/differs")["data"] == {"a": "ours"}
    assert actions(recovery.import_into(clean_dr)) == {}


def test_two_importers_in_one_cluster_leave_each_others_objects_alone(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    prod, staging = {"name": "prod"}, {"name": "staging"}
    common = [namespace("shared"), configmap("shared", "both", a="1")]
    of_prod = [namespace("shop"), configmap("shop", "app", a="prod"), configmap("shared", "of-prod", a="1")]
    of_staging = [namespace("lab"), configmap("lab", "app", a="staging"), configmap("shared", "of-staging", a="1")]
    first = write(recovery, *common, *of_prod)
    second = write(recovery, *of_staging, gone=of_prod, source=STAGING)
    assert problems(recovery.import_into(clean_dr, config=prod, revision=first)) == {}
    of_first = clean_dr.settle()

    outcome = recovery.import_into(clean_dr, config=staging, revision=second)

    assert problems(outcome).keys() == {"shared/configmaps/both"}
    assert "belongs to another inventory" in problems(outcome)["shared/configmaps/both"]
    now = clean_dr.settle()
    mine = {
        "shop/configmaps/app",
        "shared/configmaps/of-prod",
        "shared/configmaps/both",
        "dr-syncer/configmaps/dr-syncer-prod",
    }
    assert {name: now[name] for name in mine} == {name: of_first[name] for name in mine}
    # The namespace that both have is still the first one's, with all its labels.
    assert (
        clean_dr.get("/api/v1/namespaces/shared")["metadata"]["labels"][MEMBER]
        == (clean_dr.get(PARENT)["metadata"]["labels"]["applyset.kubernetes.io/id"])
    )
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr, config=prod, revision=first)) == {}
    assert clean_dr.audit.writes() == []

    write(recovery, gone=[*common, *of_staging], source=STAGING)
    pruned = recovery.import_into(clean_dr, config=staging, confirmed=True)
    assert {name for name, action in actions(pruned).items() if action is Action.PRUNE} == {
        "namespaces/lab",
        "lab/configmaps/app",
        "shared/configmaps/of-staging",
    }
    assert actions(recovery.import_into(clean_dr, config=prod, revision=first)) == {}


def test_two_importers_share_a_namespace_of_others_without_end_of_writes(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_dr.apply([namespace("shared", team="dr")], field_manager="admins")
    first = write(recovery, namespace("shared", prod="yes"), configmap("shared", "of-prod", a="1"))
    second = write(
        recovery,
        namespace("shared", staging="yes"),
        configmap("shared", "of-staging", a="1"),
        gone=[configmap("shared", "of-prod", a="1")],
        source=STAGING,
    )
    for _ in range(2):
        recovery.import_into(clean_dr, config={"name": "prod"}, revision=first)
        recovery.import_into(clean_dr, config={"name": "staging"}, revision=second)
    clean_dr.audit.mark()

    again = [
        actions(recovery.import_into(clean_dr, config={"name": "prod"}, revision=first)),
        actions(recovery.import_into(clean_dr, config={"name": "staging"}, revision=second)),
    ]

    labels = clean_dr.get("/api/v1/namespaces/shared")["metadata"]["labels"]
    assert labels.items() >= {"team": "dr", "prod": "yes", "staging": "yes"}.items()
    assert again == [{}, {}]
    assert clean_dr.audit.writes() == []


def test_a_cluster_is_never_imported_into_itself(clean_source: ControlPlane, recovery: Recovery) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="b")])
    recovery.export(clean_source)
    clean_source.audit.mark()

    for request in ({}, {"plan_only": True}, {"adopt": True, "confirmed": True}):
        with pytest.raises(Refused, match="this cluster is prod itself") as refused:
            recovery.import_into(clean_source, **request)
        assert refused.value.exit_code is ExitCode.REFUSED

    assert clean_source.audit.writes() == []


def test_a_repository_that_now_holds_another_cluster_is_refused_until_adopted(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="b"))
    recovery.import_into(clean_dr)
    other = Identity("prod", "6f1c0d6e-0000-4000-8000-00000000ffff")
    write(recovery, configmap("shop", "app", a="changed"), source=other)
    clean_dr.audit.mark()

    refused = recovery.cli("import", cluster=clean_dr)

    assert refused.returncode == ExitCode.REFUSED
    assert other.uid in refused.stderr
    assert "--adopt" in refused.stderr
    assert clean_dr.audit.writes() == []
    adopted = recovery.cli("import", "--adopt", cluster=clean_dr)
    assert adopted.returncode == ExitCode.DONE, adopted.stderr
    assert clean_dr.get(f"{SHOP}/app")["data"] == {"a": "changed"}
    assert recovery.cli("import", cluster=clean_dr).returncode == ExitCode.DONE
    assert clean_dr.get(PARENT)["data"]["sourceUID"] == other.uid


def test_a_label_alone_makes_nobody_the_owner(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="b"))
    recovery.import_into(clean_dr)
    identity = clean_dr.get(PARENT)["metadata"]["labels"]["applyset.kubernetes.io/id"]
    clean_dr.apply(
        [with_labels(configmap("shop", "claimed", a="theirs"), {MEMBER: identity})], field_manager="installer"
    )
    write(recovery, configmap("shop", "claimed", a="ours"))

    outcome = recovery.import_into(clean_dr)

    assert ".data.a belongs to installer" in problems(outcome)["shop/configmaps/claimed"]
    assert clean_dr.get(f"{SHOP}/claimed")["data"] == {"a": "theirs"}
