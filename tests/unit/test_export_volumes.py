"""What backups left on a claim, on its way to the recovery repository."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import own, snapshot
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout, volumes
from drsyncer.recovery.git import TreeFile
from drsyncer.recovery.message import Fate, VolumeChange
from drsyncer.snapshot import State
from drsyncer.wording import size
from exporter.volume_records import gone_of, mark_of, marks_in, record_in, record_of, without_claim
from tests.unit.volume_records import RECORDS, claim, failed, whole
from transforms.claims import without_notes

PATH = "volumes/shop/data.yaml"


def bearing(text, *, name="data", uid=None):
    about = {"name": name, "namespace": "shop", "annotations": {own.BACKUP_RESULT: text}}
    return {"metadata": about | ({"uid": uid} if uid else {})}


@given(RECORDS)
def test_the_record_on_a_claim_becomes_its_file(record):
    found = record_of(bearing(snapshot.encode(record)), claim())

    assert (found.path, found.fault) == (PATH, "")
    assert volumes.read(found.data, file=PATH) == (claim(), record)
    assert found.change.fate is (Fate.BACKED_UP if record.complete else Fate.NOT_BACKED_UP)


@given(RECORDS)
def test_the_record_of_a_claim_that_is_not_to_be_backed_up_any_more_says_so(record):
    left_out = bearing(snapshot.encode(record))
    left_out["metadata"]["annotations"][own.BACKUP] = "false"
    found = record_of(left_out, claim())

    kept = volumes.read(found.data, file=PATH)[1]
    assert kept.left_out
    assert msgspec.structs.replace(kept, left_out=None) == record
    assert found.change.said.endswith("; no backup is due any more")


def test_a_claim_that_was_never_backed_up_has_none():
    assert record_of({"metadata": {"name": "data", "namespace": "shop"}}, claim()) is None
    assert record_of({"metadata": {"annotations": {"other": "x"}}}, claim()) is None


OTHERS = msgspec.structs.replace(whole(), claim="uid-of-another")


def test_a_record_says_nothing_of_another_claim():
    """`kubectl apply` and backup tools bring annotations along: the data of this claim is in no repository."""
    text = snapshot.encode(msgspec.structs.replace(whole(), claim="uid-1"))

    found = record_of(bearing(text, uid="uid-1"), claim())
    assert volumes.read(found.data, file=PATH) == (claim(), whole())
    assert b"claim:" not in found.data
    assert record_of(bearing(text, uid="uid-2"), claim()) is None
    assert record_of(bearing(text), claim()) is None


def test_what_is_wrong_with_the_record_of_another_claim_keeps_no_old_file():
    spoilt = snapshot.encode(OTHERS).replace("Complete", "Fine")

    assert record_of(bearing(spoilt, uid="uid-1"), claim()) is None
    assert record_of(bearing(spoilt, uid="uid-of-another"), claim()).fault


def test_nothing_but_a_claim_has_one():
    assert record_of(bearing(snapshot.encode(whole())), ObjectRef("configmaps", "shop", "data")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        '{"version": 2, "claim": "a"}',
        '{"claim": 1}',
        snapshot.encode(whole()).replace("Complete", "Fine"),
    ],
)
def test_nonsense_is_a_fault_that_names_claim_and_annotation(text):
    found = record_of(bearing(text), claim())

    assert (found.path, found.data, found.change) == (PATH, b"", None)
    assert found.fault.startswith("shop/persistentvolumeclaims/data: its annotation dr-syncer.io/backup-result is ")


def test_a_record_that_nobody_could_read_again_is_a_fault():
    """In Git it would make the recovery point unreadable, and keep every prune away while that is kept."""
    found = record_of(bearing(snapshot.encode(failed(message="x" * 100_000))), claim())

    assert found.data == b""
    assert "its annotation dr-syncer.io/backup-result is no record of a backup: it is larger" in found.fault


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (whole(), "Complete, 3 files, 1.2 MiB"),
        (whole(files=1, bytes=12), "Complete, 1 file, 12 bytes"),
        (whole(state=State.UNCHANGED), "Unchanged, 3 files, 1.2 MiB"),
        (failed(), "Failed (WrongPassword); the newest whole snapshot is of 2026-03-01T03:00:00Z"),
        (failed(None, State.EMPTY, reason="Shrunk"), "Empty (Shrunk); none is whole"),
    ],
)
def test_a_commit_says_what_became_of_a_volume(record, said):
    assert record_of(bearing(snapshot.encode(record)), claim()).change.said == said


def test_the_record_of_a_claim_with_a_name_that_is_cut_goes_by_what_its_path_tells():
    long = claim("x" * 253)
    path = layout.record_path("shop", long.name)

    assert gone_of(PATH) == VolumeChange(Fate.GONE, "shop", "data")
    assert gone_of(path).name.startswith("x" * 150)


def test_the_mark_of_a_claim_stands_for_both_of_its_files():
    files = {
        path: TreeFile("100644", blob, 1)
        for path, blob in (
            ("namespaces/shop/persistentvolumeclaims/data.yaml", "a"),
            (PATH, "b"),
            ("namespaces/shop/persistentvolumeclaims/logs.yaml", "c"),
            ("volumes/shop/orphan.yaml", "d"),
            ("namespaces/shop/configmaps/data.yaml", "e"),
            ("README.md", "f"),
        )
    }
    assert marks_in(files) == {
        "namespaces/shop/persistentvolumeclaims/data.yaml": mark_of("a", "b"),
        "namespaces/shop/persistentvolumeclaims/logs.yaml": "c",
        "namespaces/shop/configmaps/data.yaml": "e",
    }
    assert record_in(mark_of("a", "b")) == "b"
    assert record_in(mark_of("a", "")) == ""


_NAMES = st.sets(st.sampled_from("abcdef"))


@given(known=_NAMES, records=_NAMES, found=_NAMES, kept=_NAMES, deleted=_NAMES, certain=st.booleans())
def test_a_record_goes_with_its_claim_and_never_for_want_of_knowledge(known, records, found, kept, deleted, certain):
    def claims(names):
        return {layout.path_of(claim(name)) for name in names}

    def saved(names):
        return {layout.record_path("shop", name) for name in names}

    deleted = (deleted & known) - found
    gone = without_claim(
        claims(known) | saved(records) | {"README.md"},
        found=claims(found),
        kept=saved(kept),
        deleted=claims(deleted),
        certain=lambda path: certain,
    )

    orphans = records - known - found if certain else set()
    assert set(gone) == saved((records & (deleted | found) | orphans) - kept)
    assert gone == sorted(gone)


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ({own.BACKUP_RESULT: "x", own.RESTORED: "y"}, None),
        ({own.RESTORED: "y", own.BACKUP: "true"}, {own.BACKUP: "true"}),
        ({own.BACKUP: "true"}, {own.BACKUP: "true"}),
        ("nonsense", "nonsense"),
    ],
)
def test_what_is_about_one_clusters_volume_stays_in_that_cluster(given_, left):
    manifest = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "annotations": given_}}

    assert without_notes(manifest)["metadata"].get("annotations") == left
    assert manifest["metadata"]["annotations"] == given_


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (1_258_291, "1.2 MiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3000 * 1024**4, "3,000.0 TiB"),
    ],
)
def test_sizes_are_told_as_people_say_them(count, text):
    assert size(count) == text
