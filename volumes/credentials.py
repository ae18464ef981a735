"""The credentials of a restic repository: always files. What becomes environment of restic, and what nobody may see."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from drsyncer.recovery.remote import masked as masked_urls
from volumes import task
from volumes.failure import MoverError

if TYPE_CHECKING:  # a mover has no configuration, and should start fast
    from drsyncer.config.volumes import ResticAuth

MASK = "***"
# Ours to say; a second opinion would be refused by restic, or worse, win.
RESERVED = frozenset(
    (
        *("RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE", "RESTIC_CACHE_DIR", "RESTIC_PROGRESS_FPS"),
        *("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"),
        *("PATH", "HOME", "TMPDIR", "PWD"),
    )
)
# These name a file: the one that we were given.
NAMING_FILES = frozenset(("GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE", "RESTIC_TLS_CLIENT_CERT"))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# What of this process's environment restic may see.
_INHERITED = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_SHORTEST = 4  # characters of a variable's value that is hidden: `true` and `1` are no secrets, and in every message
_SHORTEST_LINE = 8


class CredentialsInvalid(MoverError):
    """A credential of the restic repository is missing, or is none."""

    touched = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files with credentials; None where the backend needs none. Values are read once, when this is made."""

    password_file: Path
    ca_file: Path | None = None
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)  # longest first

    def masked(self, text: str) -> str:
        """Return `text` without any credential in it, and without what stands before the `@` of a URL."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return masked_urls(text)


def of_folder(folder: Path) -> Credentials:
    """Return the credentials of a mover's Secret (see volumes/task.py). Raises `CredentialsInvalid`."""
    variables = {
        file.name.removeprefix(task.ENVIRONMENT): file
        for file in sorted(folder.glob(f"{task.ENVIRONMENT}*"))
        if file.is_file()
    }

    def optional(name: str) -> Path | None:
        return folder / name if (folder / name).exists() else None

    return _credentials(
        password_file=folder / task.PASSWORD,
        ca_file=optional(task.CA),
        ssh_key_file=optional(task.SSH_KEY),
        known_hosts_file=optional(task.KNOWN_HOSTS),
        variables=variables,
    )


def of_configuration(auth: ResticAuth) -> Credentials:
    """Return the credentials that `volumes.restic.auth` names. Raises `CredentialsInvalid`."""
    if not auth.password_file:
        raise CredentialsInvalid(
            "volumes.restic.auth.passwordFile is not set",
            hint="Name a file with the password of the restic repository.",
        )
    variables = {}
    if auth.environment_dir:
        folder = _path(auth.environment_dir)
        try:
            # A mounted Secret has folders of its own, beginning with two dots.
            variables = {file.name: file for file in sorted(folder.iterdir()) if file.name[0] != "." and file.is_file()}
        except OSError as error:
            raise _unreadable(folder, error) from error

    def optional(name: str) -> Path | None:
        return _path(name) if name else None

    return _credentials(
        password_file=_path(auth.password_file),
        ca_file=optional(auth.ca_file),
        ssh_key_file=optional(auth.ssh_key_file),
        known_hosts_file=optional(auth.known_hosts_file),
        variables=variables,
    )


def environment(
    credentials: Credentials, *, repository: str, scratch: Path, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Return all variables that restic runs with: nothing of `inherited` but the PATH and proxies.

    `scratch`: the folder for its temporary files.
    """
    ours = {
        "RESTIC_REPOSITORY": repository,
        "RESTIC_PASSWORD_FILE": str(credentials.password_file),
        "RESTIC_PROGRESS_FPS": "5",
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
        "LC_ALL": "C.UTF-8",
    }
    kept = {name: inherited[name] for name in _INHERITED if inherited.get(name)}
    return kept | dict(credentials.variables) | ours


def ssh_arguments(credentials: Credentials, *, key: Path | None, log: Path) -> str:
    """Return the arguments for ssh below an sftp repository, as restic's `sftp.args` wants them.

    No configuration of anybody is read, nobody is asked, and an unknown host is refused. `key`: a file that nobody
    else can read, or ssh would refuse it. `log`: where its complaints go; restic loses some that come at the very end.
    """
    words = [
        "-F",
        "none",
        "-E",
        str(log),
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=30",
    ]
    words += ["-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=4"]
    if key is not None:
        words += ["-i", str(key), "-o", "IdentitiesOnly=yes"]
    if credentials.known_hosts_file is not None:
        words += ["-o", f"UserKnownHostsFile={credentials.known_hosts_file}"]
    return shlex.join(words)


def _credentials(
    *,
    password_file: Path,
    ca_file: Path | None,
    ssh_key_file: Path | None,
    known_hosts_file: Path | None,
    variables: Mapping[str, Path],
) -> Credentials:
    password = _text(password_file).strip()
    if not password:
        raise CredentialsInvalid(f"{password_file} is empty", hint="It must hold the restic repository's password.")
    for file in filter(None, (ca_file, known_hosts_file)):
        _text(file)
    key = _text(ssh_key_file) if ssh_key_file else ""
    values, contents = {}, []
    for name, file in variables.items():
        if not _NAME.fullmatch(name):
            raise CredentialsInvalid(f"{file}: {name!r} is no name of an environment variable")
        if name in RESERVED:
            raise CredentialsInvalid(
                f"{file}: {name} is set by DR-Syncer itself", hint="Take it out; see `volumes.restic`."
            )
        # An editor's newline at the end is not part of a key.
        contents.append(_text(file).rstrip("\r\n"))
        values[name] = str(file) if name in NAMING_FILES else contents[-1]
    return Credentials(
        password_file=password_file,
        ca_file=ca_file,
        ssh_key_file=ssh_key_file,
        known_hosts_file=known_hosts_file,
        variables=values,
        secrets=_secrets(password, [*contents, key]),
    )


def _secrets(password: str, contents: Iterable[str]) -> tuple[str, ...]:
    found = {password}
    for value in contents:
        lines = value.splitlines()
        found |= {value} if len(value) >= _SHORTEST else set()
        found |= {line.strip() for line in lines if len(lines) > 1 and len(line.strip()) >= _SHORTEST_LINE}
    # As they look inside of a URL, and inside of a JSON string.
    found |= {quote(secret, safe="") for secret in found} | {json.dumps(secret)[1:-1] for secret in found}
    return tuple(sorted(found, key=len, reverse=True))


def _path(name: str) -> Path:
    return Path(name).expanduser().absolute()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(file, error) from error
    except UnicodeDecodeError:
        raise CredentialsInvalid(f"{file} holds no text") from None


def _unreadable(file: Path, error: OSError) -> CredentialsInvalid:
    return CredentialsInvalid(f"{file}: {os.strerror(error.errno or 0)}", hint="Can this user read it?")
