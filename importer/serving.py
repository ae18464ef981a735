"""What `dr-syncer serve importer` runs: the worker, and what it tells of itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Importer, Revision
from drsyncer.errors import Abandoned, DrSyncerError, ExitCode
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.git import Remote
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.service import status
from drsyncer.service.board import Board
from drsyncer.service.frame import Worker
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from drsyncer.service.reasons import Tell
from drsyncer.service.runs import Ended, Posted, Runs
from drsyncer.service.status import Commit, Status
from importer.freshness import Freshness
from importer.noticing import Noticed
from importer.observing import Failure, Nobody, Observer, Several, Why
from importer.outcome import Outcome
from importer.plan import WRITES, Action
from importer.polling import Polling
from importer.troubles import SUBJECTS

_LOOKS = frozenset({Why.DRIFT, Why.AUDIT})  # at DR as it is, not at what is followed
_IN_DR = WRITES - {Action.PRUNE} | {Action.UNCHANGED, Action.SKIP}


def worker_of(
    *,
    config: Importer,
    remote: Remote,
    connect: Callable[[], Cluster],
    metrics: Metrics,
    health: Health,
    board: Board,
    tell: Tell,
    leading: Callable[[], bool],
    listeners: Sequence[Observer] = (),
) -> Worker:
    """Return what works in the mode that `config` says. Nothing is asked of cluster or remote yet.

    What `connect` gives writes only while this replica is `leading`.
    """
    runs = Runs("import", metrics, health, board)
    worker = Polling(
        config=config,
        remote=remote,
        connect=connect,
        observer=Several(Measured(runs), Noticed(tell), *listeners),
        leading=runs.noticed(leading),
        last_run=lambda stop: board.settled(stop, runs.turned),
    )
    return Posted(
        worker,
        board,
        lambda now: msgspec.structs.replace(
            status.in_mode(now, config.mode, config.schedule, config.timezone),
            follows=_follows(config.revision),
            leaves_drift=config.mode == "continuous" and config.drift.mode != "correct",
        ),
    )


class Measured(Nobody):
    """An observer (see `importer.observing.Observer`) that counts, measures, and tells the status."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._metrics = runs.metrics
        self._board = runs.board
        self._freshness = Freshness(runs.metrics)

    def looked(self, head: str, *, changed: bool) -> None:
        now = datetime.now(UTC)
        self._freshness.looked(head, now, changed=changed)
        self._board.change(lambda told: msgspec.structs.replace(told, newest=head, looked=now))

    def beaten(self, beat: Heartbeat) -> None:
        self._freshness.beaten(beat)
        self._tell_age()

    def _tell_age(self) -> None:
        fresh = self._freshness
        beat, due, point = fresh.beat, fresh.due, fresh.recovery_point
        self._board.change(
            lambda told: msgspec.structs.replace(
                told,
                heartbeat=beat or told.heartbeat,
                heartbeat_due=due,
                recovery_point=point or told.recovery_point,
            )
        )

    def import_started(self, why: Why) -> None:
        self._runs.started(str(why), whole=why not in _LOOKS)

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        if outcome is None:
            self._runs.ended(Ended(error=error or Abandoned("the import was abandoned")))
            return
        self._measure(why, outcome)
        self._board.change(lambda now: told_of(outcome, now))
        wrote = any(result.action in WRITES for result in outcome.results) and not outcome.planned_only
        self._runs.ended(
            Ended(
                outcome.exit_code,
                reason=_why_not_done(outcome),
                commit=outcome.revision,
                quiet=why is Why.DRIFT and outcome.exit_code is not ExitCode.FAILED and not wrote,
            )
        )

    def _measure(self, why: Why, outcome: Outcome) -> None:
        self._freshness.imported(why, outcome)
        self._tell_age()
        if outcome.exported_at and why is Why.COMMIT:
            self._metrics.observe("import_lag_seconds", max(0.0, time.time() - outcome.exported_at.timestamp()))
        found = Counter(result.action for result in outcome.results)
        for action in Action:
            self._metrics.set("objects", found[action], action=str(action))
            if action in WRITES and not outcome.planned_only:
                self._metrics.count("writes_total", found[action], action=str(action))

    def failure(self, kind: Failure, text: str) -> None:
        self._metrics.count("failures_total", reason=str(kind))
        self._tell(kind, f"{SUBJECTS[kind]}: {text}")

    def recovered(self, kind: Failure) -> None:
        self._tell(kind, None)

    def _tell(self, kind: Failure, text: str | None) -> None:
        self._board.trouble(SUBJECTS[kind], text)
        if kind is Failure.GUARD:
            held = status.said(text or "")
            self._board.change(lambda now: msgspec.structs.replace(now, guard=held))

    def pending(self, due: bool) -> None:
        self._metrics.set("pending", float(due))
        self._board.change(lambda now: msgspec.structs.replace(now, pending=int(due)))

    def drift_found(self, drifted: Sequence[ObjectRef]) -> None:
        self._metrics.set("drifted_objects", len(drifted))


def told_of(outcome: Outcome, now: Status) -> Status:
    """Return the status after an import, or a look, with this outcome."""
    if outcome.exit_code is ExitCode.FAILED:  # DR went away in the middle of it
        return now
    at: dict[Action, list[tuple[object, str]]] = {Action.BLOCKED: [], Action.HELD: []}
    counts: Counter[tuple[str, str]] = Counter()
    for result in outcome.results:
        ref = result.step.ref
        if result.action in at:
            at[result.action].append((ref, result.error or result.reason))
        elif result.action in _IN_DR and not (outcome.planned_only and result.action is Action.CREATE):
            counts[ref.type, ref.namespace] += 1
    return msgspec.structs.replace(
        now,
        head=outcome.revision,
        compared=datetime.now(UTC),
        standby=outcome.standby,
        protected=status.protected(counts),
        blocked=status.listed(at[Action.BLOCKED]),
        held=status.listed(at[Action.HELD]),
        incomplete=status.listed(sorted(outcome.unknown.items())),
        drifted=status.listed((ref, "") for ref in outcome.drifted),
        left_out=dict(outcome.left_out),
        warnings=tuple(status.said(warning) for warning in outcome.warnings[: status.MOST_ITEMS]),
        commits=_commits(outcome, now.commits),
    )


def _commits(outcome: Outcome, before: tuple[Commit, ...]) -> tuple[Commit, ...]:
    """Return what DR had, the newest first; a recovery point that is imported once more is not told again."""
    if outcome.planned_only or (before and before[0].id == outcome.revision):
        return before
    wrote = Counter(str(result.action) for result in outcome.results if result.action in WRITES)
    commit = Commit(
        id=outcome.revision,
        time=datetime.now(UTC),
        subject=status.said(outcome.subject),
        exported_at=outcome.exported_at,
        changes=dict(wrote),
    )
    return (commit, *before)[: status.MOST_COMMITS]


def _follows(revision: Revision) -> str:
    kinds = ("branch", "tag", "commit", "semver")
    return next((f"{kind} {text}" for kind in kinds if (text := getattr(revision, kind))), "")


def _why_not_done(outcome: Outcome) -> str:
    if outcome.exit_code is ExitCode.FAILED:
        return next((result.error for result in outcome.results if result.unreachable), "the DR cluster went away")
    blocked = sum(result.action is Action.BLOCKED for result in outcome.results)
    parts = [f"{blocked:,} objects are blocked"] if blocked else []
    parts += [f"{len(outcome.unknown)} types could not be listed in DR"] if outcome.unknown else []
    return "; ".join(parts)
