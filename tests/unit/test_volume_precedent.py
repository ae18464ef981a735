"""The history that the last prune went by, and whether this one is that, gone on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from drsyncer.errors import Conflict, NotFound
from drsyncer.manifest import annotations as annotations_of
from tests.unit.recovery_sandbox import Sandbox, git
from volumes import precedent
from volumes.precedent import Precedent
from volumes.sharing import Meeting

REPOSITORY, OTHER = "ab" * 32, "cd" * 32


@dataclass
class Leases:
    """A cluster with Leases and no more. `conflicts`: how many writes somebody else comes before."""

    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    conflicts: int = 0

    def read(self, _type: object, *, namespace: str, name: str) -> dict[str, Any]:
        if name not in self.stored:
            raise NotFound("no such Lease")
        return self.stored[name]

    def create(self, _type: object, body: bytes, *, namespace: str, name: str) -> None:
        self._write(name, body)

    def request(self, _method: str, path: str, *, what: str, body: bytes) -> None:
        self._write(path.rpartition("/")[2], body)

    def _write(self, name: str, body: bytes) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody was faster")
        self.stored[name] = json.loads(body)


@pytest.fixture
def sandbox(tmp_path):
    made = Sandbox(tmp_path)
    for number in range(3):
        made.somebody_commits({"prod/a.yaml": f"a: {number}\n"})
    return made


@pytest.fixture
def meeting():
    return Meeting(Leases(), Leases, "dr-syncer", "prod", patience=0.0)


def said(sandbox, meeting, *, path="prod", repository=REPOSITORY) -> str:
    """What is said in a new clone of the branch as it is now."""
    with sandbox.open(cache="new", path=path) as clone:
        return precedent.departed(clone, meeting, repository, Precedent(sandbox.head(), path))


def remember(sandbox, meeting, **more):
    precedent.remember(meeting, REPOSITORY, Precedent(**{"commit": sandbox.head(), "path": "prod", **more}))


def test_nobody_remembers_anything_at_first(sandbox, meeting):
    assert said(sandbox, meeting) == ""
    remember(sandbox, meeting)
    assert said(sandbox, meeting) == ""
    assert said(sandbox, meeting, repository=OTHER) == ""


def test_a_branch_that_goes_on_is_the_same_history(sandbox, meeting):
    remember(sandbox, meeting)
    sandbox.somebody_commits({"elsewhere.yaml": "a: 1\n"})
    head = sandbox.head()
    # A merge that throws away what it merges has it among its ancestors all the same.
    tree = git("rev-parse", "main~2^{tree}", cwd=sandbox.repository).strip()
    merge = git("commit-tree", "-m", "m", "-p", "main~2", "-p", head, tree, cwd=sandbox.repository).strip()
    git("update-ref", "refs/heads/main", merge, cwd=sandbox.repository)

    assert said(sandbox, meeting) == ""


@pytest.mark.parametrize("gone", [False, True])
def test_a_branch_that_was_taken_back_or_begun_anew_is_another_history(sandbox, meeting, gone):
    remember(sandbox, meeting)
    to = git("commit-tree", "-m", "anew", "main^{tree}", cwd=sandbox.repository).strip() if gone else "main~1"
    git("update-ref", "refs/heads/main", to, cwd=sandbox.repository)
    git("reflog", "expire", "--expire=now", "--all", cwd=sandbox.repository)
    git("gc", "-q", "--prune=now", cwd=sandbox.repository)

    for _ in range(2):  # it is not told once only
        assert "the branch was rewritten, or is another one" in said(sandbox, meeting)
    remember(sandbox, meeting)
    assert said(sandbox, meeting) == ""


def test_another_folder_of_the_same_branch_is_another_history(sandbox, meeting):
    remember(sandbox, meeting, path="old")

    assert said(sandbox, meeting) == "the last prune went by repository.path 'old', and it is 'prod' now"


@pytest.mark.parametrize("text", ["", "null", "{}", '{"commit": "main", "path": "prod"}'])
def test_what_cannot_be_read_is_no_leave_to_go_on(sandbox, meeting, text):
    remember(sandbox, meeting)
    ((name, lease),) = meeting.cluster.stored.items()
    annotations_of(lease)[f"dr-syncer.io/pruned-{REPOSITORY[:32]}"] = text

    assert f"cannot be read (Lease dr-syncer/{name})" in said(sandbox, meeting)


def test_each_restic_repository_has_its_own_and_the_lease_is_nobodys_who_shares_one(sandbox, meeting):
    precedent.remember(meeting, OTHER, Precedent("0" * 40, "other"))
    remember(sandbox, meeting)

    assert (said(sandbox, meeting), said(sandbox, meeting, repository=OTHER) != "") == ("", True)
    ((name, _),) = meeting.cluster.stored.items()
    assert not name.startswith(meeting.name)


def test_who_is_not_faster_tries_again_and_not_for_ever(sandbox, meeting):
    meeting.cluster.conflicts = 2
    remember(sandbox, meeting)
    meeting.cluster.conflicts = 3
    with pytest.raises(Conflict):
        remember(sandbox, meeting, commit="0" * 40)
    assert said(sandbox, meeting) == ""
