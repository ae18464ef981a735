"""Encrypted files, ours and those of the real sops, read by the other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest
from hypothesis import given, settings

from drsyncer.errors import InvalidManifest
from drsyncer.sops import age
from drsyncer.sops.age import Recipient
from drsyncer.sops.scope import Scope, keys_named
from drsyncer.sops.tree import in_file_order
from drsyncer.yaml.emit import emit
from drsyncer.yaml.read import read
from tests.cluster.tools import find
from tests.unit.sops_samples import SECRET, decrypted, encrypted, key_file
from tests.unit.test_sops import fits
from tests.unit.test_yaml_emit import manifests

WIDGET: dict[str, Any] = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "w", "annotations": {"spec": "also named spec", "n": "1"}, "labels": {"no": "yes"}},
    "spec": {
        "on": True,
        "off": False,
        "none": None,
        "count": 3,
        "negative": -9223372036854775808,
        "ratio": 100.0,
        "tiny": 1e-7,
        "huge": 1.5e300,
        "empty": {},
        "list": [1, "two", None, [], {"a": "b:c"}, ["x", True]],
        "text": ["", " ", "0x1f", "1e3", "2001-01-01", "~", "a\r\nb", "\x00\x7f\u2028", "emoji 👩‍💻", "a\n\n  b\n"],
        "ünï:cödé": "key",
        "dataplane": "long " * 2000,
    },
    "other": {"count": 3, "ratio": 0.1, "none": None, "on": True, "when": "2001-12-14t21:59:43.10-05:00"},
}
# Without what sops writes in a form that readers disagree about.
PLAIN_WIDGET = {**WIDGET, "spec": {key: value for key, value in WIDGET["spec"].items() if key not in ("tiny", "huge")}}
REGEX = keys_named("spec")


def as_go(value: Any) -> Any:
    """Return `value` as JSON of Go's making has it: whole floats without a dot, so that they read as other ints."""
    if isinstance(value, dict):
        return {key: as_go(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_go(item) for item in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Sops:
    """The program, with one private key at hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.name = key_file(folder / "age.key")
        self.identities = age.load(str(self.key))
        self.recipient = age.recipient(self.name)

    def run(self, *arguments: str, key: Path | None = None, fails: bool = False) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "SOPS_AGE_KEY_FILE": str(key or self.key)}
        result = subprocess.run(
            [find("sops"), *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
        )
        assert (result.returncode != 0) is fails, result.stderr
        return result.stderr if fails else result.stdout

    def file(self, data: bytes, name: str = "f.yaml") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def refuses(self, data: bytes) -> bool:
        try:
            self.run("decrypt", str(self.file(data)), fails=True)
        except AssertionError:
            return False
        return True

    def decrypted(self, data: bytes, **more: Any) -> Any:
        # As JSON: YAML of Go's making has numbers such as 1e-07, which our reader refuses.
        return json.loads(self.run("decrypt", "--output-type=json", str(self.file(data)), **more))


@pytest.fixture(scope="module")
def sops(tmp_path_factory: pytest.TempPathFactory) -> Sops:
    return Sops(tmp_path_factory.mktemp("sops"))


@pytest.mark.parametrize(("manifest", "scope"), [(SECRET, keys_named("data", "stringData")), (WIDGET, REGEX)])
def test_sops_decrypts_what_we_encrypted(sops: Sops, manifest: dict[str, Any], scope: Scope) -> None:
    assert sops.decrypted(encrypted(manifest, sops.recipient, scope=scope)) == manifest


@settings(max_examples=25, deadline=None)
@given(manifests.filter(fits))
def test_sops_decrypts_any_object_that_we_encrypted(sops: Sops, manifest: dict[str, Any]) -> None:
    manifest = {"kind": "Widget", "metadata": manifest, "spec": manifest}
    assert as_go(sops.decrypted(encrypted(manifest, sops.recipient, scope=REGEX))) == as_go(manifest)


@pytest.mark.parametrize(
    "rule", ["--encrypted-regex=^(data|stringData)$", "--unencrypted-suffix=name", "", "mac_only_encrypted"]
)
@pytest.mark.parametrize("manifest", [SECRET, PLAIN_WIDGET], ids=["secret", "widget"])
def test_we_decrypt_what_sops_encrypted(sops: Sops, manifest: dict[str, Any], rule: str) -> None:
    config = sops.file(f"creation_rules: [{{age: {sops.name}, mac_only_encrypted: true}}]\n".encode(), "config.yaml")
    flags = ["encrypt", "--age", sops.name, *filter(None, [rule])]
    if rule == "mac_only_encrypted":
        flags = ["--config", str(config), "encrypt"]
    text = sops.run(*flags, str(sops.file(emit(manifest))))

    assert "hunter2" not in text
    assert decrypted(text.encode(), sops.identities) == in_file_order(manifest)


def test_a_commented_file_of_a_person_is_decrypted(sops: Sops) -> None:
    text = "# mine\nkind: Secret\nmetadata:\n    name: x # inline\nstringData:\n    # why\n    a: b\n    n: text\n"
    written = sops.run("encrypt", "--age", sops.name, "--encrypted-regex=^stringData$", str(sops.file(text.encode())))

    assert decrypted(written.encode(), sops.identities)["stringData"] == {"a": "b", "n": "text"}


def test_sops_can_change_the_recipients_of_our_files(sops: Sops) -> None:
    second, name = key_file(sops.folder / "second.key")
    file = sops.file(encrypted(SECRET, sops.recipient))
    (sops.folder / ".sops.yaml").write_text(f"creation_rules: [{{age: '{sops.name},{name}'}}]\n")

    sops.run("updatekeys", "--yes", str(file))

    written = file.read_bytes()
    assert b"dr_syncer" not in written
    assert decrypted(written, sops.identities) == decrypted(written, age.load(str(second))) == SECRET
    assert sops.decrypted(written, key=second) == SECRET
    (sops.folder / ".sops.yaml").unlink()


def test_sops_can_rotate_the_data_key_of_our_files(sops: Sops) -> None:
    before = encrypted(SECRET, sops.recipient)
    file = sops.file(before)

    sops.run("rotate", "--in-place", str(file))

    after = read(file.read_bytes(), file="f")
    assert after["data"]["password"] != read(before, file="f")["data"]["password"]
    assert decrypted(file.read_bytes(), sops.identities) == SECRET


def test_sops_can_edit_our_files(sops: Sops) -> None:
    file = sops.file(encrypted(SECRET, sops.recipient))

    sops.run("set", str(file), '["stringData"]["url"]', '"https://new.example"')

    assert decrypted(file.read_bytes(), sops.identities)["stringData"]["url"] == "https://new.example"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen (Debian: openssh-client)")
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_are_recipients_as_in_sops(sops: Sops, tmp_path: Path, kind: str) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "me@here", "-f", key], check=True, timeout=60)
    recipient = age.recipient((tmp_path / "id.pub").read_text())
    assert "me@here" not in recipient.text

    ours = encrypted(SECRET, recipient, sops.recipient)

    assert decrypted(ours, age.load(str(key))) == SECRET
    assert sops.decrypted(ours) == SECRET
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(key)}
    command = [find("sops"), "decrypt", str(sops.file(ours))]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert read(result.stdout.encode(), file="sops") == SECRET, result.stderr
    theirs = sops.run("encrypt", "--age", recipient.text, str(sops.file(emit(SECRET))))
    assert decrypted(theirs.encode(), age.load(str(key))) == in_file_order(SECRET)


def test_what_sops_refuses_we_refuse(sops: Sops) -> None:
    """Where sops notices a changed byte, so do we. (We notice the others too: see the unit tests.)"""
    data = encrypted(SECRET, sops.recipient)
    for place in range(7, len(data), max(1, len(data) // 40)):
        flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        if sops.refuses(flipped):
            with pytest.raises(InvalidManifest):
                decrypted(flipped, sops.identities)


def test_a_file_without_the_seal_that_was_changed_is_refused_by_both(sops: Sops) -> None:
    data = re.sub(rb"(?m)^  dr_syncer: .*\n", b"", encrypted(SECRET, sops.recipient))
    for old, new in (
        (b"name: db", b"name: dc"),
        (b"tier: back", b"tier: none"),
        (b"immutable: true", b"immutable: false"),
    ):
        changed = data.replace(old, new)
        assert "MAC mismatch" in sops.run("decrypt", str(sops.file(changed)), fails=True)
        with pytest.raises(InvalidManifest, match="MAC mismatch"):
            decrypted(changed, sops.identities)


def test_only_the_recipients_can_decrypt(sops: Sops, tmp_path: Path) -> None:
    stranger, _ = key_file(tmp_path / "stranger.key")
    other = pyrage.x25519.Identity.generate()
    data = encrypted(SECRET, Recipient(str(other.to_public()), other.to_public()))

    sops.run("decrypt", str(sops.file(data)), key=stranger, fails=True)
    with pytest.raises(InvalidManifest):
        decrypted(data, age.load(str(stranger)))
