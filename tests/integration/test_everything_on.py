"""All that can change what is exported and imported, switched on at once."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import Refused
from drsyncer.sops import age
from drsyncer.sops.scope import keys_named
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import git
from tests.integration.recovery import Recovery, actions, changed, configmap, deployment, namespace, problems
from tests.integration.written import custom, custom_type, path_of, result_of, service, write
from tests.unit.signers import Signer, allowed, needs_ssh_keygen, signer
from tests.unit.sops_samples import encrypted, key_file

RULES = """\
apiVersion: dr-syncer.io/v1
rules:
  - name: site
    match: {types: [deployments.apps]}
    steps:
      - set: {path: spec.template.metadata.labels.site, value: dr}
      - remove: {path: "/spec/template/spec/containers/*/resources"}
"""
STAMP = {
    "name": "stamp",
    "match": {"types": ["configmaps"], "names": ["stamped"]},
    "steps": [{"template": {"path": "data.commit", "value": "{{ commit[:12] }} of {{ cluster.source }}"}}],
}
HOST = {
    "name": "host",
    "match": {"types": ["widgets.example.com"]},
    "steps": [
        {"template": {"path": "metadata.annotations.host", "value": "{{ object.metadata.name }}.{{ values.domain }}"}},
        {"jsonPatch": [{"op": "add", "path": "/spec/site", "value": "dr"}]},
    ],
}
TRANSFORMS = {
    "namespaces": {"shop": "shop-dr"},
    "literals": {"mode": "rewrite"},
    "replicas": [{"match": {"types": ["deployments.apps"]}, "replicas": 1}],
    "images": {"registry.prod.example.com/": "registry.dr.example.com/"},
    "env": [{"match": {"types": ["deployments.apps"]}, "set": {"SITE": "dr"}, "add": True}],
    "labels": {"add": {"site": "dr"}},
    "values": {"domain": "dr.example.com"},
    "rules": [STAMP, HOST],
}


def secret(where: str, name: str, **data: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": where}, "data": coded}


def widget(**spec: Any) -> dict[str, Any]:
    return custom("shop", "w") | {"spec": spec}


def objects() -> list[dict[str, Any]]:
    web = deployment("shop", "web", replicas=3, image="registry.prod.example.com/web:1")
    web["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "DB", "value": "db.shop.svc:5432"}]
    return [
        secret("shop", "db", password="hunter2"),
        configmap("shop", "hidden", dsn="pg://u:pw@db.shop.svc:5432/x"),
        configmap("shop", "stamped", a="1"),
        configmap("shop", "app", url="http://db.shop.svc"),
        widget(pw="hunter2"),
        service("shop", "db"),
        web,
    ]


@pytest.fixture
def exporter(tmp_path: Path) -> Signer:
    return signer(tmp_path, "exporter@prod")


@pytest.fixture
def everything(clean_source: ControlPlane, recovery: Recovery, exporter: Signer, tmp_path: Path) -> Recovery:
    """A recovery repository that holds rules of its own, and both sides with everything on; exported once."""
    _, public = key_file(tmp_path / "ours.key")
    recovery.repository = {
        "signing": {"keyFile": str(exporter.file)},
        "verify": {"allowedSignersFile": str(allowed(tmp_path, exporter.line()))},
    }
    also = [{"match": {"types": ["configmaps"], "names": ["hidden"]}}, {"match": {"types": ["widgets.example.com"]}}]
    recovery.exporter = {"secrets": {"recipients": [public], "alsoEncrypt": also}}
    recovery.importer = {"secrets": {"ageKeyFile": str(tmp_path / "ours.key")}, "transforms": TRANSFORMS}
    clean_source.apply([custom_type(), namespace("shop")])
    clean_source.apply(objects())
    recovery.export(clean_source)
    commit_signed(recovery, exporter, {"transforms/site.yaml": RULES})
    return recovery


def commit_signed(recovery: Recovery, by: Signer, files: dict[str, str]) -> str:
    """Commit files to main as a person does who signs."""
    work = recovery.folder / "signed work"
    git("clone", "-q", str(recovery.remote), str(work))
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(content)
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
    how = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={by.file}")
    git("-C", str(work), "add", "-A")
    git("-C", str(work), *who, *how, "commit", "-q", "-S", "-m", "rules")
    git("-C", str(work), "push", "-q", "origin", "HEAD:main")
    return recovery.head()


def object_writes(dr: ControlPlane) -> list[str]:
    """Every write but those to the importer's own records."""
    return [str(write) for write in dr.audit.writes() if "/namespaces/dr-syncer/" not in str(write)]


@needs_ssh_keygen
def test_with_everything_on_a_second_run_of_both_sides_writes_nothing(
    everything: Recovery, source: ControlPlane, clean_dr: ControlPlane
) -> None:
    dr = clean_dr

    first = everything.import_into(dr)

    assert problems(first) == {}
    base = "/api/v1/namespaces/shop-dr"
    assert dr.get(f"{base}/secrets/db")["data"] == secret("", "", password="hunter2")["data"]
    assert dr.get(f"{base}/configmaps/hidden")["data"] == {"dsn": "pg://u:pw@db.shop-dr.svc:5432/x"}
    assert dr.get(f"{base}/configmaps/app")["data"] == {"url": "http://db.shop-dr.svc"}
    assert dr.get(f"{base}/configmaps/stamped")["data"]["commit"] == f"{everything.head()[:12]} of prod"
    # Templates see its name, patches reach into what was encrypted of it.
    found = dr.get("/apis/example.com/v1/namespaces/shop-dr/widgets/w")
    assert found["metadata"]["annotations"]["host"] == "w.dr.example.com"
    assert found["spec"] == {"pw": "hunter2", "site": "dr"}
    web = dr.get("/apis/apps/v1/namespaces/shop-dr/deployments/web")
    assert (web["spec"]["replicas"], web["metadata"]["annotations"]["dr-syncer.io/replicas"]) == (0, "1")
    assert web["metadata"]["labels"]["site"] == web["spec"]["template"]["metadata"]["labels"]["site"] == "dr"
    container = web["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.dr.example.com/web:1"
    assert container["env"] == [{"name": "DB", "value": "db.shop-dr.svc:5432"}, {"name": "SITE", "value": "dr"}]

    before = dr.settle()
    dr.audit.mark()
    assert everything.export(source).changes == ()
    assert actions(everything.import_into(dr)) == {}
    assert dr.audit.writes() == []
    assert dr.resource_versions() == before


@needs_ssh_keygen
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (secret("shop", "db", password="hunter3"), "secrets/db"),
        (configmap("shop", "hidden", dsn="pg://u:new@db.shop.svc:5432/x"), "configmaps/hidden"),
        (widget(pw="hunter3"), "widgets.example.com/w"),
        (configmap("shop", "app", url="http://db.shop.svc/v2"), "configmaps/app"),
        (configmap("shop", "stamped", a="2"), "configmaps/stamped"),
    ],
    ids=["secret", "encrypted-configmap", "encrypted-custom-resource", "readable", "stamped"],
)
def test_with_everything_on_one_change_is_one_file_and_one_write(
    everything: Recovery, source: ControlPlane, clean_dr: ControlPlane, change: dict[str, Any], name: str
) -> None:
    everything.import_into(clean_dr)
    source.apply([change])

    exported = everything.export(source)
    assert changed(exported) == [f"updated shop/{name}"]
    files = everything.git("show", "--name-only", "--format=", "main").split()
    assert files == [path_of(change)]

    clean_dr.audit.mark()
    outcome = everything.import_into(clean_dr)

    # What is stamped with the commit is new with each one.
    expected = {f"shop-dr/{name}", "shop-dr/configmaps/stamped"}
    assert actions(outcome) == dict.fromkeys(expected, Action.UPDATE)
    assert len(object_writes(clean_dr)) == len(expected)
    assert actions(everything.import_into(clean_dr)) == {}


@needs_ssh_keygen
def test_rules_encryption_and_signatures_together_refuse_what_each_refuses(
    everything: Recovery, clean_dr: ControlPlane, exporter: Signer, tmp_path: Path
) -> None:
    everything.import_into(clean_dr)
    good = everything.head()

    # Nobody vouches for a rule any more: nothing of it is applied.
    stranger = allowed(tmp_path, signer(tmp_path, "stranger").line(), name="strangers")
    other = {**everything.repository, "verify": {"allowedSignersFile": str(stranger)}}
    strict = Recovery(everything.remote, everything.folder, everything.exporter, everything.importer, other)
    before = clean_dr.settle()
    with pytest.raises(Refused, match="does not allow"):
        strict.import_into(clean_dr)
    assert clean_dr.resource_versions() == before

    # A rule called otherwise that does the same changes nothing in DR; one that shows what is hidden is not followed.
    renamed = {**HOST, "name": "name"}
    again = everything.import_into(clean_dr, config={"transforms": {**TRANSFORMS, "rules": [STAMP, renamed]}})
    assert actions(again) == {}
    shows = {
        "name": "shows",
        "match": {"types": ["widgets.example.com"]},
        "steps": [{"jsonPatch": [{"op": "copy", "from": "/spec/pw", "path": "/metadata/annotations/pw"}]}],
    }
    blocked = everything.import_into(clean_dr, config={"transforms": {**TRANSFORMS, "rules": [STAMP, HOST, shows]}})
    assert problems(blocked).keys() == {"shop-dr/widgets.example.com/w"}
    assert "confidential data that goes to" in problems(blocked)["shop-dr/widgets.example.com/w"]
    assert blocked.revision == good


def test_what_was_judged_without_knowing_its_autoscaler_is_judged_again_when_that_can_be_read(
    clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path
) -> None:
    _, public = key_file(tmp_path / "ours.key")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxReplicas": 5, "scaleTargetRef": target},
    }
    write(recovery, namespace("shop"), deployment("shop", "web", replicas=3))
    recovery.commit({path_of(hpa): encrypted(hpa, age.recipient(public), scope=keys_named("spec"))})
    fewer = {"match": {"types": ["hpa"]}, "max": 3}
    awake = {"standby": {"enabled": False}, "transforms": {"replicas": [fewer]}}

    without = recovery.import_into(clean_dr, config=awake)
    assert problems(without).keys() == {"shop/horizontalpodautoscalers.autoscaling/web"}
    assert not any("decided nothing" in warning for warning in without.warnings)  # who knows
    clean_dr.audit.mark()
    recovery.import_into(clean_dr, config=awake)
    assert clean_dr.audit.writes() == []

    outcome = recovery.import_into(clean_dr, config={**awake, "secrets": {"ageKeyFile": str(tmp_path / "ours.key")}})

    assert problems(outcome) == {}
    applied = result_of(outcome, "shop/deployments.apps/web").step.wish
    assert applied is not None
    assert any("left to the autoscaler" in line for line in applied.applied)
    scaler = clean_dr.get("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web")
    assert scaler["spec"]["maxReplicas"] == 3
