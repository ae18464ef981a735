"""Recovery points, as far as they are about volumes: which commit, and what it says of each volume's data.

A restore goes by nothing else: what restic itself calls the latest snapshot may be of an hour that nobody exported, or
of one that was not whole.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from drsyncer.errors import InvalidManifest, Refused, RevisionNotFound, UsageError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout, message, volumes
from drsyncer.recovery.git import Clone, Commit, TreeFile
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.signatures import Signature
from drsyncer.recovery.vouching import point_of, source_of, vouch
from drsyncer.snapshot import Record
from drsyncer.wording import some

_AT_ONCE = 500  # commits whose trees are asked for together


@dataclass(frozen=True, slots=True)
class Records:
    """What a commit has below `volumes/`. `faults` maps the paths of files that are no records to the reason."""

    volumes: Mapping[ObjectRef, Record]  # by claim, in their order
    faults: Mapping[str, str]

    @property
    def lacking(self) -> tuple[str, ...]:
        """What keeps the data of a recovery point from being complete, one sentence per volume; () for nothing.

        Not a volume of which no backup is to be made any more.
        """
        wanted = {claim: record for claim, record in self.volumes.items() if not record.left_out}
        found = [f"{claim_text(claim)}: {why_not(record)}" for claim, record in wanted.items() if not record.complete]
        return (*found, *self.faults.values())

    @property
    def complete(self) -> bool:
        """Whether there are records and the newest attempt of each volume that is backed up gave a whole snapshot."""
        return bool(self.volumes) and not self.lacking


@dataclass(frozen=True, slots=True)
class Point:
    """One recovery point.

    `id` is the newest commit up to `commit` that changed `repository.path`: other exporters' commits may lie on top of
    it. `time` is when it was exported, as it says itself, or committed, where it does not. `unrecorded` are the claims
    in it of whose data nothing is known. `signature` is None when signatures are not verified.
    """

    commit: str
    id: str
    time: datetime
    source: Identity
    records: Records
    unrecorded: tuple[ObjectRef, ...]
    signature: Signature | None

    @property
    def volumes(self) -> Mapping[ObjectRef, Record]:
        """The records by claim, in their order."""
        return self.records.volumes


@dataclass(frozen=True, slots=True)
class Choice:
    """A recovery point and how it came to be chosen.

    `newest` is the newest one, when that was passed over since it is not complete, and `passed` how many were: what
    `newest` lacks is what whoever recovers must know. `warnings` are sentences for people.
    """

    point: Point
    newest: Point | None = None
    passed: int = 0
    warnings: tuple[str, ...] = ()


def claim_text(claim: ObjectRef) -> str:
    """Return how people call a volume: `shop/data`."""
    return f"{claim.namespace}/{claim.name}"


def why_not(record: Record) -> str:
    """Return why a volume's newest attempt gave no whole snapshot, and what there is instead; "" when it did."""
    attempt = record.attempt
    if attempt is None:
        return "" if record.snapshot is not None else "was never backed up"
    have = f"the newest whole snapshot is of {moment(record.snapshot.start)}" if record.snapshot else "none is whole"
    return f"{attempt.state} at {moment(attempt.start)} ({attempt.reason}); {have}"


def unconfirmed(record: Record) -> str:
    """Return why nothing of a volume may be forgotten before somebody has looked into it; "" for no reason."""
    found = record.suspected
    if found is None:
        return ""
    since = f"its backup of {moment(found.start)} came out {found.reason}"
    return f"{since}: nobody confirmed that, and none after it was whole"


def moment(time: datetime) -> str:
    """Return a time as people read it."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def choose(
    clone: Clone, *, head: str, revision: str = "", as_of: datetime | None = None, needs_complete: bool = True
) -> Choice:
    """Return the recovery point that `revision` names; else the newest one that was exported by `as_of`; else the
    newest complete one up to `head`, or the newest of all where that is not asked for (`needs_complete`).

    `head` and `revision` are as `Clone.resolve` takes them; the remote is not asked: fetch before. Raises Refused for
    one that no allowed signer signed, where signatures are verified, or when none is complete; RevisionNotFound when
    there is none; GitError.
    """
    if revision:
        return _told(_point(clone, clone.resolve(revision)))
    newest = clone.resolve(head)
    if as_of is not None:
        found = at_or_before(clone.history(newest), as_of)
        if found is None:
            raise RevisionNotFound(
                f"no recovery point is as old as {moment(as_of)}", hint="`dr-syncer log` lists them with their times."
            )
        return _told(_point(clone, found.id))
    if not needs_complete:
        return _told(_point(clone, newest))
    return _newest_complete(clone, newest)


def check_names(point: Point, asked: Iterable[str], known: Collection[str], what: str) -> None:
    """Raise UsageError for what was `asked` for by its name and is not `known`. `what` it is, is for the message."""
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            raise UsageError(
                f"recovery point {point.id[:12]} holds no {what} {name!r:.200}"
                + (f"; did you mean {near[0]!r}?" if near else ""),
                hint="Write it as Git has it, not as it is mapped to; `dr-syncer volumes list` shows all.",
            )


def at_or_before(commits: Iterable[Commit], time: datetime) -> Commit | None:
    """Return the first of `commits`, newest first, that was exported by `time`; None for none."""
    return next((commit for commit in commits if time_of(commit) <= time), None)


def time_of(commit: Commit) -> datetime:
    """Return when the state in a commit was exported, as it says itself, else when it was committed."""
    return message.exported_at(commit.message) or commit.time


def first_complete(
    commits: Sequence[str], trees: Mapping[str, str], judged: dict[str, bool], complete: Callable[[str], bool]
) -> int | None:
    """Return the place of the first of `commits` that is `complete`; None for none of them.

    Commits with equal `trees` are alike, so each tree is judged once, and kept in `judged` for the next call.
    """
    for index, commit in enumerate(commits):
        tree = trees[commit]
        if tree not in judged:
            judged[tree] = complete(commit)
        if judged[tree]:
            return index
    return None


class Reader:
    """Reads records, each content once: nearly all of them are the same from one commit to the next."""

    def __init__(self, clone: Clone) -> None:
        self._clone = clone
        self._seen: dict[tuple[str, str], tuple[ObjectRef, Record] | str] = {}

    def records(self, commit: str) -> Records:
        """Return what a commit, given by its full id, says of volumes. Raises GitError."""
        return self.of(self._clone.files(commit, under=layout.VOLUMES))

    def of(self, files: Mapping[str, TreeFile]) -> Records:
        """Return the records among a commit's `files`. Whatever else is below `volumes/` is nobody's and ignored."""
        mine = {path: file for path, file in files.items() if layout.record_place(path) is not None}
        self._read(mine)
        found = [(path, self._seen[path, file.blob_id]) for path, file in sorted(mine.items())]
        volumes_ = dict(sorted(entry for _, entry in found if not isinstance(entry, str)))
        return Records(volumes_, {path: entry for path, entry in found if isinstance(entry, str)})

    def _read(self, files: Mapping[str, TreeFile]) -> None:
        new = {(path, file.blob_id): file for path, file in files.items() if (path, file.blob_id) not in self._seen}
        for (path, blob), file in new.items():
            if not file.regular:
                self._seen[path, blob] = f"{path}: is no regular file"
        wanted = [key for key, file in new.items() if file.regular]
        contents = self._clone.read([blob for _, blob in wanted], max_size=volumes.MOST_BYTES)
        for (path, blob), (_, data) in zip(wanted, contents, strict=True):
            self._seen[path, blob] = _entry(path, data)


def _entry(path: str, data: bytes | None) -> tuple[ObjectRef, Record] | str:
    if data is None:
        return f"{path}: larger than {volumes.MOST_BYTES:,} bytes"
    try:
        return volumes.read(data, file=path)
    except InvalidManifest as error:
        return str(error)


def _newest_complete(clone: Clone, head: str) -> Choice:
    reader = Reader(clone)
    judged: dict[str, bool] = {}
    passed = 0
    for commits in _chunks(commit.id for commit in clone.history(head)):
        trees = clone.lineage.trees(commits, under=layout.VOLUMES)
        found = first_complete(commits, trees, judged, lambda commit: reader.records(commit).complete)
        if found is None:
            passed += len(commits)
            continue
        passed += found
        if not passed:
            return _told(_point(clone, head))
        newest = _point(clone, head)
        return _told(_point(clone, commits[found]), newest=newest, passed=passed)
    newest = _point(clone, head)
    if not newest.volumes and not newest.records.faults:
        raise Refused(
            f"recovery point {newest.id[:12]} names no volume's data",
            hint="`dr-syncer volumes backup` makes snapshots; the next export brings them into Git.",
        )
    raise Refused(
        f"no recovery point is complete: the newest, {newest.id[:12]}, lacks {some(newest.records.lacking)}",
        hint=f"`--revision {newest.id[:12]}` takes the newest whole snapshot of every volume that has one, and leaves "
        "the others out; `dr-syncer volumes list` shows what each has.",
    )


def _point(clone: Clone, commit: str) -> Point:
    at = point_of(clone, commit)
    signature = vouch(clone, at.id)
    files = clone.files(commit)
    records = Reader(clone).of(files)
    alone = [path for path in files if (beside := layout.record_beside(path)) and beside not in files]
    places = [place for path in alone if (place := layout.place_of(path))]
    return Point(
        commit=commit,
        id=at.id,
        time=time_of(at),
        source=source_of(clone, commit, files),
        records=records,
        unrecorded=tuple(sorted(place.ref or ObjectRef(place.type, place.namespace, place.stem) for place in places)),
        signature=signature,
    )


def _told(point: Point, *, newest: Point | None = None, passed: int = 0) -> Choice:
    warnings = []
    if newest is not None:
        warnings.append(
            f"recovery point {point.id[:12]} of {moment(point.time)} is the newest complete one; the newest of all, "
            f"{newest.id[:12]} of {moment(newest.time)}, lacks {some(newest.records.lacking)}"
            if newest.records.lacking
            else f"recovery point {point.id[:12]} of {moment(point.time)} is the newest complete one; the newest of "
            f"all, {newest.id[:12]} of {moment(newest.time)}, names no volume's data"
        )
    elif point.records.lacking:
        warnings.append(f"recovery point {point.id[:12]} is not complete: {some(point.records.lacking)}")
    if point.unrecorded:
        names = some([claim_text(claim) for claim in point.unrecorded])
        warnings.append(f"recovery point {point.id[:12]} says nothing of the data of {names}")
    return Choice(point, newest, passed, tuple(warnings))


def _chunks(commits: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(commits, _AT_ONCE)):
        yield chunk
