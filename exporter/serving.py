"""What `dr-syncer serve exporter` runs: the worker for the configured mode, and what it tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Exporter
from drsyncer.errors import DrSyncerError
from drsyncer.log import get
from drsyncer.recovery import message
from drsyncer.recovery.git import Remote
from drsyncer.recovery.message import Verb
from drsyncer.service import status
from drsyncer.service.board import Board
from drsyncer.service.frame import Worker
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from drsyncer.service.reasons import Tell
from drsyncer.service.runs import Ended, Posted, Runs
from drsyncer.service.status import Commit, Status
from drsyncer.service.verification import awaited
from drsyncer.wording import many
from exporter.following import GUARD, Following
from exporter.noticing import Noticed
from exporter.observing import Several, Why
from exporter.outcome import Outcome
from exporter.timed import Timed

_WHOLE = frozenset({Why.FULL, Why.DUE, Why.ASKED})  # runs that look at everything
_log = get(__name__)


def worker_of(
    *,
    config: Exporter,
    remote: Remote,
    connect: Callable[[], Cluster],
    metrics: Metrics,
    health: Health,
    board: Board,
    tell: Tell,
    leading: Callable[[], bool],
    verify_within: float | None = None,
) -> Worker:
    """Return what works in the mode that `config` says. Nothing is asked of cluster or remote yet.

    What `connect` gives writes only while this replica is `leading`. `verify_within` are the seconds within which
    somebody is to verify the backups of volumes again and again, None where nobody is.
    """
    runs = Runs("export", metrics, health, board)
    observer = Several(Measured(runs), Noticed(tell))
    asked = runs.noticed(leading)
    worker: Worker
    if config.mode == "continuous":
        worker = Following(config=config, remote=remote, connect=connect, observer=observer, leading=asked)
    else:
        worker = Timed(
            config=config,
            remote=remote,
            connect=connect,
            observer=observer,
            leading=asked,
            last_run=lambda stop: board.settled(stop, runs.turned),
        )
    return Posted(
        worker,
        board,
        lambda now: awaited(
            status.in_mode(now, config.mode, config.schedule, config.timezone),
            verify_within,
            since=datetime.now(UTC),
        ),
    )


class Measured:
    """An observer (see `exporter.observing.Observer`) that counts, measures, and tells the status."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._metrics = runs.metrics
        self._board = runs.board
        self._whole = False

    def turned(self) -> None:
        self._runs.turned()

    def run_started(self, why: Why) -> None:
        self._whole = why in _WHOLE
        self._runs.started(str(why), whole=self._whole)

    def run_ended(self, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        if outcome is None:
            self._runs.ended(Ended(error=error))
            return
        self._metrics.set("incomplete_types", len(outcome.incomplete))
        self._count_changes(outcome)
        self._board.change(lambda now: told_of(outcome, now, whole=self._whole))
        self._runs.ended(Ended(outcome.exit_code, reason=_why_not_done(outcome), commit=outcome.commit))

    def _count_changes(self, outcome: Outcome) -> None:
        verbs = Counter(str(change.verb) for change in outcome.changes)
        for verb in Verb:
            self._metrics.count("changes_total", verbs[str(verb)], verb=str(verb))
        kept = sum(change.verb is not Verb.DELETED for change in outcome.changes)
        self._metrics.set("exported_objects", outcome.unchanged + kept)
        if outcome.commit:
            self._metrics.count("commits_total")
            told = ", ".join(f"{count} {verb}" for verb, count in sorted(verbs.items()))
            if outcome.volumes:
                told = ", ".join(filter(None, (told, many(len(outcome.volumes), "volume"))))
            _log.info(f"committed {outcome.commit[:12]}: {told}")

    def pending(self, changes: int, oldest: float) -> None:
        self._metrics.set("pending", changes)
        self._board.change(lambda now: msgspec.structs.replace(now, pending=changes))

    def pushed(self, lag: float) -> None:
        self._metrics.observe("export_lag_seconds", lag)

    def unpushed(self, commits: int) -> None:
        self._metrics.set("unpushed_commits", commits)
        self._board.change(lambda now: msgspec.structs.replace(now, unpushed=commits))

    def beaten(self, when: datetime) -> None:
        self._metrics.set("heartbeat_timestamp_seconds", when.timestamp())
        self._board.change(lambda now: msgspec.structs.replace(now, heartbeat=when))

    def watches(self, connected: int, total: int) -> None:
        self._metrics.set("watches", connected, state="connected")
        self._metrics.set("watches", total - connected, state="lost")

    def trouble(self, what: str, text: str | None) -> None:
        self._board.trouble(what, text)
        if what == GUARD:
            held = status.said(text or "")
            self._board.change(lambda now: msgspec.structs.replace(now, guard=held))

    def failed(self, kind: str) -> None:
        self._metrics.count("failures_total", reason=kind)


def told_of(outcome: Outcome, now: Status, *, whole: bool) -> Status:
    """Return the status after a run with this outcome; `whole`: it looked at everything."""
    return msgspec.structs.replace(
        now,
        head=outcome.head,
        protected=status.protected(outcome.counts),
        incomplete=status.listed(sorted(outcome.incomplete.items())),
        left_out=dict(outcome.excluded) if whole else now.left_out,
        warnings=tuple(status.said(warning) for warning in outcome.warnings[: status.MOST_ITEMS]),
        commits=(*_commit(outcome), *now.commits)[: status.MOST_COMMITS],
    )


def _commit(outcome: Outcome) -> tuple[Commit, ...]:
    if not outcome.commit:
        return ()
    exported_at = message.exported_at(outcome.message)
    return (
        Commit(
            id=outcome.commit,
            time=exported_at or datetime.now(UTC),
            subject=status.said(outcome.message.partition("\n")[0]),
            exported_at=exported_at,
            changes=dict(Counter(str(change.verb) for change in outcome.changes)),
        ),
    )


def _why_not_done(outcome: Outcome) -> str:
    if outcome.push_error is not None:
        return f"the commit is here and not pushed: {outcome.push_error}"
    return f"{len(outcome.incomplete)} types could not be read in full" if outcome.incomplete else ""
