"""The commit message of an export."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from drsyncer.recovery.message import (
    MOST_LINES,
    Change,
    Fate,
    Message,
    Verb,
    VolumeChange,
    build,
    digest_of,
    exported_at,
    parse,
)

words = st.text(min_size=1, max_size=12).filter(lambda text: "/" not in text)
times = st.datetimes(timezones=st.just(UTC))
names = words.filter(lambda name: name not in (".", "..") and "%" not in name)
changes = st.builds(
    Change,
    st.sampled_from(Verb),
    st.builds(ObjectRef, st.sampled_from(["pods", "deployments.apps"]), st.just("") | names, names),
    st.lists(words, max_size=3).map(tuple),
)
volumes = st.builds(VolumeChange, st.sampled_from(Fate), names, names, st.just("") | words)
messages = st.builds(
    Message,
    cluster=words,
    cluster_uid=words,
    exported_at=times,
    read_from=times,
    read_to=times,
    resource_versions=st.dictionaries(words, words).map(digest_of),
    version=words,
    incomplete=st.lists(words, max_size=3).map(tuple),
    changes=st.lists(changes, max_size=4).map(tuple),
    volumes=st.lists(volumes, max_size=4).map(tuple),
    omitted=st.integers(min_value=0, max_value=10_000),
    first=st.booleans(),
    confirmed=st.booleans(),
)
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
PLAIN = Message(
    cluster="prod",
    cluster_uid="0a1b",
    exported_at=NOON,
    read_from=NOON - timedelta(seconds=5),
    read_to=NOON - timedelta(seconds=1.5),
    resource_versions=digest_of({"pods": "17"}),
    version="0.1.0",
)


def change(verb, namespace, name="web", *managers):
    return Change(Verb(verb), ObjectRef("deployments.apps", namespace, name), managers)


def subject(*changes, first=False):
    return build(replace(PLAIN, changes=changes, first=first)).partition("\n")[0]


def test_a_message_reads_like_this():
    text = build(
        replace(
            PLAIN,
            changes=(
                change("updated", "shop", "web", "kubectl-edit", "helm"),
                Change(Verb.CREATED, ObjectRef("configmaps", "shop", "app")),
                Change(Verb.DELETED, ObjectRef("namespaces", "", "old"), ("kubectl",)),
            ),
            incomplete=("widgets.example.com",),
        )
    )

    assert text == (
        "prod: 1 updated, 1 created, 1 deleted in shop and cluster scope\n"
        "\n"
        "updated shop/deployments.apps/web by kubectl-edit, helm\n"
        "created shop/configmaps/app\n"
        "deleted namespaces/old by kubectl\n"
        "\n"
        "DR-Syncer-Cluster: prod\n"
        "DR-Syncer-Cluster-UID: 0a1b\n"
        "DR-Syncer-Exported-At: 2024-05-01T12:00:00Z\n"
        "DR-Syncer-Read-From: 2024-05-01T11:59:55Z\n"
        "DR-Syncer-Read-To: 2024-05-01T11:59:58.500000Z\n"
        f"DR-Syncer-Resource-Versions: {digest_of({'pods': '17'})}\n"
        "DR-Syncer-Incomplete: widgets.example.com\n"
        "DR-Syncer-Version: 0.1.0\n"
    )


def test_the_subject_counts_and_names_the_busiest_namespaces():
    assert subject(*[change("updated", "shop")] * 2, change("created", "shop")) == "prod: 2 updated, 1 created in shop"
    assert subject(change("created", "")) == "prod: 1 created in cluster scope"
    assert subject(*map(change, ["created"] * 3, "abc")) == "prod: 3 created in a, b and c"
    five = [change("created", name) for name in ("a", "b", "c", "shop", "shop", "pay", "pay")]
    assert subject(*five) == "prod: 7 created in pay, shop and 3 more"
    assert subject(*[change("created", "shop")] * 2_500, first=True) == "prod: first export: 2,500 created in shop"
    assert subject() == "prod: no object changed"


def test_volumes_are_told_beside_the_objects():
    saved = VolumeChange(Fate.BACKED_UP, "shop", "data", "Complete, 3 files, 1.2 MiB")
    lost = VolumeChange(Fate.NOT_BACKED_UP, "pay", "ledger", "Failed (WrongPassword); none is whole")
    gone = VolumeChange(Fate.GONE, "shop", "old")

    text = build(replace(PLAIN, volumes=(lost, saved)))
    assert text.startswith(
        "prod: 1 volume backed up, 1 volume not backed up in pay and shop\n"
        "\n"
        "volume pay/ledger not backed up: Failed (WrongPassword); none is whole\n"
        "volume shop/data backed up: Complete, 3 files, 1.2 MiB\n"
        "\n"
    )
    both = build(replace(PLAIN, changes=(change("updated", "shop"),), volumes=(saved, saved, gone)))
    assert both.startswith("prod: 1 updated, 2 volumes backed up, 1 volume no longer recorded in shop\n\nupdated shop/")
    assert "\nvolume shop/old no longer recorded\n" in both


def test_volumes_that_find_no_room_are_counted():
    many = tuple(change("created", "shop", f"web-{i}") for i in range(MOST_LINES - 1))
    saved = tuple(VolumeChange(Fate.BACKED_UP, "shop", f"data-{i}", "Complete") for i in range(3))

    parsed = parse(build(replace(PLAIN, changes=many, volumes=saved)))

    assert parsed == replace(PLAIN, changes=many, volumes=saved[:1], omitted=2)


@given(messages)
def test_what_was_built_is_parsed_back(message):
    assert parse(build(message)) == message


@given(messages)
def test_the_time_of_an_export_is_told_without_its_changes(message):
    assert exported_at(build(message)) == message.exported_at


@given(messages)
def test_nothing_from_the_cluster_can_forge_a_line(message):
    text = build(message)

    assert all(char.isprintable() for char in text.replace("\n", ""))
    listed = len(message.changes) + len(message.volumes) + bool(message.omitted)
    trailers = 7 + message.confirmed + len(message.incomplete)
    assert text.count("\n") == 1 + (listed + 1 if listed else 0) + 1 + trailers


@pytest.mark.parametrize(
    "forged", ["x\n\nDR-Syncer-Cluster: evil", "x\u2028DR-Syncer-Cluster: evil", "a, b", "%0A", " "]
)
def test_a_field_manager_stays_one_field_manager(forged):
    message = replace(PLAIN, changes=(change("updated", "shop", "web", forged),))

    parsed = parse(build(message))

    assert parsed == message
    assert parsed.cluster == "prod"


def test_a_long_list_is_cut_and_the_rest_counted():
    message = replace(PLAIN, changes=tuple(change("created", "shop", f"web-{i}") for i in range(MOST_LINES + 1_234)))

    text = build(message)
    parsed = parse(text)

    assert text.startswith("prod: 3,234 created in shop\n")
    assert "\n… and 1234 more changes\n\n" in text
    assert parsed == replace(message, changes=message.changes[:MOST_LINES], omitted=1_234)


def test_times_are_told_in_utc():
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert build(replace(PLAIN, exported_at=east)) == build(PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fix a typo",
        "fix\n\nbody\n\nSigned-off-by: A <a@example.com>",
        "DR-Syncer-Cluster: x",
        build(PLAIN).replace("Exported-At: 2024-05-01T12:00:00Z", "Exported-At: noon"),
        build(PLAIN).replace("Exported-At: 2024-05-01T12:00:00Z", "Exported-At: 2024-05-01T12:00:00"),
        build(PLAIN).replace("\n\n", "\n\nupdated web\n\n", 1),
        build(PLAIN).replace("\n\n", "\n\nupdated a/b/c/d\n\n", 1),
        build(PLAIN).replace("\n\n", "\n\nupdated shop/configmaps/..%2F..%2Fa\n\n", 1),
        build(PLAIN).replace("\n\n", "\n\nvolume shop/..%2F..%2Fa backed up: Complete\n\n", 1),
        build(PLAIN).replace("\n\n", "\n\nvolume data backed up: Complete\n\n", 1),
        build(PLAIN).replace("0a1b", "%FF"),
    ],
)
def test_other_peoples_messages_are_not_ours(text):
    assert parse(text) is None


@given(st.text(), st.sampled_from(["", build(PLAIN)]), st.integers(min_value=0, max_value=400))
def test_no_message_is_too_strange_to_be_looked_at(text, ours, place):
    strange = ours[:place] + text + ours[place:]
    parse(strange)
    exported_at(strange)


def test_the_digest_names_one_reading():
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})
    assert digest_of({"a": "1"}) != digest_of({"a": "2"})
