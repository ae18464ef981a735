"""What restic's exit codes and words mean: from how it ended to one of this project's errors.

restic has an exit code for what scripts must tell apart (https://restic.readthedocs.io/en/stable/075_scripting.html)
and none for the rest; a table of its words, tried from top to bottom, tells that. What nobody knows is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drsyncer.errors import DrSyncerError, ExitCode
from volumes.result import Reason

# restic's exit codes. Whatever is not here is a failure.
DONE: Final = 0
FAILED: Final = 1
INCOMPLETE: Final = 3  # backup: there is a snapshot, and something is missing in it
NO_REPOSITORY: Final = 10
LOCKED: Final = 11
WRONG_PASSWORD: Final = 12
INTERRUPTED: Final = 130

INIT_HINT: Final = (
    "Is `volumes.restic.repository` right? Only `dr-syncer volumes init` makes one, once, before the first backup."
)


class MoverError(DrSyncerError):
    """A volume could not be backed up or restored. `reason` is the word for machines.

    `touched`: whether anything in the volume may have been written or deleted by then.
    """

    reason = Reason.FAILED
    touched = True


class VolumeMissing(MoverError):
    """There is no volume where the task says."""


class VolumeUnreadable(MoverError):
    """Nothing of the volume can be read."""

    reason = Reason.UNREADABLE


class NoSuchPath(MoverError):
    """The snapshot has nothing at this path, or the volume has something in its way."""

    reason = Reason.NO_SNAPSHOT


class ResticError(MoverError):
    """restic did not do what was asked."""


class ResticMissing(ResticError):
    """There is no restic, or one that is too old."""


class WrongPassword(ResticError):
    """No key of the repository can be opened with the password."""

    reason = Reason.WRONG_PASSWORD


class NoRepository(ResticError):
    """There is no restic repository at this place."""

    reason = Reason.NO_REPOSITORY


class OtherRepository(ResticError):
    """There is a repository, and it is not the one that is known."""

    reason = Reason.OTHER_REPOSITORY


class RepositoryLocked(ResticError):
    """Somebody else held a lock for as long as was waited."""

    reason = Reason.LOCKED


class RepositoryUnreachable(ResticError):
    """The backend did not answer, or not to the end."""

    reason = Reason.UNREACHABLE


class AccessDenied(ResticError):
    """The backend answers, and does not let us in or do this."""

    reason = Reason.DENIED


class RepositoryFull(ResticError):
    """The backend has no space left."""

    reason = Reason.DISK_FULL


class RepositoryDamaged(ResticError):
    """Data of the repository is missing, or is not what was written."""

    reason = Reason.DAMAGED


class TargetFull(ResticError):
    """The volume that is restored to has no space left."""

    reason = Reason.TARGET_FULL


class NoSnapshot(ResticError):
    """The repository has no such snapshot."""

    reason = Reason.NO_SNAPSHOT


class OtherSnapshot(ResticError):
    """There is such a snapshot, and it is of something else."""

    reason = Reason.OTHER_SNAPSHOT


class Interrupted(ResticError):
    """We were told to stop, and restic was stopped."""

    reason = Reason.INTERRUPTED
    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Meaning:
    pattern: str  # in any case; compiled when something failed, which is hardly ever
    error: type[ResticError]
    hint: str


_BY_CODE: Final = {
    NO_REPOSITORY: _Meaning(r"repository does not exist|unable to open|config file", NoRepository, INIT_HINT),
    LOCKED: _Meaning(
        r"already locked|lock was created",
        RepositoryLocked,
        "Somebody else works on the repository; try again later, or raise `volumes.restic.retryLock`. A lock whose "
        "owner is dead goes with `restic unlock`.",
    ),
    WRONG_PASSWORD: _Meaning(
        r"wrong password", WrongPassword, "Check `volumes.restic.auth.passwordFile`: it is not this repository's."
    ),
    INTERRUPTED: _Meaning(r"signal|cancel", Interrupted, ""),
}
_SPACE = (
    r"no space left on device|disk quota exceeded|insufficient storage|507 |quotaexceeded|storagefull|xminiostorage"
)
_SCRATCH_FULL = _Meaning(
    rf"restic-temp-.*({_SPACE})|({_SPACE}).*restic-temp-",
    ResticError,
    "The mover's temporary folder is full: give its pod more ephemeral storage (`volumes.mover.resources`).",
)
_FULL = _Meaning(_SPACE, RepositoryFull, "Free some space on the backend, or run `dr-syncer volumes prune`.")
_FULL_TARGET = _Meaning(_SPACE, TargetFull, "Enlarge the volume that is restored to.")
_KNOWN: Final = (
    _Meaning(
        r"ciphertext verification failed|invalid data returned|hash mismatch|unexpected (plain|cipher)text"
        r"|does not match (the )?hash|not restorable|repository contains errors|errors? in (the )?repository"
        r"|(pack|blob|tree|index|file|key)s? \S* ?(is|are|was)? ?(not found|missing|damaged|truncated|corrupt)"
        r"|not found in (the )?(index|repository)|id .* not found|unable to load (tree|index|snapshot)"
        r"|error loading (tree|index)|failed to load (pack|index|tree)|data corrupt|config (or key )?.* is damaged"
        r"|config could not be (loaded|decoded)|unexpected eof.*pack|zstd|invalid header|partially downloaded"
        r"|circuit breaker|does not exist.*<data/|<(data|index)/.*(does not exist|no such file|not found|404)",
        RepositoryDamaged,
        "Run `dr-syncer volumes verify`, and restore from another recovery point meanwhile.",
    ),
    _Meaning(
        r"host key verification failed|remote host identification|no .* host key is known",
        RepositoryUnreachable,
        "The host key is not the known one: check `volumes.restic.auth.knownHostsFile`.",
    ),
    _Meaning(
        r"no user exists for uid",
        RepositoryUnreachable,
        "ssh refuses to run as a user without a name: set `volumes.mover.user` to 0 or 10001.",
    ),
    _Meaning(
        r"access ?denied|invalidaccesskeyid|signaturedoesnotmatch|request signature|access key id|permission denied \("
        r"|unauthorized|forbidden|\b40[13]\b|authentication failed|key id .* is empty|secret .* is empty"
        r"|invalid.*credential|account (name|id|key) .* is empty",
        AccessDenied,
        "Check the backend's credentials (`volumes.restic.auth`) and what they allow.",
    ),
    _Meaning(
        r"x509|certificate",
        RepositoryUnreachable,
        "The backend's certificate is not trusted: name its authority as `volumes.restic.auth.caFile`.",
    ),
    _Meaning(
        r"connection (refused|reset|closed|timed out|lost)|no such host|dial tcp|i/o timeout|broken pipe"
        r"|network is unreachable|no route to host|tls handshake|context deadline exceeded|\beof\b|server misbehaving"
        r"|could not resolve|unable to start the sftp session|ssh command exited|\b50[0234]\b|bad gateway"
        r"|service unavailable|circuit|request canceled|unexpected http response|stale nfs|input/output error",
        RepositoryUnreachable,
        "Check `volumes.restic.repository`, and whether it can be reached from where this ran.",
    ),
    _Meaning(
        r"parsing repository location|unable to open repository|invalid backend|specified bucket does not exist",
        NoRepository,
        INIT_HINT,
    ),
)
# A file whose upload was cut off may be there all the same, and a server that only appends refuses to take it again.
_CUT_OFF = re.compile(r"connection (reset|closed|lost)|broken pipe|\beof\b", re.IGNORECASE)
# What restic says while it tries again, or when it was done: it explains nothing.
_CHATTER = re.compile(
    r"operation successful after|^is there a repository|^the `unlock` command|signal .* received|^there were \d+ err"
    r"|^$|^retry|^warning: at least one|^fatal: unable to save snapshot: context canceled",
    re.IGNORECASE,
)
_RETRYING = re.compile(r"returned error, retrying after|retrying upload|list\(.*\) returned error", re.IGNORECASE)
_HEAD = re.compile(r"^(fatal|error|warning): |^\S+ returned error, retrying after [\d.]+m?s: ", re.IGNORECASE)


def is_retry(line: str) -> bool:
    """Whether restic says with this line that its backend failed and will be tried again."""
    return _RETRYING.search(line) is not None


def is_success(line: str) -> bool:
    """Whether restic says with this line that a further try helped."""
    return "operation successful after" in line


def failure(status: int, lines: Sequence[str], *, doing: str, writes_to_volume: bool = False) -> ResticError:
    """Return the error for a restic that ended with `status`, having said `lines` (masked) on its error stream.

    `doing` says what was tried. `writes_to_volume`: a full disk is the volume's, not the repository's. A negative
    status is the signal that killed restic.
    """
    if status < 0:
        return ResticError(
            f"restic: {doing}: killed by signal {-status}",
            hint="It may have run out of memory: raise `volumes.mover.resources.limits`." if status == -9 else "",
        )
    if meaning := _BY_CODE.get(status):
        return _error(meaning, lines, doing)
    full = _FULL_TARGET if writes_to_volume else _FULL
    was_cut_off = any(is_retry(line) and _CUT_OFF.search(line) for line in lines)
    for meaning in (_SCRATCH_FULL, full, *_KNOWN):
        if meaning.error is AccessDenied and was_cut_off:
            continue
        if any(re.search(meaning.pattern, line, re.IGNORECASE) for line in lines):
            return _error(meaning, lines, doing)
    code = "" if status == FAILED else f" (exit code {status})"
    return ResticError(f"restic: {doing}: {sentence(lines) or 'failed without a word'}{code}")


def unreachable(lines: Sequence[str], *, doing: str, seconds: float) -> ResticError:
    """Return the error for a backend that was tried for `seconds` in vain; what it answered may tell more."""
    error = failure(FAILED, lines, doing=doing)
    kind = type(error) if isinstance(error, RepositoryFull | AccessDenied | NoRepository) else RepositoryUnreachable
    return kind(
        f"restic: {doing}: given up after {seconds:.0f} s: {sentence(lines) or 'no answer'}",
        hint=error.hint or "Check `volumes.restic.repository`, and whether it can be reached from where this ran.",
    )


def sentence(lines: Sequence[str], pattern: str = "") -> str:
    """Return the line that tells most: the last one that matches `pattern`, else the last that says anything."""
    telling = [line for line in lines if not _CHATTER.search(line)]
    matching = [line for line in telling if pattern and re.search(pattern, line, re.IGNORECASE)]
    for group in (matching, [line for line in telling if not is_retry(line)], telling):
        if group:
            return _HEAD.sub("", group[-1])
    return ""


def _error(meaning: _Meaning, lines: Sequence[str], doing: str) -> ResticError:
    return meaning.error(
        f"restic: {doing}: {sentence(lines, meaning.pattern) or 'failed without a word'}", hint=meaning.hint
    )
