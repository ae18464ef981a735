"""What is shown of a confidential object: everything but its values."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer import own
from drsyncer.errors import InvalidManifest
from drsyncer.sops.scope import Scope, keys_named
from drsyncer.yaml.emit import emit
from importer.masking import MASK, done_to, masked, said_of
from importer.opening import Opener, marked, scopes_of
from tests.unit.sops_samples import SECRET, encrypted, key_pair

OF = keys_named("data", "stringData", "spec")
values = st.text("abcdefgh0123456789+/=:\n", min_size=3, max_size=40)


@given(values, st.sampled_from(["{}", "denied: {} is too weak", 'Invalid value: "{}": bad', "a {}b"]))
def test_no_message_repeats_a_value(value: str, said: str) -> None:
    coded = base64.b64encode(value.encode()).decode()
    manifest = {"kind": "Secret", "data": {"a": coded}, "spec": [{"name": value}], "metadata": {"name": "shown"}}
    for text in (value, coded, value.encode("unicode_escape").decode()):
        assert text not in said_of(manifest, [OF], said.format(text))


def test_what_is_not_confidential_is_told_on() -> None:
    manifest = {"kind": "Widget", "metadata": {"name": "visible"}, "spec": {"size": 12, "on": True, "none": None}}
    message = "visible: True is refused, and 12 too: None of it fits"
    assert said_of(manifest, [OF], message) == message
    assert said_of(manifest, [], "anything") == "anything"


def test_of_a_confidential_place_nothing_is_told_but_that_it_changed() -> None:
    before = {"kind": "W", "metadata": {"name": "w"}, "spec": {"url": "pg://u:pw@db.shop.svc", "class": "fast"}}
    after = {"kind": "W", "metadata": {"name": "w"}, "spec": {"url": "pg://u:pw@db.dr.svc", "class": "slow"}}
    lines = (
        "literals: /spec/url db.shop.svc -> db.dr.svc",
        "storage: /metadata/annotations/class fast -> slow",
        "namespaces: /metadata/namespace shop -> shop-dr",
        "rules: /spec/url set by fast",
    )

    assert done_to((before, after), [OF], lines) == (
        f"literals: /spec/url {MASK}",
        f"storage: /metadata/annotations/class {MASK} -> {MASK}",
        "namespaces: /metadata/namespace shop -> shop-dr",
        "rules: /spec/url set by fast",  # all of it the rule's own words
    )


def test_a_difference_shows_where_and_not_what() -> None:
    before = {
        "kind": "W",
        "metadata": {"name": "w", "labels": {"a": "b"}},
        "spec": {"pw": "old", "same": 1, "l": [1, 2]},
    }
    after = {
        "kind": "W",
        "metadata": {"name": "w", "labels": {"a": "c"}},
        "spec": {"pw": "new", "same": 1, "l": [1, 3]},
    }

    old, new = masked(before, after, [OF])

    assert old["metadata"] == before["metadata"]
    assert new["metadata"] == after["metadata"]
    assert old["spec"] == {"pw": "*** (before)", "same": "***", "l": ["***", "*** (before)"]}
    assert new["spec"] == {"pw": "*** (after)", "same": "***", "l": ["***", "*** (after)"]}
    assert masked(before, after, []) == (before, after)


@pytest.mark.parametrize("scope", [Scope("encrypted_regex", "^(a+)+$"), Scope("encrypted_regex", "(")])
def test_where_it_is_unclear_what_is_confidential_all_of_it_is(scope: Scope) -> None:
    (shown, _) = masked({"kind": "W", "spec": {"a": "x"}}, {}, [scope])
    assert shown == {"kind": "*** (before)", "spec": {"a": "*** (before)"}}


def test_with_a_rule_of_what_is_readable_all_else_is_confidential() -> None:
    (shown, _) = masked(
        {"kind": "W", "metadata": {"name": "w"}, "spec": {"a": "x"}}, {}, [Scope("unencrypted_suffix", "_x")]
    )
    assert shown == {"kind": "W", "metadata": {"name": "w"}, "spec": {"a": "*** (before)"}}


@given(st.sampled_from(["encrypted_regex", "unencrypted_suffix"]), st.text(max_size=20))
def test_what_is_noted_in_dr_is_read_back(rule: str, text: str) -> None:
    noted = marked({"metadata": {"annotations": {"a": "b"}}}, Scope(rule, text))
    assert noted["metadata"]["annotations"]["a"] == "b"
    assert scopes_of(noted["metadata"]["annotations"]) == [Scope(rule, text)]
    assert scopes_of({"a": "b"}) == []


# Opening -------------------------------------------------------------------------------------------------------------

OURS, RECIPIENT = key_pair()


def opened(manifest: dict[str, Any], type_key: str, *, opener: Opener | None = None) -> Any:
    return (opener or Opener(OURS)).open("f.yaml", emit(manifest), type_key=type_key)


def test_the_digest_of_the_file_is_no_part_of_the_object() -> None:
    meta = {"name": "db", "namespace": "shop", "annotations": {own.DIGEST: "v1-x"}}
    found = Opener(OURS).open("f", encrypted({**SECRET, "metadata": meta}, RECIPIENT), type_key="secrets")
    assert found.manifest["metadata"] == {"name": "db", "namespace": "shop"}


def test_a_readable_secret_is_confidential_all_the_same() -> None:
    assert opened(SECRET, "secrets").confidential == (keys_named("data", "stringData"),)
    assert opened({"kind": "ConfigMap"}, "configmaps").confidential == ()


def test_of_a_secret_that_a_person_encrypted_both_is_confidential_its_data_and_what_was_encrypted() -> None:
    data = encrypted(SECRET, RECIPIENT, scope=keys_named("labels"))
    found = Opener(OURS).open("f", data, type_key="secrets")
    assert found.confidential == (keys_named("data", "stringData"), keys_named("labels"))


def test_a_mark_of_an_encrypted_file_on_a_readable_one_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="no whole sops block"):
        opened({"kind": "ConfigMap", "metadata": {"annotations": {own.DIGEST: "v1-x"}}}, "configmaps")


def test_objects_that_an_operator_decrypts_are_left_as_they_are() -> None:
    manifest = {"kind": "SopsSecret", "spec": {"a": "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]"}, "sops": {}}
    assert opened(manifest, "sopssecrets.isindir.github.com").manifest == manifest
    with pytest.raises(InvalidManifest):
        opened(manifest, "widgets.example.com")


def test_a_digest_for_the_records_needs_the_private_key() -> None:
    assert Opener(None).digest(b"x") is None
    assert Opener(OURS).digest(b"x") == Opener(OURS).digest(b"x")
