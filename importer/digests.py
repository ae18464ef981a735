"""Short digests: what an importer remembers instead of objects."""

from __future__ import annotations

import hashlib

import msgspec

from drsyncer.manifest import Manifest
from drsyncer.own import FIELD_MANAGER

_LENGTH = (
    16  # hex digits: 64 bits; a chance of 1 in 10^9 to miss one change in 10^5 objects would need 10^5 changes each
)


class Entry(msgspec.Struct, rename="camel"):
    """One entry of managedFields; the fields themselves stay raw."""

    manager: str = ""
    operation: str = ""
    api_version: str = ""
    subresource: str = ""
    time: str = ""
    fields_v1: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="fieldsV1")


class Meta(msgspec.Struct, rename="camel"):
    """The metadata of one object in DR, as far as an import looks at it."""

    name: str
    uid: str
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    managed_fields: list[Entry] | None = None


class _Item(msgspec.Struct):
    metadata: Meta


_ITEM = msgspec.json.Decoder(_Item)


def meta_of(raw: bytes | msgspec.Raw) -> Meta:
    """Return the metadata of an object given as JSON; the rest of it is not decoded."""
    return _ITEM.decode(raw).metadata


def digest(*parts: str | bytes) -> str:
    """Return 16 hex digits that stand for `parts` in this order."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()[:_LENGTH]


def of_manifest(manifest: Manifest) -> tuple[bytes, str]:
    """Return the object as JSON with sorted keys, and its digest."""
    data = msgspec.json.encode(manifest, order="deterministic")
    return data, digest(data)


def ours(entries: list[Entry] | None, *, manager: str = FIELD_MANAGER) -> Entry | None:
    """Return the entry of our own applies, or None: nothing of ours is left in the object."""
    for entry in entries or ():
        if entry.manager == manager and entry.operation == "Apply" and not entry.subresource:
            return entry
    return None


def ownership(entries: list[Entry] | None, *, manager: str = FIELD_MANAGER) -> str:
    """Return the ownership digest: which fields of the object are ours at this moment.

    Any other hand that changes or removes one of our fields takes it out of our entry, even when it
    later puts the old value back; writes elsewhere leave the entry alone. So an unchanged digest
    means that every field still has the value that we gave it, and no value needs to be compared
    (server-side apply, KEP-555). The entry's time tells our own applies apart, such as one whose
    record was never written: it moves when an apply changes a value, and only then.
    """
    entry = ours(entries, manager=manager)
    return digest(entry.api_version, entry.time, bytes(entry.fields_v1)) if entry else ""
