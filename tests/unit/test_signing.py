"""Commits that the exporter signs, as real git and the real ssh-keygen see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import GitError, UsageError
from drsyncer.recovery import sealing, ssh_key
from drsyncer.recovery.git import Clone
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.ssh_key import SigningKey, signed_with
from tests.unit.recovery_sandbox import NOON, Sandbox, commit, export, git
from tests.unit.signers import allowed, needs_ssh_keygen, signer

pytestmark = needs_ssh_keygen
BEAT = Heartbeat(NOON, "", True, "uid")


@pytest.fixture(params=["sha1", "sha256"])
def sandbox(request, tmp_path):
    made = Sandbox(tmp_path, object_format=request.param)
    made.signing_key = str(signer(tmp_path, "exporter@prod").file)
    return made


@pytest.fixture
def one(tmp_path):
    """The same with one kind of hash, for what has nothing to do with it."""
    made = Sandbox(tmp_path)
    made.signing_key = str(signer(tmp_path, "exporter@prod").file)
    return made


def signers(sandbox, *revisions, repository=None):
    """Return who git says signed each revision; raise for one that `git verify-commit` does not accept."""
    public = " ".join(Path(f"{sandbox.signing_key}.pub").read_text().split()[:2])
    file = allowed(sandbox.folder, f'exporter@prod namespaces="git" {public}\n', name="git_allowed")
    setting = ("-c", f"gpg.ssh.allowedSignersFile={file}")
    where = repository or sandbox.repository
    git(*setting, "verify-commit", *revisions, cwd=where)
    return git(*setting, "log", "--no-walk=unsorted", "--format=%GS", *revisions, cwd=where).splitlines()


def test_a_commit_is_signed_and_says_the_same_as_without(sandbox):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1", "b/c": "ä"}, message="subject\n\nbody ä\n")

    assert signers(sandbox, head) == ["exporter@prod"]
    assert sandbox.head() == head
    assert sandbox.paths() == ["a", "b/c"]
    assert git("show", "-s", "--format=%an|%ae|%at|%ct|%B", head, cwd=sandbox.repository).strip() == (
        "DR-Syncer|dr-syncer@localhost|1714564800|1714564800|subject\n\nbody ä"
    )
    sandbox.fsck()


def test_a_commit_made_again_on_a_new_head_is_signed_anew(sandbox):
    sandbox.somebody_commits({"README": "x"})
    with sandbox.open() as clone:
        first = commit(clone, {"a": "1"}, message="first")
        second = commit(clone, {"a": "2"}, message="second")
        theirs = sandbox.somebody_commits({"README": "y"}, message="theirs")

        result = clone.push(heartbeat=BEAT)

        assert result.replayed
        assert not {first, second} & set(result.pushed)
    assert sandbox.subjects() == ["by hand", "theirs", "first", "second"]
    assert signers(sandbox, *result.pushed) == ["exporter@prod"] * 2
    assert theirs not in result.pushed
    sandbox.fsck()


def test_the_heartbeat_is_signed(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
        clone.push(heartbeat=BEAT)
        assert clone.heartbeat().head == sandbox.head()
    assert signers(sandbox, "refs/dr-syncer/heartbeat") == ["exporter@prod"]
    sandbox.fsck()


def test_what_an_earlier_run_left_unsigned_is_signed_before_it_is_pushed(sandbox):
    key, sandbox.signing_key = sandbox.signing_key, ""
    with sandbox.open() as clone:
        export(clone, {"a": "0"}, message="published")
        published = sandbox.head()
        for number in (1, 2):
            commit(clone, {"a": str(number)}, message=f"waiting {number}")
    sandbox.signing_key = key
    with sandbox.open() as clone:
        third = commit(clone, {"a": "3"}, message="waiting 3")
        pushed = clone.push(heartbeat=None).pushed

    assert sandbox.subjects() == ["published", "waiting 1", "waiting 2", "waiting 3"]
    assert pushed[-1] == third
    assert signers(sandbox, *pushed) == ["exporter@prod"] * 3
    assert git("rev-parse", "main~3", cwd=sandbox.repository).strip() == published  # what was published stays


def test_after_a_change_of_keys_what_waits_is_signed_with_the_new_one(sandbox):
    with sandbox.open() as clone:
        commit(clone, {"a": "1"}, message="waiting")
    sandbox.signing_key = str(signer(sandbox.folder, "exporter@new").file)
    with sandbox.open() as clone:
        clone.push(heartbeat=None)
    assert signers(sandbox, "main") == ["exporter@prod"]  # the name that the helper gives to the current key


def test_a_repository_that_was_lost_gets_back_the_very_commits(one):
    with one.open() as clone:
        head = export(clone, {"a": "1"})
    one.signing_key = ""
    one.somebody_commits({"README": "x"})
    with one.open() as clone:
        clone.push(heartbeat=None)
        theirs = clone.base()
    git("update-ref", "-d", "refs/heads/main", cwd=one.repository)
    one.signing_key = str(signer(one.folder, "exporter@new").file)
    with one.open() as clone:
        clone.base()
        clone.push(heartbeat=None)
    assert one.head() == theirs
    assert git("rev-parse", "main~1", cwd=one.repository).strip() == head


def test_a_signed_commit_is_not_signed_again(one):
    with one.open() as clone:
        made = commit(clone, {"a": "1"})
        assert clone.base() == made
    with one.open() as clone:
        assert clone.base() == made
        assert clone.unpushed() == [made]


def test_a_run_that_changes_nothing_makes_no_commit(one):
    with one.open() as clone:
        export(clone, {"a": "1"})
        assert commit(clone, {"a": "1"}) is None


# The key


def no_key(sandbox, file):
    sandbox.signing_key = str(file)
    with sandbox.open() as clone:
        clone.check_signing()


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(one, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_ASKPASS", "/bin/echo")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    locked = signer(one.folder, "locked", passphrase="/bin/echo")
    with pytest.raises(UsageError, match=r"signing\.keyFile: .*key-locked is protected by a passphrase") as error:
        no_key(one, locked.file)
    assert "ssh-keygen -p" in error.value.hint


def test_an_agent_is_not_asked(one, monkeypatch):
    locked = signer(one.folder, "locked", passphrase="secret")
    socket = one.folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert agent.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        git("--version", cwd=one.folder)
        adding = {
            "SSH_AUTH_SOCK": str(socket),
            "SSH_ASKPASS_REQUIRE": "force",
            "SSH_ASKPASS": "./askpass",
            "PATH": "/usr/bin:/bin",
        }
        askpass = one.folder / "askpass"
        askpass.write_text("#!/bin/sh\necho secret\n")
        askpass.chmod(0o755)
        subprocess.run(["ssh-add", "-q", str(locked.file)], check=True, env=adding, cwd=one.folder)
        with pytest.raises(UsageError, match="passphrase"):
            no_key(one, locked.file)
    finally:
        agent.terminate()
        agent.wait()


def test_ssh_keygen_finds_no_agent_and_nobody_to_ask():
    found = ssh_key.environment({"SSH_AUTH_SOCK": "/s", "SSH_ASKPASS": "/a", "DISPLAY": ":0", "PATH": "/bin"})
    assert found == {"PATH": "/bin", "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_a_key_that_others_can_open_is_refused(one, mode):
    file = signer(one.folder, "open").file
    file.chmod(mode)
    with pytest.raises(UsageError, match=rf"can be read or changed by others \(mode {mode:04o}\)") as error:
        no_key(one, file)
    assert "chmod 600" in error.value.hint


def test_a_missing_key_is_told(one):
    with pytest.raises(UsageError, match=r"nokey can't be read: No such file or directory"):
        no_key(one, one.folder / "nokey")


def test_a_public_key_is_no_key_to_sign_with(one):
    file = signer(one.folder, "pair").file.with_name("key-pair.pub")
    file.chmod(0o600)
    with pytest.raises(UsageError, match="is a public key"):
        no_key(one, file)


@pytest.mark.parametrize("content", ["", "nonsense\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_something_else_than_a_key_is_told(one, content):
    file = one.folder / "nonsense"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(UsageError, match="is no private key that ssh-keygen can read: Load key"):
        no_key(one, file)


def test_a_link_to_a_key_is_a_key(one):
    """As Kubernetes mounts a Secret."""
    link = one.folder / "link"
    link.symlink_to(one.signing_key)
    no_key(one, link)


def test_without_ssh_keygen_the_message_says_so(one, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GitError, match="ssh-keygen can't be run") as error:
        SigningKey(one.signing_key).sign(b"x")
    assert "OpenSSH" in error.value.hint


def test_an_ssh_keygen_that_hangs_is_given_up(one, monkeypatch, tmp_path):
    fake = tmp_path / "bin" / "ssh-keygen"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    monkeypatch.setattr(ssh_key, "_PATIENCE", 0.3)
    with pytest.raises(GitError, match=r"no answer within 0\.3 s"):
        SigningKey(one.signing_key).sign(b"x")


def test_a_key_that_nobody_needs_is_not_looked_at(tmp_path):
    """The DR side may have the exporter's section in its file, and not its key."""
    sandbox = Sandbox(tmp_path)
    head = sandbox.somebody_commits({"a": "1"})
    sandbox.signing_key = "/nowhere/key"
    with Clone.open(sandbox.remote()) as clone:
        clone.fetch()
        assert clone.base() == head


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys_sign_too(one, kind):
    key = signer(one.folder, kind, kind=kind)
    one.signing_key = str(key.file)
    with one.open() as clone:
        head = export(clone, {"a": "1"})
    assert signers(one, head) == ["exporter@prod"]


# The text of a commit

HEADER = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000"


class Always:
    """A key whose signature is known beforehand."""

    public = b"key"

    def sign(self, payload):
        return b"-----BEGIN SSH SIGNATURE-----\nabc\n\ndef\n-----END SSH SIGNATURE-----"


@given(message=st.binary(), object_format=st.sampled_from(["sha1", "sha256"]))
def test_taking_the_signature_off_gives_the_commit_back(message, object_format):
    content = HEADER + b"\n\n" + message
    signed = sealing.signed(content, key=Always(), object_format=object_format)
    assert sealing.split(signed) == (content, Always().sign(b""))
    assert sealing.split(content) == (content, b"")
    assert sealing.signed(signed, key=Always(), object_format=object_format) == signed


@given(st.binary())
def test_whatever_is_no_ssh_signature_names_no_key(junk):
    assert signed_with(junk) == b""


def test_a_signature_names_its_key(one):
    key = SigningKey(one.signing_key)
    assert signed_with(key.sign(b"payload")) == key.public
