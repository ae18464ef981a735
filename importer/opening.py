"""From the bytes of a file to its object: read, and decrypted where the file is encrypted."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from drsyncer import own
from drsyncer.config.secrets import Decryption
from drsyncer.errors import InvalidManifest
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, metadata, split_api_version
from drsyncer.match import annotations_of
from drsyncer.recovery import layout
from drsyncer.recovery.layout import Place
from drsyncer.sops import age, document
from drsyncer.sops.age import Identities
from drsyncer.sops.scope import Scope, keys_named
from drsyncer.yaml.read import read as read_yaml

SECRETS = "secrets"
OF_SECRETS = keys_named("data", "stringData")
# Their own form is that of sops: an operator in the cluster decrypts them, with a key of its own.
_MADE_OF_SOPS = frozenset({"sopssecrets.isindir.github.com"})


@dataclass(frozen=True, slots=True)
class Opened:
    """The object of a file. `confidential` says which of its values nobody may see; empty: all may be seen."""

    manifest: Manifest
    confidential: tuple[Scope, ...]


def opener_of(secrets: Decryption) -> Opener:
    """Return the opener with the key that the configuration names, if it names one. Raises UsageError for a bad one."""
    return Opener(age.load(secrets.age_key_file) if secrets.age_key_file else None)


class Opener:
    """Reads the files of a recovery point with the keys of the DR side, if there are any."""

    def __init__(self, identities: Identities | None) -> None:
        self._identities = identities

    def open(self, path: str, data: bytes, *, type_key: str) -> Opened:
        """Return the object in a file of the type `type_key`. Raises InvalidManifest: it, and nothing else, is blocked.

        Any type may be encrypted: people use sops by hand too. Nothing that fails its MAC is returned.
        """
        manifest = read_yaml(data, file=path)
        always = (OF_SECRETS,) if type_key == SECRETS else ()
        if type_key in _MADE_OF_SOPS:
            return Opened(manifest, always)
        if not document.is_encrypted(manifest):
            marked = own.DIGEST in annotations_of(manifest)
            document.refuse_remains(manifest, file=path, secret=type_key == SECRETS, marked=marked)
            return Opened(manifest, always)
        found = document.decrypt(data, manifest, file=path, identities=self._identities)
        return Opened(_without_digest(found.manifest), tuple(dict.fromkeys((*always, found.scope))))

    def digest(self, data: bytes) -> str | None:
        """Return a digest of confidential content that can be kept where others may read it; None without a key.

        A plain one would let anybody try out passwords against it.
        """
        if self._identities is None:
            return None
        return hmac.new(self._identities.digest_key, data, hashlib.sha256).hexdigest()[:16]


def identity(manifest: Manifest, place: Place, path: str) -> ObjectRef:
    """Return who the object says it is. Raises InvalidManifest when that is not what its path says."""
    meta = metadata(manifest)
    for part in ("labels", "annotations"):
        # Rules look at these before any API server does.
        found = meta.get(part)
        if found is not None and not (
            isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values())
        ):
            raise InvalidManifest(path, 0, f"metadata.{part} is no mapping of text to text", about=("metadata", part))
    ref = ObjectRef(place.type, str(meta.get("namespace") or ""), str(meta.get("name") or ""))
    layout.check(path, ref)
    return ref


def check_kind(manifest: Manifest, type_: ResourceType, path: str) -> None:
    """Raise InvalidManifest when the object is of another kind or group than its path says."""
    kind = manifest.get("kind")
    group, _ = split_api_version(str(manifest.get("apiVersion", "")))
    if kind != type_.kind or group != type_.group:
        raise InvalidManifest(
            path,
            0,
            f"holds {kind} of {manifest.get('apiVersion')}; expected {type_.kind} of {type_.api_version}",
            about=("kind",),
        )


def marked(manifest: Manifest, scope: Scope) -> Manifest:
    """Return the object with a note of what of it is confidential, for `diff` once the file is gone."""
    meta = metadata(manifest)
    noted = {**annotations_of(manifest), own.CONFIDENTIAL: f"{scope.rule}: {scope.text}"}
    return {**manifest, "metadata": {**meta, "annotations": noted}}


def scopes_of(annotations: Mapping[str, str]) -> list[Scope]:
    """Return the scope that `marked` noted, if it did."""
    rule, colon, text = str(annotations.get(own.CONFIDENTIAL, "")).partition(": ")
    return [Scope(rule, text)] if colon else []


def _without_digest(manifest: Manifest) -> Manifest:
    """Return the object without the annotation that is about its file."""
    kept = dict(annotations_of(manifest))
    if kept.pop(own.DIGEST, None) is None:
        return manifest
    meta = {key: value for key, value in metadata(manifest).items() if key != "annotations"}
    return {**manifest, "metadata": {**meta, **({"annotations": kept} if kept else {})}}
