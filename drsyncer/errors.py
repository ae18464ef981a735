"""Every error that a person may see, and the exit code that goes with it.

The edges (cluster, git, files) translate what their libraries raise into these classes, so no
other module knows which HTTP or Git library is underneath. The command line prints `str(error)`
and `error.hint`, never a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process answers to its caller. `diff` has its own rule: 0 same, 1 differs, >1 error."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    REFUSED = 4
    INTERRUPTED = 130


class DrSyncerError(Exception):
    """An error with a sentence for the person who can act.

    `message` says what went wrong and where; `hint` says the next step. Neither may hold a secret.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def with_hint(self) -> str:
        """What went wrong and the next step, as one text."""
        return f"{self}. {self.hint}" if self.hint else str(self)


class UsageError(DrSyncerError):
    """The call or its input is wrong; nothing was done."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in one input file: `file:line: path: message`."""

    file: str
    line: int  # 1-based; 0 when the fault has no line (a missing file, an environment variable)
    path: str  # dotted path inside the file, "" for the whole file
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigurationError(UsageError):
    """The configuration is wrong. Carries all faults at once."""

    def __init__(self, faults: list[Fault], *, hint: str = "") -> None:
        super().__init__("\n".join(str(fault) for fault in faults), hint=hint)
        self.faults = faults


class Refused(DrSyncerError):
    """A guard said no, or a confirmation is missing; nothing was changed."""

    exit_code = ExitCode.REFUSED


class Abandoned(DrSyncerError):
    """What was under way was told to stop, and stopped where nothing is left half done."""

    exit_code = ExitCode.INTERRUPTED


class InvalidManifest(DrSyncerError):
    """A file that should hold one Kubernetes object does not.

    `about` are the keys that lead to what is wrong, for whoever has the text and can tell the `line` that is 0 here.
    """

    def __init__(self, file: str, line: int, message: str, *, hint: str = "", about: tuple[str, ...] = ()) -> None:
        super().__init__(str(Fault(file, line, "", message)), hint=hint)
        self.file = file
        self.line = line
        self.reason = message
        self.about = about


class ClusterError(DrSyncerError):
    """A cluster did not do what was asked. `status` is the HTTP status, 0 when there was none."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ClusterUnreachable(ClusterError):
    """No answer within the time and tries allowed: connection, TLS or time-out."""


class GivenUp(ClusterUnreachable):
    """The connection was given up, for good: whoever has it need not ask again."""


class Unauthorized(ClusterError):
    """401: the credentials are not accepted."""


class Forbidden(ClusterError):
    """403: the credentials are accepted and do not allow this."""


class NotFound(ClusterError):
    """404: no such object or type."""


class Conflict(ClusterError):
    """409: another writer, or (apply) another field manager.

    `owners` maps a field path to the manager that holds it, for conflicts of apply.
    """

    def __init__(
        self, message: str, *, hint: str = "", status: int = 409, owners: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.owners = owners or {}


class Gone(ClusterError):
    """410: the resourceVersion or continue token is too old."""


class Invalid(ClusterError):
    """400, 413 or 422: the API server will not take this object as it is."""


class Throttled(ClusterError):
    """429 to the end of the tries. `retry_after` are the seconds that the server asked to wait, None if it did not."""

    retry_after: float | None = None


class ServerFailed(ClusterError):
    """5xx to the end of the tries. `webhook` names the admission webhook that failed, if one did."""

    def __init__(self, message: str, *, hint: str = "", status: int = 500, webhook: str = "") -> None:
        super().__init__(message, hint=hint, status=status)
        self.webhook = webhook


class GitError(DrSyncerError):
    """Git did not do what was asked."""


class RemoteUnreachable(GitError):
    """The remote did not answer, or is not a repository."""


class AuthenticationFailed(GitError):
    """The remote answered and does not accept the credentials or the host key."""


class PushRejected(GitError):
    """The remote's branch moved, or a hook there said no."""


class RevisionNotFound(GitError):
    """No such commit, branch or tag in the recovery repository."""

    exit_code = ExitCode.USAGE
