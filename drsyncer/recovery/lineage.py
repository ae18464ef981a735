"""What lies between two recovery points: whether one came after the other, and which commits made the difference.

Other people's commits may lie between ours, other exporters' too. What counts is the folder of one exporter in it.
"""

from __future__ import annotations

from drsyncer.recovery import refs
from drsyncer.recovery.process import Git


def follows(git: Git, newer: str, older: str) -> bool:
    """Return whether `newer` is `older` or was made on top of it. A commit that is not here is followed by nothing."""
    answer = git.run("cat-file", "--batch-check", stdin=f"{older}\n".encode()).split()
    return answer[1:2] == [b"commit"] and refs.is_ancestor(git, older, newer)


def authored(git: Git, *, after: str, until: str, folder: str) -> list[str]:
    """Return the commits on top of `after`, up to `until`, that made the folder what it was then.

    A commit on top of `after` that has the folder as one of its parents on top of `after` has it only passes it on.
    What comes in by a merge from anywhere else, an older state for example, is the merge's own doing.
    """
    said = git.run("rev-list", "--ancestry-path", "--topo-order", "--parents", until, "--not", after).decode("ascii")
    parents = {commit: found for commit, *found in map(str.split, said.splitlines())}
    line = {after, *parents}
    names = "".join(f"{commit}:{folder}\n" for commit in sorted(line))
    answers = git.run("cat-file", "--batch-check=%(objectname)", stdin=names.encode("utf-8", "surrogateescape"))
    trees = dict(zip(sorted(line), answers.decode("utf-8", "replace").splitlines(), strict=True))
    gone = {commit for commit, tree in trees.items() if tree.endswith(" missing")}
    trees |= dict.fromkeys(gone, "")
    return [
        commit
        for commit, its in parents.items()
        if trees[commit] not in {trees[parent] for parent in its if parent in line}
    ]
