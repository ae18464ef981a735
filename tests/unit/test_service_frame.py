"""The frame of a service: who works when, by which configuration, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from drsyncer.errors import ConfigurationError, Fault, GitError
from drsyncer.service import frame as framing
from drsyncer.service.frame import Frame, Source
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics

PATIENCE = 5.0


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_TURN", 0.01)
    monkeypatch.setattr(framing, "_LOOK", 0.02)
    monkeypatch.setattr(framing, "_ENDING", 0.5)


@dataclass
class Worker:
    """Works until it is told to stop, and knows what it saw."""

    config: str
    may_write: Callable[[], bool]
    error: BaseException | None = None
    deaf: bool = False
    woken: int = 0
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, stop: threading.Event) -> None:
        self.started.set()
        if self.error:
            raise self.error
        stop.wait(PATIENCE if not self.deaf else 0)
        if self.deaf:
            time.sleep(1.5)
        self.ended.set()

    def wake(self) -> None:
        self.woken += 1

    def ask(self) -> None:
        self.wake()


class Candidate:
    """A candidate who is told whether he leads."""

    def __init__(self) -> None:
        self.leads = False
        self.trouble = ""
        self.given_back_while_working: bool | None = None
        self.workers: list[Worker] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        self._stopped.wait(PATIENCE)

    def stop(self) -> None:
        self.given_back_while_working = any(not one.ended.is_set() for one in self.workers)
        self._stopped.set()

    def leading(self) -> bool:
        return self.leads


class Stage:
    """A frame in a thread of its own, with workers that are looked at."""

    def __init__(self, *, candidate: Candidate | None = None, **worker: object) -> None:
        self.workers: list[Worker] = []
        self.file: str | Exception = "one"
        self.metrics = Metrics("exporter")
        self.health = Health()
        self.told: list[str] = []
        self._worker = worker
        self.frame = Frame(
            source=Source(load=self._load, fingerprint=lambda: repr(self.file)),
            make=self._make,
            candidate=candidate,
            health=self.health,
            metrics=self.metrics,
            tell=lambda reason, message, subject="": self.told.append(f"{reason.name}: {message}"),
        )
        if candidate:
            candidate.workers = self.workers
        self.result: list[bool] = []
        self.thread = threading.Thread(target=lambda: self.result.append(self.frame.run("one")))

    def _load(self) -> str:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def _make(self, config: str, may_write: Callable[[], bool]) -> Worker:
        self.workers.append(Worker(config, may_write, **self._worker))  # type: ignore[arg-type]
        return self.workers[-1]

    def end(self) -> bool:
        self.frame.stop()
        self.thread.join(PATIENCE)
        return self.result[0]


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def begin(**settings: object) -> Stage:
        made.append(Stage(**settings))  # type: ignore[arg-type]
        made[-1].thread.start()
        return made[-1]

    yield begin
    for one in made:
        one.frame.stop()
        one.thread.join(PATIENCE)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


Begin = Callable[..., Stage]


def test_a_service_works_until_it_is_stopped(stage: Begin) -> None:
    running = stage()
    until(lambda: running.workers)
    running.frame.wake()

    assert running.end() is True
    (worker,) = running.workers
    assert worker.ended.is_set()
    assert worker.woken >= 1
    assert running.health.stuck() == {}


def test_only_who_leads_works_and_he_ends_before_he_gives_the_lead_back(stage: Begin) -> None:
    candidate = Candidate()
    running = stage(candidate=candidate)
    time.sleep(0.1)
    assert running.workers == []

    candidate.leads = True
    until(lambda: running.workers and running.workers[0].started.is_set())
    assert running.workers[0].may_write()

    candidate.leads = False
    until(running.workers[0].ended.is_set)
    candidate.leads = True
    until(lambda: len(running.workers) == 2)

    until(lambda: len(running.told) == 3)
    assert [told.partition(":")[0] for told in running.told] == [
        *("LeadershipGained", "LeadershipLost", "LeadershipGained"),
    ]

    assert running.end() is True
    assert candidate.given_back_while_working is False


def test_a_changed_configuration_takes_the_place_of_the_one_before(stage: Begin) -> None:
    running = stage()
    until(lambda: running.workers and running.workers[0].started.is_set())

    running.file = "two"
    until(lambda: len(running.workers) == 2)

    assert running.workers[0].ended.is_set()
    assert [worker.config for worker in running.workers] == ["one", "two"]


def test_a_faulty_configuration_changes_nothing_until_it_is_mended(
    stage: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    running = stage()
    until(lambda: running.workers)

    running.file = ConfigurationError([Fault("dr-syncer.yaml", 3, "exporter", "unknown key")])
    until(lambda: "stays in force" in caplog.text)
    assert "dr-syncer.yaml:3: exporter: unknown key" in caplog.text
    running.file = "one"  # as it was
    time.sleep(0.1)
    assert len(running.workers) == 1

    running.file = "two"
    until(lambda: len(running.workers) == 2)
    assert running.told == [
        "ConfigurationFaulty: the one before stays in force: dr-syncer.yaml:3: exporter: unknown key",
        "ConfigurationChanged: a changed configuration is in force",
    ]


def test_a_worker_that_dies_is_started_again_after_a_pause(
    stage: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = stage(error=GitError("recovery.git: no answer"))
    time.sleep(0.3)
    assert len(running.workers) == 1  # the first pause is a second
    assert "recovery.git: no answer; started again after a pause" in caplog.text
    until(lambda: len(running.workers) == 2)

    assert running.end() is True


def test_what_an_unforeseen_error_says_is_not_told(stage: Begin, caplog: pytest.LogCaptureFixture) -> None:
    running = stage(error=ValueError("s3cret"))
    until(lambda: "internal error: ValueError" in caplog.text)

    assert running.end() is True
    assert "s3cret" not in caplog.text
    assert running.told == ["WorkerFailed: internal error: ValueError"]


def test_a_worker_that_does_not_end_is_told(stage: Begin, caplog: pytest.LogCaptureFixture) -> None:
    running = stage(deaf=True)
    until(lambda: running.workers and running.workers[0].started.is_set())

    assert running.end() is False
    assert "does not end" in caplog.text


def test_nobody_works_beside_a_worker_that_does_not_end(stage: Begin) -> None:
    candidate = Candidate()
    candidate.leads = True
    running = stage(candidate=candidate, deaf=True)
    until(lambda: running.workers and running.workers[0].started.is_set())

    running.file = "two"
    running.thread.join(PATIENCE)

    assert running.result == [False]
    assert len(running.workers) == 1
    assert candidate.given_back_while_working is None  # it is kept, and runs out when this process is gone
