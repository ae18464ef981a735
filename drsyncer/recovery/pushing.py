"""What a push did, read from `git push --porcelain`: git itself ends with the same status for every kind of refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_LINE = re.compile(r"([ +\-*!=])\t([^\t]*):([^\t]*)\t(.*)")
_REASON = re.compile(r"\[(?P<kind>[^\]]+)\](?: \((?P<reason>.*)\))?")
# Reasons that say "somebody else was faster", of the client and of the server.
_MOVED = re.compile(
    r"fetch first|non-fast-forward|stale info|needs force|cannot lock ref|failed to (update|lock) ref|reference already"
    r"|incorrect old value|unable to create .*\.lock|remote ref updated since checkout|failed to lock",
    re.IGNORECASE,
)
# Reasons that another ref of the same push is to blame for.
_WITH_OTHERS = re.compile(r"atomic (push|transaction)", re.IGNORECASE)


class Verdict(StrEnum):
    """What became of one ref."""

    DONE = "done"  # also when it was so before
    MOVED = "moved"  # the remote's ref is not where we thought
    REFUSED = "refused"  # a hook or a rule there said no
    WITH_OTHERS = "with others"  # not done, since another ref of the push was not


@dataclass(frozen=True, slots=True)
class RefResult:
    """One line of the report."""

    verdict: Verdict
    reason: str  # git's or the server's words; "" when done


@dataclass(frozen=True, slots=True)
class PushResult:
    """What the remote holds after a push."""

    head: str | None  # the branch's commit there; None when there is none
    pushed: tuple[str, ...] = ()  # the commits that were new there, oldest first
    replayed: bool = False  # the branch had moved: our commits got new ids
    heartbeat: bool = False  # the heartbeat is there
    heartbeat_refused: str = ""  # why it is not, in the server's words: some servers take branches only


def report(out: str) -> dict[str, RefResult]:
    """Given the output of `git push --porcelain` return each remote ref's result."""
    results = {}
    for line in out.splitlines():
        if found := _LINE.fullmatch(line):
            flag, _, ref, summary = found.groups()
            results[ref] = _judged(summary) if flag == "!" else RefResult(Verdict.DONE, "")
    return results


def _judged(summary: str) -> RefResult:
    found = _REASON.match(summary)
    reason = (found["reason"] or found["kind"]) if found else summary
    if _WITH_OTHERS.search(reason):
        return RefResult(Verdict.WITH_OTHERS, reason)
    return RefResult(Verdict.MOVED if _MOVED.search(reason) else Verdict.REFUSED, reason)
