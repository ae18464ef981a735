"""The commit message of an export: for people, for `git log --grep`, and for machines.

    prod: 2 updated, 1 created in shop

    updated shop/deployments.apps/web by kubectl-edit, helm
    volume shop/data backed up: Complete, 3 files, 1.2 MiB
    …

    DR-Syncer-Cluster: prod
    …

Names come from the cluster, and whoever may create objects there chooses them. So they are escaped as `%XX`: none can
end its line, look like another change or forge a trailer. The escape is undone by `parse`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from drsyncer.errors import GitError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.layout import path_of, record_path
from drsyncer.wording import many

MOST_LINES: Final = 2_000  # lines for changes in one message; a first export of a big cluster has ten times as many

_CLUSTER_SCOPE = "cluster scope"
_CONFIRMED = "DR-Syncer-Confirmed"
_EXPORTED_AT = "DR-Syncer-Exported-At"
_REST = re.compile(r"… and (\d+) more changes?")
_TRAILER = re.compile(r"(DR-Syncer-[A-Za-z-]+): (.*)")
_CHANGE = re.compile(r"(created|updated|deleted) (\S+)(?: by (.+))?")
_VOLUME = re.compile(r"volume (\S+) (backed up|not backed up|no longer recorded)(?:: (.+))?")


class Verb(StrEnum):
    """What an export did to one file."""

    UPDATED = "updated"
    CREATED = "created"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One object's change, and the field managers behind it as managedFields named them (none when unknown)."""

    verb: Verb
    ref: ObjectRef
    managers: tuple[str, ...] = ()


class Fate(StrEnum):
    """What became of the record of a volume's data."""

    BACKED_UP = "backed up"
    NOT_BACKED_UP = "not backed up"  # the newest attempt gave nothing whole
    GONE = "no longer recorded"


@dataclass(frozen=True, slots=True)
class VolumeChange:
    """One volume's new record, by its PersistentVolumeClaim. `said` is for people: `Complete, 3 files, 1.2 MiB`."""

    fate: Fate
    namespace: str
    name: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.fate}: {self.said}" if self.said else str(self.fate)


@dataclass(frozen=True, slots=True)
class Message:
    """All that an export says about itself in its commit. Times are aware."""

    cluster: str
    cluster_uid: str
    exported_at: datetime
    read_from: datetime  # when the first list was answered
    read_to: datetime  # when the last one was
    resource_versions: str  # see `digest_of`
    version: str  # of this program
    incomplete: tuple[str, ...] = ()  # types that could not be read
    changes: tuple[Change, ...] = ()
    volumes: tuple[VolumeChange, ...] = ()
    omitted: int = 0  # changes that are in neither of these; only `parse` sets it
    first: bool = False  # nothing was exported here before
    confirmed: bool = False  # a person said yes to its deletions


def digest_of(resource_versions: Mapping[str, str]) -> str:
    """Given the resourceVersion of each type's list return `sha256:…`, which names that reading and no other."""
    lines = "".join(f"{type_}={version}\n" for type_, version in sorted(resource_versions.items()))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def build(message: Message) -> str:
    """Return the text of the commit message. At most `MOST_LINES` changes are listed; the rest is counted.

    Volumes come last: a first export of a large cluster leaves no room for them, and they are in Git themselves.
    """
    lines = [_line(change) for change in message.changes[:MOST_LINES]]
    lines += [_volume_line(change) for change in message.volumes[: MOST_LINES - len(lines)]]
    rest = message.omitted + len(message.changes) + len(message.volumes) - len(lines)
    if rest:
        lines.append(f"… and {rest} more change{'s' if rest > 1 else ''}")
    trailers = "".join(f"{name}: {_escaped(value)}\n" for name, value in _trailers(message))
    body = "".join(f"{line}\n" for line in lines)
    return "\n".join(part for part in (_subject(message) + "\n", body, trailers) if part)


def parse(text: str) -> Message | None:
    """Given a commit message return what `build` was given, or None when it is not of its making.

    Of more than `MOST_LINES` changes, the first so many come back, and `omitted` counts the rest. Never raises, and
    each change's object is one that `layout.path_of` takes, each volume's claim too: anybody may write a message that
    looks like ours.
    """
    subject, _, rest = text.rstrip("\n").partition("\n")
    *_, last = rest.split("\n\n")
    trailers: dict[str, list[str]] = {}
    try:
        for line in last.split("\n"):
            if found := _TRAILER.fullmatch(line):
                trailers.setdefault(found[1], []).append(_plain(found[2]))
        single = {name: values[0] for name, values in trailers.items()}
        cluster = single["DR-Syncer-Cluster"]
        changes, volumes, omitted = _changes(rest.removesuffix(last).split("\n"))
        return Message(
            cluster=cluster,
            cluster_uid=single["DR-Syncer-Cluster-UID"],
            exported_at=_time(single[_EXPORTED_AT]),
            read_from=_time(single["DR-Syncer-Read-From"]),
            read_to=_time(single["DR-Syncer-Read-To"]),
            resource_versions=single["DR-Syncer-Resource-Versions"],
            version=single["DR-Syncer-Version"],
            incomplete=tuple(trailers.get("DR-Syncer-Incomplete", ())),
            changes=changes,
            volumes=volumes,
            omitted=omitted,
            confirmed=_CONFIRMED in single,
            first=subject.startswith(f"{_escaped(cluster)}: first export"),
        )
    except (KeyError, ValueError, OverflowError, GitError):
        return None


def exported_at(text: str) -> datetime | None:
    """Given a commit message return when its export was made; None when its trailers do not tell.

    The changes, thousands of them in a first export, are not looked at.
    """
    *_, last = text.rstrip("\n").split("\n\n")
    found = [line[2] for line in map(_TRAILER.fullmatch, last.split("\n")) if line and line[1] == _EXPORTED_AT]
    try:
        return _time(_plain(found[0])) if found else None
    except (ValueError, OverflowError):
        return None


def _subject(message: Message) -> str:
    counts = Counter(change.verb for change in message.changes)
    fates = Counter(change.fate for change in message.volumes)
    told = [f"{counts[verb]:,} {verb}" for verb in Verb if counts[verb]]
    told += [f"{many(fates[fate], 'volume')} {fate}" for fate in Fate if fates[fate]]
    done = ", ".join(told) or "no object changed"
    where = _where(
        [*(change.ref.namespace for change in message.changes), *(change.namespace for change in message.volumes)]
    )
    first = "first export: " if message.first else ""
    return f"{_escaped(message.cluster)}: {first}{done}{where}"


def _where(namespaces: Iterable[str]) -> str:
    """Return ` in shop, pay and 3 more`: the busiest first, so that the subject names where most happened."""
    ranked = sorted(Counter(namespaces).items(), key=lambda item: (-item[1], item[0]))
    names = [_escaped(name) if name else _CLUSTER_SCOPE for name, _ in ranked]
    match names:
        case []:
            return ""
        case [only]:
            return f" in {only}"
        case [one, two]:
            return f" in {one} and {two}"
        case [one, two, three]:
            return f" in {one}, {two} and {three}"
        case [one, two, *more]:
            return f" in {one}, {two} and {len(more)} more"
    raise AssertionError(names)


def _line(change: Change) -> str:
    ref = "/".join(
        _escaped(part, also=" /") for part in (change.ref.namespace, change.ref.type, change.ref.name) if part
    )
    managers = ", ".join(_escaped(manager, also=",") for manager in change.managers if manager)
    return f"{change.verb} {ref} by {managers}" if managers else f"{change.verb} {ref}"


def _volume_line(change: VolumeChange) -> str:
    name = "/".join(_escaped(part, also=" /") for part in (change.namespace, change.name))
    return f"volume {name} {change.fate}" + (f": {_escaped(change.said)}" if change.said else "")


def _changes(lines: Iterable[str]) -> tuple[tuple[Change, ...], tuple[VolumeChange, ...], int]:
    changes: list[Change] = []
    volumes: list[VolumeChange] = []
    for line in lines:
        if rest := _REST.fullmatch(line):
            return tuple(changes), tuple(volumes), int(rest[1])
        if found := _VOLUME.fullmatch(line):
            volumes.append(_volume_change(found[1], found[2], found[3] or ""))
            continue
        if found := _CHANGE.fullmatch(line):
            parts = [_plain(part) for part in found[2].split("/")]
            namespace, type_, name = parts if len(parts) == 3 else ("", *parts)
            managers = tuple(_plain(manager) for manager in found[3].split(", ")) if found[3] else ()
            ref = ObjectRef(type_, namespace, name)
            path_of(ref)  # raises for what is no object's name: then this is no message of ours
            changes.append(Change(Verb(found[1]), ref, managers))
    return tuple(changes), tuple(volumes), 0


def _volume_change(claim: str, fate: str, said: str) -> VolumeChange:
    namespace, name = map(_plain, claim.split("/"))
    record_path(namespace, name)  # raises as above
    return VolumeChange(Fate(fate), namespace, name, _plain(said))


def _trailers(message: Message) -> list[tuple[str, str]]:
    return [
        ("DR-Syncer-Cluster", message.cluster),
        ("DR-Syncer-Cluster-UID", message.cluster_uid),
        (_EXPORTED_AT, _written(message.exported_at)),
        ("DR-Syncer-Read-From", _written(message.read_from)),
        ("DR-Syncer-Read-To", _written(message.read_to)),
        ("DR-Syncer-Resource-Versions", message.resource_versions),
        *(("DR-Syncer-Incomplete", type_) for type_ in message.incomplete),
        *([(_CONFIRMED, "deletions")] if message.confirmed else []),
        ("DR-Syncer-Version", message.version),
    ]


def _escaped(text: str, *, also: str = "") -> str:
    """Return `text` with `%`, blanks at its ends, all that is not printable, and what is in `also`, as `%XX`.

    Not printable are line ends of every kind, control characters, and what reorders or hides text on a terminal.
    """
    if text.isprintable() and text.strip(" ") == text and not any(char in text for char in "%" + also):
        return text
    inner = text.strip(" ")
    start = len(text) - len(text.lstrip(" ")) if inner else len(text)
    end = start + len(inner)
    return "".join(
        char
        if char.isprintable() and char != "%" and char not in also and start <= index < end
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for index, char in enumerate(text)
    )


def _plain(text: str) -> str:
    if "%" not in text:
        return text
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "surrogatepass"))
    return raw.decode("utf-8", "surrogatepass")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)
