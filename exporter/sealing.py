"""Encrypting what is confidential, and leaving alone the files whose object has not changed.

Encryption is randomised, so an unchanged object would give other bytes with every export. Two keyed digests tell,
without decrypting anything, that a file still is what it should be. Their key never leaves the source side, so nobody
else can try out guesses of a password against them:

- the annotation `dr-syncer.io/digest` stands for the object, its values included: `git log -p` shows by it whether a
  commit changed a Secret or only encrypted it anew;
- the mark in the `sops` block stands for every byte of the file, that digest and the recipients. When it holds, the
  file needs no rewriting; a file that somebody edited, or that is for other recipients, does.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from drsyncer import own
from drsyncer.manifest import Manifest
from drsyncer.match import annotations_of
from drsyncer.sops import KEY, age, document, seal
from drsyncer.sops.scope import Scope
from exporter.filing import Filed


class Sealing:
    """Encrypts for `recipients`. `key` is asked for the digest key when the first object is to be encrypted."""

    def __init__(self, *, recipients: Sequence[str], key: Callable[[], bytes]) -> None:
        self._names = tuple(sorted(recipients))
        self._recipients: list[age.Recipient] = []
        self._ask_for_key = key
        self._key = b""

    def keeps(self, content: bytes, filed: Filed, scope: Scope) -> bool:
        """Return whether `content`, the object's file so far, is to stay as it is."""
        sealed = seal.split(content)
        if sealed is None:
            return False
        return hmac.compare_digest(sealed.origin, self._origin(sealed.rest, self.digest(filed), scope))

    def seal(self, filed: Filed, scope: Scope) -> bytes:
        """Return the encrypted file of an object. Raises ValueError for what cannot be encrypted."""
        digest = self.digest(filed)
        meta = filed.manifest["metadata"]
        marked = {**meta, "annotations": {**(meta.get("annotations") or {}), own.DIGEST: digest}}
        if not self._recipients:
            self._recipients = [age.recipient(name) for name in self._names]
        return document.encrypt(
            {**filed.manifest, "metadata": marked},
            scope=scope,
            recipients=self._recipients,
            when=datetime.now(UTC),
            origin=lambda rest: self._origin(rest, digest, scope),
        )

    def before(self, old: Manifest, filed: Filed) -> Manifest | None:
        """Return the old file's object in a form to compare `filed` with; None when only the encryption differs."""
        if annotations_of(old).get(own.DIGEST) == self.digest(filed):
            return None
        return _without_marks(old)

    def digest(self, filed: Filed) -> str:
        """Return what stands for an object, its values included; only who has the key can reckon it."""
        ref = filed.ref
        return "v1-" + self._hmac("object", ref.type, ref.namespace, ref.name, _canonical(filed.manifest))

    def _origin(self, rest: bytes, digest: str, scope: Scope) -> str:
        return self._hmac("file", digest, scope.rule, scope.text, *self._names, rest)

    def _hmac(self, *parts: str | bytes) -> str:
        if not self._key:
            self._key = self._ask_for_key()
        state = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            state.update(len(data).to_bytes(8, "big"))
            state.update(data)
        return state.hexdigest()


def is_readable(content: bytes) -> bool:
    """Return whether a file in Git is not encrypted."""
    return seal.split(content) is None and b"\nsops:\n" not in content


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(manifest, order="deterministic")


def _without_marks(old: Manifest) -> Manifest:
    if KEY not in old:
        return old
    found = {key: value for key, value in old.items() if key != KEY}
    kept = {name: value for name, value in annotations_of(old).items() if name != own.DIGEST}
    meta = {key: value for key, value in (found.get("metadata") or {}).items() if key != "annotations"}
    return {**found, "metadata": {**meta, **({"annotations": kept} if kept else {})}}
