"""`dr-syncer volumes restore`: wrong usage, exit codes, and what the result looks like."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest

from cli.main import run
from cli.render import console
from cli.volumes_restore import _draw
from cli.volumes_restoring import past
from drsyncer.errors import ExitCode, UsageError
from drsyncer.snapshot import Record, Snapshot, State
from volumes.restore_outcome import Done, Ending, Outcome, undone
from volumes.restore_plan import Key, Step
from volumes.restore_why import Why
from volumes.result import Reason, Result

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SNAPSHOT = Snapshot(
    id="a" * 64, tree="b" * 64, host="prod", state=State.COMPLETE, start=NOON, end=NOON, files=7, bytes=5 << 30
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pvc", "data"], "names no claim"),
        (["--pvc", "shop/data/x"], "names no claim"),
        (["--path", "../etc"], "leads out of the volume"),
        (["--path", "//"], "is the whole volume"),
        (["--revision", "main", "--as-of", "2h"], "say two different things"),
        (["--to-pvc", "copy"], "takes one claim"),
        (["--partial"], "--partial is for volumes that are named"),
        (["--partial", "--pvc", "shop/a", "--namespace", "shop"], "--partial is for volumes that are named"),
        (["--to-pvc", "copy", "--pvc", "shop/a", "--pvc", "shop/b"], "takes one claim"),
        (["--to-pvc", "copy", "--pvc", "shop/a", "--namespace", "shop"], "takes one claim"),
        (["--to-pvc", "shop/copy", "--pvc", "shop/a"], "--to-pvc 'shop/copy' is no name"),
        (["--to-namespace", "Shop_2"], "--to-namespace 'Shop_2' is no name"),
        (["--to-namespace", "a.b"], "--to-namespace 'a.b' is no name"),
    ],
)
def test_what_says_two_things_or_nothing_is_wrong_usage(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["volumes", "restore", *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "--as-of yesterday: no such time"),
        ("2026-05-01T12:01", "--as-of 2026-05-01T12:01: 2026-05-01 12:01:00 UTC has not come yet"),
        ("2026-05-01T14:01+02:00", "2026-05-01 12:01:00 UTC has not come yet"),
    ],
)
def test_a_time_that_is_none_or_has_not_come_yet_is_wrong_usage(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        past(text, now=NOON)
    assert past("2026-05-01T12:00", now=NOON) == NOON


def step(name: str, why: Why, text: str, *, to: str = "") -> Step:
    record = Record(repository="d" * 64, snapshot=SNAPSHOT)
    return Step(Key("shop", name), Key(to or "shop", name), why, text, record, note="an old note")


def outcome(*done: Done, faults: tuple[str, ...] = ()) -> Outcome:
    return Outcome("dr", "prod", "c" * 40, NOON, planned_only=False, volumes=done, faults=faults)


def failed(ending: Ending, reason: Reason) -> Done:
    result = Result(state=State.PARTIAL, start=NOON, end=NOON, reason=reason, names=("a\nb", "c"), names_total=12)
    return Done(step("db", Why.RESUMED, "x"), ending, str(reason), "two paths could not be restored", result)


RESTORED = undone(step("data", Why.OTHER_SNAPSHOT, "x"), Ending.RESTORED)
SAME = undone(step("same", Why.SAME_SNAPSHOT, "x"))
USED = undone(step("used", Why.IN_USE, "in use by pod web"))
NEVER = undone(step("never", Why.NO_RECORD, "never backed up"))
ALONE = undone(step("cache", Why.EXCLUDED, 'dr-syncer.io/restore is "false"'))
PARTIAL = failed(Ending.PARTIAL, Reason.DIFFERS)
FAILED = failed(Ending.FAILED, Reason.LOST)


@pytest.mark.parametrize(
    ("done", "code"),
    [
        ((), ExitCode.DONE),
        ((RESTORED, SAME), ExitCode.DONE),
        ((RESTORED, USED), ExitCode.PARTIAL),
        ((RESTORED, NEVER), ExitCode.PARTIAL),
        ((RESTORED, PARTIAL), ExitCode.PARTIAL),
        ((RESTORED, FAILED, USED), ExitCode.FAILED),
        ((USED, USED), ExitCode.REFUSED),
        ((USED, NEVER), ExitCode.PARTIAL),
        ((USED, SAME), ExitCode.PARTIAL),
        ((RESTORED, ALONE), ExitCode.DONE),
        ((ALONE,), ExitCode.DONE),
        ((USED, ALONE), ExitCode.REFUSED),
        ((NEVER, ALONE), ExitCode.PARTIAL),
    ],
)
def test_the_exit_code_says_the_worst_of_it(done: tuple[Done, ...], code: ExitCode) -> None:
    assert outcome(*done).exit_code is code


def test_a_record_that_nobody_can_read_is_no_success() -> None:
    assert outcome(RESTORED, faults=("volumes/shop/x.yaml: damaged",)).exit_code is ExitCode.PARTIAL


def test_whether_another_try_may_help() -> None:
    assert [outcome(one).may_do_more for one in (RESTORED, SAME, NEVER, ALONE, USED, PARTIAL, FAILED)] == [
        *(False, False, False, False),
        *(True, True, True),
    ]


def test_a_result_fits_80_columns_and_names_what_is_wrong() -> None:
    paper = io.StringIO()
    long = undone(step("a" * 120, Why.IN_USE, "in use by pod " + "w" * 100, to="shop-in-another-namespace"))
    _draw(console(paper), outcome(RESTORED, PARTIAL, long))
    text = paper.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "5.0 GiB" in text
    assert "'a\\nb', 'c' and 10 more" in text
    assert "1 partial, 1 refused, 1 restored" in text


def test_a_reason_stands_below_the_table_once_for_all_volumes_that_share_it() -> None:
    paper = io.StringIO()
    text = "the claim has no volume yet: `kubectl describe` it to see what its class waits for"
    _draw(console(paper), outcome(*(undone(step(name, Why.NOT_BOUND, text)) for name in ("data", "uploads"))))
    lines = paper.getvalue().splitlines()
    assert [line.split()[:3] for line in lines[2:4]] == [["left", "out", "shop/data"], ["left", "out", "shop/uploads"]]
    assert " ".join(lines[4:6]) == f"shop/data, shop/uploads: NotBound: {text}"


def test_what_was_in_a_volume_before_is_not_said_of_one_that_is_restored() -> None:
    paper = io.StringIO()
    before = step("data", Why.OTHER_SNAPSHOT, "snapshot eb150e8912cd is in it")
    _draw(console(paper), outcome(undone(before, Ending.RESTORED), undone(before)))
    assert paper.getvalue().count("eb150e8912cd is in it") == 1


def test_the_json_has_what_machines_need() -> None:
    found = outcome(PARTIAL).to_data()
    (volume,) = found["volumes"]
    assert (volume["state"], volume["reason"], volume["namesTotal"]) == ("partial", "Differs", 12)
    assert volume["snapshot"]["id"] == SNAPSHOT.id
    assert found["summary"] == {"partial": 1}
