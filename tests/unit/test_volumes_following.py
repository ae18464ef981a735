"""The volumes' follower: what is due after an import, what is tried again, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.rules import faults
from drsyncer.config.load import parse
from drsyncer.errors import ClusterUnreachable, ConfigurationError
from drsyncer.retry import Schedule
from volumes.following import Follower
from volumes.restore_outcome import Done, Ending, Outcome, undone
from volumes.restore_plan import Key, Step
from volumes.restore_why import Why

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SOON = Schedule(initial=0.01, factor=1.0, maximum=0.01, jitter=0.0)
NEVER = Schedule(initial=3600.0, factor=1.0, maximum=3600.0, jitter=0.0)
PATIENCE = 60.0  # seconds


def outcome(*whys: Why, ending: Ending | None = None) -> Outcome:
    steps = [Step(Key("shop", str(why)), Key("shop", str(why)), why, "because") for why in whys]
    done: tuple[Done, ...] = tuple(undone(step, ending) for step in steps)
    return Outcome("dr", "prod", "c", NOON, planned_only=False, volumes=done)


class Heard:
    """An observer that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._news = threading.Condition()

    def _say(self, text: str) -> None:
        with self._news:
            self.said.append(text)
            self._news.notify_all()

    def restoring(self, commit: str) -> None:
        self._say(f"restoring {commit}")

    def restored(self, outcome: Outcome) -> None:
        self._say("restored")

    def failed(self, text: str) -> None:
        self._say(f"failed: {text}")

    def worked(self) -> None:
        self._say("worked")

    def wait(self, condition: Callable[[list[str]], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: condition(self.said), PATIENCE), self.said


@contextmanager
def following(
    restore: Callable[[str, threading.Event], Outcome | None],
    heard: Heard,
    *,
    schedule: Schedule = SOON,
    leading: Callable[[], bool] = lambda: True,
) -> Iterator[Follower]:
    follower = Follower(restore, leading=leading, observer=heard, schedule=schedule)
    thread = threading.Thread(target=follower.run)
    thread.start()
    try:
        yield follower
    finally:
        follower.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_record_that_cannot_be_read_is_no_volume_that_is_as_it_should_be() -> None:
    heard = Heard()
    fault = "volumes/shop/data.yaml: is no record of a backup"
    answers = iter([ClusterUnreachable("away"), replace(outcome(Why.SAME_SNAPSHOT), faults=(fault,))])

    def restore(_: str, stop: threading.Event) -> Outcome:
        answer = next(answers, None)
        if answer is None:
            stop.wait(PATIENCE)
            return outcome()
        if isinstance(answer, Exception):
            raise answer
        return answer

    with following(restore, heard) as follower:
        follower.imported("one", changed=False)
        heard.wait(lambda said: said.count("restoring one") == 3)
        assert "worked" not in heard.said
        assert f"failed: 1 unchanged, {fault}" in heard.said


def test_each_recovery_point_is_followed_once() -> None:
    heard, asked = Heard(), list[str]()

    def restore(commit: str, _: threading.Event) -> Outcome:
        asked.append(commit)
        return outcome(Why.SAME_SNAPSHOT)

    with following(restore, heard) as follower:
        follower.imported("one", changed=False)
        heard.wait(lambda said: said.count("restored") == 1)
        follower.imported("one", changed=False)
        follower.imported("two", changed=False)
        heard.wait(lambda said: said.count("restored") == 2)
        follower.imported("two", changed=True)  # a claim may have been made anew
        heard.wait(lambda said: said.count("restored") == 3)
    assert asked == ["one", "two", "two"]


def test_what_was_not_done_is_tried_again_until_it_is() -> None:
    heard = Heard()
    endings = iter([outcome(Why.IN_USE), ClusterUnreachable("no answer"), ValueError("secret"), outcome(Why.SAME_DATA)])

    def restore(_: str, __: threading.Event) -> Outcome:
        found = next(endings)
        if isinstance(found, Exception):
            raise found
        return found

    with following(restore, heard) as follower:
        follower.imported("one", changed=False)
        heard.wait(lambda said: "worked" in said)
    failed = [text for text in heard.said if text.startswith("failed")]
    assert failed == ["failed: 1 refused", "failed: no answer", "failed: an error in the program (ValueError)"]


def test_what_was_never_backed_up_is_no_failure_of_a_restore() -> None:
    heard = Heard()
    with following(lambda *_: outcome(Why.NO_RECORD, Why.NO_SNAPSHOT), heard) as follower:
        follower.imported("one", changed=False)
        heard.wait(lambda said: "restored" in said)
    assert not [text for text in heard.said if text.startswith("failed")]


def test_a_new_recovery_point_does_not_wait_for_the_back_off_of_the_last_one() -> None:
    heard = Heard()
    with following(lambda *_: outcome(Why.IN_USE), heard, schedule=NEVER) as follower:
        follower.imported("one", changed=False)
        heard.wait(lambda said: "restoring one" in said and said[-1].startswith("failed"))
        follower.imported("two", changed=False)
        heard.wait(lambda said: "restoring two" in said)


def test_whoever_does_not_lead_restores_nothing_and_forgets_what_was_due() -> None:
    heard, leads = Heard(), threading.Event()
    with following(lambda *_: outcome(Why.SAME_DATA), heard, leading=leads.is_set) as follower:
        follower.imported("one", changed=False)
        threading.Event().wait(1.2)  # two turns of its loop
        leads.set()
        follower.imported("two", changed=False)
        heard.wait(lambda said: "restored" in said)
    assert "restoring one" not in heard.said


def test_a_restore_that_ends_since_it_was_told_to_is_no_failure() -> None:
    heard = Heard()

    def restore(_: str, stop: threading.Event) -> Outcome:
        assert stop.wait(PATIENCE)
        raise ClusterUnreachable("given up")

    with following(restore, heard) as follower:
        follower.imported("one", changed=False)
        heard.wait(lambda said: "restoring one" in said)
    assert heard.said == ["restoring one"]


@pytest.mark.parametrize("standby", [True, False])
def test_volumes_follow_only_where_nothing_runs_on_them(standby: bool) -> None:
    text = (
        "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\n"
        f"importer: {{cluster: dr, standby: {{enabled: {str(standby).lower()}}}}}\n"
        "volumes: {restic: {repository: 's3:https://s3.example.com/r'}, restore: {follow: true}}\n"
    )
    found: list[str] = []
    try:
        parse(text.encode(), file="f.yaml", folder=Path("/"), check=faults)
    except ConfigurationError as error:
        found = [f"{fault.line}: {fault.path}: {fault.message}" for fault in error.faults]
    wrong = "volumes can follow only where nothing runs on them: importer.standby.enabled is false"
    assert found == ([] if standby else [f"4: volumes.restore.follow: {wrong}"])
