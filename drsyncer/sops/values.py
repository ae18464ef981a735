"""One value of an encrypted file: its bytes as sops counts them, and its encrypted form.

    ENC[AES256_GCM,data:…,iv:…,tag:…,type:str]

The path of the value is authenticated with it (`data:password:`), so no value can be moved to another key.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import secrets
from decimal import Decimal
from typing import Any

Leaf = str | int | float | bool

_NONCE_BYTES = 32
_TAG_BYTES = 16
_LARGEST = 2**63 - 1  # Go's int: sops can hold no larger whole number
_ENCRYPTED = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]+),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]"
)
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_FLOAT = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")
_BOOLEANS = {
    word: value for value, words in ((True, "True true TRUE"), (False, "False false FALSE")) for word in words.split()
}


class Damaged(ValueError):
    """A value that cannot be what was encrypted. The message never repeats it."""


def looks_encrypted(value: object) -> bool:
    """Return whether `value` is text in the encrypted form."""
    return isinstance(value, str) and value.startswith("ENC[AES256_GCM,") and _ENCRYPTED.fullmatch(value) is not None


def to_bytes(value: Leaf) -> bytes:
    """Return the bytes of a value, as sops encrypts them and counts them in the MAC. Raises ValueError."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return b"True" if value else b"False"
    if isinstance(value, int):
        if not -_LARGEST - 1 <= value <= _LARGEST:
            raise ValueError("a whole number of more than 64 bits has no place in the format of sops")
        return b"%d" % value
    return _decimal(value).encode()


def encrypt(value: Leaf, *, key: bytes, bound_to: str) -> str:
    """Return `value` encrypted with the data key, bound to `bound_to`. Empty text stays as it is."""
    if value == "":
        return ""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _cipher(key).encrypt(nonce, to_bytes(value), bound_to.encode())
    data, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
    parts = (base64.b64encode(part).decode() for part in (data, nonce, tag))
    return "ENC[AES256_GCM,data:{},iv:{},tag:{},type:{}]".format(*parts, _type_of(value))


def decrypt(text: str, *, key: bytes, bound_to: str) -> Leaf:
    """Return the value that `encrypt` was given. Raises Damaged for anything but that."""
    if text == "":
        return ""
    found = _ENCRYPTED.fullmatch(text)
    if found is None:
        raise Damaged("is not in the encrypted form")
    data, nonce, tag = (_decoded(part) for part in found.groups()[:3])
    if not 8 <= len(nonce) <= 128 or len(tag) != _TAG_BYTES:
        raise Damaged("is not in the encrypted form")
    from cryptography.exceptions import InvalidTag

    try:
        plain = _cipher(key).decrypt(nonce, data + tag, bound_to.encode())
    except InvalidTag:
        raise Damaged("was changed after it was encrypted, or moved here from another place") from None
    try:
        return _typed(plain.decode(), found[4])
    except UnicodeDecodeError:
        raise Damaged("holds bytes that are no text") from None


@functools.lru_cache(maxsize=1)  # a file's values follow each other; no more than one key outlives its file
def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _type_of(value: Leaf) -> str:
    if isinstance(value, str):
        return "str"
    if isinstance(value, bool):
        return "bool"
    return "int" if isinstance(value, int) else "float"


def _typed(text: str, kind: str) -> Leaf:
    if kind in ("str", "bytes", "time"):
        return text
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    if kind == "bool" and text in _BOOLEANS:
        return _BOOLEANS[text]
    raise Damaged("is not of the type that it says")


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Damaged("is not in the encrypted form") from None
    # Several texts decode to the same bytes; only one of them was written.
    if base64.b64encode(data).decode() != text:
        raise Damaged("is not in the encrypted form")
    return data


def _decimal(value: float) -> str:
    """Return a float in full, without exponent and without zeros at its end: Go's FormatFloat(value, 'f', -1, 64)."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
