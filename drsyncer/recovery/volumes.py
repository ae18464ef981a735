"""The files below `volumes/` in the recovery repository: what a recovery point says of each volume's data.

One file per PersistentVolumeClaim, in the form of an object, so that it names its claim itself when the file's name had
to be shortened; `kubectl apply` refuses it, since no cluster serves such a kind.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from drsyncer import snapshot
from drsyncer.errors import InvalidManifest
from drsyncer.manifest import ObjectRef, metadata
from drsyncer.recovery import layout
from drsyncer.snapshot import Record
from drsyncer.yaml import Limits
from drsyncer.yaml.emit import emit as emit_manifest
from drsyncer.yaml.read import read as read_manifest

KIND: Final = "VolumeRecord"
MOST_BYTES: Final = 64 * 1024  # a record is under 2 KiB; an annotation holds no more than 256 KiB of anything
_API_VERSION = "dr-syncer.io/v1"
_ABOUT_IT = ("apiVersion", "kind", "metadata")
_HINT = "The next export of its claim writes it anew; `git log` on the file says who changed it."


def emit(record: Record, claim: ObjectRef) -> bytes:
    """Return the bytes of a record's file; the same record always gives the same.

    Raises ValueError, with a clause, for one that is larger than `read` takes: whoever may write to a claim could make
    all that goes by the history, such as prunes, stop at it.
    """
    data: dict[str, Any] = msgspec.to_builtins(record)
    about = {"metadata": {"name": claim.name, "namespace": claim.namespace}}
    emitted = emit_manifest({"apiVersion": _API_VERSION, "kind": KIND, **about, **_without_none(data)})
    if len(emitted) > MOST_BYTES:
        raise ValueError(f"is no record of a backup: it is larger than {MOST_BYTES:,} bytes")
    return emitted


def read(data: bytes, *, file: str) -> tuple[ObjectRef, Record]:
    """Given the content of `file`, a record's path, return the claim and its record.

    Raises `InvalidManifest` for anything else, also when the record is another claim's, and for one of a newer version.
    """
    manifest = read_manifest(data, file=file, limits=Limits(max_bytes=MOST_BYTES))
    if manifest.get("kind") != KIND or manifest.get("apiVersion") != _API_VERSION:
        raise InvalidManifest(file, 0, f"expected kind {KIND} of {_API_VERSION}", hint=_HINT, about=("kind",))
    meta = metadata(manifest)
    claim = ObjectRef(layout.CLAIMS, str(meta.get("namespace") or ""), str(meta.get("name") or ""))
    layout.check(layout.claim_beside(file) or file, claim)
    try:
        record = snapshot.from_data({key: value for key, value in manifest.items() if key not in _ABOUT_IT})
    except ValueError as error:
        raise InvalidManifest(file, 0, str(error), hint=_HINT) from None
    return claim, record


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None
    }
