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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drsyncer.sops import age
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.written import custom, custom_type, path_of
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


def refusal(cluster: ControlPlane) -> str:
    return cluster.kubectl(
        "create", "configmap", "refused", "-n", "shop", "--from-literal=pw=x", "--dry-run=server", check=False
    ).stderr
