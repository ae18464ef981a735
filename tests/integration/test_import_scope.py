"""What one import is limited to: a revision, some namespaces, a plan, a user's rights."""

from __future__ import annotations

import json

import pytest

from drsyncer.errors import ExitCode, Forbidden, RevisionNotFound
from drsyncer.manifest import Manifest
from importer.plan import Action
from tests.cluster.api import Api, ApiError
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import PARENT, custom_type, write


def test_namespaces_limit_what_is_applied_and_what_is_pruned(clean_dr: ControlPlane, recovery: Recovery) -> None:
    of_shop = [configmap("shop", name, a="1") for name in ("app", "gone")]
    of_lab = [configmap("lab", name, a="1") for name in ("app", "gone")]
    write(recovery, namespace("shop"), namespace("lab"), *of_shop, *of_lab)
    recovery.import_into(clean_dr)
    write(
        recovery,
        *(configmap(where, "app", a="2") for where in ("shop", "lab")),
        custom_type(),
        namespace("new"),
        gone=[of_shop[1], of_lab[1]],
    )

    outcome = recovery.import_into(clean_dr, only=("shop",))

    assert actions(outcome) == {"shop/configmaps/app": Action.UPDATE, "shop/configmaps/gone": Action.PRUNE}
    assert clean_dr.get("/api/v1/namespaces/lab/configmaps/app")["data"] == {"a": "1"}
    assert clean_dr.exists("/api/v1/namespaces/lab/configmaps/gone")
    # The rest is still known: nothing was orphaned, and the next whole import does what is left.
    assert actions(recovery.import_into(clean_dr)) == {
        "lab/configmaps/app": Action.UPDATE,
        "lab/configmaps/gone": Action.PRUNE,
        "namespaces/new": Action.CREATE,
        "customresourcedefinitions.apiextensions.k8s.io/widgets.example.com": Action.CREATE,
    }
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr, only=("lab",))) == {}
    assert clean_dr.audit.writes() == []


def test_a_limited_import_names_namespaces_as_git_does_when_they_are_mapped(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    settings = {"transforms": {"namespaces": {"shop": "shop-dr"}}}
    gone = configmap("shop", "gone", a="b")
    write(recovery, namespace("shop"), configmap("shop", "app", a="b"), gone, namespace("lab"))
    recovery.import_into(clean_dr, config=settings)
    write(recovery, configmap("shop", "app", a="c"), gone=[gone])

    outcome = recovery.import_into(clean_dr, config=settings, only=("shop",))

    assert actions(outcome) == {"shop-dr/configmaps/app": Action.UPDATE, "shop-dr/configmaps/gone": Action.PRUNE}


def test_a_plan_says_what_an_import_would_do_and_writes_nothing(clean_dr: ControlPlane, recovery: Recovery) -> None:
    gone = configmap("shop", "gone", a="b")
    stay = [configmap("shop", f"stays-{number}", a="b") for number in range(5)]
    write(recovery, namespace("shop"), configmap("shop", "app", a="1"), gone, *stay)
    empty = recovery.cli("import", "--plan", "-o", "json", cluster=clean_dr)
    assert empty.returncode == ExitCode.DONE, empty.stderr
    assert json.loads(empty.stdout)["summary"] == {"create": 8}
    assert clean_dr.audit.writes() == []
    assert not clean_dr.exists(PARENT)
    recovery.import_into(clean_dr)
    clean_dr.apply([namespace("theirs")])
    write(
        recovery,
        configmap("shop", "app", a="2"),
        deployment("shop", "web"),
        namespace("theirs", tier="gold"),
        configmap("shop", "new", a="b"),
        gone=[gone],
    )
    before = clean_dr.settle()
    clean_dr.audit.mark()

    planned = recovery.import_into(clean_dr, plan_only=True)

    assert planned.planned_only
    assert clean_dr.audit.writes() == []
    assert clean_dr.resource_versions() == before
    done = recovery.import_into(clean_dr)
    assert actions(done) == actions(planned)
    assert actions(done) == {
        "shop/configmaps/app": Action.UPDATE,
        "shop/configmaps/gone": Action.PRUNE,
        "shop/configmaps/new": Action.CREATE,
        "shop/deployments.apps/web": Action.CREATE,
        "namespaces/theirs": Action.UPDATE,
    }


def test_a_revision_is_a_tag_a_branch_or_a_commit(clean_dr: ControlPlane, recovery: Recovery) -> None:
    path = "/api/v1/namespaces/shop/configmaps/app"
    first = write(recovery, namespace("shop"), configmap("shop", "app", version="1"))
    recovery.git("tag", "v1", first)
    recovery.git("-c", "user.name=x", "-c", "user.email=x@example.com", "tag", "-a", "-m", "kept", "kept", first)
    second = write(recovery, configmap("shop", "app", version="2"))
    recovery.git("branch", "old", first)
    write(recovery, configmap("shop", "app", version="3"))

    for revision, commit, version in (
        ("v1", first, "1"),
        (second[:8], second, "2"),
        ("kept", first, "1"),
        (second, second, "2"),
        ("old", first, "1"),
        ("", recovery.head(), "3"),
    ):
        outcome = recovery.import_into(clean_dr, revision=revision)
        assert outcome.revision == commit, revision
        assert clean_dr.get(path)["data"] == {"version": version}
    assert clean_dr.get(PARENT)["data"]["revision"] == recovery.head()
    clean_dr.audit.mark()

    for unknown in ("deadbeef", "no/such"):
        with pytest.raises(RevisionNotFound, match=unknown):
            recovery.import_into(clean_dr, revision=unknown)
    refused = recovery.cli("import", "--revision", "v9", cluster=clean_dr)
    assert refused.returncode == ExitCode.USAGE
    assert "v9" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert clean_dr.audit.writes() == []


def reader_of_identity() -> list[Manifest]:
    """Return the least that a user without rights in the whole cluster needs beside rights in namespaces."""
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "identity"}, "rules": [rule]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "identity"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "identity"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "limited"}],
    }
    return [role, binding]


def test_a_user_with_rights_in_some_namespaces_imports_into_those(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(
        recovery, namespace("shop"), configmap("shop", "app", a="1"), namespace("lab"), configmap("lab", "app", a="1")
    )
    clean_dr.apply([namespace("dr-syncer"), namespace("shop"), namespace("lab")])
    kubeconfig = clean_dr.kubeconfig_for("limited")

    limited = clean_dr.client("limited")
    for where in ("dr-syncer", "shop"):
        clean_dr.grant("limited", cluster_role="admin", namespace=where)
        path = f"/api/v1/namespaces/{where}/configmaps"
        clean_dr.wait_for(lambda path=path: _may_read(limited, path), what="the grant to be seen")

    with pytest.raises(Forbidden, match="kube-system") as forbidden:
        recovery.import_into(clean_dr, kubeconfig=kubeconfig, only=("shop",))
    assert "kube-system" in forbidden.value.hint

    clean_dr.apply(reader_of_identity())
    clean_dr.wait_for(lambda: _may_read(limited, "/api/v1/namespaces/kube-system"), what="the grant to be seen")
    clean_dr.audit.mark()

    outcome = recovery.import_into(clean_dr, kubeconfig=kubeconfig, only=("shop",))

    assert actions(outcome)["shop/configmaps/app"] is Action.CREATE
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/app")["data"] == {"a": "1"}
    # Whether the Namespace itself is as it should be, this user cannot see: it is said, and nothing else is lost.
    assert problems(outcome).keys() == {"namespaces/shop"}
    assert "forbidden" in problems(outcome)["namespaces/shop"]
    assert outcome.exit_code is ExitCode.PARTIAL
    assert {event.namespace for event in clean_dr.audit.writes(user="limited")} == {"dr-syncer", "shop"}

    whole = recovery.import_into(clean_dr, kubeconfig=kubeconfig)

    assert whole.exit_code is ExitCode.PARTIAL
    assert "lab/configmaps/app" in problems(whole)
    assert not clean_dr.exists("/api/v1/namespaces/lab/configmaps/app")
    write(recovery, configmap("shop", "app", a="2"))
    assert actions(recovery.import_into(clean_dr, kubeconfig=kubeconfig, only=("shop",)))["shop/configmaps/app"] is (
        Action.UPDATE
    )


def _may_read(client: Api, path: str) -> bool:
    try:
        client.request("GET", path)
    except ApiError as error:
        if error.status != 403:
            raise
        return False
    return True


def test_a_user_who_may_only_read_gets_a_plan_and_no_import(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="1"))
    kubeconfig = clean_dr.kubeconfig_for("viewer")

    plan = recovery.import_into(clean_dr, kubeconfig=kubeconfig, plan_only=True)

    assert actions(plan) == {"namespaces/shop": Action.CREATE, "shop/configmaps/app": Action.CREATE}
    refused = recovery.cli("import", kubeconfig=kubeconfig)
    assert refused.returncode == ExitCode.FAILED
    assert "forbidden" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert clean_dr.objects() == {}
