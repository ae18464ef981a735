"""The commits of a continuous export: of everything, of some types listed again, of what changed.

All are made by `committing`, as a single run makes its own. The clone is open, and its lock held, only meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Exporter
from drsyncer.manifest import ResourceType
from drsyncer.progress import Progress
from drsyncer.recovery import identity, layout
from drsyncer.recovery.git import Clone, Remote, Stage, TreeFile
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.message import Change, Verb
from exporter import committing
from exporter.committing import Base, Reading
from exporter.digest_key import DigestKey
from exporter.gathering import Gathering
from exporter.ledger import Ledger, Waiting
from exporter.outcome import Outcome
from exporter.publishing import Publisher
from exporter.reading import PageRead, TypeRead
from exporter.sealing import Sealing
from exporter.survey import Survey
from exporter.volume_records import marks_in

BEAT = timedelta(minutes=1)  # between two heartbeats
_WAIT = 5.0  # seconds for somebody else's use of the clone


class NotLeading(Exception):
    """Another replica leads: nothing was committed."""


class Stale(Exception):
    """Somebody else changed objects' files in the recovery repository: everything is to be compared again."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a commit did, and what was read for it.

    `stale`: on the way to the remote it came upon others' changes of objects' files, so all is to be compared again.
    """

    outcome: Outcome
    stale: bool
    reads: tuple[TypeRead, ...] = ()


@dataclass(slots=True)
class _Session:
    """One commit in the making."""

    clone: Clone
    stage: Stage
    base: Base
    gathering: Gathering
    sizes: dict[str, int]
    begun: float = field(default_factory=time.monotonic)


class Recorder:
    """For one thread. `survey`, `sealing` and `blob_id` are those of the last full export.

    `incomplete` tells what is not as in the cluster apart from what a commit reads itself; `broken` are single objects
    that cannot be written. Once `goes_on` says no, whatever waits for the remote raises Abandoned.
    """

    def __init__(
        self,
        *,
        config: Exporter,
        remote: Remote,
        leading: Callable[[], bool],
        ledger: Ledger,
        publisher: Publisher,
        incomplete: Callable[[], Mapping[str, str]],
        goes_on: Callable[[], bool],
    ) -> None:
        self._config = config
        self._remote = remote
        self._leading = leading
        self._ledger = ledger
        self._publisher = publisher
        self._incomplete = incomplete
        self._goes_on = goes_on
        self._base: Base | None = None
        self._found = Identity(config.cluster, "")
        self.survey: Survey | None = None
        self.sealing = Sealing(recipients=config.secrets.recipients, key=self._key)
        self.blob_id: Callable[[bytes], str] = lambda data: ""
        self.broken: dict[str, str] = {}
        self._key_notices: list[str] = []
        self._counts: Mapping[tuple[str, str], int] = {}

    def full(self, cluster: Cluster) -> Recorded:
        """Read the whole cluster and commit what is not in Git as it is there; nothing that waited waits any more."""
        begun = time.monotonic()
        found = Identity(self._config.cluster, cluster.uid())
        with Clone.open(self._remote, wait=_WAIT, goes_on=self._goes_on) as clone:
            clone.check_signing()
            self._publisher.fetch(clone)
            base = Base.of(clone)
            committing.check_identity(clone, base, found, adopt=False)
            survey = Survey(self._config, cluster, paths=base.files, progress=Progress(silent=True))
            self._found, self._base, self.survey, self.blob_id = found, base, survey, clone.blob_id
            self.sealing = Sealing(recipients=self._config.secrets.recipients, key=self._key)
            with self._session(clone, base) as session:
                reads = survey.read(session.gathering)
                deleted = survey.deleted(session.gathering)
                incomplete = session.gathering.incomplete() | survey.failing
                self._ledger.reset(marks_in(base.files))
                self.broken.clear()
                self.broken |= session.gathering.broken()
                reading = Reading.of(session.gathering)
                outcome = self._commit(session, deleted, reading, incomplete=incomplete, first_seen=begun)
                clone.gc_if_due()
                return Recorded(outcome, self._is_stale(clone), tuple(reads))

    def lists(self, cluster: Cluster, keys: Iterable[str]) -> Recorded:
        """List some types again and commit what differs, deletions included where the list was completed."""
        survey, begun = self._survey(), time.monotonic()
        survey.cluster = cluster
        found = Identity(self._config.cluster, cluster.uid())
        with Clone.open(self._remote, wait=_WAIT, goes_on=self._goes_on) as clone:
            base = self._current(clone)
            committing.check_identity(clone, base, found, adopt=False)
            with self._session(clone, base) as session:
                reads = survey.read_types(keys, session.gathering)
                deleted = survey.deleted(session.gathering, only=())
                read = {read.type_.key for read in reads}
                others = {name: reason for name, reason in self._incomplete().items() if name not in read}
                incomplete = others | session.gathering.incomplete()
                self.broken |= session.gathering.broken()
                reading = Reading.of(session.gathering)
                outcome = self._commit(session, deleted, reading, incomplete=incomplete, first_seen=begun)
                return Recorded(outcome, self._is_stale(clone), tuple(reads))

    def changes(self, *, dropped: Collection[str], positions: Mapping[str, Mapping[str, str]]) -> Recorded:
        """Commit what waits, and delete the files of types that are no longer served (`dropped`)."""
        survey, now = self._survey(), time.monotonic()
        taken = self._ledger.take()
        first_seen = min((change.seen for change in taken if not change.held), default=now)
        versions = {key: ",".join(found.values()) for key, found in positions.items()}
        reading = Reading(datetime.now(UTC) - timedelta(seconds=now - first_seen), datetime.now(UTC), versions)
        try:
            with Clone.open(self._remote, wait=_WAIT, goes_on=self._goes_on) as clone:
                base = self._current(clone)
                with self._session(clone, base) as session:
                    for page in _pages(taken):
                        session.gathering.add_page(page)
                    deleted = {
                        change.path: Change(Verb.DELETED, change.ref)
                        for change in taken
                        if not change.raw and change.path in base.files
                    }
                    if dropped:
                        deleted |= survey.deleted(session.gathering, only=dropped)
                    incomplete = dict(self._incomplete()) | session.gathering.incomplete()
                    # Of a record that is none, the event told, and a later one may have told that it is one again.
                    broken = session.gathering.broken()
                    self.broken |= {path: why for path, why in broken.items() if layout.place_of(path)}
                    outcome = self._commit(session, deleted, reading, incomplete=incomplete, first_seen=first_seen)
                    clone.gc_if_due()
                    return Recorded(outcome, self._is_stale(clone))
        except BaseException:
            self._ledger.put_back()
            raise

    def push(self, *, beat: bool) -> None:
        """Push what is not pushed yet, with a heartbeat if wanted. Raises Stale when others changed objects' files."""
        with Clone.open(self._remote, wait=_WAIT, goes_on=self._goes_on) as clone:
            if self._publisher.fetch(clone) is not None:
                return
            base = self._current(clone)
            complete = not self._incomplete() and not self._ledger.held()
            heartbeat = self._heartbeat(base.commit or "", complete) if beat else None
            self._publisher.push(clone, base.commit or "", heartbeat)

    def _commit(
        self,
        session: _Session,
        deleted: Mapping[str, Change],
        reading: Reading,
        *,
        incomplete: Mapping[str, str],
        first_seen: float,
    ) -> Outcome:
        """Commit and push. Deletions that the guard refuses are left out, and wait for somebody."""
        gathering, base, clone = session.gathering, session.base, session.clone
        # What is held already counts: a limit that could be passed in small steps would be none.
        before = {change.path: Change(Verb.DELETED, change.ref) for change in self._ledger.held()}
        refusal = committing.guarded(self._config, clone, base, {**before, **deleted}) if deleted else None
        held, deleted = (deleted, {}) if refusal else ({}, deleted)
        changes = tuple(sorted([*gathering.changes(), *deleted.values()], key=lambda change: change.ref))
        records = gathering.records_gone(deleted)
        volumes = committing.volumes_of(gathering, records)
        put, gone = gathering.files() | gathering.records(), [*deleted, *records]
        text = committing.text_of(self._found, base, changes, reading=reading, volumes=volumes, incomplete=incomplete)
        if not self._leading():
            raise NotLeading
        commit = committing.write(clone, session.stage, base, found=self._found, files=put, deleted=gone, text=text)
        waiting = [
            Waiting(ref=change.ref, path=path, mark="", seen=first_seen, held=True) for path, change in held.items()
        ]
        self._ledger.settle(put=gathering.marks(), gone=deleted, held=waiting)
        if commit:
            own = {identity.FILE: clone.blob_id(identity.emit(self._found))}
            self._base = _after(base, commit, put | own, gone, session.sizes)
            self._publisher.committed(first_seen)
        head = commit or base.commit or ""
        beat = self._heartbeat(head, not incomplete and not self._ledger.held())
        error, head = self._publisher.push(clone, head, beat)
        assert self.survey is not None
        return Outcome(
            cluster=self._config.cluster,
            dry_run=False,
            commit=head if commit else "",
            parent=base.commit or "",
            head=head,
            changes=changes,
            unchanged=len(self._ledger) - sum(change.verb is not Verb.DELETED for change in changes),
            excluded=dict(gathering.excluded()),
            incomplete=dict(incomplete),
            warnings=(*clone.notices, *self._key_notices),
            secrets_omitted=gathering.secrets_omitted(),
            seconds=time.monotonic() - session.begun,
            message=text,
            push_error=error,
            held=refusal,
            volumes=volumes,
            counts=self._counted(changes),
        )

    @contextmanager
    def _session(self, clone: Clone, base: Base) -> Iterator[_Session]:
        sizes: dict[str, int] = {}
        with clone.stage() as stage:

            def store(data: bytes) -> str:
                blob = stage.add(data)
                sizes[blob] = len(data)
                return blob

            gathering = committing.gathering_of(self._survey(), clone, base, sealing=self.sealing, store=store)
            yield _Session(clone, stage, base, gathering, sizes)

    def _current(self, clone: Clone) -> Base:
        """Return what to build on. Raises Stale when it is not what we left there."""
        if self._is_stale(clone):
            raise Stale
        assert self._base is not None
        return self._base

    def _is_stale(self, clone: Clone) -> bool:
        """Look at what there is to build on; return whether somebody else changed objects' files there."""
        at, before = clone.base(), self._base
        if before is not None and before.commit == at:
            return False
        base = Base.of(clone)
        committing.check_identity(clone, base, self._found, adopt=False)
        self._base = base
        return before is not None and _objects(before) != _objects(base)

    def _counted(self, changes: Iterable[Change]) -> Mapping[tuple[str, str], int]:
        """Return what there is in Git by now; most commits only update objects."""
        if not self._counts or any(change.verb is not Verb.UPDATED for change in changes):
            self._counts = layout.counts(self._base.files if self._base else ())
        return self._counts

    def _survey(self) -> Survey:
        assert self.survey is not None, "a full export comes first"
        return self.survey

    def _key(self) -> bytes:
        key = DigestKey(self._config.secrets, self._survey().cluster, dry_run=False, environ=os.environ)
        found = key.find()
        self._key_notices = key.notices
        return found

    def _heartbeat(self, head: str, complete: bool) -> Heartbeat:
        now = datetime.now(UTC)
        return Heartbeat(now, head, complete, self._found.uid, now + BEAT)


def _pages(taken: Iterable[Waiting]) -> Iterator[PageRead]:
    by_type: dict[ResourceType, list[msgspec.Raw]] = {}
    for change in taken:
        if change.type_ is not None:
            by_type.setdefault(change.type_, []).append(msgspec.Raw(change.raw))
    for type_, items in by_type.items():
        yield PageRead(type_, False, items)


def _after(base: Base, commit: str, files: Mapping[str, str], deleted: Iterable[str], sizes: Mapping[str, int]) -> Base:
    """Return `base` as it is after a commit of ours."""
    gone = set(deleted)
    found = {path: file for path, file in base.files.items() if path not in gone}
    for path, blob in files.items():
        before = found.get(path)
        if before is None or before.blob_id != blob or not before.regular:
            found[path] = TreeFile("100644", blob, sizes.get(blob, 0))
    return Base(commit, found)


def _objects(base: Base) -> dict[str, str]:
    return {path: file.blob_id for path, file in base.files.items() if layout.owned(path)}
