"""Who signed a commit, and whether that counts: git's own verdict, over a file of allowed signers.

Only SSH signatures count. Git would also ask gpg about the keys that it happens to know on this machine; it can't
here, see `remote.environment`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from drsyncer.errors import GitError, UsageError
from drsyncer.recovery import mending
from drsyncer.recovery.failure import failure, tidy
from drsyncer.recovery.process import Git

_KEY = "repository.verify.allowedSignersFile"
_OLDEST_GIT = (2, 34)
_BROKEN_PIPE = frozenset({-signal.SIGPIPE, 128 + signal.SIGPIPE})
_FIELDS = ("%H", "%G?", "%GS", "%GF", "%GG")
# principals, options, the kind of key, the key: see ssh-keygen(1), ALLOWED SIGNERS.
_ENTRY = re.compile(rb"\S+\s.*?(?:ssh|ecdsa|sk)-\S+\s+AAAA")


class Verdict(StrEnum):
    """What a commit's signature is worth."""

    GOOD = "good"  # by an allowed signer
    UNSIGNED = "unsigned"
    STRANGE = "strange"  # fits the commit, but nobody who may sign it made it
    BAD = "bad"  # does not fit the commit, or is no SSH signature


@dataclass(frozen=True, slots=True)
class Signature:
    """The verdict on one commit. `signer` is the principal of the allowed signers' file, `key` a fingerprint."""

    commit: str
    verdict: Verdict
    signer: str = ""
    key: str = ""
    detail: str = ""  # why not, in ssh-keygen's words, if it said so

    @property
    def good(self) -> bool:
        """Whether an allowed signer signed the commit."""
        return self.verdict is Verdict.GOOD

    def to_data(self) -> dict[str, str | None]:
        """Return the verdict for `-o json`."""
        return {
            "commit": self.commit,
            "verdict": str(self.verdict),
            "signer": self.signer or None,
            "key": self.key or None,
            "detail": self.detail or None,
        }

    def __str__(self) -> str:
        """What a person should know, to be read after `commit …`."""
        match self.verdict:
            case Verdict.GOOD:
                return f"is signed by {self.signer} ({self.key})"
            case Verdict.UNSIGNED:
                return "is not signed"
            case Verdict.STRANGE:
                why = f": {self.detail}" if self.detail else ""
                return f"is signed with {self.key}, which {_KEY} does not allow{why}"
            case Verdict.BAD:
                why = f": {self.detail}" if self.detail else ""
                return f"bears no valid signature: it was changed, or is signed in a way that does not count{why}"


def check_means(git: Git, file: str) -> None:
    """Raise `UsageError` or `GitError` when signatures can't be verified at all: then nothing counts as verified."""
    hint = 'One line per signer: NAME namespaces="git" ssh-ed25519 AAAA…; see ssh-keygen(1), ALLOWED SIGNERS.'
    try:
        lines = Path(file).read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{_KEY}: {file} can't be read: {error.strerror}", hint=hint) from error
    entries = [line for line in lines if line.strip() and not line.lstrip().startswith(b"#")]
    if not entries:
        raise UsageError(f"{_KEY}: {file} names nobody, so nothing could ever be imported", hint=hint)
    for number, line in enumerate(lines, start=1):
        if line in entries and not _ENTRY.match(line):
            raise UsageError(f"{_KEY}: {file}:{number}: expected names, options and a public key", hint=hint)
    mending.check_version(git, oldest=_OLDEST_GIT, purpose="to verify SSH signatures")
    if shutil.which("ssh-keygen", path=os.environ.get("PATH")) is None:
        raise GitError(
            "recovery.signatures: ssh-keygen can't be run, and git verifies signatures with it",
            hint="Install OpenSSH's client, on the PATH.",
        )


def verdicts(git: Git, commits: Sequence[str], *, file: str) -> dict[str, Signature]:
    """Return the verdict on each of `commits`, by the allowed signers in `file`.

    Raises `UsageError` or `GitError` when there can't be one: see `check_means`.
    """
    check_means(git, file)
    found: dict[str, Signature] = {}
    if commits:
        said = _asked(git, commits)
        if said is None:
            # One of them has a signature that is none at all: which one, each tells by itself.
            for commit in commits:
                alone = _asked(git, [commit])
                found |= _judged(alone, file=file) if alone is not None else {commit: _unreadable(commit)}
        else:
            found = _judged(said, file=file)
    if missing := set(commits) - set(found):
        raise GitError(f"recovery.signatures: git says nothing about the signature of {min(missing)}")
    return found


def _asked(git: Git, commits: Sequence[str]) -> bytes | None:
    """Return what git says of `commits`; None when it died of a signature.

    Git's older versions write the signed text to ssh-keygen without heed, and are ended by the system when that has
    found the signature to be none and is gone already.
    """
    wanted = "".join(f"{commit}\n" for commit in commits).encode()
    shown = f"--format=tformat:{'%x00'.join(_FIELDS)}"
    arguments = ("log", "-z", "--no-walk=unsorted", "--stdin", "--no-color", "--no-show-signature", shown)
    output = git.ask(*arguments, stdin=wanted)
    if output.status in _BROKEN_PIPE:
        return None
    if output.status != 0:
        raise failure(output.err, doing="log", local=True)
    return output.out


def _judged(said: bytes, *, file: str) -> dict[str, Signature]:
    tokens = said.decode("utf-8", "replace").split("\0")
    step = len(_FIELDS)
    return {
        commit: _verdict(commit, letter, signer, key, words, file=file)
        for commit, letter, signer, key, words in (
            tokens[start : start + step] for start in range(0, len(tokens) - 1, step)
        )
    }


def _unreadable(commit: str) -> Signature:
    return Signature(commit, Verdict.BAD, detail="ssh-keygen cannot read it")


def _verdict(commit: str, letter: str, signer: str, key: str, words: str, *, file: str) -> Signature:
    # ssh-keygen explains itself with the line of the file; it also complains of each empty one.
    told = [line.removeprefix(f"{file}:") for line in tidy(words) if line.startswith(f"{file}:")]
    told = [line for line in told if not line.endswith(": missing key")]
    detail = f"line {told[0]}" if told else ""
    match letter:
        case "G" if signer and key:
            return Signature(commit, Verdict.GOOD, signer, key)
        case "N":
            return Signature(commit, Verdict.UNSIGNED)
        case "U" if key:
            return Signature(commit, Verdict.STRANGE, "", key, detail)
        case _:
            return Signature(commit, Verdict.BAD, detail=detail)
