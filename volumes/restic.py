"""The restic program: the one module that runs it.

It runs with an environment of its own, in a session of its own; what it says is heard while it works. It is told to
stop by SIGTERM, which lets it remove its lock, and is killed only when it does not end. One that was killed has its
lock removed afterwards, and no other one.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, BinaryIO, Final, Self

import msgspec

from drsyncer.wording import printable
from volumes import commands, credentials, failure
from volumes.answers import Lock
from volumes.commands import Command
from volumes.credentials import Credentials
from volumes.gate import Gate
from volumes.hearing import Hearing, Message, Outcome
from volumes.task import Access

OLDEST: Final = (0, 18)
PATIENCE: Final = 900.0  # seconds of tries in vain after which a backend counts as away; restic's own limit, too
QUESTION: Final = 180.0  # seconds that the answer to a small question may take
GRACE: Final = 20.0  # seconds from SIGTERM to SIGKILL: a pod has 60
_AFTERMATH = 10.0  # seconds for each question after that
_GLANCE = 0.25  # seconds between two looks at whether to go on
_LONGEST_LINE = 500
_SSH_LOG = "ssh.log"
_CACHE_NEEDS = 1 << 30  # bytes that must be free for a cache
_LOCK_AGE = 25 * 60.0  # seconds; from 30 minutes on `unlock` would remove anybody's lock


class Restic:
    """restic on one repository. Use it in a `with` block: it has a folder for temporary files, which goes at the end.

    `goes_on` is asked a few times a second while restic works; when it says no, restic is stopped and `Interrupted`
    raised. `tried` is told each line with which restic says that its backend failed and is tried again.
    """

    def __init__(
        self,
        access: Access,
        credentials: Credentials,
        *,
        goes_on: Callable[[], bool] = lambda: True,
        tried: Callable[[str], None] = lambda _: None,
        patience: float = PATIENCE,
        grace: float = GRACE,
        cleans: bool = True,
        inherited: Mapping[str, str] = os.environ,
    ) -> None:
        """`patience` and `grace`: seconds. `cleans`: the lock of a restic that had to be killed is removed."""
        self.access = access
        self._credentials = credentials
        self.goes_on = goes_on
        self._tried = tried
        self._patience = patience
        self._grace = grace
        self._cleans = cleans
        self._inherited = inherited
        self._scratch: Path | None = None
        self._environment: dict[str, str] = {}
        self._before: Command = ()

    def __enter__(self) -> Self:
        scratch = self._scratch = Path(tempfile.mkdtemp(prefix="dr-syncer-restic-"))
        try:
            self._environment = credentials.environment(
                self._credentials, repository=self.access.repository, scratch=scratch, inherited=self._inherited
            )
            # Where there is hardly any space, the packs that restic writes need it more than a cache.
            roomy = shutil.disk_usage(scratch).free >= _CACHE_NEEDS
            self._before = commands.surroundings(
                self.access,
                ca_file=str(self._credentials.ca_file or ""),
                ssh=credentials.ssh_arguments(
                    self._credentials, key=self._private_key(scratch), log=scratch / _SSH_LOG
                ),
                cache=str(scratch / "cache") if roomy else "",
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    @property
    def scratch(self) -> Path:
        """A folder for temporary files."""
        if self._scratch is None:
            raise AssertionError("used outside of its `with` block")
        return self._scratch

    def masked(self, text: str) -> str:
        """Return `text` without secrets and control characters, and no longer than a line should be."""
        return printable(self._credentials.masked(text).strip())[:_LONGEST_LINE]

    def version(self) -> tuple[int, ...]:
        """Return restic's version. Raises `ResticMissing` when it is too old, or not there."""
        out = self.ask(commands.version(), doing="ask for its version")
        found = re.search(rb"(\d+)\.(\d+)\.(\d+)", out)
        version = tuple(int(part) for part in found.groups()) if found else (0,)
        if version < OLDEST:
            shown = ".".join(map(str, version))
            raise failure.ResticMissing(f"restic {shown} is too old", hint="Version 0.18 or later is needed.")
        return version

    def ask(self, command: Command, *, doing: str, limit: float = QUESTION) -> bytes:
        """Run a command that does not take long; return what it printed. Raises `ResticError` unless it ended well."""
        outcome = self.run(command, doing=doing, limit=limit)
        if outcome.status != failure.DONE:
            raise outcome.failed()
        return outcome.out

    def run(
        self,
        command: Command,
        *,
        doing: str,
        cwd: Path | None = None,
        stdin: BinaryIO | None = None,
        into: BinaryIO | None = None,
        listener: Callable[[Message], None] | None = None,
        limit: float = float("inf"),
        gate: Gate | None = None,
    ) -> Outcome:
        """Run a command and return how it ended, whatever its exit code.

        `listener` gets each JSON line of its output while it works; without one the output is returned as it is, or
        written to `into`. `stdin`: a file. `limit`: seconds. `gate`: what keeps it waiting, as the command says; an
        error of its preparation ends restic, and is raised. Raises `ResticError` when it could not be run, was
        interrupted, or waited for the backend for too long.
        """
        if not self.goes_on():
            raise failure.Interrupted(f"restic: {doing}: not begun, since it is time to stop")
        hearing = Hearing(Outcome(doing), masked=self.masked, listener=listener, into=into, tried=self._tried)
        with self._started(command, doing=doing, cwd=cwd, stdin=stdin) as process:
            try:
                self._attend(process, hearing, limit=limit, gate=gate)
            except BaseException:
                self._stop(process, gate)
                raise
            hearing.outcome.status = process.wait()
        hearing.end()
        if hearing.outcome.status:
            with contextlib.suppress(FileNotFoundError):
                hearing.aside((self.scratch / _SSH_LOG).read_text(encoding="utf-8", errors="replace"))
        if hearing.outcome.status < 0:
            self._remove_lock_of(process.pid)
        if hearing.outcome.status == failure.INTERRUPTED:
            raise hearing.outcome.failed()
        return hearing.outcome

    @contextlib.contextmanager
    def _started(
        self, command: Command, *, doing: str, cwd: Path | None, stdin: BinaryIO | None
    ) -> Iterator[subprocess.Popen[bytes]]:
        try:
            process = subprocess.Popen(
                ["restic", *self._before, *command],
                cwd=cwd or self.scratch,
                env=self._environment,
                stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            where = f"{cwd}: " if cwd is not None and error.filename == str(cwd) else ""
            raise failure.ResticMissing(
                f"restic: {doing}: {where}can't be run: {error.strerror}",
                hint="" if where else "Install restic 0.18 or later, on the PATH.",
            ) from error
        with process:
            yield process

    def _attend(self, process: subprocess.Popen[bytes], hearing: Hearing, *, limit: float, gate: Gate | None) -> None:
        doing = hearing.outcome.doing
        with selectors.DefaultSelector() as selector:
            selector.register(_stream(process.stdout), selectors.EVENT_READ, hearing.out)
            selector.register(_stream(process.stderr), selectors.EVENT_READ, hearing.err)
            while selector.get_map():
                if not self.goes_on():
                    raise failure.Interrupted(f"restic: {doing}: stopped, since it is time to stop")
                if gate is not None and gate.error is not None:
                    raise gate.error
                for patience, waited in ((limit, hearing.seconds()), (self._patience, hearing.in_vain())):
                    if waited > patience:
                        raise failure.unreachable(list(hearing.outcome.tail), doing=doing, seconds=waited)
                for key, _ in selector.select(_GLANCE):
                    if chunk := os.read(key.fd, 1 << 16):
                        key.data(chunk)
                    else:
                        selector.unregister(key.fileobj)

    def _stop(self, process: subprocess.Popen[bytes], gate: Gate | None) -> None:
        """End restic: by the signal that lets it remove its lock, and when that takes too long, by force."""
        process.terminate()
        deadline = time.monotonic() + self._grace
        streams = (_stream(process.stdout), _stream(process.stderr))
        for stream in streams:
            os.set_blocking(stream.fileno(), False)
        while process.poll() is None and time.monotonic() < deadline:
            if gate is not None:
                gate.let_through()  # it hears of the signal behind the gate only
            # Read, or it would wait for a reader; what it says by now is of no interest.
            for stream in streams:
                while stream.read(1 << 16):
                    pass
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GLANCE / 10)
        if process.poll() is None:
            # Its session bears its number, which is not given away again before `wait`.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        # One that SIGTERM itself ended had not even begun to listen for it: it has no lock yet.
        if process.wait() < 0 and process.returncode != -signal.SIGTERM:
            self._remove_lock_of(process.pid)

    def _remove_lock_of(self, pid: int) -> None:
        """Remove the lock that a killed restic of ours left, and nobody else's.

        `unlock` removes the locks of this host whose process is gone, but also old ones, so not where there are any.
        Failure is not told: this is the aftermath of an error that is, and who finds the lock is told of it.
        """
        if not self._cleans:
            return
        limit = min(self._grace, _AFTERMATH)
        aftermath = Restic(self.access, self._credentials, grace=1.0, cleans=False, inherited=self._inherited)
        with contextlib.suppress(failure.ResticError, msgspec.DecodeError), aftermath:
            ours, old = False, False
            for id_ in aftermath.ask(commands.locks(), doing="list locks", limit=limit).decode().split():
                answer = aftermath.ask(commands.lock(id_), doing="read a lock", limit=limit)
                lock = msgspec.json.decode(answer, type=Lock)
                if (lock.hostname, lock.pid) == (os.uname().nodename, pid):
                    ours = True
                elif (datetime.now(UTC) - lock.time).total_seconds() > _LOCK_AGE:
                    old = True
            if ours and not old:
                aftermath.ask(commands.unlock(), doing="remove the lock of a killed restic", limit=limit)

    def _private_key(self, scratch: Path) -> Path | None:
        """ssh takes a key only from a file that nobody else can read, and with a newline at its end."""
        if self._credentials.ssh_key_file is None:
            return None
        key = scratch / "ssh-key"
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(self._credentials.ssh_key_file.read_text(encoding="utf-8").rstrip("\n") + "\n")
        return key


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("restic was started without this pipe")
    return stream
