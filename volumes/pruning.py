"""`dr-syncer volumes prune`: forget the snapshots that nothing needs, and remove their data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from drsyncer import log
from drsyncer.config.volumes import Retention
from drsyncer.errors import Abandoned, ClusterError, ExitCode, Refused
from drsyncer.progress import Progress
from drsyncer.recovery.git import Clone, Remote
from volumes import commands, locks, precedent, retention
from volumes.answers import Listed
from volumes.doubting import behind
from volumes.knowing import knowledge
from volumes.locks import Held
from volumes.precedent import Precedent
from volumes.repository import repository_id, snapshots
from volumes.restic import Restic
from volumes.retention import Knowledge, Plan, Verdict
from volumes.sharing import Meeting, exclusive

_AT_ONCE: Final = 200  # ids on one command line
_REWRITTEN = (
    "Snapshots that only the recovery points of the other history name would be forgotten, but for what "
    "`volumes.retention` counts. Find out who did it, and put the branch or the configuration back. If it is meant: "
    "`dr-syncer volumes prune --rewritten`, once and by hand."
)
_BEHIND = (
    "A volume that came out empty since would be treated as any other, so nothing is forgotten. See that the exporter "
    "runs and may push (`dr-syncer status`), or bring what there is to Git with `dr-syncer export`; then try again."
)
_logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was forgotten, or on a dry run would be. `unlocked` are locks of dead pods that were removed."""

    cluster: str
    repository: str
    dry_run: bool
    plan: Plan
    unlocked: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def forgotten(self) -> list[Verdict]:
        """The snapshots that are forgotten."""
        return [verdict for verdict in self.plan.verdicts if not verdict.keep]

    @property
    def exit_code(self) -> ExitCode:
        """3 when something is not there that should be, or waits for somebody to look at it, else 0."""
        return ExitCode.PARTIAL if self.plan.blocked or self.plan.missing else ExitCode.DONE

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "cluster": self.cluster,
            "repository": self.repository,
            "dryRun": self.dry_run,
            "forgotten": [_data(verdict) for verdict in self.forgotten],
            "kept": [_data(verdict) for verdict in self.plan.verdicts if verdict.keep],
            "others": self.plan.others,
            "blocked": dict(self.plan.blocked),
            "missing": {claim: list(ids) for claim, ids in self.plan.missing.items()},
            "unlocked": list(self.unlocked),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """What is pruned: the snapshots of `cluster`, by what the history up to `head` of the recovery repository names."""

    remote: Remote
    head: str
    cluster: str
    policy: Retention


def prune(
    subject: Subject,
    restic_of: Callable[[Callable[[], bool]], contextlib.AbstractContextManager[Restic]],
    meeting: Meeting,
    *,
    dry_run: bool,
    rewritten: bool,
    progress: Progress,
) -> Outcome:
    """Forget what neither a kept recovery point nor the policy needs, and remove its data; return what was done.

    `restic_of` gives restic, which stops as soon as what it is given says no. Alone with the repository, except on a
    dry run, which changes nothing. `rewritten`: somebody means it that the history is another one than the last time.
    Raises Refused when what Git knows is incomplete, may be of another day, or is not what the last prune went by (a
    dry run only warns of the last two), or others do not go in time, `ResticError`, GitError, ClusterError.
    """
    if dry_run:
        with restic_of(lambda: True) as restic:
            id_, found = repository_id(restic), snapshots(restic)
            sight = _look(subject, meeting, id_, found, rewritten=rewritten)
            warnings = tuple(f"{doubt}: a prune is refused while that is so" for doubt in sight.doubts)
            return Outcome(subject.cluster, id_, True, sight.plan, warnings=warnings)
    with _alone(meeting) as holding, restic_of(holding) as restic:
        id_, found = repository_id(restic), snapshots(restic)
        sight = _look(subject, meeting, id_, found, rewritten=rewritten)
        if sight.doubts:
            raise sight.doubts[0]
        # Before anything is forgotten by it: this run may be killed, and the next one must go by the same.
        precedent.remember(meeting, id_, sight.went_by)
        plan = sight.plan
        removed, held = unlock(restic, meeting)
        with progress.task("Forgetting snapshots", total=len(plan.forget)) as task:
            for start in range(0, len(plan.forget), _AT_ONCE):
                ids = plan.forget[start : start + _AT_ONCE]
                _do(restic, commands.forget(restic.access, ids), doing="forget snapshots", holding=holding)
                task.advance(len(ids))
        with progress.task("Removing data that no snapshot needs", total=None):
            _do(restic, commands.prune(restic.access), doing="prune", holding=holding)
    return Outcome(
        cluster=subject.cluster,
        repository=id_,
        dry_run=False,
        plan=plan,
        unlocked=tuple(map(str, removed)),
        warnings=tuple(map(str, held)),
    )


@contextlib.contextmanager
def _alone(meeting: Meeting) -> Iterator[Callable[[], bool]]:
    with exclusive(meeting) as presence:
        yield presence.holding


@dataclass(frozen=True, slots=True)
class _Sight:
    """What becomes of snapshots, by what of Git, and why that may not decide it."""

    plan: Plan
    went_by: Precedent
    doubts: tuple[Refused, ...]


def _look(subject: Subject, meeting: Meeting, repository: str, found: tuple[Listed, ...], *, rewritten: bool) -> _Sight:
    """Return what becomes of the snapshots `found`. Git is asked after restic, so that it knows no less."""
    with _fetched(subject) as (clone, now):
        known = _knowledge(clone, subject, repository, now, rewritten=rewritten)
        went_by = Precedent(clone.resolve(subject.head), subject.remote.path)
        doubts = []
        try:
            if not rewritten and (why := precedent.departed(clone, meeting, repository, went_by)):
                doubts.append(Refused(why, hint=_REWRITTEN))
        except ClusterError as error:  # a dry run goes on without: it holds no Lease
            doubts.append(Refused(f"what the last prune went by cannot be asked for: {error}", hint=error.hint))
        if why := behind(clone, now):
            doubts.append(Refused(f"{why}: what Git knows of volumes may be behind", hint=_BEHIND))
    plan = retention.plan(found, known, subject.policy, host=subject.cluster, now=now)
    return _Sight(plan, went_by, tuple(doubts))


def unlock(restic: Restic, meeting: Meeting) -> tuple[list[Held], list[Held]]:
    """Remove the locks of dead pods, before they are waited for; return what was removed, and what is held."""
    removed, held = locks.remove_dead(restic, meeting.cluster, now=datetime.now(UTC))
    for one in held:  # said now: when it is not given back in time, there is no outcome that could say it
        _logger.warning("the restic repository is locked", lock=str(one))
    return removed, held


def ask_git(subject: Subject, repository: str) -> Knowledge:
    """Return what the recovery repository knows of a restic repository, as of now. Raises as `knowledge` does."""
    with _fetched(subject) as (clone, now):
        return _knowledge(clone, subject, repository, now)


@contextlib.contextmanager
def _fetched(subject: Subject) -> Iterator[tuple[Clone, datetime]]:
    """Open the recovery repository as it is now."""
    now = datetime.now(UTC)
    with Clone.open(subject.remote) as clone:
        clone.fetch()
        yield clone, now


def _knowledge(clone: Clone, subject: Subject, repository: str, now: datetime, *, rewritten: bool = False) -> Knowledge:
    return knowledge(
        clone,
        head=subject.head,
        cluster=subject.cluster,
        repository=repository,
        policy=subject.policy,
        now=now,
        rewritten=rewritten,
    )


def _do(restic: Restic, command: commands.Command, *, doing: str, holding: Callable[[], bool]) -> None:
    if not holding():
        raise Abandoned(f"restic: {doing}: not begun, since the Lease of this run was lost")
    outcome = restic.run(command, doing=doing)
    if outcome.status:
        raise outcome.failed()


def _data(verdict: Verdict) -> dict[str, Any]:
    return {
        "snapshot": verdict.snapshot.id,
        "claim": verdict.claim,
        "time": verdict.snapshot.time.astimezone(UTC).isoformat(),
        "reason": verdict.reason,
    }
