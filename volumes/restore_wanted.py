"""Which volumes of a recovery point a restore is about, and what Git says of their claims."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from drsyncer import manifest as manifests
from drsyncer import own
from drsyncer.errors import DrSyncerError
from drsyncer.manifest import Manifest, ObjectRef
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from drsyncer.yaml.read import read as read_manifest
from transforms.select import Verdict
from volumes.points import Point, check_names
from volumes.restore_look import requested_in
from volumes.restore_plan import Key, Wanted
from volumes.restore_selecting import INCLUDED, Selecting

_Name = TypeVar("_Name", bound=Hashable)
_NAMESPACES = "namespaces"
_MOST_BYTES = 1 << 20  # of a claim's file
# What says which volume a claim gets, and not how large and of which sort it is, would give it the old one.
_SPEC = ("accessModes", "resources", "storageClassName", "volumeAttributesClassName", "volumeMode")


def wanted(
    clone: Clone, point: Point, selecting: Selecting, *, namespaces: Sequence[str] = (), volumes: Sequence[Key] = ()
) -> list[Wanted]:
    """Return the volumes of `point`: all of them, or those in `namespaces` and those named, as the source calls them.

    Those that `selecting` leaves out are among them, with its verdict. A claim without a record is one of them only
    when it is named. Raises UsageError for names that the recovery point does not know, GitError.
    """
    records = {key_of(ref): record for ref, record in point.volumes.items()}
    unrecorded = {key_of(ref) for ref in point.unrecorded}
    check_names(point, namespaces, {key.namespace for key in records.keys() | unrecorded}, "namespace with volumes")
    check_names(point, map(str, volumes), {str(key) for key in records.keys() | unrecorded}, "volume")
    chosen = {key for key in records if key.namespace in namespaces or not (namespaces or volumes)} | set(volumes)
    claims = _manifests(clone, point, {key: path_of(key) for key in chosen})
    spaces = sorted({key.namespace for key in chosen}) if selecting.asks_for_namespaces else []
    known = _manifests(clone, point, {name: layout.path_of(ObjectRef(_NAMESPACES, "", name)) for name in spaces})

    def judged(key: Key) -> Wanted:
        manifest, namespace = claims.get(key, {}), known.get(key.namespace, {})
        verdict: Verdict | None = INCLUDED
        if selecting.has_rules:
            ref = ObjectRef(layout.CLAIMS, key.namespace, key.name)
            if manifest is None or namespace is None:
                verdict = None
            else:
                verdict = selecting.verdict(ref, manifest, manifests.labels(namespace))
        size = requested_in(manifest) if manifest else 0
        return Wanted(key, records.get(key), size or None, named=key in volumes, verdict=verdict)

    return [judged(key) for key in sorted(chosen)]


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


def _manifests(clone: Clone, point: Point, paths: Mapping[_Name, str]) -> dict[_Name, Manifest | None]:
    """Return what Git has at `paths`, by their names: nothing for no file, None for one that cannot be read."""
    files = clone.files(point.commit)
    there = {name: file for name, path in paths.items() if (file := files.get(path)) is not None and file.regular}
    contents = clone.read([file.blob_id for file in there.values()], max_size=_MOST_BYTES)
    found: dict[_Name, Manifest | None] = {}
    for name, (_, data) in zip(there, contents, strict=True):
        try:
            found[name] = read_manifest(data or b"", file=paths[name])
        except DrSyncerError:
            found[name] = None  # an import tells of it
    return found
