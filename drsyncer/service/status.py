"""What a side tells of itself: one value for the status page, the ConfigMap in its cluster, and `dr-syncer status`.

Everything in it is bounded, and no text in it is longer than a few lines: it is to fit into a ConfigMap at the worst of
times. It holds names and reasons, never a value of an object.

The classes are msgspec's instead of dataclasses: what is written must be read again, by another version too, and here
one definition gives both. Keys that a newer version added are ignored, those that it left out have their defaults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from drsyncer.errors import DrSyncerError
from drsyncer.log import mask
from drsyncer.service.verification import Verification

VERSION = 1  # raised when a key changes its meaning or goes away
MOST_ITEMS = 25
MOST_COUNTS = 40
MOST_COMMITS = 10
MOST_TROUBLES = 20
LONGEST = 400  # characters of a text


class State(StrEnum):
    """Whether somebody works."""

    WORKING = "working"
    ENDED = "ended"  # told to stop, and nobody has taken over yet


class Result(StrEnum):
    """How a run ended."""

    DONE = "done"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    ABANDONED = "abandoned"


class Run(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One export or import that ended. `commit` is what it made, or brought to DR; "" for none."""

    cause: str
    begun: datetime
    ended: datetime
    result: Result
    exit_code: int
    reason: str = ""
    hint: str = ""
    commit: str = ""


class Request(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A run that somebody asked for by the annotation, and what came of it; `run` is None until it ended."""

    value: str
    seen: datetime
    run: Run | None = None


class Running(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A run that is under way."""

    cause: str
    since: datetime


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """An object or a type, and a sentence about it."""

    what: str
    why: str = ""


class Listed(msgspec.Struct, frozen=True, rename="camel"):
    """So many there are in all, and the first of them."""

    total: int = 0
    items: tuple[Item, ...] = ()


class Counted(msgspec.Struct, frozen=True, rename="camel"):
    """So many kinds there are in all; how many there are of each, the most frequent ones only."""

    kinds: int = 0
    most: dict[str, int] = {}


class Protected(msgspec.Struct, frozen=True, rename="camel"):
    """What is in the recovery point (exporter) or in DR (importer)."""

    objects: int = 0
    types: Counted = Counted()
    namespaces: Counted = Counted()


class Lack(StrEnum):
    """What can be wrong with the backups of a volume, the worst first; several things at a time."""

    GONE = "gone"  # restic does not have the snapshot that the recovery point names
    NEVER = "never"  # no backup has tried it, and one must have come by
    NEVER_WHOLE = "neverWhole"  # none of them was whole
    OLD = "old"  # the newest whole one is older than it may be, or of a time to come
    UNREADABLE = "unreadable"  # what Git has of it is no record
    SUSPICIOUS = "suspicious"  # one found nothing, or far less than before: nobody confirmed it, none since was whole
    NOT_WHOLE = "notWhole"  # the newest one was not whole, for another reason
    UNLISTED = "unlisted"  # restic does not have the list of its files


class Backups(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The newest backups of the source's volumes: what the recovery point says and, where it was `asked`, restic."""

    volumes: int = 0
    states: dict[str, int] = {}  # volumes by how the newest one ended; Waiting, Never: untried; LeftOut: none is due
    oldest: datetime | None = None  # when the oldest of the newest whole ones was begun
    max_age: float = 0.0  # seconds that each may be old; 0: nobody said
    asked: bool = False
    lacks: dict[str, int] = {}  # volumes by what is wrong with them, as `Lack` has it
    lacking: Listed = Listed()  # which ones, the worst first, and why


class Trouble(msgspec.Struct, frozen=True, rename="camel"):
    """Something that fails now."""

    what: str
    text: str
    since: datetime


class Commit(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One recovery point; `changes` maps created, updated, deleted (exporter) or the actions in DR (importer)."""

    id: str
    time: datetime  # when it was committed (exporter), or was in DR (importer)
    subject: str = ""
    exported_at: datetime | None = None
    changes: dict[str, int] = {}


class Status(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One side. Times are aware and in UTC; "" and None stand for what is not known or does not apply."""

    version: int = VERSION
    side: str
    name: str  # the source cluster's (exporter), or the importer's
    cluster: str
    program: str = ""  # the version of DR-Syncer
    state: State = State.WORKING
    mode: str = ""
    schedule: str = ""
    timezone: str = ""
    follows: str = ""  # importer: the branch, tag, commit or range
    started: datetime
    told: datetime  # when this was true; at most five minutes ago while somebody works
    running: Running | None = None
    last_run: Run | None = None
    last_success: datetime | None = None
    last_failure: Run | None = None
    settled: datetime | None = None  # ticks of the schedule up to here are taken care of
    request: Request | None = None
    head: str = ""  # the newest recovery point (exporter), or the one that DR has (importer)
    newest: str = ""  # importer: the newest commit of what is followed
    heartbeat: datetime | None = None  # the exporter's last one, as this side knows it
    heartbeat_due: datetime | None = None  # the importer's: when the next one should come, as the last one said
    recovery_point: datetime | None = None  # importer: when what DR has was read from the source
    looked: datetime | None = None  # importer: when Git last answered
    compared: datetime | None = None  # importer: when DR was last compared with its recovery point
    pending: int = 0  # exporter: changes that are not committed
    unpushed: int = 0  # exporter: commits that the remote lacks
    standby: bool = False  # importer: workloads are parked
    protected: Protected = Protected()
    blocked: Listed = Listed()  # importer: should be in DR as Git has it, and is not
    incomplete: Listed = Listed()  # types that could not be read (exporter), or listed in DR (importer)
    held: Listed = Listed()  # importer: waits for its backend, or for activation
    drifted: Listed = Listed()  # importer: changed by other hands, at the last look
    leaves_drift: bool = False  # importer: what drifted is left as it is
    volumes: int = 0  # importer: volumes in DR whose data is that of the recovery point
    volumes_as_of: datetime | None = None  # importer: when the oldest of their snapshots was begun
    volumes_behind: Listed = Listed()  # importer: volumes in DR whose data is not, and why
    volumes_excluded: Listed = Listed()  # importer: volumes in DR that are left alone, and what says so
    backups: Backups | None = None  # importer: of the source's volumes, as it sees them; None: it does not look
    backups_as_of: datetime | None = None  # importer: when it looked at them last
    verify_within: float = 0.0  # exporter: seconds within which the backups are to be verified again; 0: by nobody
    verification_awaited: datetime | None = None  # exporter: since when they are
    verification: Verification | None = None  # exporter: the last `dr-syncer volumes verify`
    guard: str = ""  # why deletions wait for somebody
    left_out: dict[str, int] = {}  # by the name of the check
    warnings: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    commits: tuple[Commit, ...] = ()  # newest first


# Made here, and not where it is used: two threads that make the first one at the same time crash msgspec 0.22.
_decode = msgspec.json.Decoder(Status).decode

# What moves all the time, or all by itself: told when something else is, and every few minutes.
_RESTLESS = (
    *("told", "running", "heartbeat", "heartbeat_due", "recovery_point", "looked", "compared", "pending"),
    "backups_as_of",
)
_KEPT = ("last_success", "last_failure", "settled", "request", "heartbeat", "verification")
_OF_A_RUN = (
    *("last_run", "head", "recovery_point", "protected", "blocked", "incomplete", "held", "drifted", "guard"),
    *("left_out", "warnings", "standby", "volumes", "volumes_as_of", "volumes_behind", "volumes_excluded"),
)


def same(one: Status, other: Status) -> bool:
    """Return whether there is nothing to tell between the two."""
    unmoved = {name: getattr(one, name) for name in _RESTLESS}
    return msgspec.structs.replace(other, **unmoved) == one


def in_mode(now: Status, mode: str, schedule: str, timezone: str) -> Status:
    """Return `now` of a service in that mode; the schedule counts in the mode `scheduled` only."""
    counts = mode == "scheduled"
    return msgspec.structs.replace(
        now, mode=mode, schedule=schedule if counts else "", timezone=timezone if counts else ""
    )


def resumed(now: Status, before: Status) -> Status:
    """Return `now` with what the service `before` it (another replica, or the last process) knew and it does not yet.

    What fails is found out anew; what waits for a run stays until there was one.
    """
    if (before.side, before.name) != (now.side, now.name):
        return now
    known = {name: getattr(now, name) or getattr(before, name) for name in _KEPT}
    if now.last_run is None:
        known |= {name: getattr(before, name) for name in _OF_A_RUN}
    if now.verify_within:  # whoever is started every day must not put it off for ever
        known["verification_awaited"] = before.verification_awaited or now.verification_awaited
    have = {commit.id for commit in now.commits}
    commits = (*now.commits, *(commit for commit in before.commits if commit.id not in have))[:MOST_COMMITS]
    return msgspec.structs.replace(now, **known, commits=commits)


def text_of(status: Status) -> str:
    """Return the JSON that `parse` reads."""
    return msgspec.json.format(msgspec.json.encode(status), indent=1).decode()


def parse(text: str) -> Status | None:
    """Return what `text_of` was given; None for what nobody of us has written. Anybody may edit a ConfigMap."""
    try:
        found = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    times = (found.started, found.told)
    return found if found.version == VERSION and all(time.tzinfo for time in times) else None


def said(text: str) -> str:
    """Return a text as it may stand here: short, and without what looks like a secret."""
    masked: str = mask(text)
    return masked if len(masked) <= LONGEST else f"{masked[: LONGEST - 1]}…"


def listed(found: Iterable[tuple[object, str]]) -> Listed:
    """Return the pairs of a name and a sentence, in their order, as far as they may stand here."""
    every = list(found)
    return Listed(len(every), tuple(Item(said(str(what)), said(why)) for what, why in every[:MOST_ITEMS]))


def counted(found: Mapping[str, int]) -> Counted:
    """Return the most frequent ones."""
    most = Counter(found).most_common(MOST_COUNTS)
    return Counted(len(found), {said(name): count for name, count in most})


def protected(every: Mapping[tuple[str, str], int]) -> Protected:
    """Return the counts of objects, given by type and namespace ("" for cluster-scoped ones)."""
    types: Counter[str] = Counter()
    namespaces: Counter[str] = Counter()
    for (type_, namespace), count in every.items():
        types[type_] += count
        if namespace:
            namespaces[namespace] += count
    return Protected(sum(every.values()), counted(types), counted(namespaces))


def reason(error: DrSyncerError | None) -> tuple[str, str]:
    """Return the sentence and the hint of an error, None for one whose words nobody vouches for."""
    if error is None:
        return "an error in the program; the log has more", ""
    return said(str(error)), said(error.hint)
