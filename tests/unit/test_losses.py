"""What counts as lost by the latest commits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from drsyncer.manifest import ObjectRef
from drsyncer.recovery.history import Commit
from drsyncer.recovery.layout import path_of
from drsyncer.recovery.message import Message, build
from exporter.losses import lost

THEN = datetime(2026, 3, 1, 3, tzinfo=UTC)
SAID = Message(
    cluster="prod",
    cluster_uid="0000",
    exported_at=THEN,
    read_from=THEN,
    read_to=THEN,
    resource_versions="sha256:00",
    version="1",
)


def path(name: str) -> str:
    return path_of(ObjectRef("configmaps", "shop", name))


def commit(*changes: str, confirmed: bool = False, by_hand: bool = False) -> Commit:
    """`commit("-a", "+b", "~c")` deleted a, added b and changed c."""
    status = {"-": "D", "+": "A", "~": "M"}
    text = "by hand" if by_hand else build(replace(SAID, confirmed=confirmed))
    subject, _, body = text.partition("\n\n")
    return Commit(
        id="0" * 40,
        time=THEN,
        author="somebody",
        subject=subject,
        body=body,
        changes=tuple((status[change[0]], path(change[1:])) for change in changes),
    )


@pytest.mark.parametrize(
    ("newest_first", "now", "expected"),
    [
        ([], [], []),
        ([commit("-a"), commit("-b", "~c")], ["c"], ["a", "b"]),
        pytest.param([commit("-a"), commit("+a")], [], [], id="what came and went is no loss"),
        pytest.param([commit("-a"), commit("+a"), commit("-a")], [], ["a"], id="what was there before is"),
        pytest.param([commit("+a"), commit("-a")], ["a"], [], id="what is there again is none"),
        pytest.param([commit("-a"), commit("-b", confirmed=True), commit("-c")], [], ["a"], id="a person said yes"),
        pytest.param([commit("-a", by_hand=True)], [], ["a"], id="whoever deleted it"),
    ],
)
def test_lost_is_what_was_there_before_and_is_not_now(
    newest_first: list[Commit], now: list[str], expected: list[str]
) -> None:
    assert lost(newest_first, {path(name) for name in now}) == {path(name) for name in expected}


def test_only_objects_count() -> None:
    other = replace(commit("-a"), changes=(("D", "README.md"), ("D", "volumes/shop/data.yaml")))
    assert lost([other], set()) == set()
