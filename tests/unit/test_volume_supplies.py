"""What movers are given of the configuration, and what no mover could work with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drsyncer.config.volumes import ResticAuth, Volumes
from drsyncer.errors import UsageError
from volumes.supplies import check, files_of, restic_of


def volumes(repository: str, *, image: str = "example.com/dr-syncer:1") -> Volumes:
    return Volumes.model_validate({"restic": {"repository": repository}, "mover": {"image": image}})


@pytest.mark.parametrize(
    "repository", ["s3:https://s3.example.com/x", "rest:http://x/", "sftp:me@host:/srv", "b2:bucket:x", "rclone:x:y"]
)
def test_a_backend_that_pods_can_reach_is_taken(repository: str) -> None:
    check(volumes(repository))


@pytest.mark.parametrize("repository", ["/srv/restic", "./restic", "restic", "~/restic", "local:/srv/restic"])
def test_a_path_is_refused_with_the_way_out(repository: str) -> None:
    with pytest.raises(UsageError, match="is a path") as refusal:
        check(volumes(repository))

    assert "s3:" in refusal.value.hint


def test_without_an_image_nothing_can_run() -> None:
    with pytest.raises(UsageError, match=r"volumes\.mover\.image"):
        check(volumes("s3:https://s3.example.com/x", image=""))


def test_the_files_are_named_as_movers_look_for_them(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass\n")
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "AWS_ACCESS_KEY_ID").write_text("key")
    (tmp_path / "environment" / "..data").write_text("a mounted Secret's own")
    auth = {"passwordFile": str(tmp_path / "password"), "environmentDir": str(tmp_path / "environment")}

    files = files_of(ResticAuth.model_validate(auth))

    assert files == {"password": b"pass\n", "environment.AWS_ACCESS_KEY_ID": b"key"}


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"passwordFile: /nowhere"):
        files_of(ResticAuth.model_validate({"passwordFile": "/nowhere"}))


def test_an_empty_password_is_refused_before_a_mover_is_given_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" \n")

    with pytest.raises(UsageError, match=r"volumes\.restic\.auth\.passwordFile: .*password is empty"):
        files_of(ResticAuth(passwordFile=str(tmp_path / "password")))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "volumes.restic.auth.passwordFile: {}/password: No such file or directory"),
        ({"password": "\n"}, "volumes.restic.auth.passwordFile: {}/password is empty"),
        (
            {"password": "x", "env/RESTIC_CACHE_DIR": "x"},
            "volumes.restic.auth: {}/env/RESTIC_CACHE_DIR: RESTIC_CACHE_DIR",
        ),
    ],
)
def test_a_credential_that_is_none_is_wrong_configuration(files: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    volumes = {
        "restic": {
            "repository": str(tmp_path / "restic"),
            "auth": {"passwordFile": str(tmp_path / "password"), "environmentDir": str(tmp_path / "env")},
        }
    }
    with pytest.raises(UsageError, match=re.escape(said.format(tmp_path))):
        restic_of(Volumes.model_validate(volumes))
