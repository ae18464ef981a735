"""Which snapshots are kept: a pure function of what restic has, what recovery points name, and the policy.

restic's own `forget` knows nothing of recovery points, and would count a backup that failed in the middle as one of the
seven newest. So it is told ids, and these are chosen here. In doubt a snapshot is kept.

Whether a snapshot is whole two witnesses know, and each is believed when it says so: the history in Git, which others
may have rewritten or exchanged, and the list of its files, which the mover that made it left in the repository itself.
The policy counts what Git knows, and then again what either knows, and what one of the two counts keeps is kept. So a
history that is lost takes no copy away, and what Git does not know pushes nothing out that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from drsyncer.config.volumes import Retention
from drsyncer.manifest import ObjectRef
from drsyncer.snapshot import Record
from volumes.answers import Listed
from volumes.attesting import attested
from volumes.commands import CLAIM, MANIFEST_OF, RUN
from volumes.points import unconfirmed

# Of snapshots that nobody knows as whole: partial ones, and those whose backup died before it had listed their files.
SHORT_LIFE: Final = timedelta(days=7)
_NAMED = "a kept recovery point names it"
_NO_RULE = "no rule of volumes.retention keeps it"
_NO_WITNESS = "neither a recovery point nor its list of files says that it is whole"

Bucket = Callable[[datetime], object]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the recovery repository knows of one restic repository. Ids are whole.

    `named`: what kept recovery points name, by the claim (`shop/data`) that does. `whole`: all that any recovery point
    ever named as whole. `blocked`: claims of which nothing is forgotten until somebody looked, and why.
    """

    named: Mapping[str, str]
    whole: frozenset[str]
    blocked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one snapshot, and why."""

    snapshot: Listed
    claim: str
    keep: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of all snapshots of one source cluster.

    `missing` are the ids that kept recovery points name and the repository does not have, by claim; `blocked` the
    claims of which nothing is forgotten, with the reason; `others` counts what is not ours, and never touched.
    """

    verdicts: tuple[Verdict, ...]
    missing: Mapping[str, tuple[str, ...]]
    blocked: Mapping[str, str]
    others: int

    @property
    def forget(self) -> tuple[str, ...]:
        """The ids of what is to be forgotten."""
        return tuple(verdict.snapshot.id for verdict in self.verdicts if not verdict.keep)


def kept_points(times: Sequence[datetime], policy: Retention, *, tagged: Collection[int], now: datetime) -> set[int]:
    """Return the places in `times`, those of recovery points with the newest first, of the points that are kept.

    Kept is what is among the newest ones, young enough, or `tagged` by somebody; the very newest always.
    """
    since = now - timedelta(days=policy.recovery_point_days)
    young = {index for index, time in enumerate(times) if time >= since}
    return young | set(range(min(max(policy.recovery_points, 1), len(times)))) | set(tagged)


def knowledge_of(
    points: Iterable[tuple[bool, Mapping[ObjectRef, Record]]], newest: Mapping[ObjectRef, Record], *, repository: str
) -> Knowledge:
    """Return what recovery points, each with whether it is kept, know of the restic repository with this id.

    `newest` are the records of the newest one: they say which volumes wait for somebody to look. What has lost its data
    may have been emptied by mistake or by an intruder, and its old snapshots are all there is.
    """
    named: dict[str, str] = {}
    whole: set[str] = set()
    for kept, records in points:
        for claim, record in records.items():
            if record.repository != repository:
                continue
            if record.snapshot is not None:
                whole.add(record.snapshot.id)
            if kept:
                named.update(dict.fromkeys(_ids(record), claim_name(claim)))
    blocked = {claim_name(claim): why for claim, record in newest.items() if (why := unconfirmed(record))}
    return Knowledge(named, frozenset(whole), blocked)


def claim_name(claim: ObjectRef) -> str:
    """Return how snapshots are tagged with a claim: `shop/data`."""
    return f"{claim.namespace}/{claim.name}"


def is_ours(snapshot: Listed, *, host: str) -> bool:
    """Return whether a mover made this snapshot of a volume of the source cluster `host`."""
    return snapshot.hostname == host and bool(snapshot.tag(CLAIM)) and bool(snapshot.tag(RUN))


def plan(found: Sequence[Listed], known: Knowledge, policy: Retention, *, host: str, now: datetime) -> Plan:
    """Return what becomes of the snapshots `found`, which are all that the restic repository has."""
    ours = sorted((one for one in found if is_ours(one, host=host)), key=lambda one: (one.tag(CLAIM), one.time, one.id))
    there = {one.id for one in found}
    missing: dict[str, list[str]] = {}
    for id_, claim in sorted(known.named.items()):
        if id_ not in there:
            missing.setdefault(claim, []).append(id_)
    blocked: dict[str, str] = dict.fromkeys(missing, "recovery points name snapshots of it that are not there")
    blocked |= known.blocked
    data = [one for one in ours if not one.tag(MANIFEST_OF)]
    whole = known.whole | attested(ours)
    verdicts: list[Verdict] = []
    for claim, group in groupby(data, key=lambda one: one.tag(CLAIM)):
        why = blocked.get(claim, "")
        verdicts += _of_volume(claim, list(group), known, policy, whole=whole, why_blocked=why, now=now)
    fate = {verdict.snapshot.id: verdict for verdict in verdicts}
    verdicts += [_of_manifest(one, known, fate, blocked, now=now) for one in ours if one.tag(MANIFEST_OF)]
    return Plan(
        verdicts=tuple(verdicts),
        missing={claim: tuple(ids) for claim, ids in missing.items()},
        blocked=blocked,
        others=len(found) - len(ours),
    )


def _of_volume(
    claim: str,
    snapshots: Sequence[Listed],
    known: Knowledge,
    policy: Retention,
    *,
    whole: frozenset[str],
    why_blocked: str,
    now: datetime,
) -> Iterator[Verdict]:
    """Yield the verdicts on one volume's snapshots, which are in the order of their times."""
    newest_first = snapshots[::-1]
    recorded = [one for one in newest_first if one.id in known.whole]
    # Each alone: the newest ones may all be such as Git does not know, and their backups by somebody who only says so.
    by_policy = _by_policy([one for one in newest_first if one.id in whole], policy) | _by_policy(recorded, policy)
    for one in snapshots:
        if one.id in known.named:
            yield Verdict(one, claim, True, _NAMED)
        elif why_blocked:
            yield Verdict(one, claim, True, why_blocked)
        elif one.id in by_policy:
            yield Verdict(one, claim, True, ", ".join(by_policy[one.id]))
        elif one.id in known.whole:
            yield Verdict(one, claim, False, _NO_RULE)
        elif not recorded or one.time >= recorded[0].time:
            yield Verdict(one, claim, True, "it is newer than all that recovery points name")
        elif now - one.time < SHORT_LIFE:
            yield Verdict(one, claim, True, f"it is younger than {SHORT_LIFE.days} days")
        else:
            yield Verdict(one, claim, False, _NO_RULE if one.id in whole else _NO_WITNESS)


def _of_manifest(
    one: Listed, known: Knowledge, fate: Mapping[str, Verdict], blocked: Mapping[str, str], *, now: datetime
) -> Verdict:
    """Return the verdict on the list of files of a snapshot: it lives as long as that."""
    claim, of = one.tag(CLAIM), one.tag(MANIFEST_OF)
    if one.id in known.named:
        return Verdict(one, claim, True, _NAMED)
    if of in fate:
        keep = fate[of].keep
        return Verdict(one, claim, keep, f"its snapshot {of[:8]} is {'kept' if keep else 'forgotten'}")
    if claim in blocked:
        return Verdict(one, claim, True, blocked[claim])
    if now - one.time < SHORT_LIFE:
        return Verdict(one, claim, True, f"it is younger than {SHORT_LIFE.days} days")
    return Verdict(one, claim, False, f"its snapshot {of[:8]} is gone")


def _by_policy(whole: Sequence[Listed], policy: Retention) -> dict[str, list[str]]:
    """Return the id of each whole snapshot, given the newest first, that a rule keeps, with the rules that do."""
    kept: dict[str, list[str]] = {}
    for one in whole[: max(policy.last, 1)]:
        kept.setdefault(one.id, []).append("last")
    for name, count, bucket in _buckets(policy):
        seen: list[object] = []
        for one in whole:
            at = bucket(one.time.astimezone(UTC))
            if len(seen) < count and at not in seen:
                seen.append(at)
                kept.setdefault(one.id, []).append(name)
    return kept


def _buckets(policy: Retention) -> tuple[tuple[str, int, Bucket], ...]:
    return (
        ("hourly", policy.hourly, lambda time: (time.date(), time.hour)),
        ("daily", policy.daily, lambda time: time.date()),
        ("weekly", policy.weekly, lambda time: time.isocalendar()[:2]),
        ("monthly", policy.monthly, lambda time: (time.year, time.month)),
        ("yearly", policy.yearly, lambda time: time.year),
    )


def _ids(record: Record) -> list[str]:
    """Return all snapshots that a record names."""
    attempt, suspicion = record.attempt, record.suspicion
    named = [record.snapshot, attempt.made if attempt is not None else None]
    ids = [id_ for one in named if one is not None for id_ in (one.id, one.manifest)]
    ids += [part.snapshot for part in (attempt, suspicion) if part is not None]
    return [id_ for id_ in dict.fromkeys(ids) if id_]
