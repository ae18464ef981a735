"""Which volumes of a recovery point a restore is about, and what Git says of their claims."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from drsyncer import manifest as manifests
from drsyncer import own
from drsyncer.errors import DrSyncerError, UsageError
from drsyncer.manifest import Manifest, ObjectRef
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from drsyncer.yaml.read import read as read_manifest
from volumes.points import Point
from volumes.restore_look import requested_in
from volumes.restore_plan import Key, Wanted

_MOST_BYTES = 1 << 20  # of a claim's file
# What says which volume a claim gets, and not how large and of which sort it is, would give it the old one.
_SPEC = ("accessModes", "resources", "storageClassName", "volumeAttributesClassName", "volumeMode")


def wanted(clone: Clone, point: Point, *, namespaces: Sequence[str] = (), volumes: Sequence[Key] = ()) -> list[Wanted]:
    """Return the volumes of `point`: all of them, or those in `namespaces` and those named, as the source calls them.

    A claim without a record is one of them only when it is named. Raises UsageError for names that the recovery point
    does not know, GitError.
    """
    records = {key_of(ref): record for ref, record in point.volumes.items()}
    unrecorded = {key_of(ref) for ref in point.unrecorded}
    _check_names(point, namespaces, {key.namespace for key in records.keys() | unrecorded}, "namespace with volumes")
    _check_names(point, map(str, volumes), {str(key) for key in records.keys() | unrecorded}, "volume")
    chosen = {key for key in records if key.namespace in namespaces or not (namespaces or volumes)} | set(volumes)
    sizes = _sizes(clone, point, chosen)
    return [Wanted(key, records.get(key), sizes.get(key)) for key in sorted(chosen)]


def key_of(ref: ObjectRef) -> Key:
    """Return the name of a claim."""
    return Key(ref.namespace, ref.name)


def path_of(key: Key) -> str:
    """Return where Git has a claim."""
    return layout.path_of(ObjectRef(layout.CLAIMS, key.namespace, key.name))


def to_make(manifest: Manifest, key: Key) -> Manifest:
    """Return the claim to make in DR for a restore somewhere else, from what an import would make of the source's.

    It is nobody's member: no import will prune it.
    """
    meta: Manifest = {"name": key.name, "namespace": key.namespace}
    ours = (own.PREFIX, own.APPLYSET_PREFIX)
    for name, found in (("labels", manifests.labels(manifest)), ("annotations", manifests.annotations(manifest))):
        if kept := {word: text for word, text in found.items() if not word.startswith(ours)}:
            meta[name] = kept
    spec = manifest.get("spec")
    kept = {word: spec[word] for word in _SPEC if word in spec} if isinstance(spec, dict) else {}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": kept}


def _check_names(point: Point, asked: Collection[str] | map[str], known: Collection[str], what: str) -> None:
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            raise UsageError(
                f"recovery point {point.id[:12]} holds no {what} {name!r:.200}"
                + (f"; did you mean {near[0]!r}?" if near else ""),
                hint="Write it as Git has it, not as it is mapped to; `dr-syncer volumes list` shows all.",
            )


def _sizes(clone: Clone, point: Point, keys: Collection[Key]) -> dict[Key, int]:
    """Return the sizes in bytes that claims in Git ask for; without those that Git has not, or that cannot be read."""
    files = clone.files(point.commit)
    there = {key: file for key in keys if (file := files.get(path_of(key))) is not None and file.regular}
    sizes = {}
    contents = clone.read([file.blob_id for file in there.values()], max_size=_MOST_BYTES)
    for key, (_, data) in zip(there, contents, strict=True):
        try:
            size = requested_in(read_manifest(data or b"", file=path_of(key)))
        except DrSyncerError:
            continue  # an import tells of it; the snapshot's size is what counts then
        if size:
            sizes[key] = size
    return sizes
