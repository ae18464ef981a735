"""The backends of restic that are tried for real, and how they get into trouble."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cluster.git_servers import SshRemote, why_no_sshd
from tests.cluster.restic_servers import RestServer, S3Server
from volumes import task

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Backend:
    """A repository, and what it takes to reach it. `folder` is where its files are on this machine."""

    repository: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    password: str = PASSWORD

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be seen nowhere."""
        keys = (self.ssh_key.read_text().splitlines()[1],) if self.ssh_key else ()
        return (self.password, *(value for name, value in self.environment.items() if "USERNAME" not in name), *keys)

    def write(self, folder: Path) -> None:
        """Write the files of a mover's Secret."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / task.PASSWORD).write_text(self.password + "\n")
        for name, value in self.environment.items():
            (folder / f"{task.ENVIRONMENT}{name}").write_text(value)
        for name, file in ((task.CA, self.ca_file), (task.SSH_KEY, self.ssh_key), (task.KNOWN_HOSTS, self.known_hosts)):
            if file is not None:
                shutil.copy(file, folder / name)


@contextmanager
def backend(kind: str, folder: Path) -> Iterator[Backend]:
    """A backend of each kind that is tried for real."""
    if kind == "path":
        yield Backend(repository=str(folder / "r"), folder=folder / "r")
    elif kind == "sftp":
        if reason := why_no_sshd():
            pytest.skip(reason)
        with SshRemote(folder / "ssh") as remote:
            place = folder / "r"
            yield Backend(
                repository=f"sftp://{remote.user}@127.0.0.1:{remote.port}/{place}",
                folder=place,
                ssh_key=remote.key_file,
                known_hosts=remote.known_hosts_file,
            )
    elif kind == "s3":
        with S3Server(folder / "s3") as s3:
            yield Backend(repository=s3.url("r"), folder=s3.bucket / "r", environment=s3.environment)
    else:
        with RestServer(folder / "rest", append_only=kind == "rest, append-only") as server:
            yield Backend(
                repository=server.url("r"),
                folder=server.root / "r",
                environment=server.environment,
                ca_file=server.ca_file,
            )


@contextmanager
def small_disk(folder: Path, *, megabytes: int, names: int = 0) -> Iterator[Path]:
    """A file system of a few megabytes, and for so many files and folders, if not 0."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,nr_inodes={names}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def thin_disk(folder: Path, *, megabytes: int, holds: int) -> Iterator[Path]:
    """A file system that claims to have so many megabytes, on a disk that `holds` fewer and says so when it is late."""
    with small_disk(folder.with_name("pool"), megabytes=holds) as pool:
        image = pool / "disk"
        with image.open("wb") as stream:
            stream.truncate(megabytes << 20)
        folder.mkdir()
        for command in (
            ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", image],
            ["mount", "-o", "loop", image, folder],
        ):
            environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
            if shutil.which(command[0], path=environment["PATH"]) is None:
                pytest.skip(f"there is no {command[0]}")
            if subprocess.run(command, check=False, capture_output=True, env=environment).returncode:
                pytest.skip("no disk can be made of a file here")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def backend_on(kind: str, folder: Path, disk: Path) -> Iterator[Backend]:
    """A backend whose files are on this disk."""
    if kind == "path":
        yield Backend(repository=str(disk / "r"), folder=disk / "r")
        return
    with RestServer(folder / "rest", root=disk) as server:
        yield Backend(
            repository=server.url("r"),
            folder=server.root / "r",
            environment=server.environment,
            ca_file=server.ca_file,
        )


def port_of(place: Backend) -> int:
    """The port of a rest-server."""
    return urlsplit(place.repository.removeprefix("rest:")).port or 0


def through_port(place: Backend, port: int) -> str:
    """The repository through another port."""
    return place.repository.replace(f":{port_of(place)}/", f":{port}/")


def as_host(hostname: str, command: str) -> list[str]:
    """Return what runs a shell command as if on another host, such as a pod; skip the test where that cannot be."""
    alone = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c"]
    if subprocess.run([*alone, f"hostname {hostname}"], check=False, capture_output=True).returncode:
        pytest.skip("no namespace of its own can be made here for a host's name")
    return [*alone, f"hostname {hostname}; exec {command}"]
