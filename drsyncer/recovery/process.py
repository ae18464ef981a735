"""How git is run: through GitPython's command interface, in surroundings of our own, never longer than it may.

Git runs in a session of its own, so that all of its children (ssh, the https helper) end with it. It inherits the
clone's lock: when this process is killed, whatever git is still doing keeps the next one out until it is done.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from drsyncer.errors import Abandoned, GitError
from drsyncer.recovery.failure import failure, silent

# A command that gives signs of life may still never end (a server that drips). So many time-outs are enough.
_PATIENCE = 30
_LAST_WORDS = 2.0  # seconds from SIGTERM to SIGKILL
_GLANCE = 0.5  # seconds
_MOST_WORDS = 256 * 1024  # bytes of an error stream that are kept: the last ones


@dataclass(frozen=True, slots=True)
class Output:
    """What one command answered."""

    status: int
    out: bytes
    err: str


class Git:
    """The git program, for one clone."""

    def __init__(
        self,
        folder: Path,
        *,
        variables: Mapping[str, str],
        shown: str,
        timeout: float,
        lock: int | None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`folder`: the clone. `shown`: the remote's URL, for messages. `lock`: the descriptor that git inherits.

        `goes_on` is asked twice a second while the network is waited for.
        """
        self.folder = folder
        self._variables = dict(variables)
        self._shown = shown
        self._timeout = timeout
        self._lock = lock
        self._goes_on = goes_on

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run a command that speaks to no remote; return its output. Raises `GitError` when it fails."""
        output = self.ask(*arguments, stdin=stdin)
        if output.status != 0:
            raise failure(output.err, doing=arguments[0], local=True)
        return output.out

    def ask(self, *arguments: str, stdin: bytes = b"") -> Output:
        """Run a command that speaks to no remote; return its output whatever its status."""
        with self._popen(arguments, piped=True) as process:
            out, err = process.communicate(stdin)
            return Output(process.returncode, out, err.decode("utf-8", "replace"))

    def network(self, *arguments: str, more: Mapping[str, str] | None = None) -> Output:
        """Run a command that speaks to the remote; return its output whatever its status.

        The command must be one that shows its progress: it is ended, with all its children, when it gave no sign of
        life for `timeout` seconds. Raises `RemoteUnreachable` then, and `Abandoned` when it was not to go on. `more`:
        variables to add.
        """
        with self._popen(arguments, piped=False, more=more) as process:
            out, err = self._gather(process, doing=f"{arguments[0]} {self._shown}")
            return Output(process.wait(), out, err.decode("utf-8", "replace"))

    def failed(self, output: Output, *, doing: str) -> GitError:
        """Return the error for a command to the remote that ended with a status other than 0."""
        return failure(output.err, doing=f"{doing} {self._shown}", local=False)

    @contextlib.contextmanager
    def talk(self, *arguments: str) -> Iterator[Conversation]:
        """Run a command that is written to and read from while it runs. It ends with the block, at the latest."""
        with self._popen(arguments, piped=True) as process:
            conversation = Conversation(process, name=arguments[0])
            try:
                yield conversation
            finally:
                # Ended before the listener is joined: it reads until the error stream's end.
                _end(process)
                conversation.listener.join()

    @contextlib.contextmanager
    def _popen(
        self, arguments: tuple[str, ...], *, piped: bool, more: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        variables = self._variables | dict(more or {})
        git = _gitpython()
        # GitPython starts it in this folder; before there is a clone, in the one that will hold it.
        folder = self.folder if self.folder.is_dir() else self.folder.parent
        try:
            handle: Any = git.cmd.Git(str(folder)).execute(
                command(arguments, folder=self.folder, foreign=foreign_variables(os.environ, variables)),
                istream=subprocess.PIPE if piped else None,
                as_process=True,
                env=variables,
                start_new_session=True,
                pass_fds=() if self._lock is None else (self._lock,),
            )
        except (git.exc.GitCommandNotFound, OSError) as error:
            raise GitError(f"recovery.git: git can't be run: {error}") from error
        process: subprocess.Popen[bytes] = handle.proc
        try:
            yield process
        finally:
            _end(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def _gather(self, process: subprocess.Popen[bytes], *, doing: str) -> tuple[bytes, bytes]:
        gathered = {"out": bytearray(), "err": bytearray()}
        alive = time.monotonic()
        end = alive + self._timeout * _PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(_stream(process.stdout), selectors.EVENT_READ, "out")
            selector.register(_stream(process.stderr), selectors.EVENT_READ, "err")
            while selector.get_map():
                now = time.monotonic()
                left = min(alive + self._timeout, end) - now
                if left <= 0:
                    raise silent(doing=doing, seconds=self._timeout if now < end else self._timeout * _PATIENCE)
                if not self._goes_on():
                    raise Abandoned(f"recovery.git: {doing}: given up before the remote answered")
                for key, _ in selector.select(min(left, _GLANCE)):
                    alive = time.monotonic()
                    if chunk := os.read(key.fd, 65_536):
                        gathered[key.data] += chunk
                    else:
                        selector.unregister(key.fileobj)
                del gathered["err"][:-_MOST_WORDS]
        return bytes(gathered["out"]), bytes(gathered["err"])


class Conversation:
    """A running command with both ends open. What it says on its error stream is read all the while."""

    def __init__(self, process: subprocess.Popen[bytes], *, name: str) -> None:
        self._process = process
        self._name = name
        self._words = bytearray()
        self.stdin = _stream(process.stdin)
        self.stdout = _stream(process.stdout)
        self.listener = threading.Thread(target=self._listen, name=f"git {name}", daemon=True)
        self.listener.start()

    def finish(self) -> None:
        """Close its input and wait for its end. Raises `GitError` unless it ended well."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        status = self._process.wait()
        if status != 0:
            raise self.failed()

    def stop(self) -> None:
        """End the command, whatever it is doing."""
        _end(self._process)

    def failed(self) -> GitError:
        """End the command, if it has not ended by itself, and return the error that tells why."""
        _end(self._process, grace=1.0)
        self.listener.join()
        return failure(self._words.decode("utf-8", "replace"), doing=self._name, local=True)

    def _listen(self) -> None:
        stream = _stream(self._process.stderr)
        while chunk := os.read(stream.fileno(), 65_536):
            self._words += chunk
            del self._words[:-_MOST_WORDS]


def command(arguments: tuple[str, ...], *, folder: Path, foreign: tuple[str, ...]) -> list[str]:
    """Return the words to execute: git on the clone `folder`, without the `foreign` variables."""
    unset = ["env", *(word for name in foreign for word in ("-u", name))] if foreign else []
    return [*unset, "git", f"--git-dir={folder}", "--literal-pathspecs", *arguments]


def foreign_variables(environ: Mapping[str, str], ours: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of this process's variables that git must not see: `GIT_*` of whoever called us.

    They would point it to another repository or switch off what is checked (`GIT_SSL_NO_VERIFY`). GitPython can add
    variables but not take any away.
    """
    kept = {"GIT_EXEC_PATH"}  # where an installation outside the usual places has its programs
    return tuple(sorted(name for name in environ if name.startswith("GIT_") and name not in kept and name not in ours))


def _gitpython() -> Any:
    """Import GitPython, which takes a while, and which raises `ImportError` when there is no git on the PATH."""
    try:
        import git
        import git.cmd
        import git.exc
    except ImportError as error:
        raise GitError("recovery.git: git can't be run", hint="Install git 2.32 or later, on the PATH.") from error
    return git


def _end(process: subprocess.Popen[bytes], *, grace: float = 0.0) -> None:
    """End `process` and all its children, and wait for it. It gets `grace` seconds to end by itself."""
    if grace and process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    # First the signal that lets git remove its lock files.
    for signal_ in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        # Its session bears its number, which is not given away again before `wait`.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal_)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS)
    process.wait()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("git was started without this pipe")
    return stream
