"""`import --explain`: the way of one object from its file to what the plan does with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.written import path_of, service, validating_webhook, with_annotations, write

SELECT = {"exclude": [{"types": ["configmaps"], "names": ["tmp-*"]}]}


@pytest.fixture
def written(recovery: Recovery) -> Recovery:
    """A recovery point of some objects that come to different ends."""
    recovery.importer = {"select": SELECT, "transforms": {"namespaces": {"shop": "shop-dr"}}}
    write(
        recovery,
        namespace("shop"),
        configmap("shop", "app", colour="blue"),
        configmap("shop", "tmp-1"),
        with_annotations(configmap("shop", "mine"), {"dr-syncer.io/ignore": "true"}),
        deployment("shop", "web", replicas=3),
        service("shop", "api"),
        validating_webhook("guard", service=("shop", "api"), resources=["configmaps"]),
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}, "provisioner": "a"},
        {"apiVersion": "no.example.com/v1", "kind": "Gadget", "metadata": {"name": "one", "namespace": "shop"}},
    )
    return recovery


def explained(recovery: Recovery, dr: ControlPlane, name: str, *flags: str, **section: Any) -> dict[str, Any]:
    """Return what `import --explain NAME -o json` says."""
    said = recovery.cli("import", "--explain", name, "-o", "json", *flags, cluster=dr, **section)
    assert said.returncode == ExitCode.DONE, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_an_object_that_goes_in_is_followed_from_its_file_to_the_plan(
    written: Recovery, clean_dr: ControlPlane
) -> None:
    clean_dr.audit.mark()
    found = explained(written, clean_dr, "shop/deployments.apps/web")

    assert found["path"] == "namespaces/shop/deployments.apps/web.yaml"
    assert found["revision"] == found["lastChange"]["commit"] == written.head()
    assert found["lastChange"]["author"] == "someone"
    assert [check["check"] for check in found["checks"]] == ["ignore", "include[0]"]
    assert (found["included"], found["writtenAs"], found["objectInDr"]) == (
        True,
        "apps/v1",
        "shop-dr/deployments.apps/web",
    )
    assert any(line.startswith("standby: /spec/replicas") for line in found["transforms"])
    assert any(line.startswith("namespaces: /metadata/namespace") for line in found["transforms"])
    assert (found["action"], found["reason"]) == ("create", "not in DR yet")
    assert clean_dr.audit.writes(user="admin") == []


@pytest.mark.parametrize("name", ["shop/deploy/web", "shop/Deployment/web", "shop-dr/deployments.apps/web"])
def test_short_names_and_the_name_in_dr_will_do(name: str, written: Recovery, clean_dr: ControlPlane) -> None:
    assert explained(written, clean_dr, name)["object"] == "shop/deployments.apps/web"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("shop/configmaps/tmp-1", "exclude[0]"),
        ("shop/configmaps/mine", "ignore"),
        ("storageclasses.storage.k8s.io/fast", "infrastructure"),
    ],
)
def test_the_check_that_leaves_an_object_out_is_the_last_one(
    name: str, check: str, written: Recovery, clean_dr: ControlPlane
) -> None:
    found = explained(written, clean_dr, name)

    assert (found["included"], found["action"]) == (False, None)
    assert found["checks"][-1]["check"] == check
    assert not found["checks"][-1]["passed"]
    assert all(passage["passed"] for passage in found["checks"][:-1])


def test_what_waits_or_cannot_be_had_says_why(written: Recovery, clean_dr: ControlPlane) -> None:
    webhook = "validatingwebhookconfigurations.admissionregistration.k8s.io/guard"
    held = explained(written, clean_dr, webhook)
    assert held["action"] == "held"
    assert held["reason"] == "its backend, Service shop-dr/api, has no ready endpoints"

    lost = explained(written, clean_dr, "shop/gadgets.no.example.com/one")
    assert lost["action"] == "blocked"
    assert "DR does not serve gadgets.no.example.com" in lost["problem"]

    written.commit({path_of(configmap("shop", "app")): "kind: [\n"})
    broken = explained(written, clean_dr, "shop/configmaps/app")
    assert (broken["included"], broken["action"], broken["checks"]) == (False, "blocked", [])
    assert broken["problem"].startswith("namespaces/shop/configmaps/app.yaml:")


def test_after_an_import_it_says_what_the_next_one_does(written: Recovery, clean_dr: ControlPlane) -> None:
    written.import_into(clean_dr)
    before = explained(written, clean_dr, "shop/configmaps/app")
    assert (before["action"], before["reason"]) == ("unchanged", "as the last import left it")
    assert any(line.startswith("namespaces: ") for line in before["transforms"])

    clean_dr.kubectl("patch", "cm/app", "-n", "shop-dr", "--type=merge", "-p", '{"data":{"colour":"red"}}')
    after = explained(written, clean_dr, "shop/configmaps/app")
    assert (after["action"], after["reason"]) == ("update", "data.colour was changed by kubectl-patch")

    out = {"select": {"exclude": [{"names": ["app"]}]}}
    excluded = explained(written, clean_dr, "shop/configmaps/app", importer={**written.importer, **out})
    assert (excluded["included"], excluded["action"]) == (False, "prune")

    first = written.head()
    write(written, gone=[configmap("shop", "app")])
    gone = explained(written, clean_dr, "shop-dr/configmaps/app")
    assert (gone["path"], gone["action"], gone["reason"]) == (None, "prune", "left Git")
    older = explained(written, clean_dr, "shop/configmaps/app", "--revision", first)
    assert older["revision"] == first


def test_an_object_that_nobody_knows_is_an_error_with_a_way_on(written: Recovery, clean_dr: ControlPlane) -> None:
    def said(name: str) -> str:
        found = written.cli("import", "--explain", name, cluster=clean_dr)
        assert found.returncode == ExitCode.USAGE
        return found.stderr

    assert "does not hold shop/configmaps/apps; did you mean shop-dr/configmaps/app?" in said("shop/configmaps/apps")
    assert "names no object" in said("web")
    write(written, gone=[configmap("shop", "app")])
    assert "does not hold shop/configmaps/app any more: commit" in said("shop/configmaps/app")


def test_the_text_tells_the_same_to_people(written: Recovery, clean_dr: ControlPlane) -> None:
    said = written.cli("import", "--explain", "shop/deploy/web", cluster=clean_dr).stdout
    assert said.startswith(
        "shop/deployments.apps/web: create: not in DR yet\nfile: namespaces/shop/deployments.apps/web.yaml"
    )
    assert "in DR: shop-dr/deployments.apps/web" in said
    assert "transform: standby: /spec/replicas" in said
    out = written.cli("import", "--explain", "shop/cm/tmp-1", cluster=clean_dr).stdout
    assert out.startswith("shop/configmaps/tmp-1: left out of the import")
    assert "the configuration excludes types configmaps, names tmp-*" in " ".join(out.split())
