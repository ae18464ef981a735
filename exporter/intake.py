"""From an event of a watch to a change that waits for the next commit, or to nothing, which is the rule.

Called by the watches' threads: an object is decoded, selected, cleaned and written as a full export would do it, and
when that gives what Git has, nothing of it is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from drsyncer.cluster.watch import Event, Kind
from drsyncer.manifest import Manifest, ResourceType, metadata
from drsyncer.recovery import layout
from exporter.agenda import Agenda
from exporter.filing import NAMESPACES, LeftOut, ref_of
from exporter.ledger import Ledger, Waiting
from exporter.sealing import Sealing
from exporter.survey import FIRST, Survey
from exporter.volume_records import RecordFile, mark_of, record_in

API_SERVICES = "apiservices.apiregistration.k8s.io"
# Until a new type is served, and until a namespace's objects have followed its labels.
_SETTLING = 1.0


class Intake:
    """Compares objects with what Git has. `broken` maps paths to why their objects cannot be written."""

    def __init__(
        self,
        *,
        survey: Survey,
        sealing: Sealing,
        blob_id: Callable[[bytes], str],
        ledger: Ledger,
        agenda: Agenda,
        broken: dict[str, str],
    ) -> None:
        self._survey = survey
        self._sealing = sealing
        self._blob_id = blob_id
        self._ledger = ledger
        self._agenda = agenda
        self._services: dict[str, object] = {}
        self.broken = broken

    def take(self, type_: ResourceType, event: Event) -> None:
        """Take in one event. Raises what comes up when the digest key cannot be had."""
        manifest = msgspec.json.decode(event.object)
        if type_.key in FIRST:
            self._learn(type_, event.kind, manifest)
        elif type_.key == API_SERVICES:
            self._note_service(event.kind, manifest)
        if not self._survey.selected(type_):
            return
        change = self._compare(type_, event, manifest)
        if change is None or not self._ledger.note(change):
            return
        self._agenda.changed()
        if key := self._ledger.too_much():
            self._ledger.forget(key)
            self._agenda.want_list(key)

    def _compare(self, type_: ResourceType, event: Event, manifest: Manifest) -> Waiting | None:
        ref, now = ref_of(manifest, type_), time.monotonic()
        path = layout.path_of(ref)
        gone = Waiting(ref=ref, path=path, mark="", seen=now)
        record_path = layout.record_beside(path)
        if event.kind is Kind.DELETED:
            self._mended(path, record_path)
            return gone
        try:
            filed = self._survey.filing.file(manifest, type_)
        except ValueError as error:
            self.broken[path] = f"{ref}: {error}"
            return None
        self._mended(path, record_path)
        if isinstance(filed, LeftOut):
            return gone
        mark = self._blob_id(filed.data) if filed.encrypt is None else self._sealing.digest(filed)
        mark = mark_of(mark, self._record(path, filed.record))
        return Waiting(ref=ref, path=path, mark=mark, seen=now, type_=type_, raw=bytes(event.object))

    def _record(self, path: str, record: RecordFile | None) -> str:
        """Return the id of the record that the claim at `path` is to have in Git: as now, when this one is none."""
        if record is None:
            return ""
        if record.fault:
            self.broken[record.path] = record.fault
            return record_in(self._ledger.expected(path))
        return self._blob_id(record.data)

    def _mended(self, *paths: str) -> None:
        for path in paths:
            self.broken.pop(path, None)

    def _learn(self, type_: ResourceType, kind: Kind, manifest: Manifest) -> None:
        """Note what a namespace or a CRD says; when that decides about other objects, have them looked at."""
        name = metadata(manifest)["name"]
        before = self._survey.said(type_, name)
        if kind is Kind.DELETED:
            self._survey.forget(type_, name)
        else:
            self._survey.learn(type_, manifest)
        if self._survey.said(type_, name) == before:
            return
        if type_.key != NAMESPACES:
            self._agenda.want_discovery(_SETTLING)
        elif self._survey.labels_matter:
            self._agenda.want_full(_SETTLING)

    def _note_service(self, kind: Kind, manifest: Manifest) -> None:
        name = metadata(manifest)["name"]
        says = None if kind is Kind.DELETED else (manifest.get("spec"), _is_available(manifest))
        if self._services.get(name) != says:
            self._services[name] = says
            self._agenda.want_discovery(_SETTLING)


def _is_available(service: Manifest) -> bool:
    conditions: list[dict[str, Any]] = (service.get("status") or {}).get("conditions") or []
    return any(found.get("type") == "Available" and found.get("status") == "True" for found in conditions)
