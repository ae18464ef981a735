"""A whole file: from an object to its encrypted file, and back."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drsyncer.errors import InvalidManifest
from drsyncer.manifest import Manifest
from drsyncer.sops import FORMAT, KEY, age, block, seal, values
from drsyncer.sops.age import Identities, Recipient
from drsyncer.sops.block import Block, Malformed
from drsyncer.sops.scope import Scope
from drsyncer.sops.tree import Mac, in_file_order, walk
from drsyncer.yaml.emit import FIRST_KEYS, emit

_DATA_KEY_BYTES = 32
_COMMENT_IN_BLOCK = re.compile(rb"^sops:[^\n]*\n(?:[^\n]*\n)*?[ \t]*#", re.MULTILINE)
_TAMPERED = (
    "Somebody or something changed it after it was encrypted. Nothing of it is used; `git log` says who, and the next "
    "export writes it anew."
)
_NO_KEY = "Set importer.secrets.ageKeyFile to a file with the private key of one of them."


@dataclass(frozen=True, slots=True)
class Decrypted:
    """The object of an encrypted file, without its `sops` block, and which of its values were encrypted."""

    manifest: Manifest
    scope: Scope


def encrypt(
    manifest: Manifest, *, scope: Scope, recipients: Sequence[Recipient], when: datetime, origin: Callable[[bytes], str]
) -> bytes:
    """Return the file for `manifest`, encrypted for each of `recipients` with a new data key, and sealed.

    `origin` gives the writer's mark (64 hexadecimal digits) for the bytes of the file. `when` is aware.
    Raises ValueError for what YAML or sops cannot hold, naming the place and never the value.
    """
    if KEY in manifest:
        raise ValueError(f"the object has a key {KEY!r} of its own, so it cannot be encrypted in the format of sops")
    data_key = secrets.token_bytes(_DATA_KEY_BYTES)
    mac = Mac()

    def visit(value: Any, path: str, encrypted: bool) -> Any:
        try:
            mac.add(value, encrypted=encrypted)
        except UnicodeEncodeError:
            raise ValueError(f"{path.rstrip(':')}: text with half of a surrogate pair") from None
        except ValueError as error:
            raise ValueError(f"{path.rstrip(':')}: {error}") from None
        return values.encrypt(value, key=data_key, bound_to=path) if encrypted else value

    try:
        body = walk(in_file_order(manifest, first=FIRST_KEYS), scope, visit)
    except RecursionError:
        raise ValueError("the object is nested too deeply") from None
    modified = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {
        "age": [{"recipient": to.text, "enc": age.wrap(data_key, to)} for to in recipients],
        scope.rule: scope.text,
        "lastmodified": modified,
        "mac": values.encrypt(mac.text(), key=data_key, bound_to=modified),
        "version": FORMAT,
    }
    # The block comes last, where people and sops itself have it.
    rest = emit(body) + emit({KEY: about})
    return seal.join(rest, origin=origin(rest), data_key=data_key)


def is_encrypted(manifest: Manifest) -> bool:
    """Return whether the content of a file is in the format of sops."""
    return KEY in manifest


def decrypt(data: bytes, manifest: Manifest, *, file: str, identities: Identities | None) -> Decrypted:
    """Return the object in the encrypted file `data`, whose content as YAML is `manifest`.

    Nothing is returned before the MAC was checked, and the seal where there is one. Raises InvalidManifest, which
    says what is wrong and what to do, and never repeats a value.
    """
    try:
        about = block.parse(manifest[KEY])
        data_key = _data_key(about, file, identities)
        _check_seal(data, about, data_key, file)
        mac = Mac(only_encrypted=about.mac_only_encrypted)

        def visit(value: Any, path: str, encrypted: bool) -> Any:
            plain = _decrypted(value, path, data_key) if encrypted else value
            mac.add(plain, encrypted=encrypted)
            return plain

        body = {key: value for key, value in manifest.items() if key != KEY}
        found = walk(body, about.scope, visit)
        stored = values.decrypt(about.mac, key=data_key, bound_to=about.last_modified)
    except Malformed as error:
        raise InvalidManifest(file, 0, f"cannot be decrypted: {error}", hint=error.hint or _TAMPERED) from None
    except values.Damaged as error:
        raise InvalidManifest(file, 0, f"cannot be decrypted: a value {error}", hint=_TAMPERED) from None
    except ValueError as error:
        raise InvalidManifest(file, 0, f"cannot be decrypted: {error}", hint=_TAMPERED) from None
    if not hmac.compare_digest(str(stored).encode(), mac.text().encode()):
        raise InvalidManifest(file, 0, "MAC mismatch: a value was changed, added, removed or moved", hint=_TAMPERED)
    return Decrypted(found, about.scope)


def refuse_remains(manifest: Manifest, *, file: str, secret: bool, marked: bool) -> None:
    """Raise InvalidManifest when a file without a `sops` block is what is left of an encrypted one.

    `secret`: the file is of a Secret, whose values are never in the encrypted form. `marked`: it carries a mark that
    only encrypted files have.
    """
    if marked or _has_lost_block(manifest) or (secret and _has_encrypted_value(manifest)):
        raise InvalidManifest(
            file, 0, "holds encrypted values and no whole sops block: it was cut off or changed", hint=_TAMPERED
        )


def _has_lost_block(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if values.looks_encrypted(value.get("mac")) and "lastmodified" in value:
        return True
    return any(_has_lost_block(item) for item in value.values())


def _has_encrypted_value(manifest: Manifest) -> bool:
    parts = (manifest.get(key) for key in ("data", "stringData"))
    return any(values.looks_encrypted(value) for part in parts if isinstance(part, dict) for value in part.values())


def _data_key(about: Block, file: str, identities: Identities | None) -> bytes:
    if identities is None:
        raise InvalidManifest(file, 0, f"is encrypted for {about.recipients}, and there is no key here", hint=_NO_KEY)
    for _, wrapped in about.age:
        try:
            found = identities.unwrap(wrapped)
        except age.NoKey:
            continue
        if len(found) != _DATA_KEY_BYTES:
            raise Malformed("its data key has the wrong length")
        return found
    ours = ", ".join(identities.names) or "an SSH key"
    raise InvalidManifest(
        file,
        0,
        f"no key in {identities.file} opens it: it is encrypted for {about.recipients}, and the key here is {ours}",
        hint=f"{_NO_KEY} If it is there already, the wrapped data key in the file is damaged: see `git log` for it.",
    )


def _check_seal(data: bytes, about: Block, data_key: bytes, file: str) -> None:
    if not about.seal:
        # sops wrote it last, and sops writes no comment into its block: there a comment is a seal, put out of force.
        if _COMMENT_IN_BLOCK.search(data):
            raise InvalidManifest(file, 0, "a comment stands in its sops block", hint=_TAMPERED)
        return
    sealed = seal.split(data)
    if sealed is None or sealed.text != about.seal or not sealed.holds(data_key):
        raise InvalidManifest(file, 0, "the seal is broken: the file is not as it was written", hint=_TAMPERED)


def _decrypted(value: Any, path: str, data_key: bytes) -> Any:
    if not isinstance(value, str):
        raise values.Damaged(f"at {path.rstrip(':')!r:.200} is not encrypted and should be")
    try:
        return values.decrypt(value, key=data_key, bound_to=path)
    except values.Damaged as error:
        raise values.Damaged(f"at {path.rstrip(':')!r:.200} {error}") from None
