"""A look at a remote's refs, by real git and without a clone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from drsyncer.errors import Abandoned, RemoteUnreachable
from drsyncer.recovery.glance import look
from drsyncer.recovery.remote import Remote
from tests.cluster.git_servers import bare_repository, git


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(url=str(bare_repository(tmp_path / "remote.git")), cache_dir=str(tmp_path / "cache"))


def commit(remote: Remote, *, branch: str = "main", tag: str = "") -> str:
    """Make a commit in the remote, without a work tree; return it."""
    inside = ("-C", remote.url)
    tree = git(*inside, "hash-object", "-t", "tree", "-w", "/dev/null")
    made = git(*inside, "commit-tree", tree, "-m", f"for {branch}")
    git(*inside, "update-ref", f"refs/heads/{branch}", made)
    if tag:
        git(*inside, "tag", "-a", "-m", tag, tag, made)
    return made


def test_a_branch_is_found_and_what_only_ends_like_it_is_not(remote: Remote) -> None:
    main = commit(remote)
    commit(remote, branch="refs/heads/main")
    commit(remote, branch="other/main")
    assert look(remote, ["refs/heads/main"]) == {"refs/heads/main": main}
    assert look(remote, ["refs/heads/none"]) == {}


def test_an_annotated_tag_is_the_commit_that_it_names(remote: Remote) -> None:
    first = commit(remote, branch="a", tag="v1")
    second = commit(remote, branch="b", tag="v2")
    assert look(remote, ["refs/tags/v1"]) == {"refs/tags/v1": first}
    assert look(remote, ["refs/tags/*"]) == {"refs/tags/v1": first, "refs/tags/v2": second}


def test_an_empty_remote_has_nothing_and_nothing_is_asked_for_nothing(remote: Remote, tmp_path: Path) -> None:
    assert look(remote, ["refs/heads/main"]) == {}
    assert look(Remote(url=str(tmp_path / "none")), []) == {}


def test_a_remote_that_is_away_is_unreachable(tmp_path: Path) -> None:
    remote = Remote(url=str(tmp_path / "none"), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(RemoteUnreachable):
        look(remote, ["refs/heads/main"])


def test_a_look_leaves_no_clone_behind_and_takes_no_lock(remote: Remote, tmp_path: Path) -> None:
    commit(remote)
    look(remote, ["refs/heads/main"])
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_look_ends_when_it_is_told_to(remote: Remote, tmp_path: Path) -> None:
    commit(remote)
    begun = time.monotonic()
    with pytest.raises(Abandoned):
        look(remote, ["refs/heads/main"], goes_on=lambda: False)
    assert time.monotonic() - begun < 5
