"""Which recovery point a restore of volumes goes by, and what it says of each volume's data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import Refused, RevisionNotFound
from drsyncer.recovery import layout, volumes
from drsyncer.recovery.git import Commit
from drsyncer.snapshot import State
from tests.unit.signers import allowed, needs_ssh_keygen, signer
from tests.unit.volume_history import DATA, LOGS, SOURCE, History
from tests.unit.volume_records import NIGHT, claim, failed, left_out, whole
from volumes import points


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def test_the_newest_recovery_point_is_taken_when_it_is_complete(history):
    history.export({DATA: whole(1)})
    newest = history.export({DATA: whole(2)})

    chosen = history.choose()

    assert chosen.point.id == chosen.point.commit == newest
    assert chosen.point.volumes == {DATA: whole(2)}
    assert chosen.point.source == SOURCE
    assert chosen.point.time == NIGHT + timedelta(hours=1)
    assert (chosen.newest, chosen.passed, chosen.warnings) == (None, 0, ())


def test_the_newest_complete_one_is_taken_and_what_the_newer_ones_lack_is_said(history):
    history.export({DATA: whole(1)})
    complete = history.export({DATA: whole(2), LOGS: whole(3)})
    history.export({DATA: failed(2)})
    newest = history.export({LOGS: failed(3, State.PARTIAL, reason="Changed")})

    chosen = history.choose()

    assert chosen.point.id == complete
    assert chosen.point.volumes == {DATA: whole(2), LOGS: whole(3)}
    assert chosen.newest is not None
    assert (chosen.newest.id, chosen.passed) == (newest, 2)
    (warning,) = chosen.warnings
    assert f"{newest[:12]} of 2026-03-01 06:00:00 UTC, lacks shop/data: Failed at" in warning
    assert "(WrongPassword)" in warning
    assert "shop/logs: Partial at 2026-03-02 03:00:00 UTC (Changed)" in warning
    assert "the newest whole snapshot is of 2026-03-01 03:00:00 UTC" in warning


def test_a_volume_that_is_not_to_be_backed_up_any_more_keeps_no_recovery_point_from_being_complete(history):
    history.export({DATA: whole(1)})
    history.export({LOGS: failed(None)})
    newest = history.export({LOGS: left_out(failed(None))})

    chosen = history.choose()

    assert (chosen.point.id, chosen.warnings) == (newest, ())
    assert chosen.point.volumes[LOGS].left_out


def test_a_newer_commit_that_changes_no_volume_is_as_complete_as_the_one_before(history):
    history.export({DATA: whole(1)})
    newest = history.export({}, more={"namespaces/shop/configmaps/app.yaml": "a: 1\n"})

    assert history.choose().point.id == newest


def test_what_is_newest_before_a_volume_failed_is_taken_and_not_when_it_was_backed_up(history):
    history.export({DATA: whole(1)})
    last_good = history.export({}, more={"namespaces/shop/configmaps/app.yaml": "a: 1\n"})
    history.export({DATA: failed(1)})

    assert history.choose().point.id == last_good


def test_a_recovery_point_without_any_record_is_not_complete(history):
    with_data = history.export({DATA: whole(1)})
    history.export({}, gone=[DATA])

    chosen = history.choose()

    assert chosen.point.id == with_data
    assert "names no volume's data" in chosen.warnings[0]


def test_nothing_is_guessed_where_no_recovery_point_is_complete(history):
    history.export({DATA: failed(None)})
    newest = history.export({DATA: failed(None, State.LOCKED, reason="Locked")})

    with pytest.raises(
        Refused, match=r"no recovery point is complete: .* lacks shop/data: Locked .*; none is whole"
    ) as refusal:
        history.choose()
    assert f"`--revision {newest[:12]}` takes" in refusal.value.hint


def test_nothing_is_guessed_where_volumes_were_never_backed_up(history):
    history.export({}, claims=[DATA])

    with pytest.raises(Refused, match="names no volume's data") as refused:
        history.choose()
    assert "volumes backup" in refused.value.hint


def test_the_revision_that_a_person_names_is_taken_whatever_it_lacks(history):
    history.export({DATA: whole(1)})
    partial = history.export({DATA: failed(1, State.PARTIAL)})
    history.export({DATA: whole(2)})

    chosen = history.choose(revision=partial[:12])

    assert chosen.point.id == partial
    assert chosen.point.volumes == {DATA: failed(1, State.PARTIAL)}
    assert "is not complete: shop/data: Partial" in chosen.warnings[0]


def test_the_newest_one_may_be_asked_for_whatever_it_lacks(history):
    history.export({DATA: whole(1)})
    newest = history.export({DATA: failed(1)})

    assert history.choose(needs_complete=False).point.id == newest


def test_as_of_a_time_means_the_newest_that_was_exported_by_then(history):
    first = history.export({DATA: whole(1)})
    second = history.export({DATA: whole(2)})
    history.export({DATA: whole(3)})

    # All were committed in the same second: what counts is when they were exported.
    assert history.choose(as_of=NIGHT + timedelta(hours=1)).point.id == second
    assert history.choose(as_of=NIGHT + timedelta(minutes=59)).point.id == first
    with pytest.raises(RevisionNotFound, match=r"no recovery point is as old as 2026-03-01 02:59:59 UTC"):
        history.choose(as_of=NIGHT - timedelta(seconds=1))


def test_a_file_that_is_no_record_keeps_a_recovery_point_from_being_complete(history):
    complete = history.export({DATA: whole(1)})
    history.export({DATA: whole(2)}, more={"volumes/shop/logs.yaml": "kind: Nonsense\n"})

    chosen = history.choose()

    assert chosen.point.id == complete
    assert "volumes/shop/logs.yaml: expected kind VolumeRecord" in chosen.warnings[0]


def test_a_record_in_the_place_of_another_claims_is_no_record(history):
    history.export({DATA: whole(1)}, more={"volumes/shop/logs.yaml": volumes.emit(whole(2), DATA).decode()})

    chosen = history.choose(needs_complete=False)

    assert chosen.point.volumes == {DATA: whole(1)}
    assert not chosen.point.records.complete


def test_a_symbolic_link_is_no_record(history):
    history.export({DATA: whole(1)})
    tree = history.sandbox.work_tree()
    history.sandbox.somebody_commits({"README.md": "hello\n"})
    (tree / "volumes/shop/logs.yaml").symlink_to("data.yaml")
    history.sandbox.somebody_commits({"README.md": "a link\n"})

    records = history.choose(needs_complete=False).point.records

    assert records.volumes == {DATA: whole(1)}
    assert records.faults == {"volumes/shop/logs.yaml": "volumes/shop/logs.yaml: is no regular file"}


def test_other_files_below_volumes_are_nobodys(history):
    history.export({DATA: whole(1)}, more={"volumes/README.md": "hello\n", "volumes/shop/notes.txt": "hello\n"})

    assert history.choose().point.records.complete


def test_claims_without_a_record_are_named(history):
    history.export({DATA: whole(1)}, claims=[DATA, LOGS])

    chosen = history.choose()

    assert chosen.point.unrecorded == (LOGS,)
    assert "says nothing of the data of shop/logs" in chosen.warnings[0]


def test_a_claim_with_a_name_that_is_cut_has_its_record(history):
    long = claim("x" * 253)
    history.export({long: whole(1)})

    point = history.choose().point

    assert point.volumes == {long: whole(1)}
    assert point.unrecorded == ()


def test_commits_of_others_on_top_leave_the_recovery_point_what_it_is(tmp_path):
    history = History(tmp_path, path="prod")
    made = history.export({DATA: whole(1)})
    newest = history.sandbox.somebody_commits({"README.md": "hello\n"})

    point = history.choose(needs_complete=False).point

    assert (point.id, point.commit) == (made, newest)
    assert point.time == NIGHT
    assert history.choose().point.id == made


def test_what_is_no_export_is_refused(history):
    history.sandbox.somebody_commits({"README.md": "hello\n"})

    with pytest.raises(Refused, match=r"holds no dr-syncer\.yaml"):
        history.choose(revision="main")


@needs_ssh_keygen
@pytest.mark.parametrize("asked", [{}, {"revision": "main"}, {"as_of": datetime(2030, 1, 1, tzinfo=UTC)}])
def test_what_nobody_signed_is_refused(tmp_path, asked):
    history = History(tmp_path)
    exporter = signer(tmp_path, "exporter@prod")
    history.sandbox.allowed_signers = str(allowed(tmp_path, exporter.line()))
    history.sandbox.signing_key = str(exporter.file)
    signed = history.export({DATA: whole(1)})
    assert history.choose(**asked).point.id == signed
    assert history.choose(**asked).point.signature.good

    path = layout.record_path("shop", "data")
    history.sandbox.somebody_commits({path: volumes.emit(whole(666), DATA).decode()})

    with pytest.raises(Refused, match="is not signed"):
        history.choose(**asked)


@given(st.data())
def test_the_first_complete_one_is_found_and_each_state_looked_at_once(data):
    states = data.draw(st.lists(st.sampled_from("abcd"), max_size=20))
    good = data.draw(st.sets(st.sampled_from("abcd")))
    commits = [f"commit {index}" for index in range(len(states))]
    trees = dict(zip(commits, states, strict=True))
    asked = []

    def complete(commit):
        asked.append(trees[commit])
        return trees[commit] in good

    judged = {}
    cut = data.draw(st.integers(0, len(commits)))
    first = points.first_complete(commits[:cut], trees, judged, complete)
    found = first if first is not None else points.first_complete(commits[cut:], trees, judged, complete)

    expected = next((index for index, state in enumerate(states) if state in good), None)
    if first is None and found is not None:
        found += cut
    assert found == expected
    assert len(asked) == len(set(asked))


@given(st.lists(st.integers(0, 10)), st.integers(-1, 11))
def test_of_all_commits_by_a_time_the_one_nearest_to_the_head_is_taken(times, limit):
    commits = [commit_at(NIGHT + timedelta(hours=hours)) for hours in times]

    found = points.at_or_before(commits, NIGHT + timedelta(hours=limit))

    by_then = [commit for commit, hours in zip(commits, times, strict=True) if hours <= limit]
    assert found == (by_then[0] if by_then else None)


def commit_at(time):
    return Commit(id="0" * 40, time=time, author="", subject="by hand", body="", changes=())


def test_a_record_says_why_it_is_not_complete():
    assert points.why_not(whole()) == ""
    assert points.why_not(failed(None)).endswith("(WrongPassword); none is whole")
    assert replace(points.Records({DATA: whole()}, {}), faults={"x": "x: broken"}).lacking == ("x: broken",)
