"""What a run leaves in the status: how it ended, and whether its tick is taken care of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from drsyncer.errors import Abandoned, ClusterUnreachable, DrSyncerError, ExitCode, Refused
from drsyncer.service.board import Board
from drsyncer.service.health import Health
from drsyncer.service.metrics import Metrics
from drsyncer.service.place import Place
from drsyncer.service.runs import Ended, Posted, Runs
from drsyncer.service.status import Result, State, Status

AWAY = ClusterUnreachable("no answer", hint="wait")


def _nobody() -> Any:
    raise AWAY


@pytest.fixture
def runs() -> Runs:
    now = datetime.now(UTC)
    first = Status(side="exporter", name="prod", cluster="prod", state=State.ENDED, started=now, told=now)
    board = Board(first, connect=_nobody, place=None, leading=lambda: True)
    return Runs("export", Metrics("exporter"), Health(), board)


@pytest.mark.parametrize(
    ("ended", "result", "code", "reason"),
    [
        (Ended(ExitCode.DONE), Result.DONE, 0, ""),
        (Ended(ExitCode.PARTIAL, reason="2 blocked"), Result.PARTIAL, 3, "2 blocked"),
        (Ended(ExitCode.FAILED, reason="not pushed"), Result.FAILED, 1, "not pushed"),
        (Ended(error=Refused("guard", hint="--yes")), Result.REFUSED, 4, "guard"),
        (Ended(error=AWAY), Result.FAILED, 1, "no answer"),
        (Ended(error=None), Result.FAILED, 1, "an error in the program; the log has more"),
    ],
)
def test_how_a_run_ended_is_told(runs: Runs, ended: Ended, result: Result, code: int, reason: str) -> None:
    runs.started("due", whole=True)
    running = runs.board.current().running
    assert running is not None
    assert running.cause == "due"
    runs.ended(ended)
    told = runs.board.current()
    assert told.running is None
    assert told.last_run is not None
    assert (told.last_run.result, told.last_run.exit_code, told.last_run.reason) == (result, code, reason)
    assert (told.last_success is not None) is (result is Result.DONE)
    assert (told.last_failure is not None) is (result is not Result.DONE)
    # What failed is still due; what was refused waits for a person.
    assert told.settled == (None if result is Result.FAILED else told.last_run.begun)
    assert f'result="{result}"' in runs.metrics.text()[0].decode()


def test_an_abandoned_run_is_as_if_it_had_not_been(runs: Runs) -> None:
    runs.started("due", whole=True)
    runs.ended(Ended(error=Abandoned("told to stop")))
    told = runs.board.current()
    assert (told.running, told.last_run, told.settled) == (None, None, None)


def test_a_look_that_found_nothing_takes_no_runs_place(runs: Runs) -> None:
    runs.started("commit", whole=True)
    runs.ended(Ended(ExitCode.PARTIAL))
    before = runs.board.current().last_run
    runs.started("drift", whole=False)
    runs.ended(Ended(ExitCode.DONE, quiet=True))
    told = runs.board.current()
    assert (told.last_run, told.last_success) == (before, None)


def test_whoever_waits_for_what_the_service_before_knew_is_alive_and_can_be_stopped() -> None:
    now = datetime.now(UTC)
    first = Status(side="importer", name="dr", cluster="dr", started=now, told=now)
    board = Board(first, connect=_nobody, place=Place("dr-syncer", "dr-syncer-importer-dr"), leading=lambda: True)
    board.start()
    board.begin(lambda: None, lambda told: told)
    stop, turns = threading.Event(), [0]

    def turned() -> None:
        turns[0] += 1
        if turns[0] == 3:
            stop.set()

    assert board.settled(stop, turned) is None
    assert turns == [3]
    board.finish()
    board.stop()


class Worker:
    def __init__(self, error: DrSyncerError | None, look: Callable[[], None]) -> None:
        self.error = error
        self.look = look
        self.asked = 0

    def run(self, stop: threading.Event) -> None:
        self.look()
        if self.error:
            raise self.error

    def wake(self) -> None: ...

    def ask(self) -> None:
        self.asked += 1


@pytest.mark.parametrize("error", [None, AWAY])
def test_who_works_is_on_the_board_from_the_beginning_to_the_end_whatever_it_is(
    runs: Runs, error: DrSyncerError | None
) -> None:
    states: list[State] = []
    posted = Posted(Worker(error, lambda: states.append(runs.board.current().state)), runs.board, lambda now: now)
    if error:
        with pytest.raises(ClusterUnreachable):
            posted.run(threading.Event())
    else:
        posted.run(threading.Event())
    assert [*states, runs.board.current().state] == [State.WORKING, State.ENDED]
