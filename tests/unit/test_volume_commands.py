"""What restic is called with, and with which environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from volumes import commands, credentials
from volumes.credentials import CredentialsInvalid
from volumes.task import Access, BackupTask, Volume

ACCESS = Access(repository="rest:https://user:hidden@backup.example.com/dr")
VOLUME = Volume(host="prod", namespace="shop", name="uploads")
TASK = BackupTask(access=ACCESS, volume=VOLUME, run="r-1", read_concurrency=3)
ID = "ab" * 32
ROOT = Path("/data")

COMMANDS = [
    (
        commands.backup(TASK, root=ROOT, parent=ID),
        "backup . --json --host prod --tag pvc=shop/uploads --tag run=r-1 --exclude /data/lost+found --retry-lock 900s "
        f"--read-concurrency 3 --parent {ID} --skip-if-unchanged",
    ),
    (
        commands.backup(TASK, root=ROOT, gate=Path("/tmp/gate")),
        "backup . --json --host prod --tag pvc=shop/uploads --tag run=r-1 --exclude /data/lost+found "
        "--exclude-file /tmp/gate --retry-lock 900s --read-concurrency 3 --force",
    ),
    (
        commands.backup(TASK, root=ROOT),
        "backup . --json --host prod --tag pvc=shop/uploads --tag run=r-1 --exclude /data/lost+found --retry-lock 900s "
        "--read-concurrency 3 --force",
    ),
    (
        commands.backup_manifest(TASK, snapshot=ID, state="Complete"),
        "backup --stdin --stdin-filename manifest.jsonl --json --host prod --tag pvc=shop/uploads --tag run=r-1 "
        f"--tag manifest-of={ID} --tag state=Complete --tag content=full --retry-lock 900s --force",
    ),
    (
        commands.restore(ID, target=ROOT),
        f"restore {ID} --target /data --json --no-lock --overwrite if-changed --delete --exclude /lost+found --sparse",
    ),
    (
        commands.restore(ID, target=ROOT, verify=True),
        f"restore {ID} --target /data --json --no-lock --overwrite always --verify --delete --exclude /lost+found "
        "--sparse",
    ),
    (
        commands.restore(ID, target=ROOT, path="a/b[1]*", delete=False),
        f"restore {ID} --target /data --json --no-lock --overwrite if-changed --include /a/b\\[1\\]\\* --sparse",
    ),
    (
        commands.backup_nothing(TASK),
        "backup --stdin --stdin-filename .dr-syncer-empty --json --host prod --tag pvc=shop/uploads --tag run=r-1 "
        "--retry-lock 900s --force",
    ),
    (
        commands.restore(ID, target=ROOT, path="a"),
        f"restore {ID} --target /data --json --no-lock --overwrite if-changed --delete --include /a --sparse",
    ),
    (commands.snapshots(ID), f"snapshots --json --no-lock {ID}"),
    (
        commands.snapshots(tags=("pvc=shop/uploads", "run=r-1"), host="prod"),
        "snapshots --json --no-lock --tag pvc=shop/uploads,run=r-1 --host prod",
    ),
    (commands.configuration(), "cat config --json --no-lock"),
    (commands.version(), "version --json"),
    (commands.init(), "init --json"),
    (commands.tree(ID, "a/b"), f"ls --json --no-lock {ID} /a/b"),
    (commands.size(ID), f"stats --json --no-lock --mode restore-size {ID}"),
    (commands.size(ID, mode="blobs-per-file"), f"stats --json --no-lock --mode blobs-per-file {ID}"),
    (commands.dump(ID), f"dump --no-lock {ID} /manifest.jsonl"),
    (commands.check(ACCESS, subset="5%"), "check --json --read-data-subset 5% --retry-lock 900s"),
    (commands.check(ACCESS), "check --json --retry-lock 900s"),
    (commands.forget(ACCESS, [ID]), f"forget --json --retry-lock 900s {ID}"),
    (commands.prune(ACCESS), "prune --retry-lock 900s"),
    (commands.locks(), "list locks --no-lock"),
    (commands.lock(ID), f"cat lock {ID} --no-lock"),
    (commands.unlock(), "unlock"),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS, ids=[words[:24] for _, words in COMMANDS])
def test_a_command_has_these_words(command: commands.Command, words: str) -> None:
    assert " ".join(command) == words


def test_a_folder_with_a_star_in_its_name_excludes_nothing_else() -> None:
    words = commands.backup(TASK, root=Path("/srv/[a]*"))

    assert words[words.index("--exclude") + 1] == r"/srv/\[a\]\*/lost+found"


def test_a_lock_is_not_waited_for_where_nobody_wants_to_wait() -> None:
    task = BackupTask(access=Access(repository="/srv/r", retry_lock=0.0), volume=VOLUME, run="r")

    assert "--retry-lock" not in commands.backup(task, root=ROOT)


def test_the_repository_is_in_no_command_line() -> None:
    assert not any("example.com" in word for command, _ in COMMANDS for word in command)
    assert not any("example.com" in word for word in commands.surroundings(ACCESS))


def test_what_comes_before_a_command() -> None:
    access = Access(
        repository="s3:https://s3.example.com/dr",
        options={"s3.bucket-lookup": "path"},
        compression="max",
        upload_limit=1000,
        download_limit=2000,
    )

    assert " ".join(commands.surroundings(access, ca_file="/ca", ssh="-F none", cache="/tmp/c")) == (
        "--compression max --cache-dir /tmp/c --cacert /ca --limit-upload 1000 --limit-download 2000 "
        "-o s3.bucket-lookup=path"
    )
    assert commands.surroundings(Access(repository="/srv/r")) == ("--compression", "auto", "--no-cache")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["sftp.args=-F none"]),
        ({"sftp.args": "-v"}, ["sftp.args=-F none -v"]),
        ({"sftp.command": "ssh backup -s sftp"}, ["sftp.command=ssh backup -s sftp"]),
    ],
)
def test_ssh_is_told_what_we_want_unless_somebody_has_a_command_of_his_own(
    options: dict[str, str], expected: list[str]
) -> None:
    words = commands.surroundings(Access(repository="sftp:backup:/srv", options=options), ssh="-F none")

    assert [word for word in words if word.startswith("sftp.")] == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("correct horse\n")
    return tmp_path


def test_restic_gets_an_environment_of_its_own(folder: Path) -> None:
    (folder / "environment.AWS_ACCESS_KEY_ID").write_text("AKIA1234\n")
    (folder / "environment.GOOGLE_APPLICATION_CREDENTIALS").write_text('{"private_key": "-----BEGIN"}')
    outside = {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy:3128",
        "AWS_SECRET_ACCESS_KEY": "somebody's",
        "RESTIC_PASSWORD": "another",
        "HOME": "/root",
    }

    found = credentials.environment(
        credentials.of_folder(folder), repository="s3:host/dr", scratch=Path("/tmp/x"), inherited=outside
    )

    assert found == {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy:3128",
        "AWS_ACCESS_KEY_ID": "AKIA1234",
        # What names a file names the very file that we were given.
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "environment.GOOGLE_APPLICATION_CREDENTIALS"),
        "RESTIC_REPOSITORY": "s3:host/dr",
        "RESTIC_PASSWORD_FILE": str(folder / "password"),
        "RESTIC_PROGRESS_FPS": "5",
        "TMPDIR": "/tmp/x",
        "HOME": "/tmp/x",
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("password", " \n", "is empty"),
        ("password", None, "No such file"),
        ("environment.RESTIC_PASSWORD", "x", "set by DR-Syncer itself"),
        ("environment.RESTIC_REPOSITORY_FILE", "x", "set by DR-Syncer itself"),
        ("environment.not-a-name", "x", "no name of an environment variable"),
    ],
)
def test_credentials_that_cannot_work_are_refused(folder: Path, name: str, content: str | None, message: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)

    with pytest.raises(CredentialsInvalid, match=message):
        credentials.of_folder(folder)


@pytest.mark.parametrize(
    "text",
    [
        "Fatal: correct horse does not fit",
        'Head "https://u:correct%20horse@backup/"',
        "https://somebody:else@host/",
        "key AKIA1234SECRET refused",
        "line two of the key: b3BlbnNzaC1rZXktdjEAAAAA",
        r"quoted \"word\"",
    ],
)
def test_no_text_shows_a_secret(folder: Path, text: str) -> None:
    (folder / "environment.AWS_SECRET_ACCESS_KEY").write_text("AKIA1234SECRET\n")
    (folder / "environment.B2_ACCOUNT_KEY").write_text('quoted "word"')
    (folder / "ssh-key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END\n")

    masked = credentials.of_folder(folder).masked(text)

    assert "***" in masked
    for secret in ("horse", "AKIA1234SECRET", "else", "b3Blbn", "word"):
        assert secret not in masked


def test_short_settings_are_no_secrets(folder: Path) -> None:
    (folder / "environment.S3_STYLE").write_text("1")

    assert credentials.of_folder(folder).masked("1 file, 11 bytes") == "1 file, 11 bytes"


def test_credentials_do_not_show_themselves(folder: Path) -> None:
    assert "horse" not in repr(credentials.of_folder(folder))
