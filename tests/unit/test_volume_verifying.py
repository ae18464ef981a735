"""What is told of the repository when recovery points name what is not there."""

from __future__ import annotations

import pytest

from drsyncer.errors import ExitCode
from tests.unit.test_volume_retention import ids, listed
from volumes.retention import Knowledge
from volumes.sampling import Compared, Pair
from volumes.verifying import Outcome, by_claim, pairs_of, without_list


def known(*named: int, whole=()) -> Knowledge:
    return Knowledge({id_: "shop/data" if int(id_, 16) < 10 else "shop/logs" for id_ in ids(*named)}, ids(*whole))


def test_a_whole_snapshot_without_the_list_of_its_files_is_told():
    found = [listed(1, age=1), listed(2, age=1), listed(3, age=1), listed(4, age=1), listed(12, age=1, manifest_of=2)]

    assert without_list(found, known(1, 2, 3, whole=[1, 2, 4]), host="prod") == sorted(ids(1))
    assert without_list(found, known(1, 2, 3, whole=[1, 2, 4]), host="other") == []


def test_of_several_lists_of_a_snapshot_the_one_that_a_recovery_point_names_counts_then_the_newest():
    lists = [listed(11, age=3, manifest_of=1), listed(12, age=2, manifest_of=1), listed(13, age=1, manifest_of=1)]

    for named, counts in (([1], 13), ([1, 11], 11), ([1, 11, 12], 12)):
        (pair,) = pairs_of([listed(1, age=3), *lists], known(*named, whole=[1]), host="prod")
        assert {pair.manifest} == ids(counts)


def test_what_is_wrong_is_told_by_the_claim():
    assert by_claim(known(1, 2, 11), ids(1, 11)) == {
        "shop/data": tuple(sorted(ids(1))),
        "shop/logs": tuple(sorted(ids(11))),
    }


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, ExitCode.DONE),
        ({"unlisted": {"shop/data": ("1",)}}, ExitCode.PARTIAL),
        ({"missing": {"shop/data": ("1",)}}, ExitCode.FAILED),
        ({"errors_total": 1, "errors": ("x",)}, ExitCode.FAILED),
    ],
)
def test_what_is_missing_or_damaged_is_a_failure(more, code):
    outcome = Outcome(
        **{"cluster": "prod", "repository": "", "subset": "5%", "named": 1, "missing": {}, "unlisted": {}, **more}
    )
    assert outcome.exit_code is code
    assert bool(outcome.complaint) is (code is not ExitCode.DONE)


def test_what_is_wrong_is_a_sentence_for_an_event():
    different = Compared(Pair("shop/logs", listed(1, age=1), "2"), 9, ("file: missing",), 1)
    outcome = Outcome(
        cluster="prod",
        repository="",
        subset="5%",
        named=3,
        missing={"shop/data": ("1",)},
        unlisted={},
        errors=("pack 3f2c1a90 is damaged",),
        errors_total=1,
        compared=(different,),
    )

    assert outcome.complaint == (
        "restic's check: pack 3f2c1a90 is damaged; missing snapshots of shop/data; snapshots of shop/logs are not what "
        "the source had"
    )
