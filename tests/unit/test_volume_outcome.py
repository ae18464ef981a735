"""What a run of backups answers: its exit code, and the class of a copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from drsyncer.errors import ExitCode
from drsyncer.snapshot import State
from tests.unit.movers import WHEN, complete
from tests.unit.test_volume_selecting import claim
from volumes.claims import Volume, claim_of
from volumes.copying import NoCopy, SnapshotClass, class_for
from volumes.outcome import Backup, Outcome
from volumes.recording import event, reason_of
from volumes.result import Reason, Result
from volumes.selecting import Choice, Chosen

WHOLE = complete()
FAILED = Result(state=State.FAILED, start=WHEN, end=WHEN, reason=Reason.LOST, message="gone")
EMPTY = Result(state=State.EMPTY, start=WHEN, end=WHEN, reason=Reason.EMPTY, message="nothing there")
MEANT_TO_BE_EMPTY = Result(state=State.EMPTY, start=WHEN, end=WHEN, snapshot=complete().snapshot)
TROUBLED = msgspec.structs.replace(complete(), reason=Reason.HOOK, message="the hook after failed")
REFUSED, LEFT_OUT = Choice.REFUSED, Choice.LEFT_OUT


def _code(*ends: Result | Choice, dry_run: bool = False) -> ExitCode:
    backups = [
        Backup(Chosen(claim_of(claim()), end if isinstance(end, Choice) else Choice.SELECTED, "check", "why"))
        if isinstance(end, Choice) or dry_run
        else Backup(Chosen(claim_of(claim()), Choice.SELECTED, "select", "why"), end)
        for end in ends
    ]
    outcome = Outcome("prod", "run", dry_run, backups)
    assert msgspec.json.encode(outcome.to_data())
    return outcome.exit_code


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ((), ExitCode.DONE),
        ((LEFT_OUT,), ExitCode.DONE),
        ((WHOLE, MEANT_TO_BE_EMPTY, LEFT_OUT), ExitCode.DONE),
        ((WHOLE, FAILED), ExitCode.PARTIAL),
        ((WHOLE, REFUSED), ExitCode.PARTIAL),
        ((TROUBLED,), ExitCode.PARTIAL),
        ((FAILED, EMPTY), ExitCode.FAILED),
        ((FAILED, REFUSED), ExitCode.FAILED),
        ((REFUSED, LEFT_OUT), ExitCode.REFUSED),
    ],
)
def test_the_exit_code_says_whether_all_some_or_nothing_is_whole(
    ends: tuple[Result | Choice, ...], code: ExitCode
) -> None:
    assert _code(*ends) == code


def test_a_dry_run_is_done_when_nothing_is_refused() -> None:
    assert _code(WHOLE, LEFT_OUT, dry_run=True) == ExitCode.DONE
    assert _code(WHOLE, REFUSED, dry_run=True) == ExitCode.PARTIAL


@pytest.mark.parametrize(
    ("result", "reason"),
    [(FAILED, "BackupFailed"), (EMPTY, "BackupEmpty"), (TROUBLED, "BackupHookFailed")],
)
def test_an_event_says_what_the_result_says(result: Result, reason: str) -> None:
    told = event(claim(), reason_of(result), result.message, run="run", now=datetime(2026, 3, 1, tzinfo=UTC))

    assert (told["reason"], told["type"]) == (reason, "Warning")
    assert result.message in told["message"]
    assert told["involvedObject"]["uid"] == "uid-data"


FAST = SnapshotClass("fast", "csi.example.com", is_default=False, deletes=True)
SLOW = SnapshotClass("slow", "csi.example.com", is_default=True, deletes=True)
KEPT = SnapshotClass("kept", "csi.example.com", is_default=False, deletes=False)
OTHER = SnapshotClass("other", "other.example.com", is_default=True, deletes=True)
CSI = Volume("csi.example.com")


DYNAMIC = replace(claim_of(claim()), storage_class="csi")
PROVISIONERS = {"csi": "csi.example.com", "nfs": "nfs.example.com"}


def class_of(
    volume: Volume | None,
    known: list[SnapshotClass] | None,
    *,
    wanted: str = "",
    of: str = "csi",
    provisioners: dict[str, str] | None = PROVISIONERS,
) -> str:
    made = replace(DYNAMIC, storage_class=of)
    return class_for(made, volume, known=known, provisioners=provisioners, wanted=wanted)


def test_a_copy_is_made_with_the_class_that_was_named_else_the_drivers_default_else_its_only_one() -> None:
    assert class_of(CSI, [FAST, SLOW, OTHER], wanted="fast") == "fast"
    assert class_of(CSI, [FAST, SLOW, OTHER]) == "slow"
    assert class_of(CSI, [FAST, OTHER]) == "fast"
    assert class_of(CSI, [FAST], of="whatever", provisioners=None) == "fast"  # nobody knows


@pytest.mark.parametrize(
    ("volume", "known", "wanted", "why"),
    [
        (CSI, None, "", "no VolumeSnapshots"),
        (None, [FAST], "", "its PersistentVolume pv cannot be read"),
        (Volume(), [FAST], "", "not one of a CSI driver"),
        (CSI, [OTHER], "", "no VolumeSnapshotClass"),
        (CSI, [FAST], "gone", "no VolumeSnapshotClass 'gone'"),
        (CSI, [FAST, KEPT], "", "2 VolumeSnapshotClasses and no default"),
        (CSI, [KEPT], "", "would stay for ever"),
    ],
)
def test_a_copy_that_cannot_be_made_says_why(
    volume: Volume | None, known: list[SnapshotClass] | None, wanted: str, why: str
) -> None:
    with pytest.raises(NoCopy, match=why):
        class_of(volume, known, wanted=wanted)


@pytest.mark.parametrize("provisioners", [PROVISIONERS, None])
def test_of_a_claim_without_a_class_there_is_no_copy(provisioners: dict[str, str] | None) -> None:
    with pytest.raises(NoCopy, match="its claim has no StorageClass"):
        class_of(CSI, [FAST], of="", provisioners=provisioners)


@pytest.mark.parametrize(
    ("of", "why"),
    [("manual", "there is no StorageClass manual"), ("nfs", "is of nfs.example.com, and its volume of csi")],
)
def test_a_class_that_makes_no_volumes_of_the_driver_makes_none_of_a_copy(of: str, why: str) -> None:
    with pytest.raises(NoCopy, match=why):
        class_of(CSI, [FAST], of=of)
