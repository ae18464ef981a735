"""The refs of the clone: where the remote's branch is, where ours is, and how far the remote has ours.

refs/remotes/origin/*       the remote's branches, as of the last fetch or push
refs/tags/*, refs/dr-syncer/*   as on the remote
refs/local/head/<branch>    the remote's branch with our commits on top of it
refs/local/known/<branch>   the last commit below our head that the remote is known to have had
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drsyncer.errors import RevisionNotFound
from drsyncer.recovery.failure import CloneDamaged, failure
from drsyncer.recovery.process import Git
from drsyncer.recovery.remote import may_be_ref

# A plus: the remote decides what its refs are, also after somebody rewrote them.
FETCHED: Final = (
    "+refs/heads/*:refs/remotes/origin/*",
    "+refs/tags/*:refs/tags/*",
    "+refs/dr-syncer/*:refs/dr-syncer/*",
)
COMMIT_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_ID = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Names:
    """The refs for one branch."""

    remote: str
    local: str
    known: str

    @classmethod
    def of(cls, branch: str) -> Names:
        """Return the refs for `branch`."""
        # In one piece: a branch `a/b` must not stand in the way of one named `a` that was used before.
        flat = branch.replace("%", "%25").replace("/", "%2F")
        return cls(f"refs/remotes/origin/{branch}", f"refs/local/head/{flat}", f"refs/local/known/{flat}")


@dataclass(frozen=True, slots=True)
class Refs:
    """What the refs of one branch point to; None for one that is not there."""

    remote: str | None
    local: str | None
    known: str | None


def read(git: Git, names: Names) -> Refs:
    """Return where the branch's refs are. Raises `CloneDamaged` when one can't be read."""
    found = every(git, names.remote, names.local, names.known)
    return Refs(found.get(names.remote), found.get(names.local), found.get(names.known))


def every(git: Git, *patterns: str) -> dict[str, str]:
    """Return the refs below `patterns`, or all of them, by name."""
    output = git.ask("for-each-ref", "--format=%(refname) %(objectname)", *patterns)
    if output.status != 0:
        raise failure(output.err, doing="for-each-ref", local=True)
    if output.err:
        raise CloneDamaged(f"recovery.git: for-each-ref: {output.err.splitlines()[0]}")
    return dict(line.split(" ") for line in output.out.decode("utf-8", "surrogateescape").splitlines())


def move(git: Git, moves: Mapping[str, str | None]) -> None:
    """Point each ref to a commit, or remove it (None): all of them or none."""
    lines = (f"update {ref} {commit}\n" if commit else f"delete {ref}\n" for ref, commit in moves.items())
    git.run("update-ref", "--no-deref", "--stdin", stdin="".join(lines).encode())


def is_ancestor(git: Git, older: str, newer: str) -> bool:
    """Return whether `newer` is `older` or was made on top of it."""
    output = git.ask("merge-base", "--is-ancestor", older, newer)
    if output.status not in (0, 1):
        raise failure(output.err, doing="merge-base", local=True)
    return output.status == 0


def commits_between(git: Git, head: str, *excluded: str | None) -> list[str]:
    """Return the commits up to `head` that none of `excluded` has, oldest first."""
    below = [commit for commit in excluded if commit]
    return git.run("rev-list", "--reverse", "--topo-order", head, "--not", *below).decode("ascii").split()


def checked(commit: str) -> str:
    """Return `commit`. Raises `RevisionNotFound` when that can't be a commit's full id."""
    if not COMMIT_ID.fullmatch(commit):
        raise RevisionNotFound(f"recovery.git: {commit!r:.200} is no commit's id")
    return commit


def candidates(revision: str) -> list[str]:
    """Return the unambiguous names that `revision` may stand for; none for what can't name a commit."""
    if COMMIT_ID.fullmatch(revision):
        return [revision]
    if not may_be_ref(revision):
        return []
    branch = revision.removeprefix("refs/heads/")
    tag = revision.removeprefix("refs/tags/")
    names = [] if tag != revision else [f"refs/remotes/origin/{branch}"]
    names += [] if branch != revision else [f"refs/tags/{tag}"]
    return [*names, revision] if _SHORT_ID.fullmatch(revision) else names
