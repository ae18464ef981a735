"""`dr-syncer diff`: what an import would change, and what it never shows."""

from __future__ import annotations

import json

from drsyncer.errors import ExitCode
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.written import custom, write

SECRET = "c3VwZXItc2VjcmV0"
OTHER = "b3RoZXItc2VjcmV0"


def secret(**data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "shop"}, "data": data}


def test_diff_shows_what_an_import_would_change_and_changes_nothing(clean_dr: ControlPlane, recovery: Recovery) -> None:
    gone = configmap("shop", "gone", a="b")
    write(
        recovery,
        namespace("shop"),
        configmap("shop", "app", colour="blue", size="small"),
        deployment("shop", "web", replicas=3),
        secret(password=SECRET, kept=SECRET),
        gone,
    )
    recovery.import_into(clean_dr)

    same = recovery.cli("diff", cluster=clean_dr)

    assert (same.returncode, same.stdout) == (0, "no difference\n"), same.stderr

    clean_dr.apply([configmap("shop", "app", colour="red", theirs="x")], field_manager="editor")
    clean_dr.apply([deployment("shop", "theirs")])
    write(recovery, secret(password=OTHER, kept=SECRET), configmap("shop", "new", a="b"), gone=[gone])
    before = clean_dr.settle()
    clean_dr.audit.mark()

    differs = recovery.cli("diff", cluster=clean_dr)

    assert differs.returncode == 1, differs.stderr
    text = differs.stdout
    assert "update shop/configmaps/app: data.colour was changed by editor" in text
    assert "-  colour: red\n+  colour: blue" in text
    assert "theirs" not in [line.strip("+- ").split(":")[0] for line in text.splitlines() if line[:1] in "+-"]
    assert "create shop/configmaps/new: not in DR yet" in text
    assert "prune shop/configmaps/gone: left Git" in text
    assert "shop/deployments.apps" not in text
    # That a password changed shows; neither the old one nor the new one does.
    assert "update shop/secrets/key" in text
    assert '-  password: "*** (before)"' in text
    assert '+  password: "*** (after)"' in text
    for shown in (text, differs.stderr, recovery.cli("diff", "-o", "json", cluster=clean_dr).stdout):
        assert SECRET not in shown
        assert OTHER not in shown
    assert clean_dr.audit.writes() == []
    assert clean_dr.resource_versions() == before

    data = json.loads(recovery.cli("diff", "-n", "shop", "-o", "json", cluster=clean_dr).stdout)
    assert data["revision"] == recovery.head()
    assert {one["object"]: one["action"] for one in data["differences"]} == {
        "shop/configmaps/app": "update",
        "shop/configmaps/gone": "prune",
        "shop/configmaps/new": "create",
        "shop/secrets/key": "update",
    }


def test_what_cannot_be_compared_is_an_error_and_not_an_answer(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), custom("shop", "one", kind="Gizmo"))

    blocked = recovery.cli("diff", cluster=clean_dr)
    unknown = recovery.cli("diff", "--revision", "v9", cluster=clean_dr)

    assert blocked.returncode == ExitCode.PARTIAL
    assert "DR does not serve gizmos.example.com" in blocked.stdout
    assert unknown.returncode == ExitCode.USAGE
    assert "v9" in unknown.stderr
