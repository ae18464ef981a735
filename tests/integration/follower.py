"""A continuous export in a test: in a thread of its own, with all that it tells about itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drsyncer.cluster import Cluster, connect
from drsyncer.config.schema import Config
from drsyncer.errors import Abandoned, DrSyncerError
from exporter.following import Following
from exporter.observing import Why
from exporter.outcome import Outcome
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import IMPATIENT, Recovery

FAST = {"quietPeriod": "300ms", "maxDelay": "2s"}
PATIENCE = 60.0  # seconds
STOPS_WITHIN = 10.0  # seconds: what a pod is given, and what is promised


@dataclass
class Told:
    """An observer that remembers."""

    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[DrSyncerError] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    beats: list[datetime] = field(default_factory=list)
    connected: int = 0
    total: int = 0
    waiting: int = 0
    lacking: int = 0
    turns: int = 0

    def turned(self) -> None:
        self.turns += 1

    def run_started(self, why: Why) -> None: ...

    def run_ended(self, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        if outcome is not None:
            self.outcomes.append(outcome)
        if error is not None and not isinstance(error, Abandoned):
            self.errors.append(error)

    def pending(self, changes: int, oldest: float) -> None:
        self.waiting = changes

    def pushed(self, lag: float) -> None:
        self.lags.append(lag)

    def unpushed(self, commits: int) -> None:
        self.lacking = commits

    def beaten(self, when: datetime) -> None:
        self.beats.append(when)

    def watches(self, connected: int, total: int) -> None:
        self.connected, self.total = connected, total

    def trouble(self, what: str, text: str | None) -> None: ...

    def failed(self, kind: str) -> None:
        self.failures.append(kind)


class Follower:
    """Follows `source`, by way of `kubeconfig` if given, into the recovery repository. A context manager."""

    def __init__(
        self,
        recovery: Recovery,
        source: ControlPlane,
        *,
        kubeconfig: Path | None = None,
        leading: Callable[[], bool] = lambda: True,
        **section: Any,
    ) -> None:
        config = Config.model_validate(recovery.config(exporter={**FAST, **section})).exporter
        assert config is not None
        self.told = Told()
        self._source = source
        self._recovery = recovery
        file = str(kubeconfig or source.kubeconfig)

        def dial() -> Cluster:
            return connect(kubeconfig=file, connections=200, schedule=IMPATIENT)

        self.following = Following(
            config=config, remote=recovery.remote_of(), connect=dial, observer=self.told, leading=leading
        )
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test follower")

    def __enter__(self) -> Follower:
        self._before = set(threading.enumerate())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = self.stop()
        if kind is None:
            assert seconds < STOPS_WITHIN
            # What ends a moment later, such as the thread that reads a git's last words, is no leak.
            self.wait_for(lambda: not self._left(), what="the threads to end")

    def stop(self) -> float:
        """End it; return how many seconds that took."""
        begun = time.monotonic()
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "it does not end"
        if self._error is not None:
            raise self._error
        return time.monotonic() - begun

    def ready(self) -> Follower:
        """Wait until everything is exported and all watches are open."""
        self.wait_for(
            lambda: self.told.outcomes and self.told.total and self.told.connected == self.told.total,
            what="all watches to be open",
        )
        return self

    def commits(self, count: int) -> None:
        """Wait until the remote has so many commits on its branch."""
        self.wait_for(lambda: self.count() >= count, what=f"{count} commits")

    def count(self) -> int:
        """Return how many commits the remote's branch has."""
        return len(self._recovery.git("log", "--format=%h", "main").split()) if self._recovery.head() else 0

    def wait_for(self, condition: Callable[[], object], *, what: str, timeout: float = PATIENCE) -> None:
        """Poll until `condition` holds; fail at once when the service has ended by itself."""

        def held() -> bool:
            if self._error is not None:
                raise self._error
            return bool(condition())

        self._source.wait_for(held, what=what, timeout=timeout)

    def _left(self) -> list[threading.Thread]:
        ours = ("watch ", "read", "following", "git ")
        return [one for one in set(threading.enumerate()) - self._before if one.name.startswith(ours)]

    def _run(self) -> None:
        try:
            self.following.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._error = error
