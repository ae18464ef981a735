"""Which volumes of a recovery point a restore is about, and what Git says of their claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from drsyncer import manifest as manifests
from drsyncer import own
from drsyncer.config.volumes import VolumeSelect
from drsyncer.errors import UsageError
from drsyncer.manifest import Manifest, ObjectRef
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from transforms.select import Verdict
from volumes import in_git
from volumes.points import Point, check_names
from volumes.restore_look import requested_in
from volumes.restore_plan import Key, Wanted
from volumes.restore_selecting import INCLUDED, Selecting

# What says which volume a claim gets, and not how large and of which sort it is, would give it the old one.
_SPEC: Final = ("accessModes", "resources", "storageClassName", "volumeAttributesClassName", "volumeMode")


def wanted(
    clone: Clone,
    point: Point,
    selecting: Selecting,
    *,
    select: VolumeSelect,
    namespaces: Sequence[str] = (),
    volumes: Sequence[Key] = (),
) -> list[Wanted]:
    """Return the volumes of `point`: all of them, or those in `namespaces` and those named, as the source calls them.

    Those that `selecting` leaves out are among them, with its verdict. So is a claim without a record that by `select`,
    which says what is backed up, should have one: who restores all must not learn later that this is not all there was.
    Raises UsageError for names that the recovery point does not know, GitError.
    """
    records = {key_of(ref): record for ref, record in point.volumes.items()}
    unrecorded = {key_of(ref) for ref in point.unrecorded}
    check_names(point, namespaces, {key.namespace for key in records.keys() | unrecorded}, "namespace with volumes")
    check_names(point, map(str, volumes), {str(key) for key in records.keys() | unrecorded}, "volume")
    chosen = set(volumes)
    if namespaces or not volumes:
        expected = records.keys() | set(map(key_of, in_git.never_recorded(clone, point, select)))
        chosen |= {key for key in expected if key.namespace in namespaces or not namespaces}
    spaces = [key.namespace for key in chosen] if selecting.asks_for_namespaces else []
    claims, known = in_git.manifests(clone, point, {key: path_of(key) for key in chosen}, spaces)

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


def partial(one: Wanted) -> Wanted:
    """Return a volume whose newest backup was Partial, as it is to be restored from just that.

    Raises UsageError when the recovery point names no such snapshot.
    """
    made = one.record.attempt.made if one.record and one.record.attempt else None
    if one.record is None or made is None:
        raise UsageError(
            f"--partial: the recovery point names no partial snapshot of {one.source}",
            hint="Leave --partial out, or name the recovery point with --revision: `dr-syncer log` lists them, and "
            "`dr-syncer volumes list --revision REV` shows how each backup ended.",
        )
    return replace(one, record=msgspec.structs.replace(one.record, snapshot=made))


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
