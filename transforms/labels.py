"""Labels and annotations that every object, or every Namespace, gets or loses on the way in.

Only the object's own metadata: a label on a pod template restarts pods and one in a selector selects
others; neither is what "put `site: dr` on everything" asks for.
"""

from __future__ import annotations

from typing import Any

from drsyncer.manifest import Manifest
from transforms.pods import Ledger, Path, describe
from transforms.settings import Changes, Result, Subject

NAME = "labels"
NAMESPACES = "namespaces"


def change_labels(manifest: Manifest, subject: Subject) -> Result:
    """Apply `labels` and `annotations`, then on Namespaces their own: the narrower setting has the last word."""
    settings = subject.settings
    rows = [("labels", settings.labels), ("annotations", settings.annotations)]
    if subject.ref.type == NAMESPACES:
        rows += [("labels", settings.namespace_labels), ("annotations", settings.namespace_annotations)]
    ledger = Ledger(NAME)
    for key, changes in rows:
        if changes:
            manifest = _changed(manifest, ("metadata", key), changes, ledger)
    return Result(manifest, ledger.applied)


def _changed(manifest: Manifest, path: Path, changes: Changes, ledger: Ledger) -> Manifest:
    section, key = path
    metadata = manifest.get(section)
    if not isinstance(metadata, dict):
        raise ledger.fault((section,), describe(metadata), "a mapping")
    before: Any = metadata.get(key)
    if before is None:
        before = {}
    if not isinstance(before, dict):
        raise ledger.fault(path, describe(before), "a mapping")
    after = {name: value for name, value in before.items() if name not in changes.remove} | dict(changes.add)
    if after == before:
        return manifest
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            ledger.record((*path, name), "removed")
        elif name not in before:
            ledger.record((*path, name), "added")
        elif before[name] != after[name]:
            ledger.record((*path, name), "changed")
    rest = {name: value for name, value in metadata.items() if name != key}
    return {**manifest, section: {**rest, key: after} if after else rest}
