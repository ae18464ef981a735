"""What backups and restores remember on a PersistentVolumeClaim: it is about the volume behind it, in this cluster."""

from __future__ import annotations

from typing import Final

from drsyncer import own
from drsyncer.manifest import Manifest, metadata
from drsyncer.match import annotations_of

NOTES: Final = frozenset([own.BACKUP_RESULT, own.RESTORED])


def without_notes(manifest: Manifest) -> Manifest:
    """Return the object without them, whoever put them there: another cluster's claim would seem to have the data."""
    annotations = annotations_of(manifest)
    if NOTES.isdisjoint(annotations):
        return manifest
    kept = {name: value for name, value in annotations.items() if name not in NOTES}
    meta = {key: value for key, value in metadata(manifest).items() if key != "annotations"}
    return {**manifest, "metadata": {**meta, **({"annotations": kept} if kept else {})}}
