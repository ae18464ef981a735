"""Listening to restic: its JSON lines and its complaints, put where they belong while it works."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from volumes import failure

TAIL: Final = 25  # lines of the error stream that are kept
_MOST_COMPLAINTS: Final = 1000
_LONGEST_LINE: Final = 1 << 20  # bytes; a line with the names of files is much shorter

Message = dict[str, Any]
Counts = TypeVar("Counts")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What restic says of one file that it could not handle."""

    item: str  # its path as restic writes it: absolute, or relative to where it runs
    message: str  # masked


@dataclass(slots=True)
class Outcome:
    """How a command ended, with all that it said."""

    doing: str
    status: int = 0
    out: bytes = b""  # what it printed, when nobody listened to its messages
    summary: Message | None = None  # the last message, in which it counts what it did
    complaints: list[Complaint] = field(default_factory=list)  # the first ones
    complaints_total: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))  # of the error stream, masked

    def counted(self, type_: type[Counts]) -> Counts:
        """Return the summary. Raises `ResticError` when there is none, or it is not understood."""
        if self.summary is None:
            raise failure.ResticError(f"restic: {self.doing}: it ended without a summary")
        try:
            return msgspec.convert(self.summary, type_)
        except msgspec.ValidationError as error:
            raise failure.ResticError(f"restic: {self.doing}: its summary is not understood: {error}") from error

    def failed(self, *, writes_to_volume: bool = False) -> failure.ResticError:
        """Return the error that says why it failed."""
        lines = [*(complaint.message for complaint in self.complaints[:TAIL]), *self.tail]
        return failure.failure(self.status, lines, doing=self.doing, writes_to_volume=writes_to_volume)


class Hearing:
    """Takes in what one restic says, chunk by chunk, and makes an `Outcome` of it."""

    def __init__(
        self,
        outcome: Outcome,
        *,
        masked: Callable[[str], str],
        listener: Callable[[Message], None] | None,
        into: BinaryIO | None,
        tried: Callable[[str], None],
    ) -> None:
        """`listener`: gets the messages; `into`: where other output goes; `tried`: gets the lines about retries."""
        self.outcome = outcome
        self._masked = masked
        self._listener = listener
        self._into = into
        self._tried = tried
        self._begun = time.monotonic()
        self._retrying: float | None = None
        self._printed = bytearray()
        self._out_lines = _Lines(self._message)
        self._err_lines = _Lines(self._words)

    def out(self, chunk: bytes) -> None:
        """Hear from standard output."""
        if self._listener is not None:
            self._out_lines.add(chunk)
        elif self._into is not None:
            self._into.write(chunk)
        else:
            self._printed += chunk

    def err(self, chunk: bytes) -> None:
        """Hear from the error stream."""
        self._err_lines.add(chunk)

    def end(self) -> None:
        """Hear the last line, which may have no end."""
        self._out_lines.flush()
        self._err_lines.flush()
        self.outcome.out = bytes(self._printed)

    def aside(self, text: str) -> None:
        """Hear what a program said that restic started."""
        for line in text.splitlines():
            self._say(line)

    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._begun

    def in_vain(self) -> float:
        """For how many seconds the backend has been tried again and again; 0 when it answers."""
        return 0.0 if self._retrying is None else time.monotonic() - self._retrying

    def _message(self, line: bytes) -> None:
        message = _decoded(line)
        if message is None:
            self._say(line.decode("utf-8", "replace"))
            return
        if not self._complaint(message):
            if message.get("message_type") == "summary":
                self.outcome.summary = message
            if self._listener is not None:
                self._listener(message)

    def _words(self, line: bytes) -> None:
        message = _decoded(line)
        if message is None or not self._complaint(message):
            self._say(line.decode("utf-8", "replace"))

    def _complaint(self, message: Message) -> bool:
        """Take in an error; older versions print them to the one stream, newer ones to the other."""
        kind = message.get("message_type")
        if kind == "exit_error":
            for line in str(message.get("message", "")).splitlines():
                self._say(line)
            return True
        if kind != "error":
            return False
        # While it only counts what there will be to do, nothing is lost yet: it comes by again.
        if message.get("during") != "scan":
            self.outcome.complaints_total += 1
            if len(self.outcome.complaints) < _MOST_COMPLAINTS:
                error = message.get("error")
                # `check` has no error beside its message.
                words = error.get("message", "") if isinstance(error, dict) else error or message.get("message", "")
                item = str(message.get("item", ""))
                self.outcome.complaints.append(Complaint(item, self._masked(str(words))))
        return True

    def _say(self, line: str) -> None:
        line = self._masked(line)
        if not line:
            return
        self.outcome.tail.append(line)
        if failure.is_retry(line):
            self._retrying = self._retrying or time.monotonic()
            self._tried(line)
        elif failure.is_success(line):
            self._retrying = None


class _Lines:
    """Cuts chunks into lines."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = bytearray()

    def add(self, chunk: bytes) -> None:
        *lines, rest = (bytes(self._rest) + chunk).split(b"\n")
        for line in lines:
            self._take(line)
        self._rest = bytearray(rest)
        if len(self._rest) > _LONGEST_LINE:
            self.flush()

    def flush(self) -> None:
        if self._rest:
            self._take(bytes(self._rest))
        self._rest.clear()


def _decoded(line: bytes) -> Message | None:
    if not line.startswith(b"{"):
        return None
    try:
        message = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return message if isinstance(message, dict) else None
