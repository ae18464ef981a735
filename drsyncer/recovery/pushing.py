"""What a push did, read from `git push --porcelain`: git itself ends with the same status for every kind of refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from drsyncer.recovery.failure import remote_words
from drsyncer.recovery.process import Git, Output

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


class Sender:
    """Pushes refs: all of them or none, where the server can do that. `specs` map the remote's refs to refspecs."""

    def __init__(self, git: Git, *, network: Callable[..., Output]) -> None:
        """`network` runs a command that speaks to the remote, and does not mind when it fails."""
        self._git = git
        self._network = network
        self._atomic = True

    def send(self, specs: Mapping[str, str], *, first: str) -> tuple[dict[str, RefResult], str]:
        """Push all of `specs` or none; return each ref's answer, and what the remote had to say.

        To a server that can't do all or nothing, `first` goes first and the others only when it is there: no heartbeat
        shall tell of a commit that is not.
        """
        if len(specs) > 1 and not self._atomic:
            return self._send_in_turn(specs, first)
        atomic = ("--atomic",) if len(specs) > 1 else ()
        flags = ("--porcelain", "--progress", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", *atomic)
        output = self._network("push", *flags, "origin", *specs.values(), doing="push to", must_succeed=False)
        answers = report(output.out.decode("utf-8", "replace"))
        if output.status != 0 and all(answer.verdict is Verdict.DONE for answer in answers.values()):
            if atomic and "does not support --atomic" in output.err:
                self._atomic = False
                return self._send_in_turn(specs, first)
            raise self._git.failed(output, doing="push to")
        return answers, remote_words(output.err)

    def _send_in_turn(self, specs: Mapping[str, str], first: str) -> tuple[dict[str, RefResult], str]:
        answers, words = self.send({first: specs[first]}, first=first)
        if answers[first].verdict is Verdict.DONE:
            more, words = self.send({ref: spec for ref, spec in specs.items() if ref != first}, first=first)
            answers |= more
        return answers, words


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
