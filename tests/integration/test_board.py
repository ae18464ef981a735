"""The owner of a status: it writes seldom and never in vain, stops nobody, and hands over what it knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drsyncer.cluster import Cluster, connect
from drsyncer.errors import Conflict
from drsyncer.retry import Schedule
from drsyncer.service import place as places
from drsyncer.service import status
from drsyncer.service.board import Board
from drsyncer.service.place import Place
from drsyncer.service.status import Result, Run, State, Status
from drsyncer.service.verification import Finding, Verification, after
from tests.cluster.audit import AuditEvent
from tests.cluster.control_plane import ControlPlane
from tests.integration.services import until

ONCE = Schedule(attempts=1)
NAME = "dr-syncer-exporter-prod"


def connected(kubeconfig: Path) -> Cluster:
    return connect(kubeconfig=str(kubeconfig), connections=2, timeout=5.0, schedule=ONCE)


class Desk:
    """Boards of one side in one cluster."""

    def __init__(self, cluster: ControlPlane, namespace: str) -> None:
        self.cluster = cluster
        self.place = Place(namespace, NAME)
        self.boards: list[Board] = []
        self.mark = cluster.audit.mark()

    def board(self, *, kubeconfig: Path | None = None, leading: Callable[[], bool] = lambda: True) -> Board:
        now = datetime.now(UTC)
        first = Status(side="exporter", name="prod", cluster="prod", state=State.ENDED, started=now, told=now)
        made = Board(
            first,
            connect=lambda: connected(kubeconfig or self.cluster.kubeconfig),
            place=self.place,
            leading=leading,
        )
        made.start()
        self.boards.append(made)
        return made

    def told(self) -> Status | None:
        cluster = connected(self.cluster.kubeconfig)
        try:
            return places.read(cluster, self.place).status
        finally:
            cluster.close()

    def writes(self) -> list[AuditEvent]:
        found = self.cluster.audit.writes(since=self.mark)
        return [event for event in found if event.resource == "configmaps" and event.name == NAME]


@pytest.fixture
def desk(source: ControlPlane, make_namespace: Callable[..., str]) -> Iterator[Desk]:
    made = Desk(source, make_namespace(source))
    yield made
    for board in made.boards:
        board.stop()


def unpushed(board: Board, count: int) -> None:
    board.change(lambda now: msgspec.structs.replace(now, unpushed=count))


def begin(board: Board, asked: list[float] | None = None) -> None:
    board.begin(lambda: (asked if asked is not None else []).append(time.monotonic()), lambda now: now)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def a_run() -> Run:
    now = datetime.now(UTC)
    return Run(cause="full", begun=now, ended=now, result=Result.DONE, exit_code=0)


def test_many_changes_by_many_threads_are_a_write_a_second_and_the_last_one_counts(desk: Desk) -> None:
    board = desk.board()
    begin(board)
    until(desk.told, "the first write")
    begun = time.monotonic()
    stop = threading.Event()

    def hammer(number: int) -> None:
        count = 0
        while not stop.wait(0.002):
            count += 1
            unpushed(board, number * 1_000_000 + count)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    time.sleep(4.0)
    stop.set()
    for thread in threads:
        thread.join()
    unpushed(board, 42)
    until(lambda: (told := desk.told()) is not None and told.unpushed == 42, "the last change")
    seconds = time.monotonic() - begun
    assert 3 <= len(desk.writes()) <= seconds + 3, (seconds, len(desk.writes()))

    # What moves by itself is no change.
    before = len(desk.writes())
    board.change(lambda now: msgspec.structs.replace(now, heartbeat=datetime.now(UTC), pending=7))
    unpushed(board, 42)
    time.sleep(2.0)
    assert len(desk.writes()) == before


def test_a_missing_right_is_told_once_and_stops_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    board = desk.board(kubeconfig=desk.cluster.kubeconfig_for("limited"))
    asked: list[float] = []
    begin(board, asked)
    until(lambda: board.current().troubles, "the trouble to be shown")
    begun = time.monotonic()
    assert board.settled(threading.Event()) is None  # nobody waits for what cannot be known
    board.run_started("full", whole=True)
    board.run_ended(a_run())
    unpushed(board, 3)
    assert time.monotonic() - begun < 5
    until(lambda: len(board.current().troubles) == 2 and len(warnings(caplog)) == 2, "both troubles to be told")
    time.sleep(5.0)
    assert [sum(part in text for text in warnings(caplog)) for part in ("is not kept", "are not seen")] == [1, 1]
    texts = sorted(trouble.text for trouble in board.current().troubles)
    assert ["requests of runs" in texts[0], "is not kept" in texts[1]] == [True, True]
    begun = time.monotonic()
    board.finish()
    assert time.monotonic() - begun < 1  # nor at the end
    assert desk.told() is None


def test_only_whoever_leads_writes_and_the_others_show_what_it_told(desk: Desk) -> None:
    leads = threading.Event()
    standing_by = desk.board(leading=leads.is_set)
    leader = desk.board()
    begin(leader)
    unpushed(leader, 5)
    until(lambda: standing_by.current().unpushed == 5, "the leader's status to be seen")
    assert standing_by.is_elsewhere()
    assert not leader.is_elsewhere()
    unpushed(standing_by, 9)
    time.sleep(1.5)
    told = desk.told()
    assert told is not None
    assert told.unpushed == 5

    leader.run_started("full", whole=True)
    leader.change(lambda now: msgspec.structs.replace(now, settled=now.started, last_run=a_run()))
    leader.finish()
    told = desk.told()
    assert told is not None
    assert (told.state, told.settled) == (State.ENDED, told.started)

    leads.set()
    begin(standing_by)
    assert standing_by.settled(threading.Event()) == told.settled
    assert standing_by.current().last_run == told.last_run
    until(lambda: (now := desk.told()) is not None and now.state is State.WORKING, "the next leader's status")


def test_a_status_that_somebody_deletes_or_spoils_is_written_again_and_requests_stay_requests(desk: Desk) -> None:
    board = desk.board()
    asked: list[float] = []
    begin(board, asked)
    until(desk.told, "the first write")
    path = f"/api/v1/namespaces/{desk.place.namespace}/configmaps/{NAME}"

    desk.cluster.delete(path)
    until(desk.told, "the second write")
    labels = desk.cluster.get(path)["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/part-of": "dr-syncer"}  # so it is never exported

    desk.cluster.patch(path, {"data": {"status.json": "{"}, "metadata": {"annotations": {places.REQUESTED_AT: "now"}}})
    until(lambda: len(asked) == 1, "the request")
    until(desk.told, "the third write")
    board.run_started("full", whole=True)
    board.run_ended(a_run())
    until(lambda: (told := desk.told()) is not None and told.request and told.request.run, "the request's run")
    unpushed(board, 1)
    until(lambda: (told := desk.told()) is not None and told.unpushed == 1, "one more write")
    assert len(asked) == 1
    assert desk.cluster.get(path)["metadata"]["annotations"][places.REQUESTED_AT] == "now"


def test_a_verification_that_others_tell_of_is_known_and_stays_so(desk: Desk) -> None:
    first = after(None, finding(data=True, text="a pack is damaged"))
    tell_verification(desk, first)  # before there is a service
    board = desk.board()
    begin(board)
    until(lambda: (told := desk.told()) is not None and told.verification == first, "the first verification")
    unpushed(board, 1)
    until(lambda: (told := desk.told()) is not None and told.unpushed == 1, "another write")
    assert board.current().verification == first

    second = after(first, finding())
    tell_verification(desk, second)
    until(lambda: board.current().verification == second, "the second verification")
    assert second.damage == first.damage

    desk.cluster.delete(f"/api/v1/namespaces/{desk.place.namespace}/configmaps/{NAME}")
    until(lambda: (told := desk.told()) is not None and told.verification == second, "the service's own copy")
    later = desk.board()
    board.finish()
    begin(later)
    until(lambda: later.current().verification == second, "another replica to know of it")


def finding(**found: Any) -> Finding:
    known = {"ended": datetime.now(UTC), "repository": "r", "read": 5, "compared": 0, "comparable": 1}
    return Finding(**(known | found))


def tell_verification(desk: Desk, known: Verification) -> None:
    """Leave word of it as `volumes verify` does; the service writes to the same ConfigMap."""
    cluster = connected(desk.cluster.kubeconfig)

    def told() -> bool:
        try:
            version = places.read(cluster, desk.place).resource_version
            places.tell_verification(cluster, desk.place, known, version=version)
        except Conflict:
            return False
        return True

    try:
        until(told, "the verification to be written")
        with pytest.raises(Conflict):  # somebody wrote in between
            places.tell_verification(cluster, desk.place, known, version="1")
    finally:
        cluster.close()


def test_a_run_that_was_under_way_or_looked_at_a_part_only_is_not_what_was_asked_for(desk: Desk) -> None:
    board = desk.board()
    asked: list[float] = []
    begin(board, asked)
    until(desk.told, "the first write")
    board.run_started("full", whole=True)
    cluster = connected(desk.cluster.kubeconfig)
    places.request(cluster, desk.place, "one")
    cluster.close()
    until(lambda: asked, "the request")
    board.run_ended(a_run())  # it had begun before
    board.run_started("change", whole=False)
    board.run_ended(a_run())
    request = board.current().request
    assert request is not None
    assert (request.value, request.run) == ("one", None)
    board.run_started("full", whole=True)
    board.run_ended(a_run())
    request = board.current().request
    assert request is not None
    assert request.run is not None


def test_without_a_place_nothing_is_asked_of_anybody() -> None:
    now = datetime.now(UTC)
    first = Status(side="exporter", name="prod", cluster="prod", started=now, told=now)

    def nobody() -> Cluster:
        raise AssertionError("nobody is to be asked")

    board = Board(first, connect=nobody, place=None, leading=lambda: True)
    board.start()
    begin(board)
    assert board.settled(threading.Event()) is None
    unpushed(board, 1)
    board.finish()
    board.stop()
    assert status.parse(status.text_of(board.current())) is not None
