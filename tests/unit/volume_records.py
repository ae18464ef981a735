"""Records of volumes, as backups leave them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from drsyncer.snapshot import Attempt, Folder, Record, Snapshot, State, Suspicion

NIGHT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
REPOSITORY = "ab" * 32


def claim(name: str = "data", namespace: str = "shop") -> ObjectRef:
    return ObjectRef(layout.CLAIMS, namespace, name)


def snapshot(seed: int = 1, *, start: datetime = NIGHT, state: State = State.COMPLETE, **more) -> Snapshot:
    given = {"files": 3, "bytes": 1_258_291, "host": "prod", "manifest": f"{seed + 2**20:064x}"}
    given |= {"folder": Folder(mode=0o2770, uid=0, gid=1000, changed=1_772_000_000_123_456_789)} | more
    return Snapshot(
        id=f"{seed:064x}",
        tree=f"{seed + 2**21:064x}",
        state=state,
        start=start,
        end=start + timedelta(seconds=8),
        **given,
    )


def attempt(state: State = State.FAILED, *, start: datetime = NIGHT + timedelta(days=1), **more) -> Attempt:
    given = {"reason": "WrongPassword", "message": "the password is wrong"} | more
    return Attempt(state=state, start=start, end=start + timedelta(seconds=2), **given)


def suspicion(reason: str = "Shrunk", *, start: datetime = NIGHT + timedelta(days=1), **more) -> Suspicion:
    given = {"message": "the volume has 1 files, and 100 in its last whole snapshot"} | more
    return Suspicion(reason=reason, start=start, end=start + timedelta(seconds=2), **given)


def whole(seed: int = 1, **more) -> Record:
    return Record(repository=REPOSITORY, snapshot=snapshot(seed, **more))


def failed(seed: int | None = 1, state: State = State.FAILED, **more) -> Record:
    """The record of a volume whose newest attempt gave nothing whole; `seed` None: it never had anything."""
    return Record(
        repository=REPOSITORY, snapshot=None if seed is None else snapshot(seed), attempt=attempt(state, **more)
    )


def suspected(record: Record, **more) -> Record:
    """`record`, of a volume that was emptied before: nobody has confirmed that since."""
    return msgspec.structs.replace(record, suspicion=suspicion(**more))


def left_out(record: Record) -> Record:
    """`record`, of a volume of which no backup is to be made any more."""
    return msgspec.structs.replace(record, left_out=True)


_IDS = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
_TIMES = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
SNAPSHOTS = st.builds(
    Snapshot,
    id=_IDS,
    tree=_IDS,
    manifest=_IDS | st.just(""),
    host=_TEXT,
    state=st.sampled_from([State.COMPLETE, State.UNCHANGED, State.EMPTY]),
    start=_TIMES,
    end=_TIMES,
    files=st.integers(0, 2**40),
    bytes=st.integers(0, 2**60),
)
ATTEMPTS = st.builds(
    Attempt,
    state=st.sampled_from([State.PARTIAL, State.EMPTY, State.FAILED, State.LOCKED]),
    start=_TIMES,
    end=_TIMES,
    reason=_TEXT,
    message=_TEXT,
    snapshot=_IDS | st.just(""),
)
_PARTIAL = SNAPSHOTS.map(lambda one: msgspec.structs.replace(one, state=State.PARTIAL))
_MADE = st.builds(lambda one, made: msgspec.structs.replace(one, made=made), ATTEMPTS, _PARTIAL)
SUSPICIONS = st.builds(
    Suspicion,
    start=_TIMES,
    end=_TIMES,
    reason=st.sampled_from(["Empty", "Shrunk"]),
    message=_TEXT,
    snapshot=_IDS | st.just(""),
)
_SUSPICIONS = st.none() | SUSPICIONS
RECORDS = st.one_of(
    st.builds(Record, repository=_IDS, snapshot=SNAPSHOTS),
    st.builds(Record, repository=_IDS, snapshot=st.none() | SNAPSHOTS, attempt=ATTEMPTS | _MADE, suspicion=_SUSPICIONS),
    st.builds(Record, repository=st.just(""), snapshot=st.none(), attempt=ATTEMPTS, suspicion=_SUSPICIONS),
)
