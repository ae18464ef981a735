"""The writing half of an export: from what was found to a commit that is pushed. One run and a service share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from drsyncer import __version__
from drsyncer.config.schema import Exporter
from drsyncer.errors import GitError, InvalidManifest, Refused
from drsyncer.guard import Guard
from drsyncer.recovery import identity, layout, message
from drsyncer.recovery.git import Clone, Stage, TreeFile
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.message import Change, Message, Verb, VolumeChange
from drsyncer.wording import some
from drsyncer.yaml import LIMITS
from exporter import losses
from exporter.digest_key import DigestKey
from exporter.gathering import Gathering
from exporter.sealing import Sealing
from exporter.survey import Survey
from exporter.volume_records import gone_of

MAX_READ = LIMITS.max_bytes
_NO_BEAT = "the remote refuses the heartbeat's ref, so nobody can tell a dead exporter: "


@dataclass(frozen=True, slots=True)
class Base:
    """The recovery point that a commit is built on: its id, None when there is none, and its files by path."""

    commit: str | None
    files: Mapping[str, TreeFile]

    @classmethod
    def of(cls, clone: Clone) -> Base:
        """Return what the next commit of the clone is built on."""
        at = clone.base()
        return cls(at, dict(clone.files(at)) if at else {})


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push: `error` is None when all is there; `head` is the newest recovery point now.

    `refusal` is why the remote took the commits and not the heartbeat, `beaten` the heartbeat's time when it took it.
    """

    error: GitError | None
    head: str
    refusal: str = ""
    beaten: datetime | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know."""
        return (_NO_BEAT + self.refusal,) if self.refusal else ()


@dataclass(frozen=True, slots=True)
class Reading:
    """When the cluster was read, and up to which resourceVersion of each type."""

    begun: datetime
    ended: datetime
    resource_versions: Mapping[str, str]

    @classmethod
    def of(cls, gathering: Gathering) -> Reading:
        """Return what the lists of one run say of themselves."""
        now = datetime.now(UTC)
        begun, ended = gathering.span() or (now, now)
        return cls(begun, ended, gathering.resource_versions())


def gathering_of(
    survey: Survey, clone: Clone, base: Base, *, sealing: Sealing, store: Callable[[bytes], str]
) -> Gathering:
    """Return an empty gathering on top of `base`. `store` takes new content and returns its id."""
    return Gathering(
        filing=survey.filing,
        sealing=sealing,
        known=base.files,
        blob_id=clone.blob_id,
        store=store,
        load=lambda ids: dict(clone.read(ids, max_size=MAX_READ)),
    )


def fetch(clone: Clone) -> GitError | None:
    """Bring the clone up to date; return the error when only what an earlier run left can be used.

    The state of the source is worth keeping even while the remote is away: it is committed here
    and pushed later. Without anything to compare with, that cannot be done.
    """
    try:
        clone.fetch()
    except GitError as error:
        if clone.base() is None:
            raise
        return error
    return None


def check_identity(clone: Clone, base: Base, found: Identity, *, adopt: bool) -> None:
    """Raise Refused when the recovery repository holds another cluster's objects."""
    file = base.files.get(identity.FILE)
    if file is None:
        return
    if not file.regular:
        raise InvalidManifest(
            identity.FILE, 0, "is no regular file", hint="Somebody replaced it: see `git log` for it."
        )
    ((_, data),) = clone.read([file.blob_id], max_size=MAX_READ)
    identity.check_same(identity.read(data or b""), found, adopt=adopt)


def guarded(config: Exporter, clone: Clone, base: Base, deleted: Mapping[str, Change]) -> Refused | None:
    """Return why so many deletions, on top of the latest commits', need a confirmation, or None."""
    if not deleted:
        return None
    lately = losses.lately(clone, base.commit, base.files, window=config.guard.window)
    existing = sum(layout.place_of(path) is not None for path in base.files)
    guard = Guard(config.guard.max_deletions, config.guard.max_deletion_percent)
    objection = guard.objection(deletions=len(deleted), existing=existing, lately=lately)
    if not objection:
        return None
    return Refused(
        f"deletion guard: {objection}",
        hint=f"Nothing was committed. Gone or no longer selected: {some([change.ref for change in deleted.values()])}. "
        "If that is right, run again with --yes; see also exporter.guard.",
    )


def text_of(
    found: Identity,
    base: Base,
    changes: tuple[Change, ...],
    *,
    reading: Reading,
    volumes: tuple[VolumeChange, ...],
    incomplete: Iterable[str],
    confirmed: bool = False,
) -> str:
    """Return the commit's message. `confirmed`: a person said yes to what it deletes."""
    return message.build(
        Message(
            cluster=found.cluster,
            cluster_uid=found.uid,
            changes=changes,
            volumes=volumes,
            exported_at=datetime.now(UTC),
            read_from=reading.begun,
            read_to=reading.ended,
            resource_versions=message.digest_of(reading.resource_versions),
            incomplete=tuple(incomplete),
            confirmed=confirmed and any(change.verb is Verb.DELETED for change in changes),
            version=__version__,
            first=identity.FILE not in base.files,
        )
    )


def write(
    clone: Clone,
    stage: Stage,
    base: Base,
    *,
    found: Identity,
    files: Mapping[str, str],
    deleted: Iterable[str],
    text: str,
) -> str:
    """Commit `files` (path → id of content that the stage or the clone has) on `base`; return "" for no change."""
    fresh = {path: blob for path, blob in files.items() if not _is_there(base.files.get(path), blob)}
    own = identity.emit(found)
    if identity.FILE not in base.files or base.files[identity.FILE].blob_id != clone.blob_id(own):
        fresh[identity.FILE] = stage.add(own)
    return stage.commit(parent=base.commit, put=fresh, delete=list(deleted), message=text, when=datetime.now(UTC)) or ""


def volumes_of(gathering: Gathering, gone: Iterable[str]) -> tuple[VolumeChange, ...]:
    """Return what changes about volumes when the records `gone` go, by the names of the claims."""
    found = [*gathering.volumes(), *map(gone_of, gone)]
    return tuple(sorted(found, key=lambda change: (change.namespace, change.name)))


def push(clone: Clone, head: str, heartbeat: Heartbeat | None) -> Pushed:
    """Push what is there."""
    try:
        result = clone.push(heartbeat=heartbeat)
    except GitError as error:
        return Pushed(error, head)
    refusal = result.heartbeat_refused or ""
    beaten = heartbeat.time if heartbeat is not None and not refusal else None
    return Pushed(None, result.head or head, refusal, beaten)


def warnings_of(gathering: Gathering, survey: Survey, key: DigestKey) -> list[str]:
    """Return what a person should know although nothing failed."""
    found = []
    omitted = gathering.secrets_omitted()
    if omitted:
        found.append(
            f"Secrets left out: {omitted} (exporter.secrets.mode: omit); "
            "the DR cluster must get them another way, or applications will not start"
        )
    exposed = gathering.exposed()
    if exposed:
        found.append(
            f"still readable in the repository's history, though encrypted now: {exposed} of the objects; "
            "change their passwords and keys, or begin a new repository"
        )
    return [*found, *key.notices, *survey.warnings()]


def _is_there(file: TreeFile | None, blob_id: str) -> bool:
    return file is not None and file.regular and file.blob_id == blob_id
