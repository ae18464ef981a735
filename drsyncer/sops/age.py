"""age keys: public ones that a file is encrypted for, private ones that open it.

SSH keys are age keys too, of the kinds ssh-ed25519 and ssh-rsa, as in sops itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drsyncer.errors import UsageError

MOST_KEY_FILE = 64 * 1024  # bytes
_MOST_WRAPPED = 64 * 1024  # characters of one wrapped data key
_IDENTITY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")
_SSH_KINDS = ("ssh-ed25519", "ssh-rsa")
_HINT = "importer.secrets.ageKeyFile names a file with age identities, one a line (age-keygen), or one SSH private key."


class NoKey(ValueError):
    """None of the identities opens it."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One public key. `text` is how people, and the `sops` block, name it."""

    text: str
    key: Any = field(repr=False, compare=False)


def recipient(text: str) -> Recipient:
    """Return the public key that `text` holds: `age1…`, or a line `ssh-ed25519 …` or `ssh-rsa …`. Raises ValueError."""
    import pyrage

    words = text.split()
    if words and words[0] in _SSH_KINDS:
        name = " ".join(words[:2])  # what follows is a comment
        make = pyrage.ssh.Recipient.from_str
    elif len(words) == 1 and words[0].startswith("age1"):
        name, make = words[0], pyrage.x25519.Recipient.from_str
    else:
        raise ValueError("expected an age public key (age1…), or an SSH public key (ssh-ed25519 … or ssh-rsa …)")
    try:
        return Recipient(name, make(name))
    except pyrage.RecipientError:
        raise ValueError("this public key is damaged, or of a kind that is not supported: look for a slip") from None


def wrap(data_key: bytes, to: Recipient) -> str:
    """Return `data_key` encrypted for one recipient, armoured."""
    import pyrage

    found: bytes = pyrage.encrypt(data_key, [to.key], armored=True)
    return found.decode("ascii")


@dataclass(frozen=True, slots=True)
class Identities:
    """The private keys of one file. `names` are their public keys, where they tell."""

    file: str
    names: tuple[str, ...]
    keys: tuple[Any, ...] = field(repr=False, compare=False)
    # Made from the keys: for digests that nobody else can compute.
    digest_key: bytes = field(repr=False, compare=False, default=b"")

    def unwrap(self, wrapped: str) -> bytes:
        """Return the data key in `wrapped`. Raises NoKey when no identity is for it, or it is damaged."""
        import pyrage

        if len(wrapped) > _MOST_WRAPPED:
            raise NoKey
        try:
            found: bytes = pyrage.decrypt(wrapped.encode(), list(self.keys))
        except (pyrage.DecryptError, ValueError):
            raise NoKey from None
        return found


def load(file: str) -> Identities:
    """Return the identities in `file`. Raises UsageError, which never repeats its content."""
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MOST_KEY_FILE + 1)
    except OSError as error:
        raise UsageError(
            f"importer.secrets.ageKeyFile: {file}: {error.strerror or type(error).__name__}", hint=_HINT
        ) from None
    if len(data) > MOST_KEY_FILE:
        raise UsageError(f"importer.secrets.ageKeyFile: {file} is too large for a key file", hint=_HINT)
    text = data.decode("utf-8", "replace")
    if "-----BEGIN" in text:
        return _ssh(file, data)
    return _identities(file, text.splitlines())


def _ssh(file: str, data: bytes) -> Identities:
    import pyrage

    try:
        return Identities(file, (), (pyrage.ssh.Identity.from_buffer(data),), _digest_key([data]))
    except pyrage.IdentityError:
        raise UsageError(
            f"importer.secrets.ageKeyFile: {file} holds no SSH private key that can be used: "
            "it is damaged, protected by a passphrase, or neither ed25519 nor RSA",
            hint="An unattended import cannot be asked for a passphrase: use an age identity instead.",
        ) from None


def _identities(file: str, lines: Sequence[str]) -> Identities:
    import pyrage

    names, keys, secret = [], [], []
    for number, line in enumerate(lines, start=1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        try:
            if not _IDENTITY.fullmatch(word):
                raise ValueError
            key = pyrage.x25519.Identity.from_str(word)
        except (pyrage.IdentityError, ValueError):
            raise UsageError(
                f"importer.secrets.ageKeyFile: {file}:{number} holds no age identity (AGE-SECRET-KEY-1…)", hint=_HINT
            ) from None
        keys.append(key)
        secret.append(word.encode())
        names.append(str(key.to_public()))
    if not keys:
        raise UsageError(f"importer.secrets.ageKeyFile: {file} holds no key", hint=_HINT)
    return Identities(file, tuple(names), tuple(keys), _digest_key(sorted(secret)))


def _digest_key(secret: Sequence[bytes]) -> bytes:
    return hashlib.sha256(b"dr-syncer.io digests 1\n" + b"\n".join(secret)).digest()
