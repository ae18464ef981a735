"""No byte of a Secret is in anything that the program writes, but for the encrypted files themselves.

Canaries are put into Secrets, ConfigMaps and custom resources; then everything that the program wrote is searched for
them, whole and in parts, plain and encoded: its output at every verbosity, the clone, temporary and state files, the
arguments of the programs that it started, and what it left in the DR cluster.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drsyncer.sops import age
from drsyncer.sops.scope import keys_named
from drsyncer.yaml.emit import emit
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.written import custom, custom_type, path_of, service, write
from tests.unit.sops_samples import encrypted, key_file

FRAGMENT = 10  # characters of a canary that must not be found anywhere


@dataclass
class Canaries:
    values: list[str] = field(default_factory=list)

    def new(self) -> str:
        self.values.append(secrets.token_hex(16))
        return self.values[-1]

    def forms(self) -> Iterator[bytes]:
        """Every form in which a part of a canary could be somewhere."""
        for value in self.values:
            for text in (value, *self._coded(value)):
                yield from (text[at : at + FRAGMENT].encode() for at in range(len(text) - FRAGMENT + 1))

    @staticmethod
    def _coded(value: str) -> Iterator[str]:
        for shift in range(3):  # where it stands in a longer text decides how base64 shows it
            coded = base64.b64encode(b"\0" * shift + value.encode()).decode()
            yield coded[4 if shift else 0 : -4]
        yield value.encode().hex()

    def found_in(self, data: bytes) -> list[bytes]:
        return [form for form in self.forms() if form in data]


@dataclass
class Surroundings:
    """What the program may write to, all in one folder, and what it said."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def everything(self) -> Iterator[tuple[str, bytes]]:
        for number, text in enumerate(self.said):
            yield f"output {number}", text.encode()
        for file in self.folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                yield str(file), file.read_bytes()
        for clone in self.folder.glob("cache/*"):
            if (clone / "objects").is_dir():  # compressed on disk
                command = ["git", "-C", str(clone), "cat-file", "--batch-all-objects", "--batch", "--buffer"]
                yield f"objects of {clone}", subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """HOME, temporary and state folders of the program's own, and a git that notes its arguments."""
    folder = tmp_path / "program"
    for name in ("tmp", "home", "state", "cache", "bin"):
        (folder / name).mkdir(parents=True)
    git = shutil.which("git")
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))  # the tools
    shim = folder / "bin" / "git"
    shim.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{folder}/argv"\nenv >> "{folder}/environ"\nexec {git} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    return Surroundings(folder)


def secret(name: str, **data: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": coded}


def telltale() -> list[dict[str, Any]]:
    """An admission policy that quotes the values of what it refuses."""
    group = "admissionregistration.k8s.io"
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]},
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]},
        {"apiGroups": ["example.com"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]},
    ]
    said = "'password ' + (has(object.data) ? object.data['pw'] : object.spec.pw) + ' is refused'"
    policy = {
        "apiVersion": f"{group}/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "telltale"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "!object.metadata.name.startsWith('refused')", "messageExpression": said}],
        },
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "telltale"},
        "spec": {"policyName": "telltale", "validationActions": ["Deny"]},
    }
    return [policy, binding]


def test_no_byte_of_a_secret_is_in_anything_that_the_program_writes(
    clean_source: ControlPlane,
    clean_dr: ControlPlane,
    recovery: Recovery,
    surroundings: Surroundings,
    tmp_path: Path,
) -> None:
    canaries = Canaries()
    _, public = key_file(tmp_path / "ours.key")
    _, strange = key_file(tmp_path / "strange.key")
    recovery.repository = {"cacheDir": str(surroundings.folder / "cache")}
    also = [{"match": {"types": ["configmaps"], "names": ["*-hidden"]}}, {"match": {"types": ["widgets.example.com"]}}]
    recovery.exporter = {"secrets": {"recipients": [public], "alsoEncrypt": also}}
    recovery.importer = {"secrets": {"ageKeyFile": str(tmp_path / "ours.key")}}

    def run(*args: str, cluster: ControlPlane | None = None, codes: tuple[int, ...] = (0,), **section: Any) -> str:
        result = recovery.cli(*args, cluster=cluster, **section)
        assert result.returncode in codes, (args, result.returncode, result.stderr)
        surroundings.said += [result.stdout, result.stderr]
        return result.stdout + result.stderr

    def hidden(name: str) -> list[dict[str, Any]]:
        return [
            secret(name, pw=canaries.new(), lines=f"a\n{canaries.new()}\nb"),
            configmap("shop", f"{name}-hidden", pw=canaries.new(), conf=f"user = x\npassword = {canaries.new()}\n"),
            custom("shop", name)
            | {"spec": {"pw": canaries.new(), "users": [{"name": canaries.new(), "pin": 1234567}]}},
        ]

    clean_source.apply([custom_type(), namespace("shop")])
    clean_source.apply([*hidden("one"), *hidden("two"), *hidden("refused")])

    # The source side, at every verbosity.
    run("export", "--dry-run", "-vv", cluster=clean_source)
    run("export", "-vv", "--log-format", "json", cluster=clean_source)
    run("export", "-v", "-o", "json", cluster=clean_source)
    run("export", "--explain", "shop/secrets/one", "-vv", cluster=clean_source)
    clean_source.apply([secret("two", pw=canaries.new())], field_manager="rotator")
    run("export", cluster=clean_source)
    run("log", "-vv", "-o", "json")

    # The DR side: what is refused, tampered with, for somebody else, or in the way.
    clean_dr.apply([*telltale(), namespace("shop"), custom_type()])
    clean_dr.apply([configmap("shop", "two-hidden", pw=canaries.new())], field_manager="editor")
    ours, theirs = age.recipient(public), age.recipient(strange)
    tampered = encrypted(secret("tampered", pw=canaries.new()), ours).replace(b"type: Opaque", b"type: opaque")
    recovery.commit(
        {
            path_of(secret("tampered")): tampered,
            path_of(secret("strange")): encrypted(secret("strange", pw=canaries.new()), theirs),
            path_of(secret("cut")): encrypted(secret("cut", pw=canaries.new()), ours)[:-40],
            path_of(secret("invalid")): encrypted(secret("invalid") | {"data": {"pw": canaries.new()}}, ours),
            path_of(secret("numeric")): encrypted(secret("numeric") | {"stringData": {"pw": 123456789012}}, ours),
        }
    )
    canaries.values.append("123456789012")
    clean_dr.wait_for(lambda: "is refused" in refusal(clean_dr), what="the policy to be in force")
    run("import", "--plan", "-vv", cluster=clean_dr, codes=(3,))
    said = run("import", "-vv", cluster=clean_dr, codes=(3,))
    for name in ("tampered", "strange", "cut", "invalid", "numeric", "refused"):
        assert f"secrets/{name}" in said
    assert "is refused" in said
    run("import", "-o", "json", "--log-format", "json", "-vv", cluster=clean_dr, codes=(3,))
    # Drift, with a policy that fails on conflicts.
    clean_dr.apply([secret("one", pw=canaries.new()), *hidden("one")[1:]], field_manager="editor")
    run("diff", "-vv", cluster=clean_dr, codes=(0, 1, 3))
    run("diff", "-o", "json", cluster=clean_dr, codes=(0, 1, 3))
    run("import", "-vv", cluster=clean_dr, codes=(3,), importer={**recovery.importer, "conflicts": "fail"})
    run("import", "-vv", cluster=clean_dr, codes=(3,), importer={**recovery.importer, "secrets": {}})
    run("import", "-vv", cluster=clean_dr, codes=(3,))
    clean_source.delete("/api/v1/namespaces/shop/configmaps/one-hidden")
    run("export", "--yes", cluster=clean_source)
    run("diff", "-vv", cluster=clean_dr, codes=(0, 1, 3))

    key = clean_source.get("/api/v1/namespaces/dr-syncer/secrets/dr-syncer-digest-key")["data"]["key"]
    canaries.values.append(base64.b64decode(key).hex())
    assert canaries.found_in(canaries.values[0].encode())  # the search itself works
    leaks = {place: found for place, data in surroundings.everything() if (found := canaries.found_in(data))}
    assert leaks == {}
    assert b"cat-file" in (surroundings.folder / "argv").read_bytes()
    assert not any((surroundings.folder / "tmp").iterdir())
    for kind in ("configmaps", "events"):
        for item in clean_dr.list(f"/api/v1/namespaces/dr-syncer/{kind}"):
            assert canaries.found_in(repr(item).encode()) == []


def rule(name: str, *steps: dict[str, Any], **match: Any) -> dict[str, Any]:
    where = {"types": ["secrets", "configmaps", "widgets.example.com"], **match}
    return {"name": name, "match": where, "steps": list(steps)}


def test_no_rule_and_no_transform_shows_a_byte_of_what_is_confidential(
    clean_dr: ControlPlane, recovery: Recovery, surroundings: Surroundings, tmp_path: Path
) -> None:
    canaries = Canaries()
    _, public = key_file(tmp_path / "ours.key")
    ours = age.recipient(public)
    recovery.repository = {"cacheDir": str(surroundings.folder / "cache")}

    def patch(name: str, *operations: dict[str, Any]) -> dict[str, Any]:
        return rule(name, {"jsonPatch": list(operations)}, names=[name])

    def template(name: str, text: str) -> dict[str, Any]:
        return rule(name, {"template": {"path": "/metadata/annotations/x", "value": text}}, names=[name])

    def copy(name: str, origin: str, path: str = "/metadata/annotations/x") -> dict[str, Any]:
        return patch(name, {"op": "copy", "from": origin, "path": path})

    blocked = [
        template("t-data", "{{ object.data.pw }}"),
        template("t-spec", "{{ object.spec.pw }}"),
        template("t-whole", "{{ object }}"),
        template("t-item", "{{ object['spec']['users'][0]['pw'] ~ '' }}"),
        copy("c-data", "/data/pw"),
        copy("c-spec", "/spec/pw"),
        copy("c-named", "/spec/users[name=ann]/pw"),
        copy("c-prefix", "/spe*/pw"),
        copy("c-top", "/spec", "/other"),
        patch("m-out", {"op": "move", "from": "/spec/pw", "path": "/metadata/labels/x"}),
        patch("test-text", {"op": "test", "path": "/spec/pw", "value": "x"}),
        patch("test-number", {"op": "test", "path": "/spec/pin", "value": 1}),
        rule("late", {"set": {"path": "/spec/pw", "value": "x"}}, {"set": {"path": "/spec/pin/x", "value": 1}}),
    ]
    blocked[-1]["match"]["names"] = ["late"]
    typed = {"template": {"path": "/spec/n", "value": "{{ object.metadata.name }}", "type": "integer"}}
    fine = [
        rule("seen", {"set": {"path": "/spec/new", "value": "x"}}, names=["fine"], types=["widgets.example.com"]),
        rule("whole", {"merge": {"spec": {"users": None}}}, names=["fine"], types=["widgets.example.com"]),
        rule("typed", typed, names=["typed"]),
    ]
    recovery.importer = {
        "secrets": {"ageKeyFile": str(tmp_path / "ours.key")},
        "transforms": {
            "namespaces": {"shop": "shop-dr"},
            "literals": {"mode": "report", "entries": [{"match": {"names": ["fine"]}, "mode": "rewrite"}]},
            "images": {"registry.prod.example.com/": "registry.dr.example.com/"},
            "hosts": {"*.prod.example.com": "*.dr.example.com"},
            "env": [{"set": {"HIDDEN": "x"}}],
            "rules": [*blocked, *fine],
        },
    }
    recovery.importer["transforms"]["literals"]["entries"][0]["match"]["types"] = ["configmaps"]

    canaries.values.append("1234567890123")
    one, two, three = (canaries.new() for _ in range(3))
    user = {"name": "ann", "pw": one, "host": f"{two}.shop.svc"}
    spec = {"pw": one, "pin": 1234567890123, "users": [user], "url": f"x{three}.db.shop.svc"}
    dsn = f"pg://u:{one}@{two}.shop.svc:5432/{three}"

    def contents(name: str) -> list[dict[str, Any]]:
        return [
            secret(name, pw=one, dsn=dsn),
            configmap("shop", name, pw=one, dsn=dsn),
            custom("shop", name) | {"spec": spec},
        ]

    web = deployment("shop", "web", image=f"registry.prod.example.com/{one}:1")
    container = web["spec"]["template"]["spec"]["containers"][0]
    container |= {"env": [{"name": "HIDDEN", "value": two}], "args": [f"{three}.shop.svc"]}
    rules = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": "shop"}}
    ingress = rules | {"spec": {"rules": [{"host": f"{one}.prod.example.com"}]}}
    names = [one["name"] for one in blocked]
    hidden = [manifest for name in [*names, "fine", "typed"] for manifest in contents(name)]
    write(recovery, custom_type(), namespace("shop"), service("shop", "db"))
    scope = keys_named("data", "stringData", "spec")
    files: dict[str, bytes | str | None] = {
        path_of(one): encrypted(one, ours, scope=scope) for one in [*hidden, web, ingress]
    }
    recovery.commit(files)

    def said_by(result: subprocess.CompletedProcess[str], codes: tuple[int, ...] = (0, 1, 3)) -> str:
        assert result.returncode in codes, (result.args, result.returncode, result.stderr)
        surroundings.said += [result.stdout, result.stderr]
        return result.stdout + result.stderr

    def run(*args: str, codes: tuple[int, ...] = (0, 1, 3)) -> str:
        return said_by(recovery.cli(*args, cluster=clean_dr), codes)

    def transforms(*args: str) -> str:
        command = [sys.executable, "-m", "cli.main", "transforms", *args, "-c", str(recovery.folder / "dr-syncer.yaml")]
        return said_by(subprocess.run(command, capture_output=True, text=True, check=False, cwd=recovery.folder))

    run("import", "--plan", "-vv")
    run("import", "--plan", "-o", "json", "-vv", "--log-format", "json")
    said = run("import", "-vv", codes=(3,))
    for name in names:
        assert f"rule {name}, step" in said
    assert "db.shop.svc" not in said
    run("import", "-o", "json", "-vv")
    run("diff", "-vv")
    run("diff", "-o", "json")
    for name in ("t-whole", "c-spec", "test-number", "late", "typed", "fine"):
        run("import", "--explain", f"shop/widgets.example.com/{name}", "-vv")
        transforms("explain", f"shop/widgets.example.com/{name}", "-vv")
    for what in ("deployments.apps/web", "ingresses.networking.k8s.io/web", "configmaps/fine", "secrets/fine"):
        run("import", "--explain", f"shop/{what}", "-o", "json")
        transforms("explain", f"shop/{what}", "-o", "json")
    golden = recovery.folder / "golden.yaml"
    golden.write_bytes(emit({"input": secret("fine", pw=one, dsn=dsn), "expected": secret("fine", pw=two)}))
    assert "arrives otherwise" in transforms("test", str(golden), "-vv")

    # What arrived was really changed, and the people's own values are in it.
    fine_map = clean_dr.get("/api/v1/namespaces/shop-dr/configmaps/fine")["data"]["dsn"]
    assert ".shop-dr.svc:5432/" in fine_map
    assert clean_dr.get("/apis/example.com/v1/namespaces/shop-dr/widgets/fine")["spec"]["new"] == "x"
    leaks = {place: found for place, data in surroundings.everything() if (found := canaries.found_in(data))}
    assert leaks == {}
    told = "".join(map(repr, clean_dr.list("/api/v1/namespaces/dr-syncer/configmaps")))
    assert canaries.found_in(told.encode()) == []
    for kind in ("secrets", "configmaps"):
        for item in clean_dr.list(f"/api/v1/namespaces/shop-dr/{kind}"):
            assert canaries.found_in(repr(item["metadata"]).encode()) == []


def refusal(cluster: ControlPlane) -> str:
    return cluster.kubectl(
        "create", "configmap", "refused", "-n", "shop", "--from-literal=pw=x", "--dry-run=server", check=False
    ).stderr
