"""Our own commits once more, on top of what somebody else pushed in the meantime.

Why not `git rebase` or `git merge`: each needs a work tree, and each stops at a conflict. There is none to solve here:
each commit of ours says how some files are now, and those files are ours. So its changes are made again on the new
head, ours win, and everybody else's files stay as they are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drsyncer.recovery import objects
from drsyncer.recovery.fast_import import Draft, fast_import
from drsyncer.recovery.process import Git

_GONE = "000000"
_AT_ONCE = 200  # commits per pair of processes: an outage of a day may leave thousands


class _Files(NamedTuple):
    """What one commit did: path -> mode and object id of what is there now, and what is gone."""

    put: dict[bytes, tuple[str, str]]
    delete: set[bytes]


def replay(git: Git, commits: list[str], *, onto: str) -> str:
    """Write `commits`, oldest first, again on top of `onto`; return the new head, to which no branch points yet.

    Messages, authors and dates stay. A commit that changes nothing any more is left out.
    """
    head = onto
    with fast_import(git) as writer:
        for start in range(0, len(commits), _AT_ONCE):
            for draft in _drafts(git, commits[start : start + _AT_ONCE]):
                head = writer.commit(draft, parent=head) or head
        writer.finish()
    return head


def _drafts(git: Git, commits: list[str]) -> Iterator[Draft]:
    ids = "".join(f"{commit}\n" for commit in commits).encode()
    diffs = git.run("diff-tree", "--stdin", "-r", "-z", "--raw", "--root", "--no-renames", "--no-abbrev", stdin=ids)
    changes = _changes(diffs)
    for commit, content in zip(commits, objects.commits(git, commits), strict=True):
        header, _, message = content.partition(b"\n\n")
        fields = dict(line.partition(b" ")[::2] for line in header.split(b"\n"))
        put, delete = changes.get(commit, _Files({}, set()))
        yield Draft(fields[b"author"], fields[b"committer"], message, put=put, delete=frozenset(delete))


def _changes(diffs: bytes) -> dict[str, _Files]:
    """Given the raw format of `git diff-tree --stdin -z` return each commit's files to put and to delete."""
    changes: dict[str, _Files] = {}
    put, delete = _Files({}, set())
    tokens = iter(diffs.split(b"\0")[:-1])
    for token in tokens:
        if not token.startswith(b":"):
            put, delete = changes.setdefault(token.decode("ascii"), _Files({}, set()))
            continue
        _, mode, _, object_id, _ = token.decode("ascii").split()
        path = next(tokens)
        if mode == _GONE:
            delete.add(path)
        else:
            put[path] = (mode, object_id)
    return changes
