"""`dr-syncer-mover`: what runs in a mover pod. It reads its task, does it, and leaves one result.

The result goes to the termination message, where the kubelet takes it from; the log goes to the error stream, as JSON
lines. Whatever happens there is a result: also after SIGTERM, and after a fault of our own.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from drsyncer import log
from drsyncer.errors import DrSyncerError, ExitCode
from drsyncer.snapshot import State
from volumes import credentials, result, task
from volumes.backing_up import back_up
from volumes.failure import MoverError
from volumes.hearing import Message
from volumes.restic import PATIENCE, Restic
from volumes.restoring import look, restore
from volumes.result import Reason, Result
from volumes.task import BackupTask, RestoreTask, Task

TERMINATION_LOG = "/dev/termination-log"
PROGRESS_SECONDS = 10.0
_log = log.get("volumes.mover")  # it is mostly run as `__main__`


class TaskInvalid(MoverError):
    """The task is missing, or is none."""

    touched = False


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Do the task in the folder that the arguments name, and exit."""
    sys.exit(run(_arguments(argv)))


def run(arguments: argparse.Namespace) -> int:
    """Do the task; write its result; return the exit code."""
    log.configure(format="json", verbosity=1)
    stop = _Stop()
    start = datetime.now(UTC)
    folder = Path(arguments.folder)
    asked: Task | None = None
    try:
        asked = _task(folder)
        done = _do(asked, folder, goes_on=stop.goes_on, patience=arguments.patience)
    except DrSyncerError as error:
        done = failed(error, start, asked)
    except OSError as error:
        done = failed(_disk(error), start, asked)
    except Exception as error:  # noqa: BLE001 - a dispatcher waits for a result, whatever was not foreseen
        done = _fault(error, start)
    _tell(done)
    return _deliver(done, Path(arguments.termination_log))


def failed(error: DrSyncerError, start: datetime, asked: Task | None = None) -> Result:
    """Return the result of a task that ended with an error."""
    reason = error.reason if isinstance(error, MoverError) else Reason.FAILED
    return Result(
        state=State.LOCKED if reason is Reason.LOCKED else State.FAILED,
        start=start,
        end=datetime.now(UTC),
        snapshot=asked.snapshot if isinstance(asked, RestoreTask) else None,
        reason=reason,
        message=". ".join(filter(None, (str(error).rstrip("."), error.hint))),
        touched=error.touched if isinstance(error, MoverError) else True,
    )


def exit_code(done: Result) -> ExitCode:
    """Return the exit code that says how it ended; only what is whole is 0."""
    if done.state.whole or (done.state is State.EMPTY and done.reason is Reason.NONE):
        return ExitCode.DONE
    if done.reason is Reason.INTERRUPTED:
        return ExitCode.INTERRUPTED
    return {State.PARTIAL: ExitCode.PARTIAL, State.EMPTY: ExitCode.REFUSED}.get(done.state, ExitCode.FAILED)


class Progress:
    """Tells now and then how far restic has come."""

    def __init__(self, *, write: Callable[..., None], clock: Callable[[], float], every: float) -> None:
        self._write = write
        self._clock = clock
        self._every = every
        self._told = clock()

    def __call__(self, message: Message) -> None:
        """Take in one of restic's messages."""
        now = self._clock()
        if message.get("message_type") != "status" or now - self._told < self._every:
            return
        self._told = now
        kept = {key: message[key] for key in _TOLD if isinstance(message.get(key), int | float)}
        self._write("working", percent=round(100 * kept.pop("percent_done", 0.0), 1), **kept)


_TOLD = (
    *("percent_done", "seconds_remaining", "total_files", "files_done", "total_bytes", "bytes_done", "error_count"),
    *("files_restored", "files_skipped", "files_deleted", "bytes_restored", "bytes_skipped"),
)


class _Stop:
    """Remembers that we were told to stop."""

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def goes_on(self) -> bool:
        return not self._told

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dr-syncer-mover", description="Back up or restore one volume, as the task in the folder says."
    )
    parser.add_argument("--folder", default=task.FOLDER, help="where the task and the credentials are (%(default)s)")
    parser.add_argument("--termination-log", default=TERMINATION_LOG, help="where the result goes (%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="how long a backend that does not answer is tried (%(default)s)",
    )
    return parser.parse_args(argv)


def _task(folder: Path) -> Task:
    file = folder / task.TASK
    try:
        return task.decode(file.read_bytes())
    except OSError as error:
        raise TaskInvalid(f"{file}: {os.strerror(error.errno or 0)}") from error
    except ValueError as error:  # msgspec's errors are that
        raise TaskInvalid(f"{file} is no task: {error}") from error


def _do(asked: Task, folder: Path, *, goes_on: Callable[[], bool], patience: float) -> Result:
    volume = asked.volume
    _log.info("begins", what=type(asked).__name__, namespace=volume.namespace, name=volume.name, source=volume.host)
    if isinstance(asked, RestoreTask) and asked.look:
        return look(asked)
    with Restic(
        asked.access,
        credentials.of_folder(folder),
        goes_on=goes_on,
        tried=lambda line: _log.warning("the backend did not answer, trying again", line=line),
        patience=patience,
    ) as restic:
        progress = Progress(write=_log.info, clock=time.monotonic, every=PROGRESS_SECONDS)
        if isinstance(asked, BackupTask):
            return back_up(asked, restic, listener=progress)
        return restore(asked, restic, listener=progress)


def _disk(error: OSError) -> MoverError:
    """Return the error for a volume, or a temporary folder, that fails under us."""
    where = f"{error.filename}: " if error.filename else ""
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "If that is the mover's temporary folder, give its pod more ephemeral storage."
    return MoverError(f"{where}{error.strerror or error}", hint=hint)


def _fault(error: Exception, start: datetime) -> Result:
    """Return the result for a fault of the program. Its text stays out: it may hold anything, secrets included."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    what = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        what += f" ({error.strerror}{f': {error.filename}' if error.filename else ''})"
    return Result(
        state=State.FAILED,
        start=start,
        end=datetime.now(UTC),
        reason=Reason.FAILED,
        message=f"internal error: {what}{place}; please report it",
    )


def _tell(done: Result) -> None:
    write = _log.info if exit_code(done) is ExitCode.DONE else _log.error
    told = msgspec.to_builtins(done)
    write("ended", **{key: value for key, value in told.items() if value not in ("", (), [], None)})


def _deliver(done: Result, file: Path) -> int:
    try:
        file.write_bytes(result.encode(done))
    except OSError as error:
        # Nobody will learn how it ended: then it must not look as if it had ended well.
        _log.error("the result can't be written", file=str(file), why=os.strerror(error.errno or 0))
        return int(exit_code(done) or ExitCode.FAILED)
    return int(exit_code(done))


if __name__ == "__main__":
    main()
