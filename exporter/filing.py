"""From one raw object to the file that stands for it in the recovery repository, or the reason why none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drsyncer.manifest import Manifest, ObjectRef, ResourceType, labels, metadata
from drsyncer.match import Subject
from drsyncer.recovery import layout
from drsyncer.sops.copies import without_copies
from drsyncer.sops.scope import Scope, covering
from drsyncer.yaml.emit import emit
from exporter.confidential import SECRETS, Confidential
from exporter.volume_records import RecordFile, record_of
from transforms.claims import without_notes
from transforms.clean import Cleaner
from transforms.select import Selection

SECRETS_OMITTED = "secrets-omitted"
OWN_KEY = "own-digest-key"
NAMESPACES = "namespaces"


@dataclass(frozen=True, slots=True)
class Filed:
    """An object on its way into the recovery repository. `entries` are its managedFields.

    `encrypt` says what of it is to be encrypted; then `data` is empty until that is done. `record` is the second file
    of a PersistentVolumeClaim that was backed up.
    """

    ref: ObjectRef
    path: str
    data: bytes
    manifest: Manifest
    entries: list[Mapping[str, Any]]
    cleaned_by: tuple[str, ...]
    encrypt: Scope | None = None
    record: RecordFile | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object that stays out, and the check that said so."""

    ref: ObjectRef
    check: str
    reason: str


def ref_of(manifest: Manifest, type_: ResourceType) -> ObjectRef:
    """Return the identity of an object that was read as `type_`."""
    meta = metadata(manifest)
    return ObjectRef(type_.key, meta.get("namespace", ""), meta["name"])


class Filing:
    """Selects, cleans and writes one object at a time; remembers which user rules ever decided.

    `namespace_labels` maps each namespace to its labels, for rules that ask for them (`labels_matter`).
    """

    def __init__(
        self,
        *,
        selection: Selection,
        cleaner: Cleaner,
        confidential: Confidential,
        namespace_labels: Mapping[str, Mapping[str, str]],
        labels_matter: bool = False,
    ) -> None:
        self._selection = selection
        self._cleaner = cleaner
        self._confidential = confidential
        self._namespace_labels = namespace_labels
        self._labels_matter = labels_matter
        self.deciding: set[str] = set()
        self._cleaning: set[str] = set()
        self._encrypting: set[str] = set()

    def subject(self, manifest: Manifest, type_: ResourceType) -> Subject:
        """Return `manifest`, read as `type_`, in the form that rules look at.

        Items of a LIST come without apiVersion and kind; they are put back here.
        """
        if "kind" not in manifest:
            manifest = {"apiVersion": type_.api_version, "kind": type_.kind, **manifest}
        ref = ref_of(manifest, type_)
        if type_.key == NAMESPACES:
            # Rules about what is in a namespace are about the Namespace too: it would be useless without.
            inside = ObjectRef(type_.key, ref.name, ref.name)
            return Subject(ref=inside, type=type_, manifest=manifest, namespace_labels=labels(manifest))
        return Subject(
            ref=ref, type=type_, manifest=manifest, namespace_labels=self._namespace_labels.get(ref.namespace, {})
        )

    def file(self, manifest: Manifest, type_: ResourceType) -> Filed | LeftOut:
        """Return the file for one object as the API server gave it.

        Raises ValueError when YAML cannot hold it, or when rules need its namespace's labels and nobody read them.
        """
        subject = self.subject(manifest, type_)
        ref = ref_of(manifest, type_)
        if self._labels_matter and ref.namespace and ref.namespace not in self._namespace_labels:
            raise ValueError("its namespace was made while the cluster was being read; the next export looks at it")
        verdict = self._selection.verdict(subject)
        self.deciding.add(verdict.check)
        if not verdict.included:
            return LeftOut(ref, verdict.check, verdict.reason)
        if ref == self._confidential.own:
            return LeftOut(ref, OWN_KEY, "it is the exporter's own key, which stays in this cluster")
        if type_.key == SECRETS and self._confidential.mode == "omit":
            return LeftOut(ref, SECRETS_OMITTED, "exporter.secrets.mode is omit")
        cleaned = self._cleaner.clean(subject)
        self._cleaning.update(cleaned.used)
        confidential = self._confidential.rule(subject)
        kept = without_notes(cleaned.manifest)  # whatever the user keeps
        if confidential:
            self._encrypting.add(confidential[0])
            # Whatever the user keeps: such an annotation is readable, and so would be what is encrypted.
            kept = without_copies(kept, covering([confidential[1]]))
        return Filed(
            ref=ref,
            path=layout.path_of(ref),
            data=b"" if confidential else emit(kept),
            manifest=kept,
            entries=metadata(manifest).get("managedFields") or [],
            cleaned_by=cleaned.removed,
            encrypt=confidential[1] if confidential else None,
            record=record_of(manifest, ref),
        )

    def unused_encryption(self) -> list[str]:
        """Return the user's entries about encryption that were about no object."""
        return self._confidential.unused(self._encrypting)

    def unused_paths(self) -> list[str]:
        """Return the user's cleaning paths that no object had."""
        return self._cleaner.unused(self._cleaning)
