"""What the recovery repository knows of snapshots: all of it, or nothing.

Whoever forgets snapshots by half of the history forgets those that the other half names. So whatever is missing, or
cannot be read, is a refusal here and no guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain

from drsyncer.config.volumes import Retention
from drsyncer.errors import Refused, RevisionNotFound
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from drsyncer.recovery.vouching import point_of, source_of, vouch
from drsyncer.snapshot import Record
from drsyncer.wording import many, some
from volumes.points import Reader, time_of
from volumes.retention import Knowledge, kept_points, knowledge_of

_AT_ONCE = 500  # commits whose trees are asked for together
_NOTHING = "Nothing is forgotten while that is so. "


def knowledge(
    clone: Clone,
    *,
    head: str,
    cluster: str,
    repository: str,
    policy: Retention,
    now: datetime,
    rewritten: bool = False,
) -> Knowledge:
    """Return what the history up to `head`, and every tag, knows of the restic repository with the id `repository`.

    `cluster` is whose snapshots are asked about. The remote must have been fetched just now. `rewritten`: that the
    branch was is meant. Raises Refused when the knowledge is incomplete: a history that was rewritten or is cut off,
    commits that were not pushed, a record that cannot be read, a recovery point of another cluster, or none that names
    this repository; GitError.
    """
    _check_history(clone, rewritten=rewritten)
    commit = clone.resolve(head)
    point = point_of(clone, commit)
    vouch(clone, point.id)
    source = source_of(clone, commit, clone.files(commit))
    if source.cluster != cluster:
        raise Refused(
            f"the recovery repository holds recovery points of {source.cluster}, and the snapshots of {cluster} are "
            "asked about",
            hint=_NOTHING + "Check repository.path and exporter.cluster.",
        )
    reader = Reader(clone)
    kept, others = _trees(clone, commit, policy, now=now)
    points = chain(_read(reader, kept, strict=True), _read(reader, others, strict=False))
    newest = reader.records(commit)
    known = knowledge_of(points, newest.volumes, repository=repository)
    if not known.named:
        raise Refused(
            f"no recovery point that is kept names a snapshot of the restic repository {repository[:8]}",
            hint=_NOTHING + "Is it the right repository, and does the exporter bring what backups leave on claims to "
            "Git? `dr-syncer volumes list` shows it.",
        )
    return known


def _check_history(clone: Clone, *, rewritten: bool) -> None:
    # Only the clone that saw the branch before tells, and only once: `precedent` knows better where prunes are.
    if clone.rewritten is not None and not rewritten:
        before, now = clone.rewritten
        raise Refused(
            f"the branch was rewritten: it was at {before[:12]} and is {f'at {now[:12]}' if now else 'gone'} now",
            hint=_NOTHING + "Find out who did it; run again when the history is what it should be.",
        )
    if clone.shallow:
        raise Refused(
            "the history of the recovery repository is cut off (a shallow repository)",
            hint=_NOTHING + "Bring the missing commits back to it: `git fetch --unshallow` from where they are.",
        )
    if unpushed := clone.unpushed():
        raise Refused(
            f"{many(len(unpushed), 'commit')} of the recovery repository {'is' if len(unpushed) == 1 else 'are'} here "
            "and not pushed",
            hint=_NOTHING + "`dr-syncer export` pushes them.",
        )


def _trees(clone: Clone, head: str, policy: Retention, *, now: datetime) -> tuple[dict[str, str], dict[str, str]]:
    """Return a commit for each state of `volumes/`: of the recovery points that are kept, and of all others."""
    history = list(clone.history(head))
    commits = [commit.id for commit in history]
    places = {commit: index for index, commit in enumerate(commits)}
    tagged = _tagged(clone)
    # Of the two times the younger one: a clock that was wrong once must cost nothing.
    times = [max(time_of(commit), commit.time) for commit in history]
    indexes = kept_points(times, policy, tagged={places[one] for one in tagged if one in places}, now=now)
    elsewhere = [one for one in tagged if one not in places]
    kept = _by_tree(clone, [*(commits[index] for index in sorted(indexes)), *elsewhere])
    others = _by_tree(clone, [commit for index, commit in enumerate(commits) if index not in indexes])
    return kept, {tree: commit for tree, commit in others.items() if tree not in kept}


def _tagged(clone: Clone) -> list[str]:
    """Return the recovery points that somebody gave a name to: they are kept for ever."""
    found = []
    for tag in clone.tags():
        try:
            point = clone.lineage.point(clone.resolve(f"refs/tags/{tag}"))
        except RevisionNotFound:  # of something else than a commit
            continue
        if point is not None:
            found.append(point)
    return list(dict.fromkeys(found))


def _by_tree(clone: Clone, commits: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(commits), _AT_ONCE):
        trees = clone.lineage.trees(commits[start : start + _AT_ONCE], under=layout.VOLUMES)
        for commit, tree in trees.items():
            found.setdefault(tree, commit)
    return {tree: commit for tree, commit in found.items() if tree}


def _read(reader: Reader, trees: dict[str, str], *, strict: bool) -> Iterator[tuple[bool, Mapping[ObjectRef, Record]]]:
    """Yield the records of each state. `strict`: one that cannot be read is a refusal."""
    for commit in trees.values():
        records = reader.records(commit)
        if strict and records.faults:
            raise Refused(
                f"recovery point {commit[:12]} is kept, and what it says of volumes cannot be read: "
                f"{some(sorted(records.faults.values()))}",
                hint=_NOTHING + "A newer version may have written it: use that. If a person did, the next export puts "
                "it right; it counts until that recovery point is no longer kept.",
            )
        yield strict, records.volumes
