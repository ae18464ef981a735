"""What keeps a service going: it works while it leads, follows its configuration file, and ends in good time.

One thread (the caller's) decides, one works, one stands for election. Whoever works is stopped and joined before
somebody else may: before the next configuration, and before leadership is given back.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from drsyncer.errors import DrSyncerError
from drsyncer.log import get
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from drsyncer.service.reasons import (
    CONFIGURATION_CHANGED,
    CONFIGURATION_FAULTY,
    LEADERSHIP_GAINED,
    LEADERSHIP_LOST,
    WORKER_FAILED,
    Tell,
    nobody,
)
from drsyncer.service.repeats import Listener, Repeats

_LOG = get(__name__)
_TURN = 0.5  # seconds between two looks at who leads
_LOOK = 5.0  # seconds between two looks at the configuration file
_ENDING = 10.0  # seconds that a worker may take to end
# What ends with an error that nobody foresaw is started again, but not in a circle.
_AGAIN = Schedule(initial=1.0, factor=2.0, maximum=300.0, jitter=0.2)
_WORKED = 60.0  # seconds after which its end is no part of a series

Config = TypeVar("Config")


class Worker(Protocol):
    """Whatever works: it ends soon after `stop` is set, and only then."""

    def run(self, stop: threading.Event) -> None: ...

    def wake(self) -> None:
        """Work now, whatever the clock says."""
        ...

    def ask(self) -> None:
        """Do a whole run now, also when nothing seems to have changed."""
        ...


class Candidate(Protocol):
    """Whoever stands for election; see `drsyncer.cluster.lease.Election`."""

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def leading(self) -> bool: ...

    @property
    def trouble(self) -> str:
        """Why the last try to take or renew the lead failed, "" when it did not."""
        ...


@dataclass(frozen=True, slots=True)
class Source(Generic[Config]):
    """Where the configuration comes from. `fingerprint` changes with the file, `load` raises DrSyncerError."""

    load: Callable[[], Config]
    fingerprint: Callable[[], str]


class Frame(Generic[Config]):
    """`make` gets the configuration and the question whether it may (still) write, and returns the worker.

    `listener` is told what fails here: the election, the worker. See `Repeats`.
    """

    def __init__(
        self,
        *,
        source: Source[Config],
        make: Callable[[Config, Callable[[], bool]], Worker],
        candidate: Candidate | None,
        health: Health,
        metrics: Metrics,
        tell: Tell = nobody,
        listener: Listener = lambda *_: None,
    ) -> None:
        self._source = source
        self._make = make
        self._candidate = candidate
        self._health = health
        self._metrics = metrics
        self._tell = tell
        self._led = False
        self._repeats = Repeats(_LOG, listener=listener)
        self._backoff = Backoff(_AGAIN)
        self._stopped = threading.Event()
        self._turn = threading.Event()  # something happened: look now
        self._reload = False
        self._running: _Running | None = None
        self._up = False

    def stop(self) -> None:
        """Let `run` end. For signal handlers, too."""
        self._stopped.set()
        self._turn.set()

    def reload(self) -> None:
        """Look at the configuration file now."""
        self._reload = True
        self._turn.set()

    def wake(self) -> None:
        """Let the worker work now, if this replica works at all."""
        if self._running is not None:
            self._running.worker.wake()

    def leading(self) -> bool:
        """Return whether this replica may work."""
        return self._candidate is None or self._candidate.leading()

    def ready(self) -> bool:
        """Return whether this replica does its work, or stands by to take over."""
        return self._up and (self._running is not None or not self.leading())

    def state(self) -> str:
        """Return in a word or two what this replica does."""
        if not self._up:
            return "starting"
        return ("working" if self._running else "starting again") if self.leading() else "standing by"

    def run(self, config: Config) -> bool:
        """Work by `config` and whatever it becomes, until `stop`; return whether everything ended in time."""
        election = _thread(self._candidate.run, "election") if self._candidate else None
        fingerprint, looked = self._source.fingerprint(), time.monotonic()
        try:
            while not self._stopped.is_set():
                self._health.turned("service")
                self._metrics.set("leader", float(self.leading()))
                self._look_at_election()
                if self._reload or time.monotonic() - looked >= _LOOK:
                    self._reload, looked = False, time.monotonic()
                    found = self._source.fingerprint()
                    if found != fingerprint:
                        fingerprint, before = found, config
                        config = self._changed(config)
                        if config is not before and not self._end():
                            return False  # nobody else may work beside one who cannot be stopped
                if not self._work(config):
                    return False
                self._up = True
                self._turn.wait(_TURN)
                self._turn.clear()
            return self._end()
        finally:
            self._health.ended("service")
            if self._candidate and election and self._running is None:
                # Only now: whoever leads next must find nobody at work here. Else the lead runs out by itself.
                self._candidate.stop()
                election.join(_ENDING)

    def _look_at_election(self) -> None:
        if self._candidate is None:
            return
        led, self._led = self._led, self._candidate.leading()
        if led != self._led:
            who = socket.gethostname()
            self._tell(
                *(
                    (LEADERSHIP_GAINED, f"{who} works now")
                    if self._led
                    else (LEADERSHIP_LOST, f"{who} could not renew its lead")
                )
            )
        if self._candidate.trouble:
            self._repeats.failed("the election", f"the election: {self._candidate.trouble}")
        else:
            self._repeats.worked("the election")

    def _changed(self, config: Config) -> Config:
        """Return the configuration as it now is; the one before when the new one is faulty."""
        try:
            new = self._source.load()
        except DrSyncerError as error:
            _LOG.error(f"the configuration changed and is faulty, so the one before stays in force: {error}")
            self._metrics.count("config_reloads_total", result="faulty")
            self._tell(CONFIGURATION_FAULTY, f"the one before stays in force: {error}")
            self._metrics.set("config_faulty", 1)
            return config
        self._metrics.set("config_faulty", 0)
        if new == config:
            return config
        _LOG.info("the configuration changed")
        self._metrics.count("config_reloads_total", result="done")
        self._tell(CONFIGURATION_CHANGED, "a changed configuration is in force")
        return new

    def _work(self, config: Config) -> bool:
        """Let the worker run when it may, and only then; return false when it cannot be stopped."""
        running = self._running
        if running is not None and not running.thread.is_alive():
            self._running = None
            self._died(running)
        if not self.leading():
            return self._end()
        if self._running is None and not self._backoff.wait("worker"):
            stop = threading.Event()
            try:
                worker = self._make(config, self.leading)
            except DrSyncerError as error:
                self._failed(error, str(error))
                return True
            made = _Running(worker, stop)
            made.thread = _thread(made.run, "worker")
            self._running = made
        return True

    def _died(self, running: _Running) -> None:
        if time.monotonic() - running.begun > _WORKED:
            self._backoff.worked("worker")
        if running.error is None:
            self._failed(RuntimeError(), "the worker ended by itself")
        elif isinstance(running.error, DrSyncerError):
            self._failed(running.error, str(running.error))
        else:
            # Its text may hold anything, so only its type is told; -vv shows where it came from.
            self._failed(running.error, f"internal error: {type(running.error).__name__}")
            _LOG.debug("where it came from", error=running.error)

    def _failed(self, error: BaseException, text: str) -> None:
        delay = self._backoff.failed("worker")
        self._repeats.failed("worker", f"{text}; started again after a pause")
        self._metrics.count("failures_total", reason=type(error).__name__)
        self._tell(WORKER_FAILED, text)
        _LOG.debug("the worker is started again", seconds=round(delay, 1))

    def _end(self) -> bool:
        """Stop whoever works; return whether he has ended."""
        running = self._running
        if running is None:
            return True
        self._health.turned("service", within=2 * _ENDING)
        running.stop.set()
        running.worker.wake()
        running.thread.join(_ENDING)
        if running.thread.is_alive():
            _LOG.error("the worker does not end", seconds=_ENDING)
            return False
        self._running = None
        return True


class _Running:
    """A worker in its thread, and what it ended with."""

    def __init__(self, worker: Worker, stop: threading.Event) -> None:
        self.worker = worker
        self.stop = stop
        self.error: BaseException | None = None
        self.begun = time.monotonic()
        self.thread = threading.current_thread()  # until its own is made

    def run(self) -> None:
        try:
            self.worker.run(self.stop)
        except BaseException as error:  # noqa: BLE001 - the frame decides what becomes of it
            self.error = error


def _thread(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
