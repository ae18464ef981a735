"""Whether what Git knows is of today."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drsyncer.recovery.heartbeat import Heartbeat
from tests.unit.recovery_sandbox import NOON, Sandbox
from tests.unit.signers import allowed, needs_ssh_keygen, signer
from volumes.doubting import behind

HOUR = timedelta(hours=1)


def said(tmp_path, age: timedelta | None, *, due: timedelta | None = None, complete: bool = True) -> str:
    """What is said at noon of a heartbeat so old, where the next one was due so long after it."""
    sandbox = Sandbox(tmp_path)
    sandbox.somebody_commits({"a.yaml": "a: 1\n"})
    with sandbox.open() as clone:
        if age is not None:
            time = NOON - age
            clone.push(heartbeat=Heartbeat(time, "", complete, "uid", None if due is None else time + due))
        return behind(clone, NOON)


@pytest.mark.parametrize(
    ("age", "due"),
    [
        (None, None),  # there never was one
        (0 * HOUR, None),
        (24 * HOUR, None),
        (25 * HOUR, 2 * HOUR),
        (7 * 24 * HOUR, 7 * 24 * HOUR),  # once a week
        (-2 * HOUR, None),  # a clock that is some hours fast
    ],
)
def test_git_is_of_today_as_far_as_anybody_says(tmp_path, age, due):
    assert said(tmp_path, age, due=due) == ""


@pytest.mark.parametrize(
    ("age", "due"),
    [(25 * HOUR, None), (25 * HOUR, timedelta(minutes=1)), (9 * 24 * HOUR, 7 * 24 * HOUR), (-25 * HOUR, None)],
)
def test_an_exporter_that_has_not_been_heard_of_for_a_day_says_nothing_of_today(tmp_path, age, due):
    assert said(tmp_path, age, due=due).startswith("the exporter's last heartbeat in the recovery repository is of 20")


def test_a_type_that_cannot_be_listed_keeps_nobody_from_pruning(tmp_path):
    assert said(tmp_path, HOUR, complete=False) == ""


@needs_ssh_keygen
def test_a_heartbeat_that_nobody_signed_is_no_sign_of_life(tmp_path):
    sandbox = Sandbox(tmp_path, allowed_signers=str(allowed(tmp_path, signer(tmp_path, "exporter@prod").line())))
    sandbox.somebody_commits({"a.yaml": "a: 1\n"})
    with sandbox.open() as clone:
        clone.push(heartbeat=Heartbeat(NOON, "", True, "uid"))
        assert "heartbeat is not believed" in behind(clone, NOON)
