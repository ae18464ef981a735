"""What can be learned of both sides and of what is between them: from Git, from both clusters, each by itself.

Any of the three may be gone. What cannot be reached is told as such, and counts as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from cli.sides import Manner, place_of, remote_of, side_of
from drsyncer.config.volumes import VolumeSelect
from drsyncer.errors import DrSyncerError, Forbidden, RevisionNotFound
from drsyncer.recovery import message
from drsyncer.recovery.audit import Entry, trail
from drsyncer.recovery.git import Clone, Commit
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.service import place as places
from drsyncer.service.cron import Cron
from drsyncer.service.judging import (
    BEAT_LATE,
    TICK_LATE,
    UNHEARD,
    Concern,
    backups_of,
    concerns,
    damaged,
    lacking,
)
from drsyncer.service.place import Place
from drsyncer.service.status import Backups, Status
from drsyncer.service.verification import Verification
from drsyncer.wording import many, some, span
from importer.inventory import Inventory
from importer.memory import recall
from volumes.condition import condition
from volumes.restore_look import half_restored_in
from volumes.reviewing import review

if TYPE_CHECKING:
    from drsyncer.cluster import Cluster
    from drsyncer.config.schema import Config

SIDES = ("exporter", "importer")
COMMITS = 10
_LOOKED_AT = 200  # commits among which DR's is looked for
_BEHIND = timedelta(minutes=5)  # a commit may take a while to come to DR
_GIT_TIMEOUT = 20.0  # seconds
_QUICK = Manner(attempts=2, timeout=5.0)


@dataclass(frozen=True, slots=True)
class Point:
    """One recovery point, in short."""

    commit: str
    time: datetime  # when the source was read, else when it was committed


@dataclass(frozen=True, slots=True)
class Repository:
    """What Git says. `error` is why it was not asked ("": it was): then all else is as of the last fetch, if any."""

    url: str
    branch: str
    error: str = ""
    heartbeat: Heartbeat | None = None
    commits: tuple[Entry, ...] = ()  # newest first
    line: tuple[Point, ...] = ()  # the same, and many before them
    backups: Backups | None = None  # of the volumes in the newest one; restic was not asked
    backups_error: str = ""  # why Git does not tell them

    @property
    def known(self) -> bool:
        """Whether anything was learned."""
        return not self.error or self.heartbeat is not None or bool(self.commits)

    @property
    def head(self) -> str:
        """The newest recovery point, "" when there is none."""
        return self.commits[0].commit if self.commits else ""


@dataclass(frozen=True, slots=True)
class Side:
    """What the cluster of one side says. `error` is why it was not asked; `place` where its status is, or would be."""

    side: str
    configured: bool
    cluster: str = ""
    place: Place | None = None
    error: str = ""
    status: Status | None = None
    verification: Verification | None = None  # the source's, also where no service runs
    inventory: Inventory | None = None  # DR's
    half_restored: Mapping[str, str] = field(default_factory=dict)  # DR's volumes that must not be used, and why

    @property
    def known(self) -> bool:
        """Whether anything was learned."""
        return self.configured and not self.error


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that is wrong, and with what."""

    about: str  # repository, exporter, importer
    concern: Concern


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything, as of `now`. `behind` counts the commits that DR lacks, None when that cannot be told."""

    now: datetime
    repository: Repository
    exporter: Side
    importer: Side
    behind: int | None = None
    recovery_point: datetime | None = None  # when DR's state was the source's
    backups_seen: Backups | None = None  # by DR's importer, which asks restic; None where none does
    wrong: tuple[Found, ...] = field(default=())

    @property
    def backups(self) -> Backups | None:
        """What is known of the backups of volumes: by DR's importer, else by Git alone."""
        return self.backups_seen or self.repository.backups

    @property
    def known(self) -> bool:
        """Whether anything was learned."""
        return self.repository.known or self.exporter.known or self.importer.known


def overview(config: Config, now: datetime, *, namespace: str = "") -> Overview:
    """Ask all three at the same time, and none for long; nothing is raised for what cannot be reached."""
    with ThreadPoolExecutor(3, thread_name_prefix="status") as pool:
        repository = pool.submit(_repository, config, now)
        sides = [pool.submit(_side, config, side, namespace) for side in SIDES]
        found = Overview(now, repository.result(), sides[0].result(), sides[1].result())
    if _is_one_cluster(config):
        found = replace(found, exporter=_placed(found.exporter), importer=_placed(found.importer))
    status = found.importer.status
    seen = backups_of(status, now) if status is not None else None
    found = replace(found, behind=_behind(found, config), recovery_point=_recovery_point(found), backups_seen=seen)
    return replace(found, wrong=tuple(_wrong(found, config)))


# Asking


def _is_one_cluster(config: Config) -> bool:
    """Return whether the configuration names one and the same cluster for both sides, as by saying nothing."""
    one, other = config.exporter, config.importer
    return one is not None and other is not None and (one.kubeconfig, one.context) == (other.kubeconfig, other.context)


def _placed(side: Side) -> Side:
    """Return a side that shares its cluster with the other one: known is it only where there is something of it."""
    if side.error or side.status is not None or side.inventory is not None:
        return side
    flag = "--source-context" if side.side == "exporter" else "--dr-context"
    return replace(side, error=f"the configuration does not tell it from the other side's: say which with {flag}")


def _repository(config: Config, now: datetime) -> Repository:
    remote = remote_of(config.repository)
    remote = replace(remote, timeout=min(remote.timeout, _GIT_TIMEOUT))
    found = Repository(remote.shown, remote.branch)
    try:
        with Clone.open(remote, wait=_GIT_TIMEOUT / 2) as clone:
            try:
                clone.fetch()
            except DrSyncerError as error:
                found = replace(found, error=str(error))
            found = replace(found, heartbeat=clone.heartbeat())
            try:
                commits = tuple(trail(clone, revision=remote.branch, limit=COMMITS))
                line = tuple(map(_point, clone.history(remote.branch, limit=_LOOKED_AT)))
            except RevisionNotFound:  # nothing was exported yet
                return found
            return _with_backups(replace(found, commits=commits, line=line), clone, config, now)
    except DrSyncerError as error:
        return replace(found, error=found.error or str(error))


def _with_backups(found: Repository, clone: Clone, config: Config, now: datetime) -> Repository:
    """Add what the newest recovery point says of the backups of volumes, if it has any or should."""
    section = config.volumes
    try:
        listed = review(
            clone,
            head=f"refs/heads/{config.repository.branch}",
            select=section.select if section is not None else VolumeSelect(),
            max_age=section.max_age if section is not None else None,
            restic=None,
            now=now,
            unasked="it is the importer who asks it",
        )
    except DrSyncerError as error:
        return replace(found, backups_error=str(error)) if section is not None else found
    if section is None:  # nobody says which volumes should have any
        listed = replace(listed, rows=tuple(row for row in listed.rows if row.record is not None))
    return replace(found, backups=condition(listed)) if listed.rows or listed.faults else found


def _point(commit: Commit) -> Point:
    return Point(commit.id, message.exported_at(commit.message) or commit.time)


def _side(config: Config, side: str, namespace: str) -> Side:
    section = config.exporter if side == "exporter" else config.importer
    if section is None:
        return Side(side, configured=False)
    found = Side(side, True, section.cluster, place_of(config, side, namespace=namespace))
    try:
        cluster = side_of(config, side, _QUICK)
    except DrSyncerError as error:
        return replace(found, error=str(error))
    try:
        return _asked(cluster, config, found, anywhere=not namespace)
    except DrSyncerError as error:
        return replace(found, error=str(error))
    finally:
        cluster.close()


def _asked(cluster: Cluster, config: Config, found: Side, *, anywhere: bool) -> Side:
    assert found.place is not None
    if anywhere:
        found = replace(found, place=places.found(cluster, found.place))
    assert found.place is not None
    notice = places.read(cluster, found.place)
    found = replace(found, status=notice.status, verification=notice.verification)
    if found.side == "importer" and config.importer is not None:
        section = config.importer
        inventory = recall(cluster, namespace=section.state_namespace, importer=section.name)
        found = replace(found, inventory=inventory, half_restored=_half_restored(cluster))
    return found


def _half_restored(cluster: Cluster) -> dict[str, str]:
    """Return DR's volumes that were restored half, with the reasons; none for an account that may not list claims."""
    try:
        return {str(key): why for key, why in half_restored_in(cluster).items()}
    except Forbidden:
        return {}


# Judging


def revision_of(importer: Side) -> str:
    """Return the recovery point that was last brought to DR, whole or not; "" when that is not known."""
    if importer.inventory is not None:
        return importer.inventory.head or importer.inventory.revision
    return importer.status.head if importer.status is not None else ""


def _behind(found: Overview, config: Config) -> int | None:
    """Return how many commits DR lacks of the branch; None where it follows something else, or is not known."""
    revision = revision_of(found.importer)
    if not revision or not found.repository.commits or not _follows_branch(config):
        return None
    missing = list(takewhile(lambda point: point.commit != revision, found.repository.line))
    return len(missing) if len(missing) < len(found.repository.line) else None


def _follows_branch(config: Config) -> bool:
    return config.importer is not None and config.importer.revision.branch == config.repository.branch


def _recovery_point(found: Overview) -> datetime | None:
    """Return when DR's state was last known to be the source's."""
    revision, beat = revision_of(found.importer), found.repository.heartbeat
    if not revision:
        return None
    if beat is not None and beat.complete and beat.head == revision:
        return beat.time
    point = next((point for point in found.repository.line if point.commit == revision), None)
    if point is not None:
        return point.time
    return found.importer.status.recovery_point if found.importer.status is not None else None


def _wrong(found: Overview, config: Config) -> Iterator[Found]:
    for text, hint in _wrong_in_git(found, config):
        yield Found("repository", Concern(text, hint))
    for side in (found.exporter, found.importer):
        if side.error:
            where = "source" if side.side == "exporter" else "DR"
            yield Found(side.side, Concern(f"The {where} cluster cannot be asked: {side.error}"))
        elif side.status is not None:
            yield from (Found(side.side, concern) for concern in concerns(side.status, found.now))
        elif side.verification is not None and side.verification.damage is not None:
            yield Found(side.side, damaged(side.verification.damage, found.now))
    if found.backups_seen is None:
        yield from (Found("repository", concern) for concern in _wrong_backups(found.repository))
    for text in filter(None, (_torn(found), _lag(found, config))):
        yield Found("importer", Concern(text))
    if half := found.importer.half_restored:
        told = some([f"{volume}: {why}" for volume, why in sorted(half.items())])
        count = many(len(half), "volume in DR is", "volumes in DR are")
        yield Found("importer", Concern(f"{count} half restored: {told}", "`dr-syncer volumes restore`"))


def _wrong_backups(repository: Repository) -> Iterator[Concern]:
    if repository.backups_error:
        yield Concern(f"How the backups of volumes are cannot be told: {repository.backups_error}")
    if repository.backups is not None:
        yield from lacking(repository.backups)


def _wrong_in_git(found: Overview, config: Config) -> Iterator[tuple[str, str]]:
    repository, beat = found.repository, found.repository.heartbeat
    if repository.error:
        known = "; what follows is as of the last fetch" if repository.known else ""
        yield f"The recovery repository cannot be asked: {repository.error}{known}", ""
    if not repository.known:
        return
    if not repository.commits:
        yield f"There is no recovery point in the branch {repository.branch}.", "Run `dr-syncer export`."
    if beat is None:
        yield "There is no heartbeat: nobody can tell how fresh the newest recovery point is.", ""
        return
    if not beat.complete:
        yield "The exporter could not read everything at its last heartbeat.", "`dr-syncer log -l 1` names the types."
    late = _late(found, config, beat)
    if late:
        age = span((found.now - beat.time).total_seconds())
        yield f"The exporter's last heartbeat is {age} old: what changed since is not protected.", late


def _late(found: Overview, config: Config, beat: Heartbeat) -> str:
    """Return by which measure the heartbeat is late, "" when it is not."""
    if beat.due is not None:
        late = found.now - beat.due > BEAT_LATE
        return f"It was due at {beat.due:%Y-%m-%d %H:%M} UTC." if late else ""
    kept = found.exporter.status or config.exporter
    if kept is None:
        return "How often it should come is not known here." if found.now - beat.time > UNHEARD else ""
    if kept.mode == "scheduled":
        missed = Cron(kept.schedule, kept.timezone).missed(beat.time, found.now - TICK_LATE)
        return f"{many(missed, 'tick')} of `{kept.schedule}` passed since." if missed else ""
    late = kept.mode == "continuous" and found.now - beat.time > BEAT_LATE
    return "It comes every minute while all is well." if late else ""


def _torn(found: Overview) -> str:
    """Return in a sentence that the last import did not bring everything, where no service tells of it."""
    inventory, line = found.importer.inventory, {point.commit for point in found.repository.line}
    if inventory is None or found.importer.status is not None or inventory.head == inventory.revision:
        return ""
    # In a shared repository the two may be different names of one recovery point.
    if inventory.revision and not {inventory.head, inventory.revision} <= line:
        return ""
    return f"The last import, of {inventory.head[:12]}, did not bring everything: `dr-syncer import --plan` says what."


def _lag(found: Overview, config: Config) -> str:
    """Return in a sentence that DR is behind Git, "" when it is not for long."""
    status, section = found.importer.status, config.importer
    revision = revision_of(found.importer)
    if not found.importer.known or section is None or not found.repository.commits:
        return ""
    if not revision:
        return "DR has no recovery point yet, as far as its inventory says."
    if found.behind is None and _follows_branch(config):
        return f"DR has {revision[:12]}, which is not among the newest commits of the branch."
    if not found.behind:
        return ""
    since = found.repository.line[found.behind - 1].time
    mode = status.mode if status else section.mode
    if mode == "scheduled" and not Cron(section.schedule, section.timezone).missed(since, found.now - TICK_LATE):
        return ""
    if found.now - since <= _BEHIND:
        return ""
    age = span((found.now - since).total_seconds())
    return f"DR is {many(found.behind, 'commit')} behind Git, since {age}."
