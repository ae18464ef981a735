"""What a restore does with each volume, and why: a pure function of the recovery point, of DR, and of what was asked.

The command, the follower, the JSON and Events read the steps and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from drsyncer import own
from drsyncer.restored import Marker, Progress
from drsyncer.snapshot import Record, Snapshot, State
from drsyncer.wording import some
from transforms.select import Verdict
from transforms.settings import NamespaceMap
from volumes.restore_selecting import INCLUDED, excluded
from volumes.restore_why import ACTIONS, Action, Why
from volumes.result import Reason

RESTORE = "restore"  # what a mover's label says that it does
_NO_BACKUPS: Final = f'the source makes no more backups of it ({own.BACKUP}: "false")'


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A claim by its name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One volume of the recovery point, as the source calls it.

    `record` is None for a claim in Git whose data was never backed up; `requested` is the size in bytes that its claim
    in Git asks for, None when Git does not have the claim. `named`: it was asked for by its name. `verdict` is that of
    the configuration's rules, None when nobody can tell.
    """

    source: Key
    record: Record | None
    requested: int | None = None
    named: bool = False
    verdict: Verdict | None = INCLUDED


@dataclass(frozen=True, slots=True)
class User:
    """A pod that is not finished and mounts a claim. `operation` is what it does when it is one of our own movers."""

    pod: str
    phase: str
    node: str = ""
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim in DR. `capacity` is its size in bytes, 0 when that is not known; `unreadable` is why its marker is not.

    `waits`: it is not bound because its class waits for the first pod, which a mover can be. `wish` is what its
    annotation says of restores, `ignored` whether it is to be left alone by all of DR-Syncer.
    """

    key: Key
    uid: str
    version: str  # resourceVersion
    phase: str
    capacity: int
    block: bool = False
    waits: bool = False
    deleting: bool = False
    volume: str = ""  # the PersistentVolume
    marker: Marker | None = None
    unreadable: str = ""
    wish: str = ""
    ignored: bool = False

    @property
    def half(self) -> bool:
        """Whether a restore into it began and did not end well."""
        return bool(self.unreadable) or (self.marker is not None and self.marker.half)


@dataclass(frozen=True, slots=True)
class Standing:
    """What DR has: claims, who uses them, and the namespaces that are not being deleted."""

    claims: Mapping[Key, Claim] = field(default_factory=dict)
    users: Mapping[Key, Sequence[User]] = field(default_factory=dict)
    namespaces: frozenset[str] = frozenset()
    attached: Mapping[str, Sequence[str]] = field(default_factory=dict)  # PersistentVolume → nodes


@dataclass(frozen=True, slots=True)
class Aim:
    """What was asked for. `namespace` and `name` say where to, "" where the map says; `path` is inside the volume.

    `confirmed`: what is in a volume may be lost, also where DR-Syncer did not put it there. `again`: a snapshot that is
    in a volume already is restored once more. `repository` is the id that is known of the restic repository, "" for
    none.
    """

    namespace: str = ""
    name: str = ""
    path: str = ""
    confirmed: bool = False
    again: bool = False
    repository: str = ""

    @property
    def elsewhere(self) -> bool:
        """Whether the volumes are to go somewhere else than where they belong: a missing claim is made there."""
        return bool(self.namespace or self.name)


@dataclass(frozen=True, slots=True)
class Step:
    """One volume's place in the plan. `text` is the reason as a sentence.

    `claim` is the target as it is, None when there is none (`makes`: it is made first). `look`: a mover must find the
    volume empty before anything is written. `used`: a pod has started that may write to it. `named`: the volume was
    asked for by its name.
    """

    source: Key
    target: Key
    why: Why
    text: str
    record: Record | None = None
    claim: Claim | None = None
    requested: int | None = None
    path: str = ""
    makes: bool = False
    look: bool = False
    used: bool = False
    named: bool = False
    note: str = ""

    @property
    def action(self) -> Action:
        """What becomes of the volume."""
        return ACTIONS[self.why]

    @property
    def taken(self) -> bool:
        """Whether a pod runs on what was restored whole, and the marker does not say so yet."""
        marker = self.claim.marker if self.claim else None
        return self.used and marker is not None and not marker.half and marker.used is None

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done for it, not even to a marker."""
        return self.action is not Action.RESTORE and self.why is not Why.SAME_DATA and not self.taken

    @property
    def snapshot(self) -> Snapshot | None:
        """What is restored, or would be."""
        return self.record.snapshot if self.record else None


class _StepMaker(Protocol):
    def __call__(self, why: Why, text: str, *, look: bool = False, makes: bool = False) -> Step: ...


def plan(wanted: Iterable[Wanted], standing: Standing, names: NamespaceMap, aim: Aim) -> tuple[Step, ...]:
    """Return a step for every wanted volume, ordered by its target.

    No two steps restore into the same claim, and none into one that a pod uses.
    """
    found = list(wanted)
    targets = {one.source: target_of(one.source, names, aim) for one in found}
    sources: dict[Key, list[Key]] = {}
    for one in found:
        if _unselected(one, standing.claims.get(targets[one.source])) is None:
            sources.setdefault(targets[one.source], []).append(one.source)
    steps = []
    for one in found:
        target = targets[one.source]
        rivals = sources.get(target, [])
        alone = len(rivals) < 2 or one.source not in rivals
        steps.append(_step(one, target, standing, aim) if alone else _two_sources(one, target, rivals))
    return tuple(sorted(steps, key=lambda step: (step.target, step.source)))


def target_of(source: Key, names: NamespaceMap, aim: Aim) -> Key:
    """Return the claim in DR that a source claim is restored into."""
    return Key(aim.namespace or names.target(source.namespace), aim.name or source.name)


def users_of(claim: Key, standing: Standing) -> tuple[Why, str] | None:
    """Return why nothing may be written to a claim's volume now, None when nobody uses it.

    Another mover that restores is no reason here: its Job has the name that ours would have, so only one is at work,
    and what a dispatcher that died left behind is seen to its end (`volumes.running`).
    """
    users = standing.users.get(claim, ())
    if pods := [user for user in users if not user.operation]:
        named = some([f"{user.pod} ({user.phase}{f' on {user.node}' if user.node else ''})" for user in pods])
        return Why.IN_USE, f"in use by pod {named}: scale what runs it to 0, or delete it"
    if movers := [f"{user.pod} ({user.operation})" for user in users if user.operation not in ("", RESTORE)]:
        return Why.BUSY, f"another mover of DR-Syncer works on it: {some(movers)}"
    return None


def _two_sources(one: Wanted, target: Key, sources: Sequence[Key]) -> Step:
    text = f"{' and '.join(map(str, sorted(sources)))} would both be restored into {target}"
    return Step(one.source, target, Why.TWO_SOURCES, text, one.record)


def _step(one: Wanted, target: Key, standing: Standing, aim: Aim) -> Step:
    claim = standing.claims.get(target)

    def step(why: Why, text: str, *, look: bool = False, makes: bool = False) -> Step:
        note = _note(one, claim, standing) if ACTIONS[why] is Action.RESTORE else ""
        return Step(
            source=one.source,
            target=target,
            why=why,
            text=text,
            record=one.record,
            claim=claim,
            requested=one.requested,
            path=aim.path,
            makes=makes,
            look=look,
            named=one.named,
            used=any(not user.operation and user.phase != "Pending" for user in standing.users.get(target, ())),
            note=note,
        )

    if lacking := _unselected(one, claim) or _lacking(one, aim):
        return step(*lacking)
    if claim is None:
        why, text = _absent(one, target, standing, aim)
        return step(why, text, makes=why is Why.EMPTY)
    if objection := _objection(one, claim, standing):
        return step(*objection)
    return _contents(step, one, claim, aim)


def _unselected(one: Wanted, claim: Claim | None) -> tuple[Why, str] | None:
    """Return why a volume is to be left alone, whatever there is of it."""
    ignored, wish = (claim.ignored, claim.wish) if claim else (False, "")
    text = excluded(one.verdict or INCLUDED, named=one.named, ignored=ignored, wish=wish)
    if not text and one.record is not None and one.record.left_out and one.record.snapshot is None and not one.named:
        text = f"{_NO_BACKUPS}, and none was whole before"
    if not text:
        if one.verdict is None and not one.named:
            return (
                Why.UNREADABLE,
                "its claim in Git cannot be read: whether volumes.restore.select excludes it, is unknown",
            )
        return None
    return Why.EXCLUDED, f"{text}; an earlier restore into it was not whole" if claim and claim.half else text


def _lacking(one: Wanted, aim: Aim) -> tuple[Why, str] | None:
    """Return why there is nothing to restore."""
    if one.record is None:
        return Why.NO_RECORD, "the recovery point holds the claim and no record of its data: it was never backed up"
    if one.record.snapshot is None:
        attempt = one.record.attempt
        last = f"; the last try ended {attempt.state}: {attempt.message}" if attempt else ""
        last += "; --partial restores what it got" if attempt and attempt.made else ""
        return Why.NO_SNAPSHOT, f"the recovery point names no whole snapshot of it{last}"
    if aim.repository and one.record.repository != aim.repository:
        return (
            Why.OTHER_REPOSITORY,
            f"its snapshot is in the restic repository {one.record.repository[:12]}, and volumes.restic.repository is "
            f"{aim.repository[:12]}",
        )
    return None


def _absent(one: Wanted, target: Key, standing: Standing, aim: Aim) -> tuple[Why, str]:
    """Return what a missing claim means."""
    if not aim.elsewhere:
        return Why.MISSING, f"DR has no claim {target}: `dr-syncer import` brings it"
    if target.namespace not in standing.namespaces:
        return Why.NO_NAMESPACE, f"DR has no namespace {target.namespace}: create it first"
    if one.requested is None:
        return Why.MISSING, f"DR has no claim {target}, and Git has none to make it from: create it first"
    if used := users_of(target, standing):  # a pod that waits for this claim would start with it
        return used
    return Why.EMPTY, "into a claim that is made for it"


def _objection(one: Wanted, claim: Claim, standing: Standing) -> tuple[Why, str] | None:
    """Return why nothing can, or may, be written to the volume of `claim`, whatever is in it."""
    if claim.deleting:
        return Why.DELETING, "the claim is being deleted in DR"
    if claim.block:
        return Why.BLOCK, "it is a raw block volume: only volumes with a file system can be restored"
    if claim.phase == "Lost":
        return Why.LOST, f"the claim is Lost: its volume {claim.volume or '(none)'} is gone"
    if claim.phase != "Bound" and not claim.waits:
        return Why.NOT_BOUND, "the claim has no volume yet: `kubectl describe` it to see what its class waits for"
    if used := users_of(claim.key, standing):
        return used
    snapshot = one.record.snapshot if one.record else None
    assert snapshot is not None
    # A volume that the source has in the same size holds sparse files, or its driver does not count.
    needed = min(snapshot.bytes, one.requested) if one.requested else snapshot.bytes
    if claim.capacity and claim.capacity < needed:
        return (
            Why.TOO_SMALL,
            f"the snapshot needs {needed:,} bytes, and the claim has {claim.capacity:,}: make it larger",
        )
    return None


def _contents(step: _StepMaker, one: Wanted, claim: Claim, aim: Aim) -> Step:
    """Judge what is in the volume now."""
    assert one.record is not None
    assert one.record.snapshot is not None
    snapshot, marker = one.record.snapshot, claim.marker
    # Until somebody names the volume, or a whole backup was begun after that.
    if marker is not None and marker.partial and not one.named and snapshot.start <= marker.started:
        return step(
            Why.NOT_WHOLE,
            f"somebody restored what a partial backup got (snapshot {marker.snapshot[:12]}) into it: "
            f"--pvc {one.source} replaces that with the whole snapshot of {snapshot.start:%Y-%m-%d %H:%M} UTC",
        )
    if aim.path:
        if claim.half and not _goes_on(marker, snapshot, aim.path):
            return step(Why.HALF, "an earlier restore into it was not whole: restore all of it first, without --path")
        if marker is None and claim.phase == "Bound" and not aim.confirmed:
            return step(Why.UNKNOWN, "a mover looks first whether something is in the way", look=True)
        return step(Why.PATH, f"only {aim.path!r:.200} in it")
    if claim.unreadable and not aim.confirmed:
        return step(Why.HALF, f"nobody knows what is in it: {claim.unreadable}; --yes replaces whatever it is")
    if claim.half:
        return step(Why.RESUMED, "an earlier restore into it was not whole")
    if marker is None:
        if claim.phase != "Bound":
            return step(Why.EMPTY, "its volume does not exist yet: it is made for the mover")
        if aim.confirmed:
            return step(Why.CONFIRMED, "whatever is in it is replaced")
        return step(Why.UNKNOWN, "nothing is known of what is in it: a mover looks first", look=True)
    if marker.path or marker.repository != one.record.repository:
        return step(Why.OTHER_SNAPSHOT, "something else was restored into it")
    if marker.used is not None:
        since = f"{marker.used:%Y-%m-%d %H:%M} UTC"
        return step(Why.USED, f"a pod ran on it since snapshot {marker.snapshot[:12]} was restored: seen {since}")
    if marker.tree == snapshot.tree and _other_folder(marker, snapshot):
        return step(Why.OTHER_SNAPSHOT, "the volume's own folder has changed at the source since it was restored")
    if marker.snapshot == snapshot.id:
        if aim.again:
            return step(Why.AGAIN, "this very snapshot was restored into it before")
        return step(Why.SAME_SNAPSHOT, "this snapshot is in it, whole")
    if marker.tree == snapshot.tree and not aim.again:
        return step(Why.SAME_DATA, f"snapshot {marker.snapshot[:12]} is in it, with the same data")
    return step(Why.OTHER_SNAPSHOT, f"snapshot {marker.snapshot[:12]} is in it")


def _goes_on(marker: Marker | None, snapshot: Snapshot, path: str) -> bool:
    """Whether a half-restored volume is no less whole than its marker says, once this path is restored into it."""
    if marker is None:
        return False
    if not marker.partial:
        return marker.path == path
    # Of a whole snapshot, a path would make it count as whole, with what is torn beside that.
    as_good_as_its_snapshot = marker.state is Progress.PARTIAL and marker.reason == Reason.NOT_WHOLE
    return snapshot.state is State.PARTIAL and (marker.path == path or as_good_as_its_snapshot)


def _other_folder(marker: Marker, snapshot: Snapshot) -> bool:
    """Whether the volume's own folder is known to be another one; restic's tree is that of what is below it."""
    return marker.folder is not None and snapshot.folder is not None and marker.folder != snapshot.folder


def _note(one: Wanted, claim: Claim | None, standing: Standing) -> str:
    """Return what a person should know of a restore that is going to happen."""
    notes = []
    if one.record and one.record.attempt and one.record.attempt.made == one.record.snapshot:
        notes.append(f"its snapshot is not whole: {one.record.attempt.message}")
    elif one.record and one.record.snapshot and one.record.left_out:
        notes.append(f"{_NO_BACKUPS}: this is the data of {one.record.snapshot.start:%Y-%m-%d %H:%M} UTC")
    elif one.record and one.record.snapshot and one.record.attempt:
        attempt = one.record.attempt
        since = one.record.snapshot.start
        notes.append(
            f"the backup of {attempt.start:%Y-%m-%d %H:%M} UTC was {attempt.state}, so this is the data of "
            f"{since:%Y-%m-%d %H:%M} UTC"
        )
    if claim and (nodes := standing.attached.get(claim.volume)):
        notes.append(f"its volume is still attached to {some(nodes)}")
    return "; ".join(notes)
