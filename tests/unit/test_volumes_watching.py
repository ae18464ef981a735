"""The watch over the age of the volumes' data: what a dead source, a lost snapshot and a silent restic come to."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from cli.volumes_watching import WHAT, Ages, Watch, watch_of
from drsyncer.config.load import parse
from drsyncer.config.schema import Config
from drsyncer.errors import DrSyncerError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery.identity import Identity
from drsyncer.service.metrics import Metrics
from drsyncer.service.status import Status
from drsyncer.snapshot import Attempt, Record, Snapshot, State
from tests.unit import statuses
from tests.unit.recovery_sandbox import Sandbox
from tests.unit.volume_history import DATA, History
from tests.unit.volume_records import whole
from volumes.listing import Listing, Row, Stored, listing
from volumes.points import Point, Records

NOW = datetime(2026, 5, 2, tzinfo=UTC)
DAY = 86_400.0
REPOSITORY = "d" * 64


def record(letter: str, *, age: float) -> Record:
    start = NOW - timedelta(seconds=age)
    made = Snapshot(
        id=letter * 64, tree=letter * 64, host="prod", state=State.COMPLETE, start=start, end=start, files=1, bytes=1
    )
    return Record(repository=REPOSITORY, snapshot=made)


def seen(*records: Record, there: str = "abc", unasked: str = "") -> Listing:
    claims = {ObjectRef("persistentvolumeclaims", "shop", f"v{index}"): one for index, one in enumerate(records)}
    point = Point("c" * 40, "c" * 40, NOW, Identity("prod", "uid"), Records(claims, {}), (), None)
    stored = None if unasked else Stored(REPOSITORY, {letter * 64 for letter in there})
    return listing(point, wanted=(), stored=stored, max_age=DAY, now=NOW, unasked=unasked)


@dataclass
class Board:
    troubles: dict[str, str | None] = field(default_factory=dict)
    status: Status = field(default_factory=lambda: statuses.importer(NOW))

    def trouble(self, what: str, text: str | None) -> None:
        self.troubles[what] = text

    def change(self, change: Callable[[Status], Status]) -> None:
        self.status = change(self.status)


def ages() -> tuple[Ages, Metrics, Board]:
    metrics, board = Metrics("importer"), Board()
    return Ages(metrics, board), metrics, board  # type: ignore[arg-type]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(f"dr_syncer_{name}", labels)
    return -1.0 if found is None else found


def test_the_oldest_of_the_newest_snapshots_counts() -> None:
    told, metrics, _ = ages()
    told.seen(seen(record("a", age=60), record("b", age=3 * DAY / 4)))
    assert value(metrics, "volumes_too_old") == 0
    assert value(metrics, "volume_backup_timestamp_seconds") == (NOW - timedelta(seconds=3 * DAY / 4)).timestamp()
    assert value(metrics, "restic_answered_timestamp_seconds") > 0


def test_what_is_too_old_gone_or_never_was_whole_is_counted_and_what_is_new_apart() -> None:
    told, metrics, board = ages()
    failed = Attempt(state=State.FAILED, start=NOW, end=NOW, reason="Locked", message="locked")
    never = Record(repository=REPOSITORY, attempt=failed)
    found = seen(record("a", age=2 * DAY), record("f", age=60), record("b", age=60), never)
    new = Row(ObjectRef("persistentvolumeclaims", "shop", "new"), None, None, None, ("was never backed up",))
    told.seen(dataclasses.replace(found, rows=(*found.rows, new)))
    assert value(metrics, "volumes_too_old") == 3
    assert board.status.backups is not None
    assert board.status.backups.lacks == {"gone": 1, "never": 1, "neverWhole": 1, "old": 1, "notWhole": 1}
    assert board.status.backups.oldest == NOW - timedelta(days=2)
    assert board.status.backups_as_of is not None
    assert value(metrics, "volumes_never_backed_up") == 1


def states(metrics: Metrics) -> dict[tuple[str, str], str]:
    """Return the state of each volume, by its labels."""
    (found,) = (one for one in metrics.registry.collect() if one.name == "dr_syncer_volume_backup_state")
    assert {sample.value for sample in found.samples} <= {1.0}
    labels = [sample.labels for sample in found.samples]
    return {(one["claim_namespace"], one["persistentvolumeclaim"]): one["state"] for one in labels}


def test_each_volume_has_one_state_which_goes_with_it() -> None:
    told, metrics, _ = ages()
    names = [ObjectRef("persistentvolumeclaims", "shop", name) for name in ("fresh", "forgotten")]
    unknown = tuple(Row(name, None, None, None, ("was never backed up",), name.name == "fresh") for name in names)
    found = seen(record("a", age=60))
    told.seen(dataclasses.replace(found, rows=(*found.rows, *unknown)))
    assert states(metrics) == {("shop", "v0"): "Complete", ("shop", "fresh"): "Waiting", ("shop", "forgotten"): "Never"}
    failed = Attempt(state=State.FAILED, start=NOW, end=NOW, reason="Locked", message="locked")
    told.seen(seen(Record(repository=REPOSITORY, snapshot=record("a", age=60).snapshot, attempt=failed)))
    assert states(metrics) == {("shop", "v0"): "Failed"}


def test_what_the_newest_whole_backup_of_each_volume_was_is_told() -> None:
    told, metrics, _ = ages()
    took = msgspec.structs.replace(
        record("a", age=600).snapshot, bytes=1 << 30, files=7, end=NOW - timedelta(seconds=590)
    )
    first = Record(repository=REPOSITORY, snapshot=took)
    failed = Attempt(state=State.FAILED, start=NOW, end=NOW, reason="Locked", message="locked")
    told.seen(seen(first, record("f", age=60), Record(repository=REPOSITORY, attempt=failed)))

    def of(name: str) -> list[float]:
        labels = [{"claim_namespace": "shop", "persistentvolumeclaim": f"v{index}"} for index in range(3)]
        return [value(metrics, f"volume_last_success_{name}", **one) for one in labels]

    # Of the second one restic does not have the snapshot, and the third one never had any.
    assert of("timestamp_seconds") == [took.start.timestamp(), 0, 0]
    assert of("duration_seconds") == [10, 0, -1]
    assert of("bytes") == [1 << 30, 1, -1]
    assert of("files") == [7, 1, -1]
    told.seen(seen(unasked="it is away"))
    assert {of(name)[0] for name in ("timestamp_seconds", "duration_seconds", "bytes", "files")} == {-1}


def test_of_a_record_that_cannot_be_read_nobody_knows_that_it_is_young() -> None:
    told, metrics, _ = ages()
    faults = {"volumes/shop/v1.yaml": "volumes/shop/v1.yaml: is no record of a backup"}
    told.seen(dataclasses.replace(seen(record("a", age=60)), faults=faults))
    assert value(metrics, "volumes_too_old") == 1


def test_by_git_alone_a_dead_source_is_noticed_as_well() -> None:
    told, metrics, _ = ages()
    told.seen(seen(record("a", age=2 * DAY), unasked="it is away"))
    assert value(metrics, "volumes_too_old") == 1
    assert value(metrics, "restic_answered_timestamp_seconds") == 0


@contextmanager
def watching(
    look: Callable[[bool, Callable[[], bool]], Listing | None],
    told: Ages,
    *,
    leading: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    watch = Watch(look, leading=leading, told=told, interval=0.1)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield
    finally:
        watch.stop()
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_restic_that_does_not_answer_is_told_and_git_is_asked_instead() -> None:
    told, metrics, board = ages()
    away = threading.Event()
    away.set()

    def look(ask: bool, _: Callable[[], bool]) -> Listing:
        if ask and away.is_set():
            raise DrSyncerError("wrong password")
        return seen(record("a", age=2 * DAY), unasked="" if ask else "it is away")

    with watching(look, told):
        until(lambda: value(metrics, "failures_total", reason="restic") >= 1)
        until(lambda: value(metrics, "volumes_too_old") == 1)
        assert "wrong password" in str(board.troubles)
        away.clear()
        until(lambda: value(metrics, "restic_answered_timestamp_seconds") > 0)
        until(lambda: set(board.troubles.values()) == {None})


def test_what_restic_was_known_to_lack_stays_gone_while_it_does_not_answer() -> None:
    told, metrics, board = ages()
    forgotten, well, newer = record("a", age=60), record("b", age=90), record("f", age=30)
    answers = [(True, [forgotten, well]), (False, [forgotten, well]), (False, [newer, well]), (True, [newer, well])]
    turns = list(answers)

    def look(ask: bool, _: Callable[[], bool]) -> Listing:
        answering, records = turns[0]
        if ask and not answering:
            raise DrSyncerError("away")
        return seen(*records, there="bf", unasked="" if ask else "it is away")

    watch = Watch(look, leading=lambda: True, told=told)
    claim = {"claim_namespace": "shop", "persistentvolumeclaim": "v0"}
    found = []
    while turns:
        assert watch._turn()
        turns.pop(0)
        backups = board.status.backups
        assert backups is not None
        assert value(metrics, "volumes_too_old") == backups.lacks.get("gone", 0)
        found.append((backups.asked, backups.lacks, value(metrics, "volume_last_success_timestamp_seconds", **claim)))

    # A snapshot that is newer than the last answer may be there: nobody says that it is gone.
    begun = (NOW - timedelta(seconds=30)).timestamp()
    gone = {"gone": 1}
    assert found == [(True, gone, 0), (False, gone, 0), (False, {}, begun), (True, {}, begun)]


def config_of(sandbox: Sandbox, **auth: str) -> Config:
    given = {
        "apiVersion": "dr-syncer.io/v1",
        "repository": {"url": str(sandbox.repository), "cacheDir": str(sandbox.folder / "cache")},
        "importer": {"cluster": "dr"},
        "volumes": {"restic": {"repository": "rest:http://127.0.0.1:9/", "auth": auth}},
    }
    return parse(json.dumps(given).encode(), file="f.yaml", folder=sandbox.folder)


def test_a_restic_that_never_answers_is_silent_from_the_first_question_on_and_one_that_nobody_asks_is_not(
    tmp_path: Path,
) -> None:
    history = History(tmp_path)
    told, metrics, board = ages()

    def a_turn(**auth: str) -> bool:
        with history.sandbox.open():  # as an import does
            pass
        return watch_of(config_of(history.sandbox, **auth), leading=lambda: True, told=told)._turn()

    lacks = {"passwordFile": str(tmp_path / "none")}
    assert not a_turn(**lacks)  # no recovery point yet: there is nothing to ask for
    history.export({DATA: whole()})
    assert a_turn()
    assert (value(metrics, "restic_asked_timestamp_seconds"), board.troubles.get(WHAT)) == (0, None)

    begun = time.time()
    assert a_turn(**lacks)
    assert "passwordFile" in str(board.troubles)
    first = value(metrics, "restic_asked_timestamp_seconds")
    assert begun <= first <= time.time()
    assert a_turn(**lacks)
    assert value(metrics, "restic_asked_timestamp_seconds") == first
    assert value(metrics, "restic_answered_timestamp_seconds") == 0


def test_a_restic_that_is_not_asked_for_want_of_a_recovery_point_is_not_called_silent(tmp_path: Path) -> None:
    """Somebody began the branch with a page of his own, and no exporter has come by yet."""
    history = History(tmp_path)
    history.sandbox.somebody_commits({"README.md": "Recovery points go here."})
    with history.sandbox.open():
        pass
    (tmp_path / "pw").write_text("secret")
    told, metrics, _ = ages()

    watch_of(config_of(history.sandbox, passwordFile=str(tmp_path / "pw")), leading=lambda: True, told=told)._turn()

    assert value(metrics, "failures_total", reason="restic") == 1
    assert value(metrics, "restic_asked_timestamp_seconds") == 0


def test_whoever_leads_again_does_not_go_by_what_restic_said_before() -> None:
    told, metrics, _ = ages()
    leads, answers = threading.Event(), threading.Event()
    leads.set()
    answers.set()

    def look(ask: bool, _: Callable[[], bool]) -> Listing:
        if ask and not answers.is_set():
            raise DrSyncerError("away")
        return seen(record("f", age=60), unasked="" if ask else "it is away")

    with watching(look, told, leading=leads.is_set):
        until(lambda: value(metrics, "volumes_too_old") == 1)
        answers.clear()
        until(lambda: value(metrics, "failures_total", reason="restic") >= 1)
        assert value(metrics, "volumes_too_old") == 1
        leads.clear()
        time.sleep(1.2)  # two turns of its loop
        leads.set()
        until(lambda: value(metrics, "volumes_too_old") == 0)


def test_an_error_in_the_program_is_told_and_does_not_end_the_watch() -> None:
    told, metrics, board = ages()
    broken = threading.Event()
    broken.set()

    def look(_: bool, __: Callable[[], bool]) -> Listing:
        if broken.is_set():
            raise ZeroDivisionError
        return seen(record("a", age=2 * DAY))

    with watching(look, told):
        until(lambda: value(metrics, "failures_total", reason="internal") >= 2)
        assert "an error in the program" in str(board.troubles)
        broken.clear()
        until(lambda: value(metrics, "volumes_too_old") == 1)
        until(lambda: set(board.troubles.values()) == {None})


def test_whoever_does_not_lead_asks_nobody() -> None:
    told, _, _ = ages()
    asked: list[bool] = []

    def look(ask: bool, _: Callable[[], bool]) -> None:
        asked.append(ask)

    with watching(look, told, leading=lambda: False):
        time.sleep(1.2)  # two turns of its loop
    assert asked == []
