"""Keys and objects for the tests of encryption."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage

from drsyncer.sops import age
from drsyncer.sops.age import Identities, Recipient
from drsyncer.sops.document import decrypt, encrypt
from drsyncer.sops.scope import Scope, keys_named
from drsyncer.yaml.read import read

WHEN = datetime(2026, 3, 1, 3, 0, 7, tzinfo=UTC)
SECRETS = keys_named("data", "stringData")
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "db",
        "namespace": "shop",
        "labels": {"app": "shop", "tier": "back"},
        "annotations": {"example.com/note": "say: # no, 'really'", "example.com/lines": "one\ntwo\n", "x": ""},
    },
    "type": "Opaque",
    "immutable": True,
    "data": {"password": "aHVudGVyMg==", "empty": "", "tls.crt": "LS0tLS1CRUdJTg==", "binary": "AP8="},
    "stringData": {"url": "https://größe.example/😀", "lines": "a\n  b\n\nc", "yes": "no"},
}


def key_pair() -> tuple[Identities, Recipient]:
    """Return an age key as an importer has it, and as an exporter has it."""
    identity = pyrage.x25519.Identity.generate()
    name = str(identity.to_public())
    return Identities("key.txt", (name,), (identity,)), age.recipient(name)


def key_file(path: Path) -> tuple[Path, str]:
    """Write a fresh age key to `path`; return the path and the public key."""
    identity = pyrage.x25519.Identity.generate()
    path.write_text(f"# a comment\n{identity}\n")
    path.chmod(0o600)
    return path, str(identity.to_public())


def origin(rest: bytes) -> str:
    return hashlib.sha256(rest).hexdigest()


def encrypted(manifest: dict[str, Any], *recipients: Recipient, scope: Scope = SECRETS) -> bytes:
    return encrypt(manifest, scope=scope, recipients=recipients, when=WHEN, origin=origin)


def decrypted(data: bytes, identities: Identities | None) -> dict[str, Any]:
    return decrypt(data, read(data, file="f"), file="f", identities=identities).manifest
