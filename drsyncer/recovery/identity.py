"""`dr-syncer.yaml` in the recovery repository: which cluster's objects these are, in which version of the format.

It holds no time: an export that changes nothing must leave every byte alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drsyncer.errors import InvalidManifest, Refused
from drsyncer.yaml.emit import emit as emit_manifest
from drsyncer.yaml.read import read as read_manifest

FILE: Final = "dr-syncer.yaml"
FORMAT: Final = 1

_API_VERSION = "dr-syncer.io/v1"
_KIND = "RecoveryRepository"


@dataclass(frozen=True, slots=True)
class Identity:
    """A source cluster, as the recovery repository knows it."""

    cluster: str  # the name people gave it
    uid: str  # metadata.uid of its namespace kube-system: lives as long as the cluster
    format: int = FORMAT

    def __str__(self) -> str:
        return f"{self.cluster} (kube-system {self.uid})"


def emit(identity: Identity) -> bytes:
    """Return the bytes of `dr-syncer.yaml`."""
    return emit_manifest(
        {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "format": identity.format,
            "cluster": {"name": identity.cluster, "uid": identity.uid},
        }
    )


def read(data: bytes, *, file: str = FILE) -> Identity:
    """Given the bytes of `dr-syncer.yaml` return what they say.

    Raises `InvalidManifest` for anything else, `Refused` for a format newer than this program knows: it can't tell
    what it would overlook.
    """
    manifest = read_manifest(data, file=file)
    if manifest.get("kind") != _KIND:
        raise InvalidManifest(
            file, 0, f"expected kind {_KIND}", hint="Is this the recovery repository, and is repository.path right?"
        )
    format_ = manifest.get("format")
    if isinstance(format_, int) and format_ > FORMAT:
        raise Refused(
            f"recovery.identity: {file} is in format {format_}; this version knows formats up to {FORMAT}",
            hint="Use the version of dr-syncer that wrote it, or a later one.",
        )
    cluster = manifest.get("cluster")
    name, uid = (cluster.get("name"), cluster.get("uid")) if isinstance(cluster, dict) else (None, None)
    if format_ != FORMAT or isinstance(format_, bool) or not isinstance(name, str) or not isinstance(uid, str):
        raise InvalidManifest(file, 0, "expected format, cluster.name and cluster.uid")
    if not name or not uid:
        raise InvalidManifest(file, 0, "cluster.name and cluster.uid must not be empty")
    return Identity(name, uid, format_)


def is_one(data: bytes) -> bool:
    """Return whether `data` is a recovery repository's `dr-syncer.yaml`; a configuration has the same name."""
    try:
        return bool(read_manifest(data, file=FILE).get("kind") == _KIND)
    except InvalidManifest:
        return False


def check_same(known: Identity | None, found: Identity, *, adopt: bool) -> None:
    """Raise `Refused` when `found` is not the cluster that was `known` so far, unless `adopt` says to go on.

    The UID decides: a cluster that only got a new name is still the same. None: no cluster was known yet.
    """
    if known is None or known.uid == found.uid or adopt:
        return
    raise Refused(
        f"recovery.identity: the recovery repository's cluster was {known} and now is {found}",
        hint="Give each source cluster its own repository.path. If the new cluster is meant to take the place of the"
        " old one, say so with --adopt.",
    )
