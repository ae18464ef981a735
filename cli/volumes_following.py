"""The volumes' part of `dr-syncer serve importer`: what follows each import, and what is told of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from cli.sides import ELECTION, dr_of, remote_of
from cli.volumes_restoring import ActiveCluster, Asked, carried_out, planned, shown
from drsyncer import log
from drsyncer.errors import DrSyncerError, ExitCode
from drsyncer.progress import Progress
from drsyncer.recovery.git import Clone
from drsyncer.service import status
from drsyncer.service.reasons import VOLUMES_NOT_RESTORED, VOLUMES_RESTORED, Tell
from importer.lifeline import connected
from importer.observing import Nobody, Why
from importer.plan import WRITES
from volumes.announcing import Announcing
from volumes.following import Follower
from volumes.restore_outcome import Done, Ending, Outcome
from volumes.supplies import check

if TYPE_CHECKING:
    from drsyncer.cluster import Cluster
    from drsyncer.config.schema import Config
    from drsyncer.service.board import Board
    from drsyncer.service.frame import Worker
    from drsyncer.service.metrics import Metrics
    from importer.outcome import Outcome as Imported

_logger = log.get(__name__)
_ENDING = 5.0  # seconds that the follower may take to end: its movers go on without it
_CLONE = 600.0  # seconds for which an import may have the clone
_WHAT = "restoring volumes"
_WHOLE = "whole"


class Heard(Nobody):
    """An observer of the importer (see `importer.observing.Observer`) that lets the volumes follow."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def import_ended(self, why: Why, outcome: Imported | None, error: DrSyncerError | None) -> None:
        """Note which recovery point DR has now."""
        if outcome is None or outcome.planned_only or outcome.exit_code is ExitCode.FAILED:
            return
        wrote = any(result.action in WRITES for result in outcome.results)
        self._follower.imported(outcome.revision, changed=wrote or why in (Why.START, Why.ASKED))


class Beside(Protocol):
    """What works beside the imports, in a thread of its own."""

    def run(self) -> None:
        """Work until `stop`."""

    def stop(self) -> None:
        """Let `run` end soon."""


class WithVolumes:
    """A worker with others beside it. See `drsyncer.service.frame.Worker`."""

    def __init__(self, worker: Worker, *others: Beside) -> None:
        self._worker = worker
        self._others = others

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`, all of them."""
        threads = [threading.Thread(target=other.run, name="volumes", daemon=True) for other in self._others]
        for thread in threads:
            thread.start()
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set() and not stop.wait(0.2):
                pass
            for other in self._others:
                other.stop()

        watcher = threading.Thread(target=watch, name="volumes watch", daemon=True)
        watcher.start()
        try:
            self._worker.run(stop)
        finally:
            ended.set()
            watcher.join()
            until = time.monotonic() + _ENDING
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
            if any(thread.is_alive() for thread in threads):
                _logger.warning("the work on volumes did not end in time; what it began goes on in the cluster")

    def wake(self) -> None:
        """See `Worker`."""
        self._worker.wake()

    def ask(self) -> None:
        """See `Worker`."""
        self._worker.ask()


def follower_of(config: Config, *, connect: Callable[[], Cluster], leading: Callable[[], bool], told: Told) -> Follower:
    """Return what restores the volumes after imports.

    `connect` gives what writes only while this replica is `leading`. Raises UsageError for what no mover could work
    with.
    """
    assert config.volumes is not None
    assert config.importer is not None
    check(config.volumes)
    section, announcing = config.importer, Announcing()

    def restore(commit: str, stop: threading.Event) -> Outcome | None:
        def goes_on() -> bool:
            return not stop.is_set() and leading()

        with connected(connect, stop=stop, leading=leading, doubtful=lambda: False, grace=1.0) as cluster:
            asked = Asked(revision=commit, fetch=False)
            begun = datetime.now().astimezone()
            try:
                with Clone.open(remote_of(config.repository), wait=_CLONE, goes_on=goes_on) as clone:
                    found = planned(config, clone, cluster, asked, Progress(silent=True))
            except ActiveCluster:
                return None  # a failover made its volumes the data that counts
            done = carried_out(
                config,
                cluster,
                found,
                asked,
                connect=lambda: dr_of(section, ELECTION),
                told=told.one_restored,
                announcing=announcing,
            )
            seconds = (datetime.now().astimezone() - begun).total_seconds()
            return shown(config, found, done, planned_only=False, seconds=seconds)

    return Follower(restore, leading=leading, observer=told)


class Told:
    """An observer of the follower (see `volumes.following.Observer`): metrics, Events and the status."""

    def __init__(self, metrics: Metrics, board: Board, tell: Tell) -> None:
        self._metrics = metrics
        self._board = board
        self._tell = tell
        for ending in Ending:
            self._metrics.count("volume_restores_total", 0, result=str(ending))  # a first failure is a growth, too

    def restoring(self, commit: str) -> None:
        """See `Observer`."""
        _logger.debug(_WHAT, revision=commit)

    def one_restored(self, done: Done) -> None:
        """Count one volume that a mover worked on."""
        if done.result is None:
            return
        self._metrics.count("volume_restores_total", result=str(done.ending))
        self._metrics.count("volume_restored_bytes_total", done.result.bytes_added)
        seconds = (done.result.end - done.result.start).total_seconds()
        self._metrics.observe("volume_restore_duration_seconds", max(0.0, seconds))
        _logger.info(f"volume {done.ending}", volume=str(done.step.target), reason=done.reason, text=done.text)

    def restored(self, outcome: Outcome) -> None:
        """See `Observer`."""
        whole = [done for done in outcome.volumes if done.ending in (Ending.RESTORED, Ending.UNCHANGED)]
        counts = Counter(_state(done) for done in outcome.volumes)
        counts[str(Ending.FAILED)] += len(outcome.faults)  # whose volumes they are, nobody can tell
        for state in (
            _WHOLE,
            *map(str, (Ending.PARTIAL, Ending.FAILED, Ending.LEFT_OUT, Ending.REFUSED, Ending.EXCLUDED)),
        ):
            self._metrics.set("volumes", counts[state], state=state)
        starts = [done.step.snapshot.start for done in whole if done.step.snapshot]
        oldest = min(starts) if starts else None
        self._metrics.set("volume_data_timestamp_seconds", oldest.timestamp() if oldest else 0.0)
        alone = [(done.step.target, done.text) for done in outcome.volumes if done.ending is Ending.EXCLUDED]
        # How long a claim may wait for its first backup is for the watch over backups to tell.
        others = [
            (done.step.target, f"{done.ending}: {done.text}")
            for done in outcome.volumes
            if done not in whole and done.ending is not Ending.EXCLUDED and not done.unrecorded
        ]
        unread = [(path, why.strip()) for path, _, why in (fault.partition(":") for fault in outcome.faults)]
        self._board.change(
            lambda now: msgspec.structs.replace(
                now,
                volumes=len(whole),
                volumes_as_of=oldest,
                volumes_behind=status.listed([*others, *unread]),
                volumes_excluded=status.listed(alone),
            )
        )

    def failed(self, text: str) -> None:
        """See `Observer`."""
        self._board.trouble(_WHAT, text)
        self._tell(VOLUMES_NOT_RESTORED, text)

    def worked(self) -> None:
        """See `Observer`."""
        self._board.trouble(_WHAT, None)
        self._tell(VOLUMES_RESTORED, "the volumes in DR are as the recovery point has them")


def _state(done: Done) -> str:
    return _WHOLE if done.ending in (Ending.RESTORED, Ending.UNCHANGED) else str(done.ending)
