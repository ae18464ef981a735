"""What lies between two recovery points: whether one came after the other, and which commits made the difference.

Other people's commits may lie between ours, other exporters' too. What counts is the folder of one exporter in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from drsyncer.recovery import refs
from drsyncer.recovery.process import Git


class Lineage:
    """How the recovery points of one exporter's folder follow one another. Commits are full ids."""

    def __init__(self, git: Git, *, folder: str) -> None:
        """`folder`: relative to the repository; "" for all of it."""
        self._git = git
        self._folder = folder

    def point(self, commit: str) -> str | None:
        """Return the newest commit up to `commit` that made the folder what it is there; None when there is no folder.

        Why not `git log`: with what it is told to show of merges, it also names those that only pass the folder on.
        """
        only = (f"{self._folder}/",) if self._folder else ()
        found = self._git.run("rev-list", "--max-count=1", refs.checked(commit), "--", *only)
        return found.decode("ascii").strip() or None

    def follows(self, newer: str, older: str) -> bool:
        """Return whether `newer` is `older` or was made on top of it; not, when one of them is not here."""
        both = f"{refs.checked(newer)}\n{refs.checked(older)}\n".encode()
        answers = self._git.run("cat-file", "--batch-check=%(objecttype)", stdin=both).split(b"\n")
        return answers[:2] == [b"commit", b"commit"] and refs.is_ancestor(self._git, older, newer)

    def authored(self, *, after: str, until: str) -> list[str]:
        """Return the commits on top of `after`, up to `until`, that made the folder what it was then.

        A commit on top of `after` that has the folder as one of its parents on top of `after` has it only passes it
        on. What comes in by a merge from anywhere else, an older state for example, is the merge's own doing.
        """
        between = (refs.checked(until), "--not", refs.checked(after))
        said = self._git.run("rev-list", "--ancestry-path", "--topo-order", "--parents", *between).decode("ascii")
        parents = {commit: found for commit, *found in map(str.split, said.splitlines())}
        trees = self.trees([after, *parents])
        return [
            commit
            for commit, its in parents.items()
            if trees[commit] not in {trees[parent] for parent in its if parent in trees}
        ]

    def trees(self, commits: Sequence[str], *, under: str = "") -> dict[str, str]:
        """Return the id of what each commit has in the place of the folder, or of `under` in it; "" for nothing."""
        place = "/".join(part for part in (self._folder, under) if part)
        names = "".join(f"{refs.checked(commit)}:{place}\n" for commit in commits).encode("utf-8", "surrogateescape")
        answers = self._git.run("cat-file", "--batch-check=%(objectname)", stdin=names).decode("utf-8", "replace")
        found = zip(commits, answers.splitlines(), strict=True)
        return {commit: "" if tree.endswith(" missing") else tree for commit, tree in found}
