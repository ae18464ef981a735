"""A running importer in a test: `Polling` in a thread of its own, and all that it told its observer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drsyncer.cluster import Cluster, connect
from drsyncer.config.schema import Config
from drsyncer.errors import DrSyncerError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.remote import Remote
from drsyncer.retry import Schedule
from importer.observing import Failure, Why
from importer.outcome import Outcome
from importer.polling import Polling
from importer.troubles import Patience
from tests.integration.recovery import IMPATIENT, Recovery

QUICK = Patience(
    remote=Schedule(initial=0.2, maximum=1.0),
    cluster=Schedule(initial=0.2, maximum=1.0),
    objects=Schedule(initial=0.5, maximum=5.0),
    refusal=Schedule(initial=1.0, maximum=5.0),
    grace=2.0,
)


@dataclass
class Told:
    """An observer that remembers."""

    looks: list[tuple[float, str, bool]] = field(default_factory=list)
    started: list[tuple[float, Why]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[DrSyncerError] = field(default_factory=list)
    failures: list[tuple[float, Failure, str]] = field(default_factory=list)
    drift: list[tuple[ObjectRef, ...]] = field(default_factory=list)
    due: deque[bool] = field(default_factory=lambda: deque(maxlen=1_000))
    beats: list[Heartbeat] = field(default_factory=list)

    def looked(self, head: str, *, changed: bool) -> None:
        self.looks.append((time.monotonic(), head, changed))

    def beaten(self, beat: Heartbeat) -> None:
        self.beats.append(beat)

    def import_started(self, why: Why) -> None:
        self.started.append((time.monotonic(), why))

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        if outcome is not None:
            self.outcomes.append(outcome)
        if error is not None:
            self.errors.append(error)

    def failure(self, kind: Failure, text: str) -> None:
        self.failures.append((time.monotonic(), kind, text))

    def recovered(self, kind: Failure) -> None: ...

    def pending(self, due: bool) -> None:
        self.due.append(due)

    def drift_found(self, drifted: Sequence[ObjectRef]) -> None:
        self.drift.append(tuple(drifted))

    def whys(self) -> list[Why]:
        return [why for _, why in self.started]


class Service:
    """A `Polling` at work until `stop`, or the end of the block. `leads` is whether it leads."""

    def __init__(
        self,
        recovery: Recovery,
        kubeconfig: Path,
        *,
        remote: Remote | None = None,
        patience: Patience = QUICK,
        retries: Schedule = IMPATIENT,
        leads: bool = True,
        last_run: datetime | None = None,
        **section: Any,
    ) -> None:
        config = Config.model_validate(recovery.config(importer={"interval": "1s", **section})).importer
        assert config is not None
        self.told = Told()
        self.leads = leads
        self.connections = 0
        self._config = config
        self._kubeconfig = kubeconfig
        self._retries = retries
        self._stop = threading.Event()
        self.polling = Polling(
            config=config,
            remote=remote or recovery.remote_of(),
            connect=self._connect,
            observer=self.told,
            leading=lambda: self.leads,
            patience=patience,
            last_run=lambda _: last_run,
        )
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="importer")

    def _connect(self) -> Cluster:
        self.connections += 1
        return connect(
            kubeconfig=str(self._kubeconfig),
            connections=self._config.workers + 1,
            timeout=self._config.timeouts.request,
            schedule=self._retries,
        )

    def _run(self) -> None:
        try:
            self.polling.run(self._stop)
        except BaseException as error:
            self._raised.append(error)
            raise

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> float:
        """Stop it; return the seconds that this took."""
        begun = time.monotonic()
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the importer does not stop"
        assert self._raised == []
        return time.monotonic() - begun

    def wait(self, condition: Callable[[], object], *, what: str, timeout: float = 20.0) -> float:
        """Wait until `condition` holds; return the seconds that this took."""
        begun = time.monotonic()
        while not condition():
            assert self._raised == []
            if time.monotonic() - begun > timeout:
                raise AssertionError(f"waited {timeout:g} s in vain for {what}: {self.polling.state}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def settled(self, commit: str, *, timeout: float = 20.0) -> float:
        """Wait until `commit` is what DR has; return the seconds that this took."""
        return self.wait(lambda: self.polling.state.imported == commit, what=f"{commit[:12]} in DR", timeout=timeout)
