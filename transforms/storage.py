"""Storage classes and access modes of everything that claims or offers a volume.

StorageClass objects keep their names: they are infrastructure of their own cluster. Every value is
mapped from the original, once; so `{a: b, b: a}` swaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drsyncer.manifest import Manifest
from transforms.pods import CLAIMS, Ledger, Path, describe, few, pointer, replace, rewrite
from transforms.settings import Result, Subject
from transforms.stages import is_custom
from transforms.texts import changed_texts

CLASSES_NAME = "storageClasses"
MODES_NAME = "accessModes"

# Older than the field and still honoured where the field is absent (Kubernetes: Persistent Volumes, "Class").
LEGACY_ANNOTATION: Path = ("metadata", "annotations", "volume.beta.kubernetes.io/storage-class")
CLASS_FIELDS: tuple[Path, ...] = (("spec", "storageClassName"), LEGACY_ANNOTATION)
MODES_FIELD: Path = ("spec", "accessModes")

# Claims, and volumes, which carry the same fields at the same places.
VOLUMES: dict[str, tuple[Path, ...]] = {**CLAIMS, "persistentvolumes": ((),)}

# `gold.storageclass.storage.k8s.io/requests.storage`: a quota per class (Kubernetes: Resource Quotas).
QUOTA_MARK = ".storageclass.storage.k8s.io/"
QUOTAS: dict[str, Path] = {"resourcequotas": ("spec", "hard")}


def map_storage_classes(manifest: Manifest, subject: Subject) -> Result:
    """Rewrite storageClassName, its legacy annotation and quotas per class. Absent and "" mean what they meant."""
    classes = subject.settings.storage_classes
    if not classes:
        return Result(manifest)
    ledger = Ledger(CLASSES_NAME)
    for claim in VOLUMES.get(subject.ref.type, ()):
        for path in CLASS_FIELDS:
            manifest = replace(manifest, claim + path, lambda name: classes.get(name, name), ledger=ledger)
    quota = QUOTAS.get(subject.ref.type)
    if quota is not None:
        manifest = rewrite(manifest, quota, lambda hard, at: _quota(hard, at, classes, ledger), ledger=ledger)
    notes = _left_over(manifest, classes, ledger) if is_custom(subject.ref.type) else ()
    return Result(manifest, ledger.applied, notes)


def _left_over(manifest: Manifest, classes: Mapping[str, str], ledger: Ledger) -> tuple[str, ...]:
    """Return a note for each field of a custom resource that by its name holds a mapped class."""
    notes: list[str] = []

    def look(text: str, at: Path) -> str:
        if at[-1] in ("storageClassName", "storageClass") and at not in ledger.changed:
            new = classes.get(text, text)
            if new != text:
                notes.append(f"{pointer(at)} names the storage class {text}, not rewritten: it is {new} in DR")
        return text

    for key in manifest:
        if key != "metadata":
            changed_texts(manifest, (key,), look)
    return few(notes, "places that name a mapped storage class")


def map_access_modes(manifest: Manifest, subject: Subject) -> Result:
    """Rewrite access modes, each from its original value; order kept, what became the same listed once."""
    modes = subject.settings.access_modes
    if not modes:
        return Result(manifest)
    ledger = Ledger(MODES_NAME)

    def visit(value: Any, at: Path) -> Any:
        if not isinstance(value, list) or not all(isinstance(mode, str) for mode in value):
            raise ledger.fault(at, describe(value), "a list of strings")
        mapped = [modes.get(mode, mode) for mode in value]
        if mapped == value:
            return value
        ledger.record(at, f"{', '.join(value)} -> {', '.join(dict.fromkeys(mapped))}")
        return list(dict.fromkeys(mapped))

    for claim in VOLUMES.get(subject.ref.type, ()):
        manifest = rewrite(manifest, claim + MODES_FIELD, visit, ledger=ledger)
    return Result(manifest, ledger.applied)


def _quota(hard: Any, at: Path, classes: Mapping[str, str], ledger: Ledger) -> Any:
    """Rename the keys that count one class. Two classes that become one cannot share a limit: that blocks."""
    if not isinstance(hard, dict):
        raise ledger.fault(at, describe(hard), "a mapping")
    renamed: dict[str, Any] = {}
    for key, limit in hard.items():
        name, mark, resource = key.partition(QUOTA_MARK)
        new = f"{classes[name]}{mark}{resource}" if mark and name in classes else key
        if new in renamed:
            raise ledger.fault((*at, key), f"a second limit that becomes {new}", "one limit per storage class in DR")
        if new != key:
            ledger.record((*at, key), f"-> {new}")
        renamed[new] = limit
    return hard if list(renamed) == list(hard) else renamed
