"""General rules: from the configuration and from the recovery repository, into a real cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drsyncer.config.schema import Config
from drsyncer.errors import ConfigurationError, Refused
from drsyncer.recovery.git import Clone
from importer.explain import explain
from importer.outcome import Outcome
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import cron_job, result_of, service, write
from tests.unit.signers import allowed, needs_ssh_keygen, signer

HEAD = "apiVersion: dr-syncer.io/v1\nrules:\n"
SITE = HEAD + "  - name: site\n    match: {types: [configmaps]}\n    steps: [{set: {path: /data/site, value: dr}}]\n"


def rules(*rules: dict[str, Any], **transforms: Any) -> dict[str, Any]:
    """Return an importer's section with these rules."""
    return {"transforms": {"rules": list(rules), **transforms}}


def rule(name: str, types: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "match": {"types": [types], **more.pop("match", {})}, "steps": list(steps), **more}


def data(dr: ControlPlane, name: str) -> dict[str, str]:
    found: dict[str, str] = dr.get(f"/api/v1/namespaces/shop/configmaps/{name}")["data"]
    return found


def replicas(dr: ControlPlane) -> tuple[int, str | None]:
    found = dr.get("/apis/apps/v1/namespaces/shop/deployments/web")
    return found["spec"]["replicas"], found["metadata"].get("annotations", {}).get("dr-syncer.io/replicas")


def warned(outcome: Outcome, words: str) -> bool:
    return any(words in warning for warning in outcome.warnings)


def writes_to_objects(dr: ControlPlane) -> list[str]:
    """Every write but those to the importer's own records."""
    return [str(write) for write in dr.audit.writes() if "dr-syncer" not in str(write)]


def test_rules_change_what_arrives_and_a_second_import_writes_nothing(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(
        recovery,
        namespace("shop"),
        configmap("shop", "app", host="web.prod.example.com"),
        configmap("shop", "other", a="1", b="2"),
        deployment("shop", "web"),
    )
    section = rules(
        rule(
            "host",
            "configmaps",
            {"template": {"path": "data.host", "value": "{{ object.metadata.name }}.{{ values.domain }}"}},
            {"merge": {"metadata": {"labels": {"site": "dr"}}}},
            match={"names": ["app"]},
        ),
        rule(
            "image",
            "deploy",
            {"set": {"path": "spec.template.spec.containers[name=main].image", "value": "nginx:dr"}},
            {"jsonPatch": [{"op": "test", "path": "/spec/replicas", "value": 2}]},
            when=[{"path": "/spec/template/spec/containers/0/image", "matches": "nginx:*"}],
        ),
        rule("nobody", "secrets", {"remove": {"path": "/data/x"}}),
        rule("idle", "configmaps", {"remove": {"path": "/data/a"}}, {"remove": {"path": "/dat/a"}}),
        values={"domain": "dr.example.com"},
    )

    outcome = recovery.import_into(clean_dr, config=section)

    assert problems(outcome) == {}
    assert data(clean_dr, "app") == {"host": "app.dr.example.com"}
    assert data(clean_dr, "other") == {"b": "2"}
    web = clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:dr"
    assert warned(outcome, "rule nobody (types secrets) matched nothing")
    assert not warned(outcome, "rule host")
    assert warned(outcome, "rule idle removes /dat/a, which no object that it is about has")
    assert not warned(outcome, "rule idle removes /data/a")

    clean_dr.audit.mark()
    again = recovery.import_into(clean_dr, config=section)

    assert actions(again) == {}
    assert writes_to_objects(clean_dr) == []
    assert not warned(again, "matched nothing")


def test_a_changed_rule_writes_only_what_it_touches(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), configmap("shop", "one", a="1"), configmap("shop", "two", a="1"))
    section = rules(rule("r", "configmaps", {"set": {"path": "/data/a", "value": "2"}}, match={"names": ["one"]}))
    recovery.import_into(clean_dr, config=section)
    clean_dr.audit.mark()

    section["transforms"]["rules"][0]["steps"][0]["set"]["value"] = "3"
    outcome = recovery.import_into(clean_dr, config=section)

    assert actions(outcome) == {"shop/configmaps/one": Action.UPDATE}
    assert data(clean_dr, "one") == {"a": "3"}


def test_a_rule_that_cannot_be_applied_whole_blocks_its_object_and_no_other(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), deployment("shop", "web"), deployment("shop", "api"))
    recovery.import_into(clean_dr)
    before = clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")
    section = rules(
        rule(
            "heap",
            "deployments.apps",
            {"set": {"path": "/spec/minReadySeconds", "value": 9}},
            {"set": {"path": "spec.template.spec.containers[name=api].image", "value": "x"}},
            match={"names": ["web"]},
        )
    )

    outcome = recovery.import_into(clean_dr, config=section)

    assert problems(outcome) == {
        "shop/deployments.apps/web": "rule heap, step 2 (set): /spec/template/spec/containers: found a list of 1, "
        "expected a list with an element whose name is api"
    }
    assert outcome.exit_code == 3
    assert clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"] == before["spec"]
    assert result_of(outcome, "shop/deployments.apps/api").action is Action.UNCHANGED


def test_what_no_rule_may_touch_blocks_the_object(clean_dr: ControlPlane, recovery: Recovery) -> None:
    kept = deployment("shop", "web")
    kept["metadata"]["annotations"] = {"dr-syncer.io/prune": "false", "a": "b"}
    write(recovery, namespace("shop"), kept)
    section = rules(rule("bare", "deployments.apps", {"remove": {"path": "/metadata/annotations"}}))

    outcome = recovery.import_into(clean_dr, config=section)

    reason = problems(outcome)["shop/deployments.apps/web"]
    assert "rule bare, step 1 (remove): /metadata/annotations/dr-syncer.io~1prune" in reason
    assert "no rule may touch it" in reason


def test_in_standby_a_rule_changes_what_is_remembered_and_not_what_runs(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), deployment("shop", "web", replicas=3), cron_job("shop", "nightly"))
    five = {"set": {"path": "/spec/replicas", "value": 5}}
    awake = {"set": {"path": "/spec/suspend", "value": False}}

    recovery.import_into(clean_dr, config=rules(rule("n", "deploy", five), rule("c", "cronjobs", awake)))

    assert replicas(clean_dr) == (0, "5")
    nightly = clean_dr.get("/apis/batch/v1/namespaces/shop/cronjobs/nightly")
    assert nightly["spec"]["suspend"] is True

    five["set"]["value"] = 0
    recovery.import_into(clean_dr, config=rules(rule("n", "deploy", five)))
    assert replicas(clean_dr) == (0, "0")

    recovery.import_into(clean_dr, config={"standby": {"enabled": False}, **rules(rule("n", "deploy", five))})
    assert replicas(clean_dr)[0] == 0


def test_rules_of_the_repository_come_first_and_can_be_forbidden(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="1"))
    recovery.commit({"transforms/10-site.yaml": SITE, "transforms/README.md": "hello", "transforms/tests/x.yaml": "["})
    mine = rules(rule("mine", "configmaps", {"template": {"path": "/data/b", "value": "{{ object.data.site }}!"}}))

    outcome = recovery.import_into(clean_dr, config=mine)

    assert problems(outcome) == {}
    assert data(clean_dr, "app") == {"a": "1", "site": "dr", "b": "dr!"}

    forbidden = recovery.import_into(clean_dr, config={"transforms": {"fromRepository": False}})

    assert data(clean_dr, "app") == {"a": "1"}
    assert warned(forbidden, "are not applied (importer.transforms.fromRepository is false): transforms/10-site.yaml")

    recovery.import_into(clean_dr)
    clean_dr.audit.mark()
    assert data(clean_dr, "app") == {"a": "1", "site": "dr"}
    recovery.commit({"transforms/10-site.yaml": SITE.replace("value: dr", "value: dr2")})
    assert actions(recovery.import_into(clean_dr)) == {"shop/configmaps/app": Action.UPDATE}
    assert data(clean_dr, "app")["site"] == "dr2"


def test_a_faulty_rule_file_stops_the_import_before_anything_is_changed(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="1"))
    recovery.commit(
        {
            "transforms/a.yaml": HEAD + "  - name: x\n    macth: {}\n    steps: [{sett: {}}]\n",
            "transforms/b.yaml": "rules: &a []\n",
            "transforms/c.yml": SITE,
        }
    )
    with pytest.raises(ConfigurationError) as refusal:
        recovery.import_into(clean_dr)
    assert "transforms/c.yml: is not read" in str(refusal.value)

    (recovery.folder / "work" / "transforms" / "c.yml").unlink()
    recovery.commit({})
    with pytest.raises(ConfigurationError) as refusal:
        recovery.import_into(clean_dr)

    assert str(refusal.value).splitlines() == [
        "transforms/a.yaml:4: rules[0].macth: unknown key; did you mean `match`?",
        "transforms/a.yaml:5: rules[0].steps[0].sett: unknown key; did you mean `set`?",
        "transforms/b.yaml:1: anchors and aliases are not allowed. Write the value out wherever it is needed.",
    ]
    assert refusal.value.exit_code == 2
    assert "--revision" in refusal.value.hint
    assert not clean_dr.exists("/api/v1/namespaces/shop")


def test_two_rules_of_one_name_are_refused(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"))
    recovery.commit({"transforms/a.yaml": SITE})
    with pytest.raises(ConfigurationError, match=r"the rule site is also in transforms/a\.yaml"):
        recovery.import_into(clean_dr, config=rules(rule("site", "configmaps", {"remove": {"path": "/data/x"}})))


def test_only_objects_that_a_rule_with_the_commit_may_match_depend_on_it(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    section = rules(
        rule(
            "stamp",
            "cm",
            {"template": {"path": "metadata.annotations.commit", "value": "{{ commit[:12] }}"}},
            match={"names": ["app"]},
        )
    )
    first = write(recovery, namespace("shop"), configmap("shop", "app", a="1"), configmap("shop", "other", a="1"))
    recovery.import_into(clean_dr, config=section)

    second = write(recovery, service("shop", "web"))
    outcome = recovery.import_into(clean_dr, config=section)

    assert actions(outcome) == {"shop/configmaps/app": Action.UPDATE, "shop/services/web": Action.CREATE}
    found = clean_dr.get("/api/v1/namespaces/shop/configmaps/app")
    assert found["metadata"]["annotations"]["commit"] == second[:12] != first[:12]
    assert actions(recovery.import_into(clean_dr, config=section)) == {}


def test_a_match_looks_at_the_object_as_git_has_it(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop", tier="gold"), configmap("shop", "app", a="1"))
    where = {"template": {"path": "/data/where", "value": "{{ object.metadata.namespace }}"}}
    section = rules(
        rule("by-name", "configmaps", where, match={"namespaces": ["shop"]}),
        rule(
            "by-label",
            "configmaps",
            {"set": {"path": "/data/tier", "value": "gold"}},
            match={"namespaceLabels": "tier=gold"},
        ),
        rule("by-target", "configmaps", where, match={"namespaces": ["shop-dr"]}),
        namespaces={"shop": "shop-dr"},
    )

    outcome = recovery.import_into(clean_dr, config=section)

    found = clean_dr.get("/api/v1/namespaces/shop-dr/configmaps/app")
    assert found["data"] == {"a": "1", "where": "shop-dr", "tier": "gold"}
    assert warned(outcome, "rule by-target")


def test_templates_never_see_the_data_of_a_secret_and_a_bomb_blocks_only_its_object(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": "shop"},
        "data": {"password": "aHVudGVyMg=="},
    }
    big, small = configmap("shop", "big", text="a" * 5_000_000), configmap("shop", "app", b="1")
    write(recovery, namespace("shop"), secret, big, small)
    section = rules(
        rule("leak", "secrets", {"template": {"path": "metadata.labels.x", "value": "{{ object.data.password }}"}}),
        rule(
            "bomb",
            "configmaps",
            {"template": {"path": "/data/n", "value": "{{ object.data.text | split('a') | length }}" * 90}},
            match={"names": ["big"]},
        ),
    )

    outcome = recovery.import_into(clean_dr, config=section)

    found = problems(outcome)
    assert found.keys() == {"shop/secrets/key", "shop/configmaps/big"}
    assert "no `data` in a mapping" in found["shop/secrets/key"]
    assert "time than a template may have" in found["shop/configmaps/big"]
    assert "hunter" not in str(found)
    assert "aHVudGVyMg" not in str(found)
    assert data(clean_dr, "app") == {"b": "1"}


def test_an_export_leaves_the_rules_alone(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="1")])
    recovery.export(clean_source)
    recovery.commit({"transforms/site.yaml": SITE, "transforms/tests/site.yaml": "input: {}\n"})
    clean_source.apply([configmap("shop", "app", a="2")])

    recovery.export(clean_source)

    assert {"transforms/site.yaml", "transforms/tests/site.yaml"} <= set(recovery.paths())
    recovery.import_into(clean_dr)
    assert data(clean_dr, "app") == {"a": "2", "site": "dr"}


@needs_ssh_keygen
def test_rules_that_nobody_signed_are_neither_applied_nor_explained(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, tmp_path: Path
) -> None:
    key = signer(tmp_path, "exporter@prod")
    recovery.repository |= {
        "signing": {"keyFile": str(key.file)},
        "verify": {"allowedSignersFile": str(allowed(tmp_path, key.line()))},
    }
    clean_source.apply([namespace("shop"), configmap("shop", "app", a="1")])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)
    recovery.commit({"transforms/site.yaml": SITE})

    with pytest.raises(Refused, match="is not signed"):
        recovery.import_into(clean_dr)
    config = Config.model_validate(recovery.config()).importer
    assert config is not None
    with Clone.open(recovery.remote_of()) as clone, pytest.raises(Refused, match="is not signed"):
        explain(config=config, clone=clone, revision_="", text="shop/configmaps/app")

    assert data(clean_dr, "app") == {"a": "1"}
