"""What a claim is compared with that remembers nothing: what one of its name left in the restic repository."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from drsyncer.snapshot import State
from tests.unit.test_volume_verdict import now, snapshot, task, verdict
from volumes import commands, earlier, repository
from volumes.answers import Listed, Summary
from volumes.backing_up import shrunk
from volumes.earlier import Earlier, newest_whole
from volumes.restic import Restic
from volumes.result import Reason
from volumes.snapshotting import look_before
from volumes.task import Counts, Volume

DATA = Volume(host="prod", namespace="shop", name="data")
WHEN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
BIG = Earlier("b" * 64, WHEN, Counts(files=500, bytes=5000))


def data(id_: str, day: int, *, files: int = 9, **more: Any) -> Listed:
    given = {"hostname": "prod", "tags": (DATA.tag, "run=r"), "paths": ("/data",)} | more
    summary = Summary(total_files_processed=files, total_bytes_processed=files * 10)
    return Listed(**{"id": id_, "tree": id_, "time": WHEN + timedelta(days=day), "summary": summary, **given})


def ended(id_: str, day: int, state: State | str) -> Listed:
    tags = (DATA.tag, f"{commands.MANIFEST_OF}{id_}", f"{commands.STATE}{state}")
    return data(f"manifest-{id_}", day, files=1, tags=tags)


OLD = (data("old", 1, files=500), ended("old", 1, State.COMPLETE))


@pytest.mark.parametrize(
    ("listed", "id_", "files"),
    [
        ([], None, 0),
        (OLD, "old", 500),
        ((*OLD, data("new", 2), ended("new", 2, State.COMPLETE)), "new", 9),
        ((*OLD, data("new", 2), ended("new", 2, State.UNCHANGED)), "new", 9),
        ((data("new", 2), ended("new", 2, State.COMPLETE), *OLD), "new", 9),
        ((*OLD, data("partial", 2), ended("partial", 2, State.PARTIAL)), "old", 500),
        ((*OLD, data("shrunk", 2), ended("shrunk", 2, State.EMPTY)), "old", 500),
        ((*OLD, data("nothing", 2, paths=(f"/{commands.NOTHING}",)), ended("nothing", 2, State.EMPTY)), "nothing", 0),
        ((*OLD, data("broken off", 2)), "old", 500),
        ((data("broken off", 2), data("partial", 3), ended("partial", 3, State.PARTIAL)), "broken off", 9),
        ((data("partial", 3), ended("partial", 3, State.PARTIAL)), None, 0),
        ((*OLD, data("uncounted", 2, summary=None), ended("uncounted", 2, State.COMPLETE)), "old", 500),
        ((*OLD, data("another's", 2, tags=("pvc=shop/data2",)), data("elsewhere", 2, hostname="dr")), "old", 500),
    ],
)
def test_the_newest_whole_snapshot_of_the_name_counts(listed: list[Listed], id_: str | None, files: int) -> None:
    found = newest_whole(listed, DATA)

    assert (found.id if found else None) == id_
    assert found is None or found.counts == Counts(files=files, bytes=files * 10)


def test_a_claim_of_which_nothing_is_known_is_compared_with_an_earlier_one() -> None:
    said = f"the volume has 3 files, and 500 in {BIG}"

    assert shrunk(task(), now(3, 30), BIG) == said
    assert str(BIG).endswith("of a claim of this name before (bbbbbbbb of 2026-03-01 03:00 UTC)")
    assert shrunk(task(), now(500, 5000), BIG) == ""
    assert shrunk(task(snapshot(files=3, size=30)), now(3, 30), BIG) == ""
    assert shrunk(task(counts=Counts(files=3, bytes=30)), now(3, 30), BIG) == ""


def test_what_an_earlier_claim_had_is_told_until_somebody_confirms_it() -> None:
    refused = verdict(task(), now(3, 30), earlier=BIG)
    confirmed = verdict(task(confirmed=True), now(3, 30), earlier=BIG)

    assert (refused.state, refused.reason) == (State.EMPTY, Reason.SHRUNK)
    assert refused.message.endswith("--confirm shop/data`")  # there is no repository to be adopted
    assert (confirmed.state, confirmed.loss) == (State.COMPLETE, "")


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, 1),
        ({"repository_id": "d" * 64}, 1),  # it was tried, and nothing whole came of it
        ({"confirmed": True}, 0),
        ({"tried": True}, 0),
        ({"counts": Counts(files=0, bytes=0)}, 0),
        ({"previous": snapshot()}, 0),
    ],
)
def test_the_repository_is_asked_only_for_a_claim_that_remembers_nothing(
    more: dict[str, Any], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[Volume] = []

    def look_for(_restic: object, volume: Volume) -> Earlier:
        questions.append(volume)
        return BIG

    monkeypatch.setattr(earlier, "look_for", look_for)
    monkeypatch.setattr(repository, "repository_id", lambda *_, **__: "d" * 64)
    monkeypatch.setattr(repository, "listed", lambda *_: {})

    before = look_before(task(**more), cast("Restic", None))

    assert questions == [DATA] * asked
    assert before.earlier == (BIG if asked else None)
