"""What a reading found, held against what Git has: the next commit in the making.

Per object only its path and the id of its content stay in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from drsyncer.errors import InvalidManifest
from drsyncer.fields import managers_behind
from drsyncer.manifest import ObjectRef
from drsyncer.own import FIELD_MANAGER
from drsyncer.recovery import layout
from drsyncer.recovery.git import TreeFile
from drsyncer.recovery.layout import Place
from drsyncer.recovery.message import Change, Verb, VolumeChange
from drsyncer.yaml.read import read as read_yaml
from exporter.filing import SECRETS_OMITTED, Filed, Filing, LeftOut, ref_of
from exporter.reading import PageRead, TypeRead
from exporter.sealing import Sealing, is_readable
from exporter.volume_records import RecordFile, blob_beside, mark_of, without_claim

_MOST_AT_ONCE = 16 * 1024 * 1024  # bytes of old files in memory


@dataclass(slots=True)
class _Type:
    """What one type gave so far."""

    files: dict[str, str] = field(default_factory=dict)  # path → blob id
    changes: dict[str, Change] = field(default_factory=dict)
    excluded: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)  # path → reason
    exposed: set[str] = field(default_factory=set)  # paths that were readable before and are encrypted now
    digests: dict[str, str] = field(default_factory=dict)  # path → digest of what is to be encrypted
    records: dict[str, str] = field(default_factory=dict)  # path of a volume's record → blob id
    volumes: dict[str, VolumeChange] = field(default_factory=dict)  # the same path → what changed


class Gathering:
    """Collects pages into the files of the next commit.

    `known` are the files of the parent commit; `store` puts content into Git (or only names it, on
    a dry run) and returns its blob id; `load` reads blobs of the parent back, to tell who changed what.
    """

    def __init__(
        self,
        *,
        filing: Filing,
        sealing: Sealing,
        known: Mapping[str, TreeFile],
        blob_id: Callable[[bytes], str],
        store: Callable[[bytes], str],
        load: Callable[[list[str]], Mapping[str, bytes | None]],
    ) -> None:
        self._filing = filing
        self._sealing = sealing
        self._known = known
        self._blob_id = blob_id
        self._store = store
        self._load = load
        self._types: dict[str, _Type] = {}
        self._reads: dict[str, TypeRead] = {}

    def add_page(self, page: PageRead) -> int:
        """Take one page in; return how many objects it held."""
        if page.fresh or page.type_.key not in self._types:
            self._types[page.type_.key] = _Type()
        gathered = self._types[page.type_.key]
        updated: list[Filed] = []
        confidential: list[Filed] = []
        for raw in page.items:
            manifest = msgspec.json.decode(raw)
            try:
                result = self._filing.file(manifest, page.type_)
            except ValueError as error:
                ref = ref_of(manifest, page.type_)
                gathered.broken[layout.path_of(ref)] = f"{ref}: {error}"
                continue
            if isinstance(result, LeftOut):
                gathered.excluded[result.check] += 1
                continue
            self._note_record(gathered, result.record)
            if result.encrypt is not None:
                confidential.append(result)
            else:
                self._file(gathered, result, updated)
        self._seal(gathered, confidential, updated)
        self._attribute(gathered, updated)
        return len(page.items)

    def _note_record(self, gathered: _Type, record: RecordFile | None) -> None:
        """File what a claim says of its data."""
        if record is None:
            return
        if record.fault:
            gathered.broken[record.path] = record.fault
            return
        before, new = self._known.get(record.path), self._blob_id(record.data)
        gathered.records[record.path] = new
        if before is None or before.blob_id != new or not before.regular:
            assert record.change is not None
            self._store(record.data)
            gathered.volumes[record.path] = record.change

    def _seal(self, gathered: _Type, confidential: list[Filed], updated: list[Filed]) -> None:
        """File what is to be encrypted; where the old file still says the same, it stays."""
        for some in self._bounded(confidential):
            files = [self._known.get(filed.path) for filed in some]
            old = self._load([file.blob_id for file in files if file is not None and file.regular])
            for filed, file in zip(some, files, strict=True):
                assert filed.encrypt is not None
                gathered.digests[filed.path] = self._sealing.digest(filed)
                before = old.get(file.blob_id) if file is not None and file.regular else None
                if file is not None and before is not None and self._sealing.keeps(before, filed, filed.encrypt):
                    gathered.files[filed.path] = file.blob_id
                    continue
                try:
                    sealed = replace(filed, data=self._sealing.seal(filed, filed.encrypt))
                except ValueError as error:
                    gathered.broken[filed.path] = f"{filed.ref}: {error}"
                    continue
                if before is not None and is_readable(before):
                    gathered.exposed.add(filed.path)
                self._file(gathered, sealed, updated)

    def _bounded(self, confidential: list[Filed]) -> Iterator[Sequence[Filed]]:
        """Yield the objects in parts whose old files take bounded memory."""
        part: list[Filed] = []
        size = 0
        for filed in confidential:
            file = self._known.get(filed.path)
            more = max(file.size, 0) if file is not None else 0
            if part and size + more > _MOST_AT_ONCE:
                yield part
                part, size = [], 0
            part.append(filed)
            size += more
        if part:
            yield part

    def _file(self, gathered: _Type, filed: Filed, updated: list[Filed]) -> None:
        before = self._known.get(filed.path)
        new = self._blob_id(filed.data)
        gathered.files[filed.path] = new
        if before is None:
            self._store(filed.data)
            who = managers_behind(None, filed.manifest, filed.entries)
            gathered.changes[filed.path] = Change(Verb.CREATED, filed.ref, who)
        elif before.blob_id != new or not before.regular:
            self._store(filed.data)
            updated.append(filed)

    def _attribute(self, gathered: _Type, updated: list[Filed]) -> None:
        """Name the managers behind updated objects: the old content says which fields changed."""
        if not updated:
            return
        known = [self._known[filed.path] for filed in updated]
        old = self._load([file.blob_id for file in known if file.regular])
        for file, filed in zip(known, updated, strict=True):
            before = old.get(file.blob_id)
            try:
                manifest = read_yaml(before, file=filed.path) if before is not None else {}
            except InvalidManifest:
                manifest = {}  # someone edited the file into nonsense: everything counts as changed
            old_object = manifest if filed.encrypt is None else self._sealing.before(manifest, filed)
            # Encrypted anew for other recipients or with another key: nobody but us changed it.
            who = (FIELD_MANAGER,) if old_object is None else managers_behind(old_object, filed.manifest, filed.entries)
            gathered.changes[filed.path] = Change(Verb.UPDATED, filed.ref, who)

    def add_read(self, read: TypeRead) -> None:
        """Note that a type is through."""
        self._reads[read.type_.key] = read

    def files(self) -> dict[str, str]:
        """Return path → blob id of every object found."""
        return {path: blob for gathered in self._types.values() for path, blob in gathered.files.items()}

    def records(self) -> dict[str, str]:
        """Return path → blob id of the record of every volume that was backed up."""
        return {path: blob for gathered in self._types.values() for path, blob in gathered.records.items()}

    def marks(self) -> dict[str, str]:
        """Return path → what tells whether an object is still the same: its digest when encrypted, else its blob id.

        That of a claim with a record stands for both files: see `volume_records`.
        """
        digests = {path: digest for gathered in self._types.values() for path, digest in gathered.digests.items()}
        records, broken = self.records(), self.broken()
        marks = {}
        for path, blob in self.files().items():
            beside = layout.record_beside(path)
            record = blob_beside(self._known, path) if beside in broken else records.get(beside, "")
            marks[path] = mark_of(digests.get(path, blob), record)
        return marks

    def broken(self) -> dict[str, str]:
        """Return path → why an object cannot be written."""
        return {path: reason for gathered in self._types.values() for path, reason in gathered.broken.items()}

    def changes(self) -> list[Change]:
        """Return what was created and updated."""
        return [change for gathered in self._types.values() for change in gathered.changes.values()]

    def volumes(self) -> list[VolumeChange]:
        """Return which volumes have a new record."""
        return [change for gathered in self._types.values() for change in gathered.volumes.values()]

    def excluded(self) -> Counter[str]:
        """Return how many objects each check left out."""
        return sum((gathered.excluded for gathered in self._types.values()), Counter[str]())

    def secrets_omitted(self) -> int:
        """Return how many Secrets were left out because the configuration says so."""
        return self.excluded()[SECRETS_OMITTED]

    def exposed(self) -> int:
        """Return how many objects are encrypted now that the parent commit holds readable."""
        return sum(len(gathered.exposed) for gathered in self._types.values())

    def incomplete(self) -> dict[str, str]:
        """Return why types, or single objects, are not as in the cluster: by name."""
        found = {key: read.why_incomplete for key, read in self._reads.items() if not read.saw_everything}
        return dict(sorted((found | self.broken()).items()))

    def gone(self, *, served: Callable[[str], bool], unknown: Callable[[str], bool]) -> list[tuple[str, ObjectRef]]:
        """Return the files of the parent commit whose object is certainly no longer wanted.

        Certain means: its type was listed to the end where the object lived, or the type is not
        read at all any more (excluded, or gone from the cluster). `served` tells whether a type is
        among those that were to be read, `unknown` whether its group could not be discovered.
        """
        found = self.files()
        lost = []
        for path in sorted(self._known.keys() - found.keys() - self.broken().keys()):
            place = layout.place_of(path)
            if place is not None and self._would_be_seen(place, served=served, unknown=unknown):
                lost.append((path, place.ref or ObjectRef(place.type, place.namespace, place.stem)))
        return lost

    def records_gone(self, deleted: Collection[str]) -> list[str]:
        """Return the records of the parent commit that go: their claim does (`deleted`), or bears none any more."""

        def is_seen(claim: str) -> bool:
            place = layout.place_of(claim)
            read = self._reads.get(layout.CLAIMS)
            return place is not None and read is not None and read.saw(place.namespace)

        kept = self.records().keys() | self.broken().keys()
        return without_claim(self._known, found=self.files(), kept=kept, deleted=deleted, certain=is_seen)

    def _would_be_seen(self, place: Place, *, served: Callable[[str], bool], unknown: Callable[[str], bool]) -> bool:
        """Return whether an object in this place would have been found if it were there and wanted."""
        if unknown(place.type):
            return False
        read = self._reads.get(place.type)
        if read is None:
            return not served(place.type)  # was to be read and was not: nothing is known
        return read.saw(place.namespace)

    def resource_versions(self) -> dict[str, str]:
        """Return the resourceVersion of each type's list."""
        return {key: read.resource_version for key, read in self._reads.items()}

    def span(self) -> tuple[datetime, datetime] | None:
        """Return when the first list began and the last one ended."""
        if not self._reads:
            return None
        reads = self._reads.values()
        return min(read.started for read in reads), max(read.finished for read in reads)
