"""What is known of a volume's data, as an annotation and as a file of the recovery repository."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drsyncer import snapshot
from drsyncer.errors import InvalidManifest
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout, volumes
from drsyncer.snapshot import State
from tests.unit.volume_records import RECORDS, attempt, claim, failed, suspected, whole
from tests.unit.volume_records import snapshot as made

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)
CLAIMS = st.builds(ObjectRef, st.just(layout.CLAIMS), st.sampled_from(["shop", "pay"]), NAMES)


@given(RECORDS)
def test_an_annotation_says_the_same_when_it_is_read(record):
    text = snapshot.encode(record)

    assert snapshot.decode(text) == record
    assert snapshot.encode(snapshot.decode(text)) == text


@given(RECORDS, CLAIMS)
@example(whole(), claim("x" * 253))
def test_a_file_says_the_same_when_it_is_read_and_has_the_same_bytes_each_time(record, ref):
    path = layout.record_path(ref.namespace, ref.name)
    data = volumes.emit(record, ref)

    assert volumes.read(data, file=path) == (ref, record)
    assert volumes.emit(volumes.read(data, file=path)[1], ref) == data


def test_a_file_is_one_that_people_can_read():
    assert volumes.emit(failed(), claim()).decode() == (
        "apiVersion: dr-syncer.io/v1\n"
        "kind: VolumeRecord\n"
        "metadata:\n"
        "  name: data\n"
        "  namespace: shop\n"
        "attempt:\n"
        '  end: "2026-03-02T03:00:02Z"\n'
        "  message: the password is wrong\n"
        "  reason: WrongPassword\n"
        '  snapshot: ""\n'
        '  start: "2026-03-02T03:00:00Z"\n'
        "  state: Failed\n"
        f"repository: {'ab' * 32}\n"
        "snapshot:\n"
        "  bytes: 1258291\n"
        '  end: "2026-03-01T03:00:08Z"\n'
        "  files: 3\n"
        "  folder:\n"
        "    changed: 1772000000123456789\n"
        "    gid: 1000\n"
        "    mode: 1528\n"
        "    uid: 0\n"
        "  host: prod\n"
        f'  id: "{1:064x}"\n'
        f'  manifest: "{2**20 + 1:064x}"\n'
        '  start: "2026-03-01T03:00:00Z"\n'
        "  state: Complete\n"
        f'  tree: "{2**21 + 1:064x}"\n'
        "version: 1\n"
    )


def _as_data(record):
    return msgspec.to_builtins(record)


def _with(path, value):
    data = _as_data(failed())
    *way, last = path.split(".")
    place = data
    for key in way:
        place = place[key]
    place[last] = value
    return data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("nonsense", "is no record"),
        ([], "is no record"),
        ({}, "is no record"),
        ({"repository": "ab" * 32}, "neither a snapshot nor an attempt"),
        (_with("version", 2), "is of version 2, and this program knows versions up to 1"),
        # A newer version may have changed anything else.
        ({"version": 2, "repository": 5}, "is of version 2"),
        (_with("version", "1"), "is no record"),
        (_with("repository", "latest"), "64 hexadecimal digits"),
        (_with("snapshot.id", "latest"), "64 hexadecimal digits"),
        (_with("snapshot.id", "abc12345"), "64 hexadecimal digits"),
        (_with("snapshot.tree", ""), "64 hexadecimal digits"),
        (_with("snapshot.manifest", "x"), "64 hexadecimal digits"),
        (_with("attempt.snapshot", "x"), "64 hexadecimal digits"),
        (_with("snapshot.state", "Partial"), "its snapshot is Partial, which is not whole"),
        (_with("attempt.made", _as_data(made(2))), "a snapshot that is Complete, not Partial"),
        (_with("attempt.made", _as_data(made(2, state=State.PARTIAL, files=-1))), "are counts"),
        (_with("snapshot.state", "Great"), "is no record"),
        (_with("snapshot.files", -1), "are counts"),
        (_with("snapshot.bytes", "many"), "is no record"),
        (_with("snapshot.start", "2026-03-01T03:00:00"), "in no time zone"),
        (_with("attempt.end", "yesterday"), "is no record"),
        (_with("attempt.state", "Complete"), "its attempt is Complete"),
    ],
)
def test_what_is_no_record_is_refused_and_says_why(data, why):
    with pytest.raises(ValueError, match=why):
        snapshot.decode(json.dumps(data))


@given(st.text())
def test_any_annotation_is_a_record_or_refused(text):
    try:
        record = snapshot.decode(text)
    except ValueError:
        return
    assert snapshot.decode(snapshot.encode(record)) == record


def test_a_suspicion_is_in_the_file():
    data = volumes.emit(suspected(failed()), claim()).decode()

    assert data.endswith(
        "suspicion:\n"
        '  end: "2026-03-02T03:00:02Z"\n'
        "  message: the volume has 1 files, and 100 in its last whole snapshot\n"
        "  reason: Shrunk\n"
        '  snapshot: ""\n'
        '  start: "2026-03-02T03:00:00Z"\n'
        "version: 1\n"
    )


def test_a_record_of_a_program_without_suspicions_is_read():
    old = {key: value for key, value in _as_data(failed()).items() if key != "suspicion"}

    assert snapshot.decode(json.dumps(old)) == failed()


def test_keys_of_a_newer_program_are_passed_over():
    assert snapshot.decode(json.dumps({**_as_data(whole()), "more": 1})) == whole()


def test_a_record_in_another_claims_place_is_refused():
    data = volumes.emit(whole(), claim("data"))

    with pytest.raises(InvalidManifest, match="holds shop/persistentvolumeclaims/data"):
        volumes.read(data, file="volumes/shop/other.yaml")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"kind: ConfigMap\n",
        b"kind: VolumeRecord\napiVersion: dr-syncer.io/v2\n",
        volumes.emit(whole(), claim()).replace(b"version: 1\n", b"version: 2\n"),
        volumes.emit(whole(), claim()).replace(b"Complete", b"Partial"),
        volumes.emit(whole(), claim()).replace(b"start:", b"begin:"),
        b"a: " + b"x" * (2 * volumes.MOST_BYTES),
    ],
)
def test_a_file_that_is_no_record_is_refused(content):
    with pytest.raises(InvalidManifest, match=r"volumes/shop/data\.yaml"):
        volumes.read(content, file="volumes/shop/data.yaml")


def test_a_record_is_complete_when_the_newest_attempt_was_whole():
    assert whole().complete
    assert whole(state=State.UNCHANGED).complete
    assert not failed().complete
    assert not failed(None).complete
    assert attempt().state is State.FAILED
    assert made().state.whole
