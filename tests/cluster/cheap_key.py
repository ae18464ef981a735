"""A key for a restic repository that opens it at once.

restic makes opening a repository expensive on purpose: half a second of scrypt for each command, and a test runs many.
How expensive is written in the key's file, so the key is made anew with a cheaper way to the same master key. What
restic does from there on is not touched. See https://restic.readthedocs.io/en/stable/100_references.html#keys-encryption-and-mac
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

CHEAP = {"N": 1024, "r": 8, "p": 1}
IV_BYTES = MAC_BYTES = 16


def make_cheap(repository: Path, password: str) -> None:
    """Replace the only key of a repository in a folder by a cheap one with the same password."""
    (file,) = (repository / "keys").iterdir()
    key = json.loads(file.read_text())
    master = _decrypted(base64.b64decode(key["data"]), _derived(password, key))
    key |= CHEAP
    key["data"] = base64.b64encode(_encrypted(master, _derived(password, key))).decode()
    content = json.dumps(key).encode()
    (file.parent / hashlib.sha256(content).hexdigest()).write_bytes(content)
    file.unlink()


def add_lock(repository: Path, password: str, *, hostname: str, age: timedelta, exclusive: bool = False) -> None:
    """Put a lock of a restic on another machine into a repository in a folder, one that was refreshed so long ago."""
    (file,) = (repository / "keys").iterdir()
    key = json.loads(file.read_text())
    master = json.loads(_decrypted(base64.b64decode(key["data"]), _derived(password, key)))
    secret = b"".join(map(base64.b64decode, (master["encrypt"], master["mac"]["k"], master["mac"]["r"])))
    since = (datetime.now(UTC) - age).isoformat()
    lock = {"time": since, "exclusive": exclusive, "hostname": hostname, "username": "root", "pid": 7}
    content = _encrypted(json.dumps(lock).encode(), secret)
    (repository / "locks" / hashlib.sha256(content).hexdigest()).write_bytes(content)


def _derived(password: str, key: dict[str, object]) -> bytes:
    n, r, p = (int(str(key[name])) for name in ("N", "r", "p"))
    salt = base64.b64decode(str(key["salt"]))
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=64, maxmem=256 * n * r * p + (1 << 20))


def _decrypted(data: bytes, key: bytes) -> bytes:
    iv, text, mac = data[:IV_BYTES], data[IV_BYTES:-MAC_BYTES], data[-MAC_BYTES:]
    if _mac(text, iv, key) != mac:
        raise InvalidSignature("the password does not open the key")
    return _stream(text, iv, key)


def _encrypted(text: bytes, key: bytes) -> bytes:
    iv = os.urandom(IV_BYTES)
    data = _stream(text, iv, key)
    return iv + data + _mac(data, iv, key)


def _stream(text: bytes, iv: bytes, key: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key[:32]), modes.CTR(iv)).encryptor()
    return cipher.update(text) + cipher.finalize()


def _mac(text: bytes, iv: bytes, key: bytes) -> bytes:
    """Poly1305-AES: the one-time half of its key is the encrypted nonce."""
    cipher = Cipher(algorithms.AES(key[32:48]), modes.ECB()).encryptor()
    return Poly1305.generate_tag(key[48:64] + cipher.update(iv) + cipher.finalize(), text)
