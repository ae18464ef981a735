"""Whose locks are removed: those of pods that are certainly dead, and of nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drsyncer.manifest import Manifest
from volumes import unlocking
from volumes.answers import Lock
from volumes.locks import Held, all_ripe, judge, life_of

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
MOVER = "dr-syncer-backup-data-0123456789-abcde"


def why(hostname=MOVER, *, minutes=1.0, alive="", exclusive=False) -> str:
    lock = Lock(time=NOW - timedelta(minutes=minutes), hostname=hostname, exclusive=exclusive)
    return judge(lock, lives=lambda name: alive, now=NOW).why


def pod(phase="Running", *, gone_by: timedelta | None = None, namespace="dr") -> Manifest:
    """Return a mover's pod that should be gone by then, from now on."""
    meta = {"name": MOVER, "namespace": namespace}
    if gone_by is not None:
        meta["deletionTimestamp"] = (NOW + gone_by).isoformat()
    return {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": {"phase": phase}}


@pytest.mark.parametrize("minutes", [31, 100])
def test_the_lock_of_a_mover_whose_pod_is_gone_is_dead_once_it_is_old(minutes):
    assert why(minutes=minutes) == ""


@pytest.mark.parametrize("minutes", [0, 1, 100_000])
def test_the_lock_of_a_pod_that_lives_is_held_however_old_it_is(minutes):
    assert why(alive="its pod lives", minutes=minutes) == "its pod lives"


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], ""),
        ([pod("Succeeded"), pod("Failed")], ""),
        ([pod("Failed", gone_by=timedelta(hours=-1))], ""),
        ([pod()], "its pod lives"),
        ([pod("Pending"), pod("Failed")], "its pod lives"),
        ([pod(gone_by=timedelta(seconds=30))], "its pod lives"),
        ([pod(gone_by=timedelta(hours=-1)), pod()], "its pod lives"),
    ],
)
def test_a_pod_lives_until_it_has_ended(pods, words):
    assert life_of(pods, now=NOW) == words


@pytest.mark.parametrize("phase", ["Running", "Pending", "Unknown"])
def test_a_pod_whose_node_does_not_say_that_it_ended_is_left_to_who_can_see_that_node(phase):
    told = life_of([pod("Failed"), pod(phase, gone_by=timedelta(hours=-1))], now=NOW)
    assert told.startswith("its pod is being deleted, and its node node-1 does not say that it ended. Once that node")
    assert f"`kubectl -n dr delete pod {MOVER} --force`" in told


@pytest.mark.parametrize("hostname", ["laptop", "", "x-dr-syncer-backup", "dr-syncer"])
def test_nobody_here_can_tell_of_another_machine(hostname):
    assert "nobody here can tell" in why(hostname, minutes=100_000)


@pytest.mark.parametrize("minutes", [-5, 0, 29, 30])
def test_a_young_lock_may_be_of_a_cluster_whose_pods_nobody_here_sees(minutes):
    """Also where no snapshot tells of one: it may be at its first backup."""
    assert "another cluster" in why(minutes=minutes)


def test_a_lock_is_told_with_whose_it_is_and_since_when():
    lock = Lock(time=NOW, hostname="laptop", exclusive=True)
    told = str(judge(lock, lives=lambda name: "", now=NOW))
    assert told.startswith("exclusive lock of laptop, 2026-03-01 03:00:00 UTC: that is no pod of DR-Syncer")


EXCLUSIVE = Held(Lock(time=NOW, hostname=MOVER, exclusive=True), "its pod lives")
SHARED = Held(Lock(time=NOW, hostname=MOVER), "its pod lives")
DEAD = Held(Lock(time=NOW, hostname=MOVER, exclusive=True), "")


@pytest.mark.parametrize(
    ("removed", "held", "again", "words"),
    [
        ([DEAD], [], True, "It was removed, since its pod is dead: exclusive lock of "),
        ([], [], True, "It is gone meanwhile"),
        ([], [SHARED], True, "It is gone meanwhile"),  # that of a backup beside this one
        ([], [EXCLUSIVE, SHARED], False, "It stays: exclusive lock of "),
    ],
)
def test_a_backup_tries_again_when_no_exclusive_lock_is_left(removed, held, again, words):
    finding = unlocking.judge(removed, held)
    assert (finding.again, finding.words.startswith(words)) == (again, True)


LAPTOP = Held(Lock(time=NOW, hostname="laptop"), "that is no pod of DR-Syncer")


@pytest.mark.parametrize(
    ("held", "later"),
    [([EXCLUSIVE], True), ([EXCLUSIVE, SHARED], True), ([EXCLUSIVE, LAPTOP], False)],
)
def test_a_later_run_is_named_only_where_it_may_remove_the_lock(held, later):
    words = unlocking.judge([], held).words
    assert ("A later run removes" in words, "`restic unlock`" in words) == (later, not later)


def test_locks_can_go_together_when_the_youngest_is_old_enough_and_none_is_of_somebody_who_lives():
    def held(minutes, *, alive=""):
        lock = Lock(time=NOW - timedelta(minutes=minutes), hostname=MOVER)
        return judge(lock, lives=lambda name: alive, now=NOW)

    assert all_ripe([held(40), held(20)]) == NOW + timedelta(minutes=10)
    assert all_ripe([held(40), held(20, alive="its pod lives")]) is None
    assert all_ripe([]) is None
