"""What Git knows of snapshots: all of it, or nothing is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drsyncer.config.volumes import Retention
from drsyncer.errors import Refused
from drsyncer.recovery import layout
from drsyncer.snapshot import State
from tests.unit.recovery_sandbox import git
from tests.unit.volume_history import DATA, LOGS, History
from tests.unit.volume_records import REPOSITORY, failed, snapshot, whole
from volumes.knowing import knowledge

NOW = datetime(2026, 3, 31, 3, 0, tzinfo=UTC)
POLICY = Retention.model_validate({"recoveryPoints": 1, "recoveryPointDays": 7})


def days(count: float) -> datetime:
    return NOW - timedelta(days=count)


def known(history, *, policy=POLICY, cluster="prod", repository=REPOSITORY):
    with history.sandbox.open(path=history.path) as clone:
        return knowledge(clone, head="main", cluster=cluster, repository=repository, policy=policy, now=NOW)


def named(*seeds: int) -> set[str]:
    return {id_ for seed in seeds for id_ in (snapshot(seed).id, snapshot(seed).manifest)}


@pytest.fixture
def history(tmp_path):
    """A recovery point 30, 20, 6 and 2 days ago, and one of today that changes no volume."""
    made = History(tmp_path)
    made.export({DATA: whole(1), LOGS: whole(11)}, at=days(30))
    made.export({DATA: whole(2)}, at=days(20))
    made.export({DATA: whole(3)}, at=days(6))
    made.export({DATA: whole(4)}, at=days(2))
    made.export({}, more={"namespaces/shop/configmaps/app.yaml": "a: 1\n"}, at=NOW)
    return made


def test_what_young_recovery_points_name_is_kept_and_what_old_ones_named_is_remembered_as_whole(history):
    found = known(history)

    assert set(found.named) == named(3, 4, 11)
    assert set(found.named.values()) == {"shop/data", "shop/logs"}
    assert found.whole == {snapshot(seed).id for seed in (1, 2, 3, 4, 11)}
    assert found.blocked == {}


def test_of_two_times_that_differ_the_younger_one_counts(history):
    # Made while the remote was away and committed anew on another's head, or by a clock that was wrong.
    history.export({DATA: whole(5)}, at=days(1), committed=days(300))
    history.export({DATA: whole(6)}, at=days(300), committed=days(1))
    history.export({DATA: whole(7)}, at=NOW)

    assert named(5, 6, 7) <= set(known(history).named)


def test_the_newest_ones_are_kept_however_old_they_are(history):
    policy = Retention.model_validate({"recoveryPoints": 4, "recoveryPointDays": 0})

    assert set(known(history, policy=policy).named) == named(2, 3, 4, 11)


def test_a_recovery_point_with_a_tag_is_kept_for_ever(history):
    first = git("rev-list", "--max-parents=0", "main", cwd=history.sandbox.repository).strip()
    git("tag", "before-upgrade", first, cwd=history.sandbox.repository)
    git("tag", "-m", "a tree", "odd", "main^{tree}", cwd=history.sandbox.repository)

    assert set(known(history).named) == named(1, 3, 4, 11)


def test_a_tag_counts_on_a_branch_that_is_no_more(history):
    side = History(history.sandbox.folder)
    git("update-ref", "refs/heads/side", "main", cwd=history.sandbox.repository)
    made = side.export({DATA: whole(9)}, at=days(90))
    git("tag", "rescued", made, cwd=history.sandbox.repository)
    git("update-ref", "refs/heads/main", "refs/heads/side", cwd=history.sandbox.repository)

    with history.sandbox.open(cache="new") as clone:
        found = knowledge(clone, head="main", cluster="prod", repository=REPOSITORY, policy=POLICY, now=NOW)

    assert named(9) <= set(found.named)


def test_a_volume_that_came_out_empty_is_blocked(history):
    history.export({DATA: failed(4, State.EMPTY, reason="Empty", snapshot="ee" * 32)}, at=NOW)

    found = known(history)

    assert list(found.blocked) == ["shop/data"]
    assert "ee" * 32 in found.named


def test_a_history_that_was_rewritten_is_no_history(history):
    with history.sandbox.open():
        pass
    git("update-ref", "refs/heads/main", "main~2", cwd=history.sandbox.repository)

    with pytest.raises(Refused, match="the branch was rewritten"):
        known(history)


def test_a_history_that_is_cut_off_is_no_history(history):
    with history.sandbox.open():
        pass
    (history.sandbox.clone_folder() / "shallow").write_text(git("rev-parse", "main~1", cwd=history.sandbox.repository))

    with pytest.raises(Refused, match="cut off"):
        known(history)


def test_what_is_not_pushed_makes_the_knowledge_incomplete(history):
    with history.sandbox.open() as clone:
        with clone.stage() as stage:
            blob = stage.add(b"a: 1\n")
            stage.commit(parent=clone.base(), put={"a.yaml": blob}, delete=[], message="export", when=NOW)
        with pytest.raises(Refused, match="1 commit of the recovery repository is here and not pushed"):
            knowledge(clone, head="main", cluster="prod", repository=REPOSITORY, policy=POLICY, now=NOW)


def test_a_record_that_cannot_be_read_counts_as_long_as_its_recovery_point_is_kept(history):
    path = layout.record_path("shop", "data")
    history.export(more={path: "kind: VolumeRecord\nversion: 2\n"}, at=NOW)
    history.export({DATA: whole(5)}, at=NOW)

    with pytest.raises(Refused, match=r"is kept, and what it says of volumes cannot be read: volumes/shop/data\.yaml"):
        known(history)

    later = {"head": "main", "cluster": "prod", "repository": REPOSITORY, "policy": POLICY}
    with history.sandbox.open() as clone:
        assert named(5) <= set(knowledge(clone, now=NOW + timedelta(days=8), **later).named)


def test_recovery_points_of_another_cluster_say_nothing(history):
    with pytest.raises(Refused, match="holds recovery points of prod, and the snapshots of other are asked about"):
        known(history, cluster="other")


def test_nothing_is_known_of_a_repository_that_nobody_names(history):
    with pytest.raises(Refused, match="no recovery point that is kept names a snapshot of the restic repository cdcd"):
        known(history, repository="cd" * 32)
