"""What a mover answers: one JSON document of at most 4,096 bytes in its termination message.

That limit is the kubelet's (https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/);
what is beyond it would be cut off in the middle, so lists and texts are shortened here first.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from drsyncer.snapshot import Snapshot, State

MOST_BYTES: Final = 4096
_MOST_NAMES = 20
_LONGEST = 400  # characters of a name or of the message
_SHORTEST = 40  # to which they are shortened


class Reason(StrEnum):
    """Why something did not end well; one word for machines, metrics and Events."""

    NONE = ""
    WRONG_PASSWORD = "WrongPassword"  # noqa: S105
    NO_REPOSITORY = "NoRepository"
    OTHER_REPOSITORY = "OtherRepository"
    LOCKED = "Locked"
    UNREACHABLE = "Unreachable"
    DENIED = "Denied"  # the backend answers, and does not accept the credentials or refuses the operation
    DISK_FULL = "DiskFull"  # of the backend
    UNREADABLE = "Unreadable"  # files of the volume
    CHANGED = "Changed"  # files changed while they were read
    EMPTY = "Empty"
    SHRUNK = "Shrunk"
    DAMAGED = "Damaged"  # the repository's data
    NO_SNAPSHOT = "NoSnapshot"
    OTHER_SNAPSHOT = "OtherSnapshot"  # of another volume or host
    TARGET_FULL = "TargetFull"
    TARGET_IN_USE = "TargetInUse"
    NOT_EMPTY = "NotEmpty"  # something is in the target that DR-Syncer did not put there
    NOT_WHOLE = "NotWhole"  # a Partial snapshot was asked for, and restored
    DIFFERS = "Differs"  # what was restored is not what the manifest says
    INTERRUPTED = "Interrupted"
    TIMED_OUT = "TimedOut"
    LOST = "Lost"  # the mover went away without a word: killed, evicted, its node gone
    NOT_STARTED = "NotStarted"  # the pod never ran
    HOOK = "Hook"  # a hook of the workload failed
    FAILED = "Failed"  # anything else


class Result(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How one mover ended. Times are aware and in UTC; no text holds a secret."""

    state: State  # of a restore: Complete, Partial or Failed
    start: datetime
    end: datetime
    repository: str = ""  # restic's id of the repository
    snapshot: Snapshot | None = (
        None  # backup: what was made, whole or not (its state says); restore: what was asked for
    )
    reason: Reason = Reason.NONE
    message: str = ""  # a sentence for people, with the next step
    loss: str = ""  # backup: how much less there is than before, if that is suspicious and nobody confirmed it
    names: tuple[str, ...] = ()  # of files that are missing, changed or different; the first ones
    names_total: int = 0
    files_new: int = 0
    files_changed: int = 0
    bytes_added: int = 0  # backup: to the repository; restore: written to the volume
    verified: str = ""  # restore: how it was compared with the manifest, and found equal: metadata, all; "" for not
    touched: bool = True  # restore: whether anything in the volume may have been written or deleted
    ran: bool = True  # whether the mover was seen to run: only a dispatcher that ends it for it says no
    warnings: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Result)


def encode(result: Result) -> bytes:
    """Return `result` as JSON of at most MOST_BYTES bytes: names and texts are shortened until it fits.

    A snapshot that alone is longer is left out: it was made up by somebody, and nobody would ever hear of the end.
    """
    names, warnings, longest = result.names[:_MOST_NAMES], result.warnings[:_MOST_NAMES], _LONGEST
    while True:
        shortened = msgspec.structs.replace(
            result,
            message=_cut(result.message, longest * 2),
            loss=_cut(result.loss, longest),
            names=tuple(_cut(name, longest) for name in names),
            warnings=tuple(_cut(text, longest) for text in warnings),
        )
        data = msgspec.json.encode(shortened)
        if len(data) <= MOST_BYTES:
            return data
        if not names and not warnings and longest == _SHORTEST:
            result = msgspec.structs.replace(result, snapshot=None)
        names, warnings = names[: len(names) * 3 // 4], warnings[: len(warnings) * 3 // 4]
        longest = max(_SHORTEST, longest * 3 // 4)


def decode(data: bytes) -> Result:
    """Return the result in `data`. Raises msgspec.DecodeError (a ValueError) for anything else."""
    return _decoder.decode(data)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
