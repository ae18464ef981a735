"""Secrets that live in Git encrypted: written once, left alone while unchanged, read with the DR side's key only."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode, UsageError
from drsyncer.sops import age
from drsyncer.sops.scope import keys_named
from exporter.outcome import Outcome as Exported
from importer.digests import of_manifest
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.cluster.tools import find
from tests.integration.recovery import Recovery, actions, changed, configmap, deployment, namespace, problems
from tests.integration.written import custom, custom_type, path_of, result_of, write
from tests.unit.sops_samples import encrypted, key_file

KEY = "/api/v1/namespaces/dr-syncer/secrets/dr-syncer-digest-key"
PASSWORD = "correct-horse-battery-staple"


def secret(name: str, where: str = "shop", **data: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    meta = {"name": name, "namespace": where}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": coded}


@pytest.fixture
def keys(recovery: Recovery, tmp_path: Path) -> dict[str, str]:
    """`recovery` with encryption on both sides; return name → public key of two age keys, "ours" and "spare"."""
    names = {}
    for name in ("ours", "spare"):
        _, names[name] = key_file(tmp_path / f"{name}.key")
    recovery.exporter = {"secrets": {"recipients": [names["ours"]]}}
    recovery.importer = {"secrets": {"ageKeyFile": str(tmp_path / "ours.key")}}
    return names


def sops_decrypts(recovery: Recovery, path: str, key: Path) -> Any:
    """Return what the real sops makes of a file of the newest recovery point."""
    file = recovery.folder / "for-sops.yaml"
    file.write_text(recovery.file(path))
    env = {"PATH": os.environ["PATH"], "HOME": str(recovery.folder), "SOPS_AGE_KEY_FILE": str(key)}
    command = [find("sops"), "decrypt", "--output-type=json", str(file)]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def secret_files(recovery: Recovery) -> dict[str, str]:
    return {path: recovery.file(path) for path in recovery.paths() if "/secrets/" in path}


def test_a_secret_travels_encrypted_and_arrives_whole(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path
) -> None:
    wanted = secret("db", password=PASSWORD, empty="", lines="a\nb\n", emoji="größe 😀")
    wanted["metadata"]["labels"] = {"app": "shop"}
    clean_source.apply([namespace("shop"), wanted, secret("other", token="x" * 40), configmap("shop", "app", a="b")])

    outcome = recovery.export(clean_source)

    assert outcome.exit_code is ExitCode.DONE
    assert outcome.secrets_omitted == 0
    text = recovery.file("namespaces/shop/secrets/db.yaml")
    assert PASSWORD not in text
    assert wanted["data"]["password"] not in text
    assert "sops:" not in recovery.file("namespaces/shop/configmaps/app.yaml")
    found = sops_decrypts(recovery, "namespaces/shop/secrets/db.yaml", tmp_path / "ours.key")
    assert re.fullmatch(r"v1-[0-9a-f]{64}", found["metadata"]["annotations"].pop("dr-syncer.io/digest"))
    assert found["data"] == wanted["data"]
    assert found["metadata"]["labels"] == {"app": "shop"}

    imported = recovery.import_into(clean_dr)

    assert problems(imported) == {}
    live = clean_dr.get("/api/v1/namespaces/shop/secrets/db")
    assert live["data"] == wanted["data"]
    assert "annotations" not in live["metadata"]
    assert live["type"] == "Opaque"

    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr)) == {}
    assert clean_dr.audit.writes() == []


def test_the_exporters_own_key_never_leaves_the_source(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    clean_source.apply([namespace("shop"), secret("db", a="b")])
    everything = {"select": {"disable": ["dr-syncer"]}}

    assert recovery.export(clean_source, dry_run=True).count("created") > 0
    assert not clean_source.exists(KEY)
    recovery.export(clean_source)
    recovery.export(clean_source, config=everything)

    key = clean_source.get(KEY)
    assert len(base64.b64decode(key["data"]["key"])) == 32
    assert key["metadata"]["labels"] == {"app.kubernetes.io/part-of": "dr-syncer"}
    assert "namespaces/dr-syncer/secrets/dr-syncer-digest-key.yaml" not in recovery.paths()
    explained = recovery.cli("export", "--explain", "dr-syncer/secrets/dr-syncer-digest-key", cluster=clean_source)
    assert "left out" in explained.stdout, explained.stderr


def test_a_thousand_unchanged_secrets_change_no_file_and_encrypt_nothing(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_source.apply([namespace("shop"), *(secret(f"s{number}", a=f"value {number}") for number in range(1000))])
    first = recovery.export(clean_source)
    assert first.count("created") > 1000
    # Churn that is not intent.
    clean_source.apply([{**secret("s7", a="value 7"), "metadata": {"name": "s7", "namespace": "shop"}}])
    wrapped: list[str] = []
    monkeypatch.setattr(age, "wrap", lambda data, to: wrapped.append(to) or "")

    second = recovery.export(clean_source)

    assert (second.commit, second.changes) == ("", ())
    assert wrapped == []


def test_only_the_changed_secret_is_written_anew(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    clean_source.apply([namespace("shop"), secret("one", a="b"), secret("two", a="b")])
    recovery.export(clean_source)
    clean_source.apply([secret("two", a="c")], field_manager="rotator")

    outcome = recovery.export(clean_source)

    assert changed(outcome) == ["updated shop/secrets/two"]
    assert outcome.changes[0].managers == ("rotator",)


def digest_of(text: str) -> str:
    found = re.search(r"dr-syncer\.io/digest: (\S+)", text)
    assert found is not None
    return found[1]


def assert_all_encrypted_anew(recovery: Recovery, before: dict[str, str], outcome: Exported) -> None:
    after = secret_files(recovery)
    assert outcome.parent != outcome.head
    assert changed(outcome) == ["updated shop/secrets/one", "updated shop/secrets/two"]
    assert before.keys() == after.keys()
    assert not {*before.values()} & {*after.values()}


def test_other_recipients_mean_one_commit_in_which_all_is_encrypted_anew(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path
) -> None:
    clean_source.apply([namespace("shop"), secret("one", a="b"), secret("two", a=PASSWORD)])
    recovery.export(clean_source)
    recovery.import_into(clean_dr)
    before = secret_files(recovery)

    both = {"secrets": {"recipients": [keys["spare"], keys["ours"]]}}
    outcome = recovery.export(clean_source, config=both)

    assert_all_encrypted_anew(recovery, before, outcome)
    assert set(map(digest_of, before.values())) == set(map(digest_of, secret_files(recovery).values()))
    assert {change.managers for change in outcome.changes} == {("dr-syncer",)}  # nobody else changed an object
    for name in ("ours", "spare"):
        found = sops_decrypts(recovery, "namespaces/shop/secrets/two.yaml", tmp_path / f"{name}.key")
        assert base64.b64decode(found["data"]["a"]).decode() == PASSWORD
    # The order in which they are written is no change.
    swapped = {"secrets": {"recipients": [keys["ours"], keys["spare"]]}}
    assert recovery.export(clean_source, config=swapped).commit == ""
    # In DR, nothing needs to be done about it.
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr)) == {}
    assert [event for event in clean_dr.audit.writes() if event.type == "secrets"] == []


def test_another_digest_key_means_one_commit_in_which_all_is_encrypted_anew(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    clean_source.apply([namespace("shop"), secret("one", a="b"), secret("two", a="b")])
    recovery.export(clean_source)
    before = secret_files(recovery)
    assert len({digest_of(text) for text in before.values()}) == 2  # the same values in another Secret look different
    clean_source.delete(KEY)

    outcome = recovery.export(clean_source)

    assert_all_encrypted_anew(recovery, before, outcome)
    assert recovery.export(clean_source).commit == ""


def test_the_digest_key_may_be_a_file(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path
) -> None:
    clean_source.apply([namespace("shop"), secret("one", a="b")])
    file = tmp_path / "digest.key"
    file.write_bytes(b"k" * 32)
    recovery.exporter["secrets"]["digestKeyFile"] = str(file)

    assert recovery.export(clean_source).commit
    assert recovery.export(clean_source).commit == ""
    assert not clean_source.exists(KEY)

    file.write_bytes(b"short")
    with pytest.raises(UsageError, match="holds 5 bytes; expected at least 32"):
        recovery.export(clean_source)


def test_without_the_right_to_keep_a_secret_the_key_is_a_file_of_the_user(
    clean_source: ControlPlane,
    recovery: Recovery,
    keys: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    clean_source.apply([namespace("shop"), secret("one", a="b")])
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "only-reads"}, "rules": rules}
    clean_source.apply([role])
    clean_source.grant("limited", cluster_role="only-reads")
    reader = clean_source.kubeconfig_for("limited")

    outcome = recovery.export(clean_source, kubeconfig=reader)

    (file,) = (tmp_path / "state" / "dr-syncer").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32
    assert any(str(file) in warning for warning in outcome.warnings)
    assert recovery.export(clean_source, kubeconfig=reader).commit == ""
    assert not clean_source.exists(KEY)

    file.chmod(0o644)
    with pytest.raises(UsageError, match="open to others"):
        recovery.export(clean_source, kubeconfig=reader)


def test_a_file_that_somebody_changed_is_put_back(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    clean_source.apply([namespace("shop"), secret("one", a="b"), secret("two", a="b")])
    recovery.export(clean_source)
    path = "namespaces/shop/secrets/one.yaml"
    recovery.commit({path: recovery.file(path).replace("type: Opaque", "type: other")})

    outcome = recovery.export(clean_source)

    assert changed(outcome) == ["updated shop/secrets/one"]
    assert "type: Opaque" in recovery.file(path)


def test_what_was_readable_before_is_encrypted_with_a_warning(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    clean_source.apply([namespace("shop"), secret("one", a=PASSWORD)])
    recovery.export(clean_source, config={"secrets": {"mode": "plaintext"}})

    outcome = recovery.export(clean_source)

    assert changed(outcome) == ["updated shop/secrets/one"]
    assert any("1 of the objects" in text and "history" in text for text in outcome.warnings)
    assert recovery.export(clean_source).warnings == ()


ALSO = {
    "alsoEncrypt": [
        {"match": {"types": ["configmaps"], "names": ["*-credentials"]}},
        {"match": {"types": ["widgets.example.com"]}, "keys": ["spec"]},
    ]
}


def test_configmaps_and_custom_resources_can_be_named_for_encryption(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path
) -> None:
    recovery.exporter["secrets"] |= ALSO
    widget = custom("shop", "w") | {"spec": {"password": PASSWORD, "size": 3, "on": True, "none": None}}
    clean_source.apply([custom_type(), namespace("shop")])
    clean_source.apply([widget, configmap("shop", "db-credentials", url=PASSWORD), configmap("shop", "app", a="b")])

    recovery.export(clean_source)

    assert PASSWORD not in "".join(recovery.file(path) for path in recovery.paths())
    found = sops_decrypts(recovery, path_of(widget), tmp_path / "ours.key")
    assert found["spec"]["size"] == 3
    assert recovery.export(clean_source).commit == ""

    assert problems(recovery.import_into(clean_dr)) == {}
    live = clean_dr.get("/api/v1/namespaces/shop/configmaps/db-credentials")
    assert live["data"] == {"url": PASSWORD}
    assert live["metadata"]["annotations"] == {"dr-syncer.io/confidential": "encrypted_regex: ^(data|binaryData|spec)$"}

    # `diff` shows that something changed and not what, also once the file is gone.
    clean_dr.apply([configmap("shop", "db-credentials", url="their-own-value")], field_manager="editor")
    shown = recovery.cli("diff", cluster=clean_dr).stdout
    assert '-  url: "*** (before)"\n+  url: "*** (after)"' in shown
    clean_source.delete("/api/v1/namespaces/shop/configmaps/db-credentials")
    recovery.export(clean_source)
    gone = recovery.cli("diff", cluster=clean_dr).stdout
    assert "prune shop/configmaps/db-credentials" in gone
    assert "their-own-value" not in shown + gone
    assert PASSWORD not in shown + gone


def test_a_rule_of_encryption_that_matches_nothing_is_reported(
    clean_source: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    recovery.exporter["secrets"] |= ALSO
    clean_source.apply([namespace("shop"), configmap("shop", "db-credentials", a="b")])

    (warning,) = recovery.export(clean_source).warnings
    assert warning == "exporter.secrets.alsoEncrypt[1] (types widgets.example.com) matched nothing"


# The DR side ---------------------------------------------------------------------------------------------------------


def test_a_secret_that_cannot_be_decrypted_blocks_itself_alone(
    clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path
) -> None:
    ours, spare = (age.recipient(keys[name]) for name in ("ours", "spare"))
    good, other, flipped, cut = (secret(name, password=PASSWORD) for name in ("good", "other", "flipped", "cut"))
    write(recovery, namespace("shop"), configmap("shop", "app", a="b"))
    broken = encrypted(flipped, ours)
    recovery.commit(
        {
            path_of(good): encrypted(good, ours),
            path_of(other): encrypted(other, spare),
            path_of(flipped): broken.replace(b"type: Opaque", b"type: opaque"),
            path_of(cut): encrypted(cut, ours).partition(b"\nsops:")[0] + b"\n",
            path_of(secret("pgp")): encrypted(secret("pgp", a="b"), ours).replace(b"  age:", b"  pgp:"),
        }
    )

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    found = problems(outcome)
    assert found.keys() == {f"shop/secrets/{name}" for name in ("other", "flipped", "cut", "pgp")}
    assert keys["spare"] in found["shop/secrets/other"]
    assert "ageKeyFile" in found["shop/secrets/other"]
    assert "seal is broken" in found["shop/secrets/flipped"]
    assert "cut off" in found["shop/secrets/cut"]
    assert "pgp only" in found["shop/secrets/pgp"]
    assert PASSWORD not in str(found)
    assert clean_dr.get("/api/v1/namespaces/shop/secrets/good")["data"] == good["data"]
    assert result_of(outcome, "shop/configmaps/app").action is Action.CREATE

    # Once the key is there, what waited for it is tried again, and nothing else is touched.
    both = tmp_path / "both.key"
    both.write_text((tmp_path / "ours.key").read_text() + (tmp_path / "spare.key").read_text())
    again = recovery.import_into(clean_dr, config={"secrets": {"ageKeyFile": str(both)}})
    assert actions(again)["shop/secrets/other"] is Action.CREATE
    assert result_of(again, "shop/secrets/good").action is Action.UNCHANGED
    assert problems(again).keys() == found.keys() - {"shop/secrets/other"}


def test_without_a_key_encrypted_objects_wait_for_it(
    clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    good = secret("good", password=PASSWORD)
    write(recovery, namespace("shop"))
    recovery.commit({path_of(good): encrypted(good, age.recipient(keys["ours"]))})

    outcome = recovery.import_into(clean_dr, config={"secrets": {}})

    assert "there is no key here" in problems(outcome)["shop/secrets/good"]
    assert actions(recovery.import_into(clean_dr)) == {"shop/secrets/good": Action.CREATE}
    # Nothing is deleted, and nothing needs the key, while nothing changes.
    assert actions(recovery.import_into(clean_dr, config={"secrets": {}})) == {}


@pytest.mark.parametrize(
    "content", ["", "no key", "AGE-SECRET-KEY-1QQQQ\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"]
)
def test_a_key_file_without_a_key_stops_the_import_and_is_not_quoted(
    clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path, content: str
) -> None:
    write(recovery, namespace("shop"))
    (tmp_path / "ours.key").write_text(content)

    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "ours.key"))) as error:
        recovery.import_into(clean_dr)
    assert not content.strip() or content.strip() not in str(error.value) + error.value.hint


def test_a_file_of_any_type_that_a_person_encrypted_with_sops_is_decrypted(
    clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    write(recovery, namespace("shop"))
    manifest = configmap("shop", "app", a=PASSWORD)
    file = recovery.folder / "plain.yaml"
    file.write_text(json.dumps(manifest))
    command = [find("sops"), "encrypt", "--age", keys["ours"], "--encrypted-regex", "^data$", "--output-type=yaml"]
    result = subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=60, check=True)
    recovery.commit({path_of(manifest): result.stdout})

    assert problems(recovery.import_into(clean_dr)) == {}
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/app")["data"] == {"a": PASSWORD}


def test_what_other_objects_are_judged_by_may_be_encrypted_too(
    clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str]
) -> None:
    ours = age.recipient(keys["ours"])
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxReplicas": 5, "scaleTargetRef": target},
    }
    web = deployment("shop", "web")
    web["metadata"]["labels"]["dr-syncer.io/scale-override"] = "3"
    crd, widget = custom_type(), custom("shop", "w")
    write(recovery, web, widget)
    hidden = [namespace("shop", tier="back"), hpa, crd]
    recovery.commit({path_of(one): encrypted(one, ours, scope=keys_named("spec", "labels")) for one in hidden})

    out = {"select": {"exclude": [{"types": ["deployments.apps"], "namespaceLabels": "tier=back"}]}}
    outcome = recovery.import_into(clean_dr, config=out)

    assert problems(outcome) == {}
    assert clean_dr.get("/api/v1/namespaces/shop")["metadata"]["labels"]["tier"] == "back"
    assert clean_dr.exists("/apis/example.com/v1/namespaces/shop/widgets/w")
    assert not clean_dr.exists("/apis/apps/v1/namespaces/shop/deployments/web")

    outcome = recovery.import_into(clean_dr)
    assert problems(outcome) == {}
    # The autoscaler was read: it, and nothing else, decides the replicas.
    assert "the autoscaler decides" in str(result_of(outcome, "shop/deployments.apps/web").notes)


def test_the_records_in_dr_tell_nothing_of_a_secret(
    clean_dr: ControlPlane, recovery: Recovery, keys: dict[str, str], tmp_path: Path
) -> None:
    # A digest that anybody could compute would let whoever reads ConfigMaps try out passwords.
    good = secret("good", pin="1234")
    write(recovery, namespace("shop"))
    recovery.commit({path_of(good): encrypted(good, age.recipient(keys["ours"]))})
    recovery.import_into(clean_dr)

    _, guess = of_manifest(good)
    assert (
        guess not in clean_dr.get("/api/v1/namespaces/dr-syncer/configmaps/dr-syncer-prod-records-0")["data"]["records"]
    )
