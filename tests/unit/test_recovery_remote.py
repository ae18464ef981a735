"""Where the repository is, what git may see, what its errors mean, and that no secret shows."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import AuthenticationFailed, ExitCode, GitError, RemoteUnreachable, UsageError
from drsyncer.recovery import credentials
from drsyncer.recovery.failure import CloneDamaged, failure, remote_words, tidy
from drsyncer.recovery.fast_import import quoted, signature
from drsyncer.recovery.process import command, foreign_variables
from drsyncer.recovery.remote import Remote, environment, inside, masked, may_be_ref
from tests.unit.recovery_sandbox import NOON

HTTPS = "https://git.example.com:8443/dr/recovery.git"


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (
            "fatal: Authentication failed for 'https://u:p@git.example.com/dr.git/'",
            AuthenticationFailed,
            "Authentication failed for 'https://***@git.example.com/dr.git/'",
        ),
        (
            "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://u:p@git.example.com/dr.git/'\n",
            AuthenticationFailed,
            "Access denied",
        ),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", AuthenticationFailed, "Username"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 403", AuthenticationFailed, "403"),
        ("remote: Permission to dr/x.git denied to bot.\nfatal: unable", AuthenticationFailed, "denied to bot"),
        (
            "fatal: credentials: /secret/token: No such file or directory\n"
            "fatal: credential helper '!...' told us to quit",
            AuthenticationFailed,
            "/secret/token: No such file",
        ),
        (
            "No ED25519 host key is known for [h]:22 and you have requested strict checking.\r\n"
            "Host key verification failed.\r\nfatal: Could not read from remote repository.\n\n"
            "Please make sure you have the correct access rights\nand the repository exists.",
            AuthenticationFailed,
            "host key is known",
        ),
        (
            "@@@@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@@\n"
            "Host key verification failed.\nfatal: Could not read from remote repository.",
            AuthenticationFailed,
            "",
        ),
        (
            "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            AuthenticationFailed,
            "Permission denied (publickey)",
        ),
        ('Load key "/k": bad permissions\nPermission denied (publickey).', AuthenticationFailed, "bad permissions"),
        (
            "ssh: Could not resolve hostname h: Name or service not known\nfatal: Could not read from remote.",
            RemoteUnreachable,
            "Could not resolve hostname h",
        ),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", RemoteUnreachable, "resolve host"),
        ("fatal: unable to access 'https://h/': Failed to connect to h port 443 after 0 ms: Couldn't connect to server",
         RemoteUnreachable, "Failed to connect"),
        ("ssh: connect to host h port 22: Connection refused", RemoteUnreachable, "Connection refused"),
        ("ssh: connect to host h port 22: Connection timed out", RemoteUnreachable, "timed out"),
        ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.",
         RemoteUnreachable, "'/x' does not appear"),
        ("remote: Repository not found.\nfatal: repository 'https://h/x/' not found", RemoteUnreachable, "not found"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 503", RemoteUnreachable, "503"),
        ("fatal: unable to access 'https://h/': SSL certificate problem: unable to get local issuer certificate",
         RemoteUnreachable, "SSL certificate problem"),
        ("error: RPC failed; curl 28 Operation too slow.\nfatal: early EOF", RemoteUnreachable, ""),
        ("fatal: detected dubious ownership in repository at '/x'", RemoteUnreachable, "dubious"),
        ("error: file write error: No space left on device\nfatal: early EOF", GitError, "No space"),
        ("remote: fatal: write error: No space left on device\nfatal: the remote end hung up", GitError, "No space"),
        ("error: object file objects/ab/cd is empty\nfatal: loose object abcd is corrupt", CloneDamaged, "is empty"),
        ("fatal: bad object refs/remotes/origin/main\nerror: /x did not send all", CloneDamaged, "bad object"),
        ("fatal: mismatched algorithms: client sha1; server sha256", CloneDamaged, "mismatched"),
        ("fatal: the receiving end does not support this repository's hash algorithm", CloneDamaged, "hash"),
        ("remote: error: object file objects/ab/cd is empty\nfatal: the remote end hung up", RemoteUnreachable, ""),
        ("fatal: transport 'ext' not allowed", GitError, "not allowed"),
        ("fatal: something quite new", GitError, "something quite new"),
        ("", GitError, "without a word"),
    ],
)  # fmt: skip
def test_every_kind_of_failure_has_its_error(text, kind, sentence):
    error = failure(text, doing="fetch from ssh://git@h/dr.git", local=False)

    assert type(error) is kind
    assert str(error).startswith("recovery.git: fetch from ssh://git@h/dr.git: ")
    assert sentence in str(error)
    assert "\n" not in str(error)
    assert error.hint or kind in (GitError, CloneDamaged)


def test_a_local_failure_never_blames_the_remote():
    assert type(failure("fatal: not a git repository: '/c'", doing="log", local=True)) is CloneDamaged
    assert type(failure("error: unable to write: No space left on device", doing="log", local=True)) is GitError
    assert type(failure("fatal: path not found", doing="log", local=True)) is GitError


def test_progress_is_no_message_and_terminals_are_safe():
    text = (
        "remote: Enumerating objects: 5, done.\rremote: Counting objects:  20% (1/5)\r\x1b[Kremote: Total 5 (delta 0)\n"
        "remote: \x1b]0;evil\x07frozen until \u202emonday\x1b[K\nWriting objects: 100% (3/3), 240 bytes, done.\n"
    )
    assert tidy(text) == ["remote: ?]0;evil?frozen until ?monday"]
    assert remote_words(text) == "?]0;evil?frozen until ?monday"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ssh://git@git.example.com/dr.git", "ssh://git@git.example.com/dr.git"),
        ("git@git.example.com:dr/recovery.git", "git@git.example.com:dr/recovery.git"),
        (HTTPS, HTTPS),
        ("https://token@git.example.com/x", "https://***@git.example.com/x"),
        ("file:///srv/dr.git", "file:///srv/dr.git"),
        ("/srv/dr.git", "/srv/dr.git"),
    ],
)
def test_people_see_urls_without_secrets(url, shown):
    remote = Remote(url)
    assert remote.location == url
    assert remote.shown == shown
    assert "token" not in remote.folder
    assert "/" not in remote.folder
    assert len(remote.folder) < 80


def test_every_user_part_is_masked():
    assert masked("a https://u:p@h/x ssh://git@h ssh://git:pw@h https://a@b@c/ end") == (
        "a https://***@h/x ssh://git@h ssh://***@h https://***@c/ end"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", ""),
        ("url", "https://user:secret@git.example.com/x"),
        ("url", "ext::sh -c whoami"),
        ("url", "http://git.example.com/x"),
        ("url", "git://git.example.com/x"),
        ("url", "ssh://h/x\n[core]"),
        ("url", "https://[bad/x"),
        ("branch", ""),
        ("branch", "-f"),
        ("branch", "a..b"),
        ("branch", "a b"),
        ("branch", "x:refs/heads/y"),
        ("branch", "main.lock"),
        ("path", "/abs"),
        ("path", "a//b"),
        ("path", "../up"),
        ("path", "a/"),
    ],
)
def test_what_cannot_work_or_would_leak_is_refused(field, value):
    with pytest.raises(UsageError, match=f"repository.{field}") as error:
        Remote(**{"url": "/x", field: value})
    assert error.value.exit_code is ExitCode.USAGE
    assert "secret" not in str(error.value) + error.value.hint


@given(st.text(alphabet="ab/.@{}~^:?*[\\ -\x7f", min_size=1, max_size=8))
def test_a_refs_name_is_judged_as_git_does(name):
    known = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, cwd="/").returncode == 0
    # `@` and `@{-1}` are no names but expressions, which `--branch` expands.
    assert may_be_ref(name) == (known and name != "@" and "@{" not in name)


def test_a_path_stays_inside():
    assert inside("a/b.yaml", "") == "a/b.yaml"
    assert inside("a/b.yaml", "eu/prod") == "eu/prod/a/b.yaml"
    for path in ("../a", "/a", "a//b", "", ".", "a/.git/b", "a\0"):
        with pytest.raises(UsageError):
            inside(path, "prod")


def test_no_secret_and_no_prompt_is_in_gits_surroundings(tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    remote = Remote(
        HTTPS, token_file=str(token), ca_file="/ca.pem", ssh_key_file="/my keys/100%", known_hosts_file="/k"
    )

    found = environment(remote)

    assert "s3cret" not in repr(found)
    keys = [found[f"GIT_CONFIG_KEY_{index}"] for index in range(int(found["GIT_CONFIG_COUNT"]))]
    values = [found[f"GIT_CONFIG_VALUE_{index}"] for index in range(int(found["GIT_CONFIG_COUNT"]))]
    settings = dict(zip(keys, values, strict=True))
    assert settings["http.sslCAInfo"] == "/ca.pem"
    assert settings["protocol.allow"] == "never"
    assert settings["core.hooksPath"] == os.devnull
    assert found["GIT_TERMINAL_PROMPT"] == "0"
    ssh = found["GIT_SSH_COMMAND"]
    assert "-o StrictHostKeyChecking=yes" in ssh
    assert "-o BatchMode=yes" in ssh
    assert """-o 'IdentityFile="/my keys/100%%"'""" in ssh
    assert "-o IdentitiesOnly=yes" in ssh
    assert """-o 'UserKnownHostsFile="/k"'""" in ssh


def test_variables_of_the_caller_are_taken_away_from_git():
    ours = {"GIT_ASKPASS": ""}
    environ = {"GIT_DIR": "/x", "GIT_SSL_NO_VERIFY": "1", "GIT_ASKPASS": "/y", "GIT_EXEC_PATH": "/z", "HOME": "/h"}
    taken = foreign_variables(environ, ours)
    assert taken == ("GIT_DIR", "GIT_SSL_NO_VERIFY")
    assert command(("log",), folder=Path("/c"), foreign=taken)[:6] == [
        "env", "-u", "GIT_DIR", "-u", "GIT_SSL_NO_VERIFY", "git",
    ]  # fmt: skip
    assert command(("log",), folder=Path("/c"), foreign=()) == ["git", "--git-dir=/c", "--literal-pathspecs", "log"]


@given(st.binary(min_size=1).filter(lambda path: b"\0" not in path))
def test_a_quoted_path_holds_no_line_end_and_no_loose_quote(path):
    text = quoted(path)[1:-1].decode("ascii")
    assert text.isprintable()
    assert text.encode().decode("unicode_escape").encode("latin-1") == path
    assert '"' not in text


def test_an_author_cannot_forge_a_commits_header():
    assert signature("A <x>\nparent 0", "a@b>\n", NOON) == b"A xparent 0 <a@b> 1714564800 +0000"
    assert signature("<>", "", NOON) == b"unknown <> 1714564800 +0000"


REQUEST = {"protocol": "https", "host": "git.example.com:8443"}


class TestCredentials:
    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "user").write_text("robot\n")
        (tmp_path / "token").write_text("s3cret\n")
        return tmp_path

    @pytest.fixture
    def environ(self, files):
        return {
            "DR_SYNCER_CREDENTIALS_HOST": "git.example.com:8443",
            "DR_SYNCER_CREDENTIALS_USERNAME_FILE": str(files / "user"),
            "DR_SYNCER_CREDENTIALS_TOKEN_FILE": str(files / "token"),
        }

    def test_a_rotated_token_is_used_at_once(self, files, environ):
        assert credentials.answer(REQUEST, environ) == {"username": "robot", "password": "s3cret"}
        (files / "token").write_text("newer")
        assert credentials.answer(REQUEST, environ)["password"] == "newer"

    def test_without_a_user_name_any_will_do(self, environ):
        environ["DR_SYNCER_CREDENTIALS_USERNAME_FILE"] = ""
        assert credentials.answer(REQUEST, environ)["username"] == "x-access-token"
        assert credentials.answer(REQUEST | {"username": "me"}, environ)["username"] == "me"

    @pytest.mark.parametrize(
        "other",
        [{"host": "evil.example.com"}, {"host": "git.example.com"}, {"protocol": "http"}, {"host": ""}],
    )
    def test_no_other_host_gets_the_token(self, environ, other):
        assert credentials.answer(REQUEST | other, environ) == {}

    @pytest.mark.parametrize("content", ["", "\n", "two\nlines", "a\0b", "x\nhost=evil"])
    def test_what_is_no_token_is_not_sent(self, files, environ, content):
        (files / "token").write_text(content)
        with pytest.raises(ValueError, match="one line"):
            credentials.answer(REQUEST, environ)

    def test_an_unreadable_token_ends_it(self, files, environ, monkeypatch):
        (files / "token").unlink()
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        out, err = io.StringIO(), io.StringIO()
        request = io.StringIO("protocol=https\nhost=git.example.com:8443\n\n")
        assert credentials.main(["x", "get"], request, out, err) == 0
        assert out.getvalue() == "quit=1\n"
        assert str(files / "token") in err.getvalue()
        assert credentials.main(["x", "erase"], io.StringIO("password=x\n"), out, err) == 0

    def test_git_itself_gets_it_from_the_helper(self, files, tmp_path):
        remote = Remote(HTTPS.replace("https://", "https://robot@"), username_file="", token_file=str(files / "token"))
        variables = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | environment(remote)
        filled = subprocess.run(
            ["git", "credential", "fill"],
            input=f"url={remote.location}\n\n",
            env=variables,
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=True,
        ).stdout
        assert filled.splitlines() == [
            "protocol=https", "host=git.example.com:8443", "username=robot", "password=s3cret",
        ]  # fmt: skip
        assert sys.executable in repr(variables)
