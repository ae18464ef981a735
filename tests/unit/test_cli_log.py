"""`dr-syncer log`: the audit trail, over a real repository."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from drsyncer.errors import UsageError
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from drsyncer.recovery.audit import when
from drsyncer.recovery.message import Change, Fate, Message, Verb, VolumeChange, build
from tests.unit.recovery_sandbox import Sandbox, commit, git

WEB = ObjectRef("deployments.apps", "shop", "web")
CART = ObjectRef("deployments.apps", "shop", "cart")
ROLE = ObjectRef("clusterroles.rbac.authorization.k8s.io", "", "shop:reader")
START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
SAID = Message(
    cluster="prod",
    cluster_uid="2c3f",
    exported_at=START,
    read_from=START,
    read_to=START,
    resource_versions="sha256:9f2d",
    version="0.1.0",
)


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Three exports, a day apart, and then somebody who commits by hand."""
    sandbox = Sandbox(tmp_path)
    with sandbox.open() as clone:
        for day, changes, incomplete in (
            (0, [Change(Verb.CREATED, WEB, ("helm",)), Change(Verb.CREATED, ROLE, ("kubectl-create",))], ()),
            (1, [Change(Verb.UPDATED, WEB, ("kubectl-edit", "kubectl-set"))], ("widgets.example.com",)),
            (2, [Change(Verb.CREATED, CART, ("kubectl",)), Change(Verb.DELETED, ROLE)], ()),
        ):
            moment = START + timedelta(days=day)
            message = replace(SAID, changes=tuple(changes), incomplete=incomplete, exported_at=moment, first=day == 0)
            put = {layout.path_of(one.ref): f"day: {day}\n" for one in changes if one.verb is not Verb.DELETED}
            gone = tuple(layout.path_of(one.ref) for one in changes if one.verb is Verb.DELETED)
            commit(clone, put, delete=gone, message=build(message), when=moment)
        clone.push(heartbeat=None)
    sandbox.somebody_commits({"README.md": "hello\n", layout.path_of(WEB): "day: 9\n"}, message="fix it by hand")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dr-syncer.yaml").write_text(
        f"apiVersion: dr-syncer.io/v1\nrepository: {{url: {sandbox.repository}, cacheDir: {tmp_path / 'cache'}}}\n"
    )
    return sandbox


def commits(capsys: pytest.CaptureFixture[str], *flags: str) -> list[dict[str, Any]]:
    assert run(["log", "-o", "json", *flags]) == 0
    return json.loads(capsys.readouterr().out)["commits"]  # type: ignore[no-any-return]


def touched(found: list[dict[str, Any]]) -> list[list[tuple[str, str, list[str]]]]:
    return [[(one["verb"], one["object"], one["managers"]) for one in entry["changes"]] for entry in found]


def test_every_commit_is_there_newest_first_with_the_hands_behind_each_change(
    trail: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    found = commits(capsys)

    assert touched(found) == [
        [("created", "README.md", []), ("updated", str(WEB), [])],
        [("deleted", str(ROLE), []), ("created", str(CART), ["kubectl"])],
        [("updated", str(WEB), ["kubectl-edit", "kubectl-set"])],
        [("created", str(ROLE), ["kubectl-create"]), ("created", str(WEB), ["helm"])],
    ]
    assert [entry["madeByDrSyncer"] for entry in found] == [False, True, True, True]
    assert [entry["incomplete"] for entry in found] == [[], [], ["widgets.example.com"], []]
    assert [entry["exportedAt"] for entry in found[1:]] == [
        (START + timedelta(days=day)).isoformat() for day in (2, 1, 0)
    ]
    assert (found[0]["author"], found[0]["subject"], found[0]["cluster"]) == (
        "Other",
        "fix it by hand",
        None,
    )
    assert found[0]["commit"] == trail.head()


def test_one_object_has_a_trail_of_its_own(trail: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert touched(commits(capsys, "--object", str(WEB))) == [
        [("updated", str(WEB), [])],
        [("updated", str(WEB), ["kubectl-edit", "kubectl-set"])],
        [("created", str(WEB), ["helm"])],
    ]
    # A name with a colon has another file name; one that was deleted has its trail still.
    assert touched(commits(capsys, "--object", str(ROLE))) == [
        [("deleted", str(ROLE), [])],
        [("created", str(ROLE), ["kubectl-create"])],
    ]


def test_a_trail_may_be_limited_by_time_number_and_revision(trail: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    every = [entry["commit"] for entry in commits(capsys)]

    assert [entry["commit"] for entry in commits(capsys, "--since", "2026-03-02T12:00Z")] == every[:2]
    assert [entry["commit"] for entry in commits(capsys, "--since", "1h")] == every[:1]
    assert [entry["commit"] for entry in commits(capsys, "--limit", "1")] == every[:1]
    assert [entry["commit"] for entry in commits(capsys, "--revision", every[2])] == every[2:]
    assert [entry["commit"] for entry in commits(capsys, "--object", str(CART), "--limit", "3")] == every[1:2]


def test_people_read_the_same(trail: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "--limit", "3"]) == 0
    text = capsys.readouterr().out
    blocks = text.split("\n\n")

    assert len(blocks) == 3
    assert "not made by dr-syncer: Other" in blocks[0]
    assert "2026-03-03 03:00:00 UTC" in blocks[1]
    assert "kubectl" in blocks[1]
    assert "kubectl-edit, kubectl-set" in blocks[2]
    assert "incomplete: widgets.example.com" in blocks[2]
    assert run(["log", "--object", "shop/deployments.apps/nobody"]) == 0
    assert capsys.readouterr().out == "no commit matches\n"


def test_a_message_cannot_tell_of_changes_that_are_not_in_the_commit(
    trail: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = replace(SAID, changes=(Change(Verb.DELETED, CART, ("nobody",)), Change(Verb.UPDATED, WEB, ("mallory",))))
    trail.somebody_commits({layout.path_of(WEB): "day: 10\n"}, message=build(forged))

    assert touched(commits(capsys, "--limit", "1")) == [[("updated", str(WEB), ["mallory"])]]


def test_the_trail_of_the_last_look_is_shown_when_the_remote_is_away(
    trail: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    every = commits(capsys)
    trail.repository.rename(trail.folder / "away.git")

    assert run(["log", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["commits"] == every
    assert said.err.startswith("warning: as of the last fetch")


def test_a_path_of_a_shared_repository_has_its_own_objects(trail: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with trail.open(path="clusters/two") as clone:
        commit(clone, {layout.path_of(CART): "two\n"}, message=build(replace(SAID, cluster="two")))
        clone.push(heartbeat=None)
    file = Path("dr-syncer.yaml")
    file.write_text(file.read_text().replace("{url:", "{path: clusters/two, url:"))

    assert touched(commits(capsys)) == [[("created", str(CART), [])]]
    assert git("log", "--format=%s", cwd=trail.repository).count("\n") == 5


NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("1w", NOW - timedelta(days=7)),
        ("2026-03-01", START - timedelta(hours=3)),
        ("2026-03-01T03:00Z", START),
        ("2026-03-01T04:00+01:00", START),
    ],
)
def test_a_time_is_so_long_ago_or_a_date(text: str, moment: datetime) -> None:
    assert when(text, now=NOW, flag="--since") == moment


@pytest.mark.parametrize("text", ["", "yesterday", "7", "h", "-1h", "2026-13-01", "99999999999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no such time"):
        when(text, now=NOW, flag="--since")


def test_the_record_of_a_volume_is_told_as_that_and_found_by_its_claim(
    trail: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    said = VolumeChange(Fate.BACKED_UP, "shop", "data", "Complete, 3 files, 1.2 MiB")
    with trail.open() as clone:
        text = build(replace(SAID, volumes=(said,)))
        commit(clone, {layout.record_path("shop", "data"): "kind: VolumeRecord\n"}, message=text)
        clone.push(heartbeat=None)

    (entry,) = commits(capsys, "--object", "shop/persistentvolumeclaims/data")

    (change,) = entry["changes"]
    assert (change["verb"], change["object"]) == ("created", "volume shop/data")
    assert change["said"] == "backed up: Complete, 3 files, 1.2 MiB"
    assert run(["log", "--limit", "1"]) == 0
    assert "volume shop/data  backed up: Complete, 3 files, 1.2 MiB" in capsys.readouterr().out
