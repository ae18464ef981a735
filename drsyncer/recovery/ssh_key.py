"""The exporter's SSH key, and the program that signs with it: `ssh-keygen -Y sign`.

Nobody is ever asked for anything: no passphrase, no touch of a token. No agent is used either, since it would sign
with whatever somebody happened to put into it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import os
import stat
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from drsyncer.errors import GitError, UsageError
from drsyncer.recovery.failure import tidy

_KEY = "repository.signing.keyFile"
_NAMESPACE = "git"  # what git's own signatures say that they are for
_PATIENCE = 30.0  # seconds; a signature takes milliseconds
_FOREIGN = frozenset({"SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_SK_PROVIDER", "DISPLAY", "WAYLAND_DISPLAY"})
_MAGIC = b"SSHSIG\0\0\0\1"


class SigningKey:
    """A private key in a file. It is looked at when it is first needed, not before."""

    def __init__(self, file: str) -> None:
        """`file`: the path of an unencrypted private key that ssh-keygen can read."""
        self._file = file

    @functools.cached_property
    def public(self) -> bytes:
        """The public key, as signatures hold it. Raises `UsageError` for a key that can't be used to sign unasked."""
        self._check_file()
        # An empty passphrase opens a key without one, and fails at once for any other.
        done = _ssh_keygen("-y", "-P", "", "-f", self._file)
        if done.returncode != 0:
            raise self._unusable(_words(done))
        kind, encoded, *_ = done.stdout.decode("ascii", "replace").split()
        if kind.startswith("sk-"):
            raise UsageError(
                f"{_KEY}: {self._file} needs a security token and somebody who touches it",
                hint="Make a key of its own for the exporter: ssh-keygen -t ed25519 -N '' -f FILE",
            )
        return base64.b64decode(encoded)

    def sign(self, payload: bytes) -> bytes:
        """Return the signature of `payload` in its armour, as git puts it into a commit."""
        public = self.public
        done = _ssh_keygen("-Y", "sign", "-n", _NAMESPACE, "-f", self._file, stdin=payload)
        if done.returncode != 0 or signed_with(done.stdout) != public:
            raise GitError(
                f"recovery.signing: {self._file} gave no signature: {_words(done)}",
                hint="ssh-keygen of OpenSSH 8.2 or later is needed.",
            )
        return done.stdout.rstrip(b"\n")

    def _check_file(self) -> None:
        try:
            with Path(self._file).open("rb") as file:
                about = os.fstat(file.fileno())
                start = file.read(64)
        except OSError as error:
            raise UsageError(
                f"{_KEY}: {self._file} can't be read: {error.strerror}",
                hint="Commits are signed with this key; without it, nothing is exported.",
            ) from error
        # As ssh-keygen has it: how a file that belongs to somebody else is protected is that one's business.
        if about.st_uid == os.geteuid() and about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{_KEY}: {self._file} can be read or changed by others (mode {stat.S_IMODE(about.st_mode):04o})",
                hint=f"Run `chmod 600 {self._file}`; for a Secret in a pod, set its volume's defaultMode to 0400.",
            )
        if start.startswith((b"ssh-", b"ecdsa-", b"sk-")):
            raise UsageError(
                f"{_KEY}: {self._file} is a public key", hint="Name the private one, usually without `.pub`."
            )

    def _unusable(self, words: str) -> UsageError:
        if "passphrase" in words:
            return UsageError(
                f"{_KEY}: {self._file} is protected by a passphrase, which nobody is there to type",
                hint=f"Make a key of its own for the exporter, or take it off: ssh-keygen -p -N '' -f {self._file}",
            )
        return UsageError(
            f"{_KEY}: {self._file} is no private key that ssh-keygen can read: {words}",
            hint="Is it whole, down to the line break at its end?",
        )


def signed_with(signature: bytes) -> bytes:
    """Return the public key that an armoured signature names; nothing for what is no SSH signature."""
    lines = signature.strip().splitlines()
    try:
        content = base64.b64decode(b"".join(lines[1:-1]), validate=True)
        (size,) = struct.unpack_from(">I", content, len(_MAGIC))
    except (binascii.Error, struct.error):
        return b""
    start = len(_MAGIC) + 4
    return content[start : start + size] if content.startswith(_MAGIC) else b""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for ssh-keygen: those of this process, without agents and without anybody to ask."""
    kept = {name: value for name, value in environ.items() if name not in _FOREIGN}
    return kept | {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}


def _ssh_keygen(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=stdin,
            capture_output=True,
            env=environment(os.environ),
            start_new_session=True,  # without a terminal to ask on
            timeout=_PATIENCE,
            check=False,
        )
    except OSError as error:
        raise GitError(
            f"recovery.signing: ssh-keygen can't be run: {error.strerror}",
            hint="Install OpenSSH's client, on the PATH.",
        ) from error
    except subprocess.TimeoutExpired:
        raise GitError(f"recovery.signing: ssh-keygen gave no answer within {_PATIENCE:g} s") from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = tidy(done.stderr.decode("utf-8", "replace"))
    return lines[-1] if lines else f"ssh-keygen ended with status {done.returncode}"
