"""Encrypted files: what was written comes back, and nothing that was changed does."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsyncer.errors import InvalidManifest
from drsyncer.sops import FORMAT, values
from drsyncer.sops.block import _KNOWN
from drsyncer.sops.document import decrypt, encrypt, is_encrypted, refuse_remains
from drsyncer.sops.scope import Scope, TooCostly, keys_named
from drsyncer.sops.tree import in_file_order
from drsyncer.yaml.emit import FIRST_KEYS, emit
from drsyncer.yaml.read import read
from tests.cluster import tools
from tests.unit.sops_samples import SECRET, SECRETS, WHEN, decrypted, encrypted, key_pair, origin
from tests.unit.test_yaml_emit import manifests, texts

OURS, RECIPIENT = key_pair()
THEIRS, OTHER = key_pair()
FILE = encrypted(SECRET, RECIPIENT, OTHER)


def test_files_say_the_version_of_the_sops_that_they_are_tested_against() -> None:
    pinned = re.search(r"getsops/sops/v3 v(\S+)", (tools.SOPS / "go.mod").read_text())
    assert pinned is not None
    assert pinned[1] == FORMAT


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_an_encrypted_secret_shows_names_and_no_value() -> None:
    found = read(FILE, file="f")

    assert found["metadata"] == SECRET["metadata"]
    assert found["type"] == "Opaque"
    assert found["data"].keys() == SECRET["data"].keys()
    assert found["data"]["empty"] == ""
    for part in ("data", "stringData"):
        for key, value in SECRET[part].items():
            assert values.looks_encrypted(found[part][key]) is bool(value)
            assert len(value) < 4 or value.encode() not in FILE
    assert found["sops"]["encrypted_regex"] == "^(data|stringData)$"
    assert [entry["recipient"] for entry in found["sops"]["age"]] == [RECIPIENT.text, OTHER.text]


def test_each_recipient_can_decrypt_and_nobody_else() -> None:
    assert decrypted(FILE, OURS) == decrypted(FILE, THEIRS) == SECRET

    stranger, _ = key_pair()
    with pytest.raises(InvalidManifest, match=re.escape(RECIPIENT.text)) as error:
        decrypted(FILE, stranger)
    assert stranger.names[0] in str(error.value)
    assert "ageKeyFile" in error.value.hint


def test_without_a_key_the_error_says_for_whom_the_file_is() -> None:
    with pytest.raises(InvalidManifest, match=re.escape(RECIPIENT.text)) as error:
        decrypted(FILE, None)
    assert "ageKeyFile" in error.value.hint


def test_the_same_object_never_gives_the_same_ciphertext() -> None:
    one, two = (read(encrypted(SECRET, RECIPIENT), file="f") for _ in range(2))
    assert one["data"]["password"] != two["data"]["password"]
    assert one["sops"]["mac"] != two["sops"]["mac"]


def fits(value: Any) -> bool:
    return all(type(leaf) is not int or -(2**63) <= leaf < 2**63 for leaf in leaves(value))


@given(manifests.filter(fits), st.sampled_from([SECRETS, keys_named("spec"), Scope("unencrypted_suffix", "_plain")]))
def test_what_was_encrypted_comes_back_whole(manifest: dict[str, Any], scope: Scope) -> None:
    manifest = {"apiVersion": "v1", "data": copy.deepcopy(manifest), "spec": [manifest], "x_plain": manifest}

    data = encrypted(manifest, RECIPIENT, scope=scope)

    assert repr(in_file_order(decrypted(data, OURS))) == repr(in_file_order(manifest))


@given(manifests)
def test_values_are_counted_in_the_order_of_the_file(manifest: dict[str, Any]) -> None:
    written = read(emit(manifest), file="f")
    assert list(map(repr, leaves(written))) == list(map(repr, leaves(in_file_order(manifest, first=FIRST_KEYS))))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
@pytest.mark.parametrize("part", ["data", "spec"])
def test_a_number_that_sops_cannot_hold_is_refused_by_its_place(number: int, part: str) -> None:
    with pytest.raises(ValueError, match=f"{part}:size: a whole number") as error:
        encrypted({part: {"size": number}}, RECIPIENT)
    assert str(number) not in str(error.value)


def test_an_object_with_a_sops_key_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="a key 'sops' of its own"):
        encrypted({"kind": "SopsSecret", "sops": {}}, RECIPIENT)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, b"True"),
        (False, b"False"),
        (0, b"0"),
        (-12, b"-12"),
        (100.0, b"100"),
        (1.5, b"1.5"),
        (1e22, b"10000000000000000000000"),
        (1e-7, b"0.0000001"),
        (-0.0, b"-0"),
        ("ü", "ü".encode()),
    ],
)
def test_values_are_counted_as_go_writes_them(value: Any, text: bytes) -> None:
    assert values.to_bytes(value) == text


# Nothing that was changed is accepted -------------------------------------------------------------------------------


def is_refused(data: bytes) -> bool:
    """Return whether an importer would take nothing from `data`; what it would take must not be the original."""
    try:
        manifest = read(data, file="f")
        if is_encrypted(manifest):
            decrypted(data, OURS)
        else:
            refuse_remains(manifest, file="f", secret=manifest.get("kind") == "Secret", marked=False)
    except InvalidManifest as error:
        return "hunter2" not in str(error) and "aHVudGVyMg" not in str(error)
    return False


def test_one_flipped_byte_anywhere_is_refused() -> None:
    accepted = []
    for place in range(len(FILE)):
        there = FILE[place]
        for other in {there ^ 0x01, there ^ 0x20, ord("#")} - {there}:  # "#" makes a comment of what follows
            if not is_refused(FILE[:place] + bytes([other]) + FILE[place + 1 :]):
                accepted.append((place, other, FILE[place - 20 : place + 20]))
    assert accepted == []


CONFIGMAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b", "z": "text"}}
MAP_FILE = encrypted(CONFIGMAP, RECIPIENT, scope=keys_named("data", "binaryData"))


@settings(max_examples=500)
@given(st.data())
def test_any_other_byte_anywhere_is_refused(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from([FILE, MAP_FILE]))
    place = data.draw(st.integers(0, len(file) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != file[place]))
    assert is_refused(file[:place] + bytes([value]) + file[place + 1 :])


def test_a_file_cut_off_anywhere_is_refused() -> None:
    accepted = [length for length in range(FILE.index(b"\ndata:\n") + 40, len(FILE)) if not is_refused(FILE[:length])]
    assert accepted == []


@settings(max_examples=300)
@given(st.data())
def test_a_byte_more_or_less_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(FILE)))
    more = data.draw(st.binary(max_size=2))
    less = data.draw(st.integers(0, 2))
    changed = FILE[:place] + more + FILE[place + less :]
    # Cut off before the first encrypted value, nothing tells what it was; an import refuses the rest by its mark.
    assert changed == FILE or is_refused(changed)


def without_seal(data: bytes) -> bytes:
    """Return the file as it is once `sops` has rewritten it: without our line."""
    return re.sub(rb"(?m)^  dr_syncer: .*\n", b"", data)


def test_a_file_that_sops_has_rewritten_is_accepted() -> None:
    assert decrypted(without_seal(FILE), OURS) == SECRET


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"name: db", b"name: dc"),
        (b"tier: back", b"tier: front"),
        (b"immutable: true", b"immutable: false"),
        (b"type: Opaque", b"type: example.com/x"),
        (b"^(data|stringData)$", b"^(data)$"),
        (b'lastmodified: "2026', b'lastmodified: "2027'),
        (b"    tier: back\n", b""),
    ],
)
def test_without_the_seal_the_mac_still_holds(old: bytes, new: bytes) -> None:
    data = without_seal(FILE)
    assert data.count(old) == 1
    with pytest.raises(InvalidManifest):
        decrypted(data.replace(old, new), OURS)


def test_values_cannot_change_places() -> None:
    data = without_seal(FILE)
    found = read(data, file="f")
    found["data"]["password"], found["data"]["binary"] = found["data"]["binary"], found["data"]["password"]
    with pytest.raises(InvalidManifest, match="moved here from another place"):
        decrypted(emit(found), OURS)


def changed_block(**changes: Any) -> bytes:
    found = read(without_seal(FILE), file="f")
    block = {**found["sops"], **changes}
    return emit({**found, "sops": {key: value for key, value in block.items() if value is not None}})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"age": None}, "names nobody who can read it"),
        ({"age": None, "pgp": [{"fp": "x", "enc": "y"}]}, "encrypted for pgp only"),
        ({"age": None, "kms": [{"arn": "x"}], "pgp": [{"fp": "x"}]}, "encrypted for kms and pgp only"),
        ({"age": [{"recipient": "age1x"}]}, "not exactly `recipient` and `enc`"),
        ({"age": "age1x"}, "no list"),
        ({"age": [{"recipient": "a", "enc": "b"}] * 101}, "far too long"),
        ({"age": [{"recipient": "age1x", "enc": "x" * 100_000}]}, "no key in key.txt opens it"),
        ({"key_groups": [{"age": []}]}, "split among key groups"),
        ({"mac": None}, "mac in its sops block is missing"),
        ({"mac": "ENC[]"}, "the MAC in its sops block"),
        ({"lastmodified": "yesterday"}, "is no time"),
        ({"lastmodified": None}, "lastmodified"),
        ({"mac_only_encrypted": "yes"}, "neither true nor false"),
        ({"mac_only_encrypted": True}, "MAC mismatch"),
        ({"encrypted_comment_regex": "x"}, "comments decide"),
        ({"unencrypted_suffix": "_x"}, "both"),
        ({"encrypted_regex": "^(data"}, "no regular expression"),
        ({"encrypted_regex": "^(a+)+$"}, "too long to match"),
        ({"encrypted_regex": "x" * 501}, "too long to match"),
        ({"encrypted_regex": "nothing"}, "MAC mismatch"),
        ({"encrypted_regex": "^immutable$"}, "is not encrypted and should be"),
        ({"surprise": "x"}, "'surprise'"),
    ],
)
def test_a_block_that_cannot_be_followed_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidManifest) as error:
        decrypted(changed_block(**changes), OURS)
    assert reason in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize("block", [None, "x", [], 1, True])
def test_a_block_that_is_no_mapping_is_refused(block: Any) -> None:
    with pytest.raises(InvalidManifest, match="no mapping"):
        decrypted(emit({**SECRET, "sops": block}), OURS)


def test_a_pattern_from_a_file_cannot_keep_the_reader_busy() -> None:
    matches = Scope("encrypted_regex", "a*a*$").matcher()
    with pytest.raises(TooCostly):
        list(map(matches, ("a" * 2_000 + str(number) for number in range(10_000))))


@given(texts)
def test_a_value_says_nothing_when_it_is_refused(text: str) -> None:
    encrypted_text = values.encrypt(text, key=b"k" * 32, bound_to="a:")
    if not text:
        return
    with pytest.raises(values.Damaged) as error:
        values.decrypt(encrypted_text, key=b"k" * 32, bound_to="b:")
    assert len(text) < 8 or text not in str(error.value)


def test_encryption_uses_the_time_that_it_is_given() -> None:
    data = encrypt(SECRET, scope=SECRETS, recipients=[RECIPIENT], when=WHEN, origin=origin)
    assert read(data, file="f")["sops"]["lastmodified"] == "2026-03-01T03:00:07Z"


odd = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(_KNOWN)), odd, max_size=4), st.dictionaries(texts, odd, max_size=3))
def test_whatever_a_file_holds_it_is_refused_and_nothing_else_happens(block: dict[str, Any], more: Any) -> None:
    manifest = read(without_seal(FILE), file="f")
    for found in ({**more, "sops": block}, {**manifest, **more, "sops": {**manifest["sops"], "mac": "x", **block}}):
        with pytest.raises(InvalidManifest):
            decrypt(b"", found, file="f", identities=OURS)
