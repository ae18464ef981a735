"""What an importer tells as Kubernetes Events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drsyncer.errors import DrSyncerError
from drsyncer.manifest import ObjectRef
from drsyncer.service.reasons import (
    CLUSTER_AVAILABLE,
    CLUSTER_UNAVAILABLE,
    DELETIONS_HELD,
    DELETIONS_RELEASED,
    DRIFT_CORRECTED,
    DRIFT_FOUND,
    IMPORT_FAILING,
    IMPORT_WORKS,
    OBJECTS_BLOCKED,
    OBJECTS_UNBLOCKED,
    REPOSITORY_AVAILABLE,
    REPOSITORY_UNAVAILABLE,
    REVISION_ACCEPTED,
    REVISION_FOUND,
    REVISION_MISSING,
    REVISION_REFUSED,
    Reason,
    Tell,
)
from drsyncer.wording import some
from importer.apply import Result
from importer.observing import Failure, Nobody, Why
from importer.outcome import Outcome
from importer.plan import WRITES, Action, hands

_MOST_CAUSES = 5  # with an Event each; the others share one
_MOST_LOOKED_AT = 200  # drifted objects whose other hands are looked for


@dataclass(frozen=True, slots=True)
class _Words:
    """What is told of one kind of failure, and of its end."""

    trouble: Reason
    over: Reason
    end: str


_OF: Mapping[Failure, _Words] = {
    Failure.REMOTE: _Words(REPOSITORY_UNAVAILABLE, REPOSITORY_AVAILABLE, "the recovery repository answers"),
    Failure.FETCH: _Words(REPOSITORY_UNAVAILABLE, REPOSITORY_AVAILABLE, "the recovery point could be fetched"),
    Failure.CLUSTER: _Words(CLUSTER_UNAVAILABLE, CLUSTER_AVAILABLE, "the DR cluster answers"),
    Failure.REVISION: _Words(REVISION_MISSING, REVISION_FOUND, "what is followed is there"),
    Failure.REFUSED: _Words(REVISION_REFUSED, REVISION_ACCEPTED, "the newest recovery point is accepted"),
    Failure.GUARD: _Words(DELETIONS_HELD, DELETIONS_RELEASED, "no deletion is held back any more"),
    Failure.BLOCKED: _Words(OBJECTS_BLOCKED, OBJECTS_UNBLOCKED, "everything is imported"),
    Failure.DRIFT: _Words(IMPORT_FAILING, IMPORT_WORKS, "DR is compared with Git again"),
}
# Their ends would otherwise be told as one: each is a matter of its own.
_SUBJECTS: Mapping[Failure, str] = {Failure.FETCH: "fetching"}


class Noticed(Nobody):
    """An observer (see `importer.observing.Observer`) that tells what a person on call should see, nothing else."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def failure(self, kind: Failure, text: str) -> None:
        """Tell of a failure; blocked objects are told with the import's outcome, which knows the causes."""
        if kind is not Failure.BLOCKED:
            self._tell(_OF[kind].trouble, text, _SUBJECTS.get(kind, ""))

    def recovered(self, kind: Failure) -> None:
        """Tell that it is over."""
        self._tell(_OF[kind].over, _OF[kind].end, _SUBJECTS.get(kind, ""))

    def import_ended(self, why: Why, outcome: Outcome | None, error: DrSyncerError | None) -> None:
        """Tell what stayed out of DR, and what other hands had done there."""
        if outcome is None or any(result.unreachable for result in outcome.results):
            return  # told as a failure
        self._tell_blocked(outcome)
        if outcome.drifted:
            self._tell_drift(outcome)

    def _tell_blocked(self, outcome: Outcome) -> None:
        causes: dict[str, list[object]] = {}
        for result in outcome.results:
            if result.action is Action.BLOCKED and not result.abandoned:
                causes.setdefault(cause(result), []).append(result.step.ref)
        for type_, reason in sorted(outcome.unknown.items()):
            causes.setdefault(reason, []).append(f"all {type_}")
        ranked = sorted(causes.items(), key=lambda item: (-len(item[1]), item[0]))
        for text, refs in ranked[:_MOST_CAUSES]:
            self._tell(OBJECTS_BLOCKED, f"{_counted(refs)}: {text}", text)
        if rest := [ref for _, refs in ranked[_MOST_CAUSES:] for ref in refs]:
            others = len(ranked) - _MOST_CAUSES
            self._tell(OBJECTS_BLOCKED, f"{_counted(rest)}, for {others} other causes: `dr-syncer import --plan`")

    def _tell_drift(self, outcome: Outcome) -> None:
        drifted = frozenset(outcome.drifted)
        by_hand: dict[tuple[bool, str], list[ObjectRef]] = {}
        found = [result for result in outcome.results if result.step.ref in drifted]
        for result in found[:_MOST_LOOKED_AT]:
            left = outcome.planned_only or result.action is Action.SKIP
            if left or result.action in WRITES:  # what could not be put back is blocked
                by_hand.setdefault((left, _whose(result)), []).append(result.step.ref)
        for (left, whose), refs in by_hand.items():
            more = f" (of {len(found)} that were changed)" if len(found) > _MOST_LOOKED_AT else ""
            done = "left as it is" if left else "put back"
            self._tell(DRIFT_FOUND if left else DRIFT_CORRECTED, f"{_counted(refs)}{more} {whose}; {done}", whose)


def cause(result: Result) -> str:
    """Return why an object is blocked, without its own name: so that all with the same cause come together."""
    ref, text = result.step.ref, result.error or result.reason
    for named in (f"apply {ref}: ", f"create {ref}: ", f"delete {ref}: ", f"read {ref}: ", f"{ref}: "):
        text = text.replace(named, "")
    return text.replace(f'"{ref.name}"', '"…"')


def _whose(result: Result) -> str:
    if result.step.live is None:
        return "deleted by other hands"
    return f"changed by {some(found)}" if (found := hands(result.step)) else "changed by other hands"


def _counted(refs: Iterable[object]) -> str:
    named = list(refs)
    return f"{len(named)} object{'s' if len(named) != 1 else ''}: {some(named)}"
