"""The values of a manifest in the order of its file, each with its path: what is encrypted and what the MAC covers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from drsyncer.manifest import Manifest
from drsyncer.sops import values
from drsyncer.sops.scope import Scope

Visit = Callable[[Any, str, bool], Any]  # value, path as sops binds it, whether it is encrypted → what stands there

# What sops begins with when only encrypted values count, so that the two kinds of MAC never agree.
_ONLY_ENCRYPTED = hashlib.sha256(b"sops").digest()


def walk(manifest: Manifest, scope: Scope, visit: Visit) -> Manifest:
    """Return `manifest` with every value but nulls replaced by what `visit` makes of it, in document order.

    Raises ValueError when the scope's pattern is not safe to follow, and what `visit` raises.
    """
    matches, hit_is_encrypted = scope.matcher(), scope.is_for_encrypted

    def below(value: Any, path: str, hit: bool) -> Any:
        if isinstance(value, dict):
            return {key: below(item, f"{path}{key}:", hit or matches(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [below(item, path, hit) for item in value]
        return None if value is None else visit(value, path, hit == hit_is_encrypted)

    found: Manifest = below(manifest, "", False)
    return found


class Mac:
    """SHA-512 over the bytes of the values, in document order."""

    def __init__(self, *, only_encrypted: bool = False) -> None:
        self._only_encrypted = only_encrypted
        self._state = hashlib.sha512(_ONLY_ENCRYPTED if only_encrypted else b"")

    def add(self, value: Any, *, encrypted: bool) -> None:
        """Take one value in, as it is when decrypted. Raises ValueError for what sops cannot hold."""
        if encrypted or not self._only_encrypted:
            self._state.update(values.to_bytes(value))

    def text(self) -> str:
        """Return the sum as sops writes it."""
        return self._state.hexdigest().upper()


def in_file_order(value: Any, *, first: tuple[str, ...] = ()) -> Any:
    """Return `value` with its keys in the order in which `drsyncer.yaml.emit` writes them: `first`, then sorted."""
    if isinstance(value, dict):
        keys = [key for key in first if key in value]
        return {key: in_file_order(value[key]) for key in (*keys, *sorted(value.keys() - set(keys)))}
    if isinstance(value, list):
        return [in_file_order(item) for item in value]
    return value
