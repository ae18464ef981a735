"""What an import follows: which commit it is now, who vouches for it, and whether it comes after the last one.

Whoever may push can put any commit at the head of the branch: one that nobody signed, and also an old one that was
signed long ago. So a signature is not enough; what is followed only ever goes forward, unless a person says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drsyncer import versions
from drsyncer.config.schema import Revision
from drsyncer.errors import GitError, Refused, RevisionNotFound, UsageError
from drsyncer.recovery.git import Clone, Commit
from drsyncer.recovery.signatures import Signature
from drsyncer.recovery.vouching import point_of, vouch
from drsyncer.wording import some
from importer.inventory import Inventory

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One recovery point.

    `point` is the newest commit up to `commit` that changed `repository.path`: other exporters' commits may lie on
    top of it. `followed` is "" when a person chose something else than the configured branch, tag or range.
    `signature` is None when signatures are not verified.
    """

    commit: str
    point: Commit
    followed: str
    signature: Signature | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an importer has come: what it follows, in words, and the newest `point` of that which it accepted."""

    followed: str
    head: str


def refs_of(revision: Revision) -> tuple[str, ...]:
    """Return the remote's refs that say whether what is followed moved; none for a commit, which never does."""
    if revision.semver:
        return ("refs/tags/*",)
    if revision.branch:
        return (f"refs/heads/{revision.branch}",)
    return (f"refs/tags/{revision.tag}",) if revision.tag else ()


def choose(clone: Clone, revision: Revision, requested: str, *, fetch: bool = True) -> Chosen:
    """Return the recovery point that `requested` names, or the configured `revision` when that is "".

    Without `fetch` the remote is not asked, and what it had when it was last fetched counts.

    Raises Refused when signatures are verified and no allowed signer signed it, RevisionNotFound, GitError.
    """
    commit, warnings = (
        _resolve(clone, revision, requested) if fetch else (clone.resolve(requested or configured(clone, revision)), [])
    )
    point = point_of(clone, commit)
    signature = vouch(clone, point.id)
    own_choice = requested not in ("", *_names(revision))
    return Chosen(commit, point, "" if own_choice else _followed(revision), signature, tuple(warnings))


def accept(clone: Clone, chosen: Chosen, revision: Revision, inventory: Inventory, *, anew: bool) -> Standing:
    """Return what to remember when `chosen` is imported. `anew`: what was accepted before does not count any more.

    What is followed must have gone forward, and where signatures are verified, by signed commits only: an exporter
    signs whatever tree it builds on, an intruder's files too. A person accepts anything else by naming the very commit.
    Raises Refused.
    """
    if not chosen.followed:
        if revision.text and not revision.commit and _is_current(clone, revision, chosen):
            return Standing(_followed(revision), chosen.point.id)
        return Standing(inventory.followed, inventory.head)
    standing = Standing(chosen.followed, chosen.point.id)
    # A person who configures another branch, tag or range has said that it is meant.
    if anew or not inventory.head or inventory.followed != chosen.followed:
        return standing
    if not clone.lineage.follows(chosen.point.id, inventory.head):
        raise _moved(clone, chosen, inventory.head)
    if clone.verifies:
        between = clone.signatures(clone.lineage.authored(after=inventory.head, until=chosen.point.id)).values()
        if bad := [signature for signature in between if not signature.good]:
            raise Refused(
                f"recovery point {chosen.point.id[:12]} is signed, but builds on what nobody vouches for: commit "
                f"{bad[-1].commit[:12]} {bad[-1]}" + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""),
                hint=f"Nothing was changed in DR; it stays at {inventory.head[:12]}. See what came in with "
                f"`git show {bad[-1].commit[:12]}`. {_way_on(chosen)}",
            )
    return standing


def _moved(clone: Clone, chosen: Chosen, before: str) -> Refused:
    back = clone.lineage.follows(before, chosen.point.id)
    how = "was taken back" if back else "was rewritten"
    return Refused(
        f"{chosen.followed} {how}: {before[:12]} was accepted before, and {chosen.point.id[:12]} is "
        + ("older" if back else "not built on it"),
        hint=f"Nothing was changed in DR. Find out who moved it and why. {_way_on(chosen)}",
    )


def _way_on(chosen: Chosen) -> str:
    return f"If it is right: `dr-syncer import --revision {chosen.point.id}` accepts it from now on."


def _resolve(clone: Clone, revision: Revision, requested: str) -> tuple[str, list[str]]:
    """Return the commit. One that is here already needs no remote; a branch, a tag and a range do."""
    try:
        exported = clone.fetch()
    except GitError as error:
        fixed = requested or revision.commit
        if not _COMMIT.fullmatch(fixed):
            error.hint = (
                f"{error.hint} A commit that was fetched before can be imported without the remote: "
                "--revision with its full id."
            ).strip()
            raise
        return clone.resolve(fixed), [f"the remote was not asked: {error}"]
    try:
        commit = clone.resolve(requested or configured(clone, revision))
        if not requested and not commit.startswith(revision.commit):
            raise UsageError(
                f"importer.revision.commit: {revision.commit} is also the name of a branch or tag, which is {commit}",
                hint="Write the commit's full id.",
            )
        return commit, []
    except RevisionNotFound as error:
        if exported is None and not revision.semver:
            error.hint = "The recovery repository has no such branch yet: run `dr-syncer export` first."
        raise


def configured(clone: Clone, revision: Revision) -> str:
    """Return the configured revision as git names it: a tag may be called like a branch.

    Raises RevisionNotFound and UsageError for a range of versions that names no commit.
    """
    if revision.semver:
        return f"refs/tags/{_newest_tag(clone, revision.semver)}"
    if revision.branch:
        return f"refs/heads/{revision.branch}"
    return f"refs/tags/{revision.tag}" if revision.tag else revision.commit


def _newest_tag(clone: Clone, wanted: str) -> str:
    found = versions.newest(wanted, clone.tags())
    if not found.tags:
        nearest = f"the newest versions are {', '.join(found.nearest)}" if found.nearest else "no tag is a version"
        raise RevisionNotFound(
            f"importer.revision.semver: no tag is a version in {wanted}; {nearest}",
            hint="Tag a recovery point (`git tag v1.0.0 COMMIT`, and push the tag), or change the range. "
            "Pre-releases count only where the range names one.",
        )
    if len({clone.resolve(f"refs/tags/{tag}") for tag in found.tags}) > 1:
        raise UsageError(
            f"importer.revision.semver: {some(found.tags)} are the same version and name different commits",
            hint="Remove all but one of these tags, or name one as importer.revision.tag.",
        )
    return found.tags[0]


def _followed(revision: Revision) -> str:
    for kind in ("branch", "tag", "semver"):
        if text := getattr(revision, kind):
            return f"{kind} {text}"
    return ""  # a commit never moves


def _names(revision: Revision) -> tuple[str, ...]:
    """Return how people may name on the command line what is configured."""
    if revision.branch:
        return revision.branch, f"refs/heads/{revision.branch}"
    return (revision.tag, f"refs/tags/{revision.tag}") if revision.tag else ()


def _is_current(clone: Clone, revision: Revision, chosen: Chosen) -> bool:
    """Return whether `chosen` is where the branch, tag or range that the importer follows is now."""
    try:
        return point_of(clone, clone.resolve(configured(clone, revision))).id == chosen.point.id
    except (RevisionNotFound, Refused, UsageError):
        return False
