"""`dr-syncer volumes verify`: whether what recovery points name is in the restic repository, and can be read."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from drsyncer.errors import ExitCode
from drsyncer.progress import Progress
from drsyncer.wording import some
from volumes import commands, sampling
from volumes.answers import Listed
from volumes.commands import MANIFEST_OF
from volumes.failure import FAILED
from volumes.hearing import Message
from volumes.hearing import Outcome as Heard
from volumes.pruning import Subject, ask_git, unlock
from volumes.repository import repository_id, snapshots
from volumes.restic import Restic
from volumes.retention import Knowledge, is_ours
from volumes.sampling import Compared, Pair
from volumes.sharing import Meeting, exclusive, shared

_MOST_ERRORS = 20  # lines of restic's that are told


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found. `subset` is the share of the data that was read, `errors` what restic says of the repository.

    `missing` are ids that kept recovery points name and that are not there, by claim; `unlisted` the snapshots of them
    without a list of their files, so that no restore of them can be verified. `compared` of the `comparable` ones were
    held against their list. `unlocked` are locks of dead pods that were removed.
    """

    cluster: str
    repository: str
    subset: str
    named: int
    missing: dict[str, tuple[str, ...]]
    unlisted: dict[str, tuple[str, ...]]
    errors: tuple[str, ...] = ()
    errors_total: int = 0
    warnings: tuple[str, ...] = field(default=())
    compared: tuple[Compared, ...] = ()
    comparable: int = 0
    unlocked: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 when something that is needed is missing or damaged, 3 when only lists of files are, else 0."""
        if self.errors_total or self.missing or any(one.total for one in self.compared):
            return ExitCode.FAILED
        return ExitCode.PARTIAL if self.unlisted else ExitCode.DONE

    @property
    def complaint(self) -> str:
        """What is wrong, in a sentence for an Event; "" for nothing."""
        different = [one.pair.claim for one in self.compared if one.total]
        told = (
            (self.errors_total, f"restic's check: {some(self.errors)}"),
            (self.missing, f"missing snapshots of {some(list(self.missing))}"),
            (different, f"snapshots of {some(different)} are not what the source had"),
            (self.unlisted, f"snapshots of {some(list(self.unlisted))} have no list of their files"),
        )
        return "; ".join(text for wrong, text in told if wrong)

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "cluster": self.cluster,
            "repository": self.repository,
            "dataRead": self.subset or None,
            "named": self.named,
            "missing": {claim: list(ids) for claim, ids in self.missing.items()},
            "unlisted": {claim: list(ids) for claim, ids in self.unlisted.items()},
            "comparable": self.comparable,
            "compared": [
                {
                    "claim": one.pair.claim,
                    "snapshot": one.pair.snapshot.id,
                    "entries": one.entries,
                    "differences": list(one.differences),
                    "differencesTotal": one.total,
                }
                for one in self.compared
            ],
            "errors": list(self.errors),
            "errorsTotal": self.errors_total,
            "unlocked": list(self.unlocked),
            "warnings": list(self.warnings),
        }


def verify(
    subject: Subject,
    restic_of: Callable[[Callable[[], bool]], contextlib.AbstractContextManager[Restic]],
    meeting: Meeting,
    *,
    subset: str,
    compare: int | None,
    progress: Progress,
) -> Outcome:
    """Check the restic repository, read the share `subset` of its data (`5%`; "" for none), and look for what is named.

    Of the snapshots that are, `compare` (None: all) are held against the lists of their files. Alone with the
    repository while restic's check wants to be. Raises Refused when what Git knows is incomplete or others do not go in
    time, `ResticError` when the repository cannot be opened, GitError, ClusterError.
    """
    with exclusive(meeting) as presence, restic_of(presence.holding) as restic:
        id_, found = repository_id(restic), snapshots(restic)
        known = ask_git(subject, id_)
        # A mover that was killed must not keep checks away until somebody prunes, which may be never.
        removed, held = unlock(restic, meeting)
        with progress.task("Checking the restic repository", total=None):
            heard = restic.run(
                commands.check(restic.access, subset=subset), doing="check the repository", listener=_ignore
            )
    errors = _errors(heard)
    pairs = pairs_of(found, known, host=subject.cluster)
    chosen = sampling.choose(pairs, compare, dice=random.Random())  # noqa: S311 - a sample, and no secret
    compared = _compared(chosen, restic_of, meeting, progress)
    there = {one.id for one in found}
    return Outcome(
        cluster=subject.cluster,
        repository=id_,
        subset=subset,
        named=len(known.named),
        missing=by_claim(known, (id_ for id_ in known.named if id_ not in there)),
        unlisted=by_claim(known, without_list(found, known, host=subject.cluster)),
        errors=tuple(errors[:_MOST_ERRORS]),
        errors_total=len(errors),
        unlocked=tuple(map(str, removed)),
        warnings=tuple(map(str, held)),
        compared=tuple(compared),
        comparable=len(pairs),
    )


def by_claim(known: Knowledge, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return `ids`, which recovery points name, by the claim that does."""
    found: dict[str, list[str]] = {}
    for id_ in sorted(ids):
        found.setdefault(known.named[id_], []).append(id_)
    return {claim: tuple(its) for claim, its in sorted(found.items())}


def without_list(found: Iterable[Listed], known: Knowledge, *, host: str) -> list[str]:
    """Return the whole snapshots that recovery points name and that nothing in the repository is the manifest of."""
    ours = [one for one in found if is_ours(one, host=host)]
    listed = {one.tag(MANIFEST_OF) for one in ours}
    return [
        one.id
        for one in ours
        if one.id in known.named and one.id in known.whole and one.id not in listed and not one.tag(MANIFEST_OF)
    ]


def pairs_of(found: Iterable[Listed], known: Knowledge, *, host: str) -> list[Pair]:
    """Return the whole snapshots that recovery points name and that have a list of their files."""
    ours = {one.id: one for one in found if is_ours(one, host=host)}
    # A snapshot of which nothing differed for long may have several: one that a recovery point names comes last.
    ordered = sorted(ours.values(), key=lambda one: (one.id in known.named, one.time))
    lists = {of: one.id for one in ordered if (of := one.tag(MANIFEST_OF))}
    return [
        Pair(known.named[id_], ours[id_], lists[id_])
        for id_ in sorted(known.named)
        if id_ in ours and id_ in lists and id_ in known.whole
    ]


def _compared(
    pairs: Sequence[Pair],
    restic_of: Callable[[Callable[[], bool]], contextlib.AbstractContextManager[Restic]],
    meeting: Meeting,
    progress: Progress,
) -> list[Compared]:
    """Hold snapshots against their lists, while nobody may prune. Backups go on."""
    if not pairs:
        return []
    found = []
    with (
        shared(meeting, str(uuid.uuid4())) as presence,
        restic_of(presence.holding) as restic,
        progress.task("Comparing snapshots", total=len(pairs)) as task,
    ):
        for pair in pairs:
            found.append(sampling.compare(restic, pair))
            task.advance(1, detail=pair.claim)
    return found


def _errors(heard: Heard) -> list[str]:
    """Return what restic complains of; () when the check ended well. Raises `ResticError` when there was no check."""
    if not heard.status:
        return []
    if heard.status != FAILED:
        raise heard.failed()
    said = [f"{one.item}: {one.message}" if one.item else one.message for one in heard.complaints]
    return [*said, *(line for line in heard.tail if line not in said)] or ["the check failed without a word"]


def _ignore(_: Message) -> None:
    """Its messages are progress; what it complains of is kept anyway."""
