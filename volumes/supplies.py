"""What a dispatcher takes from the configuration for its movers: how the repository is reached, and the credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from drsyncer import log
from drsyncer.config.volumes import Restic, ResticAuth, Volumes
from drsyncer.errors import UsageError
from volumes import credentials, restic, task
from volumes.task import Access

_log = log.get("volumes")

# What restic finds elsewhere begins with the name of a backend; all else is a path to it.
_ELSEWHERE = re.compile(r"(?!local:)[a-z][a-z0-9]+:", re.ASCII)


def access_of(section: Restic) -> Access:
    """Return how movers reach the repository."""
    return Access(
        repository=section.repository,
        options=dict(section.options),
        compression=section.compression,
        upload_limit=section.upload_limit,
        download_limit=section.download_limit,
        retry_lock=section.retry_lock,
    )


def check(volumes: Volumes) -> None:
    """Raise UsageError when no mover could work with this configuration."""
    if not volumes.mover.image:
        raise UsageError(
            "volumes.mover.image is not set",
            hint="Name DR-Syncer's own image, such as registry.example.com/dr-syncer:0.1.0; the charts fill it in.",
        )
    if not _ELSEWHERE.match(volumes.restic.repository):
        raise UsageError(
            f"volumes.restic.repository: {volumes.restic.repository} is a path, which is not there in a mover's pod",
            hint="Use a backend that pods can reach: s3:…, rest:…, sftp:…, azure:…, gs:…, b2:….",
        )


def files_of(auth: ResticAuth) -> dict[str, bytes]:
    """Return the files of a mover's Secret beside its task. Raises UsageError for one that cannot be read,
    and for an empty password."""
    return dict(_files(auth))


def restic_of(section: Volumes, goes_on: Callable[[], bool] = lambda: True) -> restic.Restic:
    """Return restic on the configured repository, for a `with` block.

    Raises UsageError for credentials that are not there, or are none.
    """
    auth = section.restic.auth
    files_of(auth)  # says which key names what cannot be read
    try:
        found = credentials.of_configuration(auth)
    except credentials.CredentialsInvalid as error:
        raise UsageError(f"volumes.restic.auth: {error}", hint=error.hint) from None
    return restic.Restic(access_of(section.restic), found, goes_on=goes_on, tried=_tell)


def _tell(line: str) -> None:
    """Say at once that a backend did not answer: restic tries for minutes, and who waits should know for what."""
    _log.warning("the repository did not answer, trying again", line=line)


def _files(auth: ResticAuth) -> Iterator[tuple[str, bytes]]:
    named = (
        (task.PASSWORD, "passwordFile", auth.password_file),
        (task.CA, "caFile", auth.ca_file),
        (task.SSH_KEY, "sshKeyFile", auth.ssh_key_file),
        (task.KNOWN_HOSTS, "knownHostsFile", auth.known_hosts_file),
    )
    for name, key, file in named:
        if file:
            content = _read(Path(file).expanduser(), key)
            if name == task.PASSWORD and not content.strip():
                raise UsageError(
                    f"volumes.restic.auth.{key}: {file} is empty",
                    hint="It must hold the restic repository's password.",
                )
            yield name, content
        elif name == task.PASSWORD:
            raise UsageError(
                "volumes.restic.auth.passwordFile is not set",
                hint="Name a file with the password of the restic repository.",
            )
    if not auth.environment_dir:
        return
    folder = Path(auth.environment_dir).expanduser()
    try:
        # A mounted Secret has folders of its own, beginning with two dots.
        found = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    except OSError as error:
        raise _unreadable(folder, "environmentDir", error) from None
    for variable in found:
        yield f"{task.ENVIRONMENT}{variable.name}", _read(variable, "environmentDir")


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unreadable(file, key, error) from None


def _unreadable(file: Path, key: str, error: OSError) -> UsageError:
    return UsageError(
        f"volumes.restic.auth.{key}: {file}: {os.strerror(error.errno or 0)}", hint="Can this user read it?"
    )
