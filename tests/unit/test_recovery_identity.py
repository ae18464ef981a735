"""`dr-syncer.yaml` and the heartbeat."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import ExitCode, GitError, InvalidManifest, Refused
from drsyncer.recovery import heartbeat, identity
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.identity import Identity

PROD = Identity("prod", "0a1b-22")
STAGE = Identity("stage", "ffff-33")


@given(st.builds(Identity, st.text(min_size=1), st.text(min_size=1)))
def test_an_identity_is_read_back(known):
    assert identity.read(identity.emit(known)) == known


def test_the_same_identity_is_the_same_file():
    assert identity.emit(PROD) == (
        b'apiVersion: dr-syncer.io/v1\nkind: RecoveryRepository\ncluster:\n  name: prod\n  uid: "0a1b-22"\nformat: 1\n'
    )


def test_a_newer_format_is_refused():
    newer = identity.emit(PROD).replace(b"format: 1", b"format: 2")
    with pytest.raises(Refused, match="format 2") as refused:
        identity.read(newer)
    assert "later" in refused.value.hint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"RecoveryRepository", b"Config"),
        (b"format: 1", b"format: one"),
        (b"format: 1", b"format: true"),
        (b"format: 1", b"format: 0"),
        (b"name: prod", b"name: 5"),
        (b"name: prod", b'name: ""'),
        (b"cluster:", b"clusters:"),
    ],
)
def test_another_file_of_that_name_is_an_error(old, new):
    with pytest.raises(InvalidManifest, match=r"dr-syncer\.yaml"):
        identity.read(identity.emit(PROD).replace(old, new))


def test_another_cluster_is_refused_by_name_unless_adopted():
    with pytest.raises(Refused) as refused:
        identity.check_same(PROD, STAGE, adopt=False)
    assert refused.value.exit_code is ExitCode.REFUSED
    assert "prod (kube-system 0a1b-22)" in str(refused.value)
    assert "stage (kube-system ffff-33)" in str(refused.value)
    assert "--adopt" in refused.value.hint

    identity.check_same(PROD, STAGE, adopt=True)


def test_a_new_name_for_the_same_cluster_is_no_other_cluster():
    identity.check_same(PROD, Identity("production", PROD.uid), adopt=False)
    identity.check_same(None, PROD, adopt=False)


@given(
    st.builds(
        Heartbeat,
        st.datetimes(timezones=st.just(UTC)),
        st.sampled_from(["", "a" * 40, "0" * 64]),
        st.booleans(),
        st.text(),
        st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_heartbeat_is_read_back(beat):
    assert heartbeat.parse(heartbeat.emit(beat)) == beat


GOOD = heartbeat.emit(Heartbeat(datetime(2024, 5, 1, tzinfo=UTC), "a" * 40, True, "u"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        GOOD.replace("T00:00:00Z", ""),
        GOOD.replace("2024", "x"),
        GOOD.replace("2024-05-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
        GOOD.replace("true", '"yes"'),
        GOOD.replace("a" * 40, "--upload-pack=x"),
        GOOD.replace('"u"', "1"),
        GOOD.replace('"head"', '"due": null, "head"'),
        GOOD.replace('"head"', '"due": "2024-05-01T00:01:00", "head"'),
        GOOD.replace('"head"', '"due": "soon", "head"'),
    ],
)
def test_what_is_no_heartbeat_is_an_error(text):
    with pytest.raises(GitError, match="heartbeat"):
        heartbeat.parse(text)


def test_each_path_has_its_own_heartbeat():
    assert heartbeat.ref_of("") == "refs/dr-syncer/heartbeat"
    assert heartbeat.ref_of("eu/prod-1") == "refs/dr-syncer/paths/eu/prod-1/heartbeat"
    odd = [".a", "a.", "a..b", "a.lock", "a b", "a~^:?*[\\", "@{", "é", "heartbeat", "%2E"]
    found = [heartbeat.ref_of(path) for path in odd]
    assert len(set(found)) == len(odd)
    for ref in found:
        subprocess.run(["git", "check-ref-format", ref], check=True)
