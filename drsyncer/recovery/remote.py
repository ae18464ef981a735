"""Where the recovery repository is, and the surroundings in which git may run.

All here is pure: a `Remote` goes in; names, settings and environment variables come out. Git gets its settings by
environment variables and not by arguments or files, so that neither the process list nor the disk tells anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from drsyncer.errors import UsageError

_CREDENTIALS = Path(__file__).with_name("credentials.py")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SCP_LIKE = re.compile(r"(?P<user>[^/:@]+@)?(?P<host>\[[^]/]+\]|[^/:]+):(?P<path>.*)", re.DOTALL)
_ALLOWED_SCHEMES = ("https", "ssh", "file")
# What git-check-ref-format(1) refuses in a ref's name; an `@` alone and a leading dash are refused for branches.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./-]|[./]$|\.lock(/|$)|^@?$")


@dataclass(frozen=True, slots=True)
class Remote:
    """A recovery repository, and one exporter's or importer's place in it."""

    url: str  # ssh://…, user@host:path, https://…, file://… or a path
    branch: str = "main"
    path: str = ""  # folder in the repository, `/` between its parts; "" for all of it
    author_name: str = "DR-Syncer"
    author_email: str = "dr-syncer@localhost"
    ssh_key_file: str = ""
    known_hosts_file: str = ""  # "": what ssh uses by itself
    username_file: str = ""
    token_file: str = ""  # read anew for each request, so that a rotated token is used at once
    ca_file: str = ""
    signing_key_file: str = ""  # "": commits are not signed
    allowed_signers_file: str = ""  # "": signatures are not looked at
    cache_dir: str = ""  # "": below $XDG_CACHE_HOME/dr-syncer
    timeout: float = 60.0  # seconds without a sign of life after which a network command is given up

    def __post_init__(self) -> None:
        """Raise `UsageError` for what can't work, or what would show a secret to whoever lists the processes."""
        if not self.url or re.search(r"[\x00-\x1f\x7f]", self.url):
            raise UsageError("repository.url: empty, or with control characters in it")
        scheme = _SCHEME.match(self.url)
        helper = re.match(r"[A-Za-z0-9]+::", self.url)  # `ext::` and its like would run a program
        if helper or (scheme and scheme[0].removesuffix("://").lower() not in _ALLOWED_SCHEMES):
            kind = (helper or scheme or [""])[0]
            raise UsageError(f"repository.url: {kind}… is not supported", hint="Use https, ssh, file or a path.")
        if scheme and (parts := _split(self.url)).password is not None:
            raise UsageError(
                f"repository.url: {parts.scheme}://…@{parts.hostname} holds a password",
                hint="Put it into a file and name that as repository.auth.tokenFile.",
            )
        if _BAD_REF.search(self.branch):
            raise UsageError(f"repository.branch: {self.branch!r} can't be a branch's name")
        if self.path and any(part in ("", ".", "..") or "\0" in part for part in self.path.split("/")):
            raise UsageError(f"repository.path: {self.path!r} is no folder in the repository")

    @property
    def location(self) -> str:
        """The URL as git gets it: a relative path made absolute, since git runs in a folder of its own."""
        if _SCHEME.match(self.url) or _SCP_LIKE.fullmatch(self.url):
            return self.url
        return str(Path(self.url).expanduser().absolute())

    @property
    def shown(self) -> str:
        """The URL as people may see it."""
        return masked(self.location)

    @property
    def host(self) -> str:
        """Host and port as in an https URL; "" for other kinds. The only one that gets the token."""
        parts = _split(self.url) if _SCHEME.match(self.url) else None
        return parts.netloc.rpartition("@")[2].lower() if parts and parts.scheme == "https" else ""

    @property
    def allowed_signers(self) -> str:
        """The file of allowed signers, for git, which runs in a folder of its own; "" when nothing is verified."""
        file = self.allowed_signers_file
        return str(Path(file).expanduser().absolute()) if file else ""

    @property
    def folder(self) -> str:
        """The name of the clone's folder: readable, and another one for another URL."""
        digest = hashlib.sha256(self.location.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        without_user = re.sub(r"^([a-z+]+://)?([^/@]*@)?", "", self.location, flags=re.IGNORECASE)
        readable = re.sub(r"[^A-Za-z0-9]+", "-", without_user).strip("-")[-40:].strip("-")
        return f"{readable or 'repository'}-{digest}.git"

    def cache(self, environ: Mapping[str, str]) -> Path:
        """Return the folder that holds the clones."""
        if self.cache_dir:
            return Path(self.cache_dir).expanduser().absolute()
        home = environ.get("XDG_CACHE_HOME", "")
        base = Path(home) if home.startswith("/") else Path("~/.cache").expanduser()
        return base / "dr-syncer"


def masked(text: str) -> str:
    """Return `text` without the user part of every URL in it; an ssh user name without password stays."""
    return re.sub(
        r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s@]*@)+",
        lambda found: found[0] if found[1].lower() == "ssh://" and ":" not in found[2] else f"{found[1]}***@",
        text,
    )


def inside(path: str, folder: str) -> str:
    """Given a path relative to `folder` return it relative to the repository.

    Raises `UsageError` for one that would leave the folder, or that git can't store.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\0" in path:
        raise UsageError(f"recovery.git: {path!r:.400} is no path of a file in the recovery repository")
    return f"{folder}/{path}" if folder else path


def may_be_ref(name: str) -> bool:
    """Return whether git accepts `name` as the name of a branch or tag, by the rules of git-check-ref-format(1)."""
    return _BAD_REF.search(name) is None


def environment(remote: Remote) -> dict[str, str]:
    """Return the variables that git runs with, beside those of this process that do not begin with `GIT_`.

    Nobody is asked anything, no configuration but ours is read, no hook of the clone runs, only the allowed protocols
    are spoken, and the host keys of ssh must be known.
    """
    variables = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",  # empty is "nobody"; unset would fall back to $SSH_ASKPASS
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_SSH_COMMAND": shlex.join(_ssh(remote)),
        "LC_ALL": "C",
        "LANGUAGE": "C",
    }
    if remote.token_file:
        variables["DR_SYNCER_CREDENTIALS_HOST"] = remote.host
        variables["DR_SYNCER_CREDENTIALS_USERNAME_FILE"] = remote.username_file
        variables["DR_SYNCER_CREDENTIALS_TOKEN_FILE"] = remote.token_file
    settings = _settings(remote)
    variables["GIT_CONFIG_COUNT"] = str(len(settings))
    for index, (key, value) in enumerate(settings):
        variables[f"GIT_CONFIG_KEY_{index}"] = key
        variables[f"GIT_CONFIG_VALUE_{index}"] = value
    return variables


def _settings(remote: Remote) -> list[tuple[str, str]]:
    settings = [
        ("remote.origin.url", remote.location),
        ("core.hooksPath", os.devnull),
        ("core.logAllRefUpdates", "false"),
        # A machine may lose its power while commits wait here for the remote to come back.
        ("core.fsync", "committed,reference"),
        ("protocol.allow", "never"),
        *((f"protocol.{scheme}.allow", "always") for scheme in _ALLOWED_SCHEMES),
        ("gc.auto", "0"),
        ("gc.autoDetach", "false"),
        ("maintenance.auto", "false"),
        ("credential.helper", ""),
        ("gpg.ssh.program", "ssh-keygen"),
        # Whatever keys gpg knows on this machine, they are not those that may sign here.
        ("gpg.program", "false"),
        ("gpg.x509.program", "false"),
        ("http.sslVerify", "true"),
        ("http.lowSpeedLimit", "1"),
        ("http.lowSpeedTime", str(max(1, round(remote.timeout)))),
    ]
    if remote.token_file:
        helper = shlex.join([sys.executable, "-I", "-S", str(_CREDENTIALS)])
        settings.append(("credential.helper", f"!{helper}"))
    if remote.allowed_signers_file:
        settings.append(("gpg.ssh.allowedSignersFile", remote.allowed_signers))
    if remote.ca_file:
        settings.append(("http.sslCAInfo", str(Path(remote.ca_file).expanduser().absolute())))
    return settings


def _ssh(remote: Remote) -> list[str]:
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        # A master in the background would keep git's error stream open for ever.
        "ControlMaster": "no",
        "ConnectTimeout": str(max(1, round(remote.timeout))),
        "ServerAliveInterval": str(max(1, round(remote.timeout / 3))),
        "ServerAliveCountMax": "3",
    }
    if remote.known_hosts_file:
        options["UserKnownHostsFile"] = _ssh_path(remote.known_hosts_file)
        options["GlobalKnownHostsFile"] = os.devnull
    if remote.ssh_key_file:
        options["IdentityFile"] = _ssh_path(remote.ssh_key_file)
        options["IdentitiesOnly"] = "yes"
        options["IdentityAgent"] = "none"
    return ["ssh", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _ssh_path(path: str) -> str:
    """Quote a file's path for ssh, which splits at blanks and expands `%`."""
    return '"' + str(Path(path).expanduser().absolute()).replace("%", "%%") + '"'


def _split(url: str) -> _Parts:
    try:
        parts = urlsplit(url)
        return _Parts(parts.scheme.lower(), parts.netloc, parts.hostname or "", parts.password)
    except ValueError as error:
        raise UsageError(f"repository.url: {error}") from error


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    netloc: str
    hostname: str
    password: str | None
