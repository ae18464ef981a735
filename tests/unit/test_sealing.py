"""Which encrypted files an export leaves as they are."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsyncer import own
from drsyncer.manifest import ObjectRef
from drsyncer.sops.scope import keys_named
from drsyncer.yaml.read import read
from exporter.confidential import OF_SECRETS
from exporter.filing import Filed
from exporter.sealing import Sealing, is_readable
from tests.unit.sops_samples import SECRET, decrypted, key_pair

OURS, RECIPIENT = key_pair()
_, OTHER = key_pair()
REF = ObjectRef("secrets", "shop", "db")
FILED = Filed(REF, "namespaces/shop/secrets/db.yaml", b"", SECRET, [], (), OF_SECRETS)


def sealing(*recipients: str, key: bytes = b"k" * 32) -> Sealing:
    return Sealing(recipients=recipients or (RECIPIENT.text,), key=lambda: key)


FILE = sealing().seal(FILED, OF_SECRETS)


def changed(**changes: Any) -> Filed:
    return replace(FILED, manifest={**copy.deepcopy(SECRET), **changes})


def test_the_file_of_an_unchanged_object_stays() -> None:
    assert sealing().keeps(FILE, FILED, OF_SECRETS)
    assert sealing().keeps(FILE, replace(FILED, manifest=dict(reversed(SECRET.items()))), OF_SECRETS)


@pytest.mark.parametrize(
    ("by", "filed", "scope"),
    [
        (sealing(key=b"x" * 32), FILED, OF_SECRETS),
        (sealing(OTHER.text), FILED, OF_SECRETS),
        (sealing(RECIPIENT.text, OTHER.text), FILED, OF_SECRETS),
        (sealing(), FILED, keys_named("data")),
        (sealing(), changed(data={**SECRET["data"], "password": "b3RoZXI="}), OF_SECRETS),
        (sealing(), changed(data={**SECRET["data"], "more": ""}), OF_SECRETS),
        (sealing(), changed(type="example.com/other"), OF_SECRETS),
        (sealing(), changed(immutable=False), OF_SECRETS),
        (sealing(), changed(immutable=1), OF_SECRETS),
        (sealing(), replace(FILED, ref=ObjectRef("secrets", "shop", "other")), OF_SECRETS),
        (sealing(), replace(FILED, ref=ObjectRef("secrets", "pay", "db")), OF_SECRETS),
    ],
)
def test_any_difference_means_that_it_is_written_anew(by: Sealing, filed: Filed, scope: Any) -> None:
    assert not by.keeps(FILE, filed, scope)


@settings(max_examples=300)
@given(st.integers(0, len(FILE) - 1), st.integers(0, 255))
def test_a_file_with_any_byte_changed_does_not_stay(place: int, value: int) -> None:
    other = FILE[:place] + bytes([value]) + FILE[place + 1 :]
    seal = FILE.index(b"\n  dr_syncer: s1.") + len(b"\n  dr_syncer: s1.") + 65
    # The seal itself is the importer's to check: without the data key, nobody else can.
    assert other == FILE or seal <= place < seal + 64 or not sealing().keeps(other, FILED, OF_SECRETS)


@given(st.binary(max_size=200))
def test_what_is_no_file_of_ours_does_not_stay(content: bytes) -> None:
    assert not sealing().keeps(content, FILED, OF_SECRETS)


def test_the_order_of_recipients_is_no_difference() -> None:
    two = sealing(RECIPIENT.text, OTHER.text).seal(FILED, OF_SECRETS)
    assert sealing(OTHER.text, RECIPIENT.text).keeps(two, FILED, OF_SECRETS)


def test_the_digest_tells_a_changed_object_from_one_that_is_only_encrypted_anew() -> None:
    def digest(by: Sealing, filed: Filed) -> str:
        return str(read(by.seal(filed, OF_SECRETS), file="f")["metadata"]["annotations"][own.DIGEST])

    assert digest(sealing(), FILED) == digest(sealing(OTHER.text), FILED)
    assert digest(sealing(), FILED) != digest(sealing(), changed(type="x"))
    # The same values elsewhere look different, and nobody without the key can compute one.
    assert digest(sealing(), FILED) != digest(sealing(), replace(FILED, ref=ObjectRef("secrets", "pay", "db")))
    assert digest(sealing(), FILED) != digest(sealing(key=b"x" * 32), FILED)


def test_only_who_encrypts_needs_the_digest_key() -> None:
    asked: list[int] = []

    def key() -> bytes:
        asked.append(1)
        return b"k" * 32

    one = Sealing(recipients=[RECIPIENT.text], key=key)
    assert asked == []
    one.seal(FILED, OF_SECRETS)
    one.seal(FILED, OF_SECRETS)
    assert asked == [1]


def test_nothing_but_the_annotation_is_added() -> None:
    found = decrypted(FILE, OURS)
    assert found["metadata"]["annotations"].pop(own.DIGEST).startswith("v1-")
    assert found == SECRET


def test_readable_files_are_told_from_encrypted_ones() -> None:
    assert is_readable(b"kind: Secret\n")
    assert not is_readable(FILE)
    assert not is_readable(FILE.replace(b"  dr_syncer:", b"  x:"))
