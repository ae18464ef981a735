"""The audit trail: what each commit changed, by whom, as Git and the commit messages tell it.

What changed is taken from the commit itself, never from its message, which anybody may write; the
message adds the field managers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from drsyncer.errors import GitError, UsageError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout, message
from drsyncer.recovery.git import Clone

_VERBS = {"A": "created", "M": "updated", "D": "deleted", "T": "updated"}
_AGO = re.compile(r"(\d+)(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Touched:
    """One file of a commit: `name` is the object, `volume shop/data` for a record, else the path."""

    verb: str  # created | updated | deleted
    name: str
    managers: tuple[str, ...]
    said: str = ""  # of a volume's record: what the commit says of it


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the trail. `by_other` marks a commit whose message is not of an export's making."""

    commit: str
    time: datetime
    author: str
    subject: str
    cluster: str
    exported_at: datetime | None
    incomplete: tuple[str, ...]
    changes: tuple[Touched, ...]
    by_other: bool


def trail(
    clone: Clone, *, revision: str, object_text: str = "", since: datetime | None = None, limit: int | None = None
) -> Iterator[Entry]:
    """Yield the commits up to `revision`, newest first; with `object_text`, those that touched this one object, which
    for a PersistentVolumeClaim is also the record of its data.

    Raises UsageError when `object_text` is no object's name, RevisionNotFound for an unknown revision.
    """
    only = layout.path_of(parse_object(object_text)) if object_text else ""
    wanted = tuple(path for path in (only, layout.record_beside(only)) if path)
    for commit in clone.history(revision, paths=wanted, since=since, limit=limit):
        said = message.parse(commit.message)
        managers = {layout.path_of(change.ref): change.managers for change in said.changes} if said else {}
        told = {layout.record_path(one.namespace, one.name): str(one) for one in said.volumes} if said else {}
        yield Entry(
            commit=commit.id,
            time=commit.time,
            author=commit.author,
            subject=commit.subject,
            cluster=said.cluster if said else "",
            exported_at=said.exported_at if said else None,
            incomplete=said.incomplete if said else (),
            changes=tuple(
                Touched(_VERBS.get(status, "updated"), _name(path), managers.get(path, ()), told.get(path, ""))
                for status, path in commit.changes
                if not wanted or path in wanted
            ),
            by_other=said is None,
        )


def parse_object(text: str) -> ObjectRef:
    """Given `[NAMESPACE/]TYPE/NAME` return the object. Raises UsageError."""
    parts = text.split("/")
    hint = "Expected TYPE/NAME or NAMESPACE/TYPE/NAME with TYPE as plural.group: shop/deployments.apps/web."
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"{text!r} names no object", hint=hint)
    ref = ObjectRef(parts[-2], parts[0] if len(parts) == 3 else "", parts[-1])
    try:
        layout.path_of(ref)
    except GitError:
        raise UsageError(f"{text!r:.300} names no object", hint=hint) from None
    return ref


def when(text: str, *, now: datetime, flag: str) -> datetime:
    """Given `2h`, `7d` or an ISO date or time return the moment, UTC where no zone is given.

    Raises UsageError, which names the `flag` that says so.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{flag} {text}: no such time", hint="Expected 30m, 2h, 7d, 2026-05-01 or 2026-05-01T12:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _name(path: str) -> str:
    if (record := layout.record_place(path)) is not None:
        return f"volume {record.namespace}/{record.ref.name if record.ref else record.stem}"
    place = layout.place_of(path)
    if place is None:
        return path
    return str(place.ref or ObjectRef(place.type, place.namespace, place.stem))
