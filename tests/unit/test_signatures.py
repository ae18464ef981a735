"""Whose signatures count: git's own verdicts, over real keys and real commits."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest

from drsyncer.errors import GitError, UsageError
from drsyncer.recovery import mending, signatures
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.sealing import split
from drsyncer.recovery.signatures import Verdict
from tests.unit.recovery_sandbox import NOON, Sandbox, commit, export, git
from tests.unit.signers import allowed, needs_ssh_keygen, signer

pytestmark = needs_ssh_keygen


@pytest.fixture(params=["sha1", "sha256"])
def sandbox(request, tmp_path):
    made = Sandbox(tmp_path, object_format=request.param)
    exporter = signer(tmp_path, "exporter@prod")
    made.signing_key = str(exporter.file)
    made.allowed_signers = str(allowed(tmp_path, exporter.line()))
    return made


def judged(sandbox, revision="main"):
    with sandbox.open() as clone:
        found = clone.resolve(revision)
        return clone.signatures([found])[found]


def rewritten(sandbox, change):
    """Put a commit whose text is that of main, changed, in main's place."""
    content = git("cat-file", "commit", "main", cwd=sandbox.repository).encode()
    made = git("hash-object", "-t", "commit", "-w", "--stdin", cwd=sandbox.repository, stdin=change(content)).strip()
    git("update-ref", "refs/heads/main", made, cwd=sandbox.repository)


def test_a_signed_commit_names_its_signer(sandbox):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1"})
    found = judged(sandbox)
    assert (found.commit, found.verdict, found.signer) == (head, Verdict.GOOD, "exporter@prod")
    assert str(found).startswith("is signed by exporter@prod (SHA256:")


def test_an_unsigned_commit_is_told(sandbox):
    sandbox.somebody_commits({"a": "1"})
    assert str(judged(sandbox)) == "is not signed"


def test_a_strangers_signature_does_not_count(sandbox):
    sandbox.signing_key = str(signer(sandbox.folder, "stranger").file)
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    found = judged(sandbox)
    assert found.verdict is Verdict.STRANGE
    assert "which repository.verify.allowedSignersFile does not allow" in str(found)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('namespaces="git",valid-before="20240101"', "key has expired"),
        ('namespaces="git",valid-after="20250101"', "key is not yet valid"),
        ('namespaces="file"', 'not permitted for use in signature namespace "git"'),
    ],
)
def test_a_key_counts_only_when_and_for_what_it_may(sandbox, options, why):
    key = signer(sandbox.folder, "limited")
    sandbox.signing_key, sandbox.allowed_signers = str(key.file), str(allowed(sandbox.folder, key.line(options)))
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    found = judged(sandbox)
    assert not found.good
    assert why in str(found)
    assert "line 3" in str(found)


def test_a_key_that_has_ended_still_counts_for_what_it_signed_before(sandbox):
    key = signer(sandbox.folder, "ended")
    sandbox.signing_key = str(key.file)
    sandbox.allowed_signers = str(allowed(sandbox.folder, key.line('valid-before="20240601",valid-after="20240401"')))
    with sandbox.open() as clone:
        commit(clone, {"a": "1"}, when=NOON)
        clone.push(heartbeat=None)
    assert judged(sandbox).good
    with sandbox.open() as clone:
        commit(clone, {"a": "2"}, when=datetime(2024, 7, 1, tzinfo=UTC))
        clone.push(heartbeat=None)
    assert judged(sandbox).verdict is Verdict.STRANGE


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b"one line more\n",
        lambda content: content.replace(b"author DR-Syncer", b"author dr-syncer"),
        lambda content: content.replace(b"1714564800", b"1714564801"),
        lambda content: content.replace(b"SSH SIGNATURE", b"PGP SIGNATURE"),
        lambda content: content.replace(b"SSH SIGNATURE", b"PGP MESSAGE"),
        lambda content: content.replace(b"SSH SIGNATURE", b"SIGNED MESSAGE"),
        lambda content: content.replace(b"\n U1NIU0lH", b"\n AAAAAAAA"),
    ],
)
def test_a_changed_commit_is_not_signed_any_more(sandbox, change):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    rewritten(sandbox, change)
    assert judged(sandbox).verdict in (Verdict.BAD, Verdict.UNSIGNED)


def test_a_signature_that_is_none_condemns_its_own_commit_and_no_other(sandbox):
    with sandbox.open() as clone:
        good = export(clone, {"a": "1"})
    # More than a pipe holds: git dies of writing it to an ssh-keygen that has seen enough of the signature.
    more = b"one line more\n" * 100_000
    rewritten(sandbox, lambda content: content.replace(b"\n U1NIU0lH", b"\n AAAAAAAA") + more)
    with sandbox.open() as clone:
        clone.fetch()
        bad = clone.resolve("main")
        found = clone.signatures([bad, good])
    assert found[bad].verdict is Verdict.BAD
    assert "bears no valid signature" in str(found[bad])
    assert found[good].good


def test_no_byte_of_a_signed_commit_can_be_changed(tmp_path):
    made = Sandbox(tmp_path)
    key = signer(tmp_path, "exporter@prod")
    made.signing_key, made.allowed_signers = str(key.file), str(allowed(tmp_path, key.line()))
    with made.open() as clone:
        export(clone, {"a": "1"})
    content = git("cat-file", "commit", "main", cwd=made.repository).encode()
    payload, _ = split(content)
    for place in range(0, len(payload), 7):
        flipped = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        command = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", key.name, "-f", made.allowed_signers]
        signature = tmp_path / "signature"
        signature.write_bytes(split(content)[1])
        done = subprocess.run([*command, "-s", str(signature)], input=flipped, capture_output=True)
        assert done.returncode != 0


def test_what_gpg_on_this_machine_trusts_does_not_count(sandbox, monkeypatch, tmp_path):
    """A gpg that would say yes to anything is not even asked."""
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    rewritten(sandbox, lambda content: content.replace(b"SSH SIGNATURE", b"PGP SIGNATURE"))
    for name in ("gpg", "gpgsm", "gpg2"):
        fake = tmp_path / "bin" / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(
            "#!/bin/sh\ntouch $0.asked\necho '[GNUPG:] NEWSIG'; echo '[GNUPG:] GOODSIG 1234567890ABCDEF x'\n"
            "echo '[GNUPG:] VALIDSIG 1234567890ABCDEF1234567890ABCDEF12345678 2024'; echo '[GNUPG:] TRUST_ULTIMATE'\n"
        )
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert not judged(sandbox).good
    assert not list((tmp_path / "bin").glob("*.asked"))


# The means


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read: No such file or directory"),
        ("", "names nobody"),
        ("# only a comment\n\n", "names nobody"),
        ("exporter@prod\n", r":1: expected names, options and a public key"),
        ("# x\nexporter@prod ssh-ed25519\n", r":2: expected names, options and a public key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n", r":1: expected names"),
    ],
)
def test_nothing_counts_by_a_file_that_cannot_be_used(sandbox, content, message):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    file = sandbox.folder / "broken"
    sandbox.allowed_signers = str(file)
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=rf"allowedSignersFile: .*broken.*{message}"):
        judged(sandbox)


def test_a_folder_is_no_file_of_signers(sandbox):
    sandbox.somebody_commits({"a": "1"})
    sandbox.allowed_signers = str(sandbox.folder)
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        judged(sandbox)


def test_without_ssh_keygen_nothing_counts(sandbox, monkeypatch):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1"})
        monkeypatch.setattr(signatures.shutil, "which", lambda *_, **__: None)
        with pytest.raises(GitError, match="ssh-keygen can't be run"):
            clone.signatures([head])


def test_an_old_git_cannot_verify(sandbox, monkeypatch):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1"})
        monkeypatch.setattr(signatures, "_OLDEST_GIT", (99, 1))
        with pytest.raises(GitError, match=r"must be 99\.1 or later to verify SSH signatures"):
            clone.signatures([head])
    assert mending._OLDEST_GIT == (2, 32)


def test_a_commit_that_is_not_here_has_no_verdict(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
        with pytest.raises(GitError):
            clone.signatures(["1" * len(sandbox.head())])


def test_principals_may_be_patterns_and_several(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    command = ["ssh-keygen", "-y", "-f", sandbox.signing_key]
    public = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    sandbox.allowed_signers = str(allowed(sandbox.folder, f"*@prod,backup@prod {public} a comment\n"))
    assert judged(sandbox).good


def test_a_relative_path_means_here(sandbox, monkeypatch):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    monkeypatch.chdir(sandbox.folder)
    sandbox.allowed_signers = "allowed_signers"
    assert judged(sandbox).good


# The heartbeat


def test_a_heartbeat_that_nobody_signed_is_not_believed(sandbox):
    beat = Heartbeat(NOON, "", True, "uid")
    key, sandbox.signing_key = sandbox.signing_key, ""
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
        clone.push(heartbeat=beat)
        assert clone.heartbeat() is None
        assert "heartbeat is not believed" in clone.notices[0]
        assert "is not signed" in clone.notices[0]
    sandbox.signing_key = key
    with sandbox.open() as clone:
        clone.push(heartbeat=beat)
        assert clone.heartbeat().time == NOON
        assert clone.notices == []
