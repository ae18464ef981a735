"""The edge to the process that renders templates: starts it when the first template comes, and ends it for certain."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drsyncer.errors import DrSyncerError
from drsyncer.templates import MOST_CLOCK, TemplateFailed, worker

_START = 60.0  # seconds until a worker is ready: Python's start on a busy machine
_GRACE = 5.0  # seconds beyond the worker's own clock limit, for the exchange itself
_MOST_ANSWER = 1024 * 1024  # bytes
_STRIKES = 3  # a template that ended the worker so often is not tried on further objects
_LIBRARY = str(Path(worker.__file__).parents[2])
_PROGRAM = "import sys; sys.path[:0] = sys.argv[1:]; from drsyncer.templates import worker; sys.exit(worker.serve())"


class Renderer:
    """Renders templates in a worker. A context manager; threads may share an instance and wait for each other.

    A worker that does not answer in time, or ended, is killed and replaced by a new one for the next template.
    """

    def __init__(self, *, clock: float = MOST_CLOCK) -> None:
        """`clock`: seconds that one rendering may take, as seen from here."""
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: weakref.finalize[..., Renderer] | None = None
        self._lock = threading.Lock()
        self._strikes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Return this renderer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker."""
        self.close()

    def render(self, text: str, variables: Mapping[str, Any]) -> str:
        """Return what a template makes of `variables`. Raises TemplateFailed; never takes much longer than the limit.

        Raises DrSyncerError when no worker can be started.
        """
        with self._lock:
            if self._strikes[text] >= _STRIKES:
                raise TemplateFailed(f"it too heavy for {_STRIKES} objects before; it is not tried again")
            request = json.dumps({"template": text, "variables": variables}).encode("utf-8", "surrogatepass")
            try:
                answer = self._exchange(self._started(), worker.frame(request))
            except _Ended as error:
                self._strikes[text] += 1
                self._end()
                raise TemplateFailed(str(error)) from None
            except BaseException:
                self._end()  # an answer may be half read
                raise
        if "failed" in answer:
            raise TemplateFailed(str(answer["failed"]))
        return str(answer["text"])

    def close(self) -> None:
        """End the worker. A later `render` starts another."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when there is none."""
        return self._process.pid if self._process else None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = _start()
            # Also when it was started after the block, and nobody closes it any more.
            self._ending = weakref.finalize(self, _stop, self._process)
            try:
                ready = _gather(self._process, b"", lambda got: len(got) >= len(worker.READY), seconds=_START)
            except _Ended as error:
                self._end()
                raise _no_worker(f"found {error}") from None
            if ready != worker.READY:
                self._end()
                raise _no_worker("its first words were not understood")
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> dict[str, Any]:
        data = _gather(process, request, _is_whole, seconds=self._clock + _GRACE)
        answer = json.loads(data[worker.HEAD :])
        if not isinstance(answer, dict):
            raise _Ended("an answer that was not understood")
        return answer

    def _end(self) -> None:
        self._process = None
        if self._ending is not None:
            self._ending()
            self._ending = None


class _Ended(Exception):
    """The worker gave no answer. The message follows "found"."""


def _start() -> subprocess.Popen[bytes]:
    # Its own session: Ctrl-C is ours to handle. No variables: what they hold is none of its business.
    # -I: neither the current folder nor PYTHON* variables decide what is imported; the path is given instead.
    path = [_LIBRARY, *(entry for entry in sys.path if entry and Path(entry).exists())]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _PROGRAM, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise _no_worker(str(error.strerror)) from error
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        os.set_blocking(stream.fileno(), False)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _no_worker(why: str) -> DrSyncerError:
    return DrSyncerError(
        f"templates: the process that renders them cannot be started: {why}",
        hint="Objects with templates are blocked until it can; check memory and process limits.",
    )


def _gather(process: subprocess.Popen[bytes], request: bytes, is_whole: Any, *, seconds: float) -> bytes:
    """Write `request` and return the answer, once it `is_whole`. Raises _Ended when that is not so in `seconds`."""
    assert process.stdin is not None
    assert process.stdout is not None
    end = time.monotonic() + seconds
    left = memoryview(request)
    got = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if left:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while not is_whole(got):
            wait = end - time.monotonic()
            ready = selector.select(wait) if wait > 0 else []
            if not ready:
                raise _Ended(f"no end of it within {seconds:g} s")
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    left = left[_written(process.stdin.fileno(), left, process) :]
                    if not left:
                        selector.unregister(process.stdin)
                elif chunk := os.read(process.stdout.fileno(), 65_536):
                    got += chunk
                else:
                    raise _Ended(_why(process))
            if len(got) > _MOST_ANSWER:
                raise _Ended("an answer that is too long")
    return bytes(got)


def _written(descriptor: int, data: memoryview, process: subprocess.Popen[bytes]) -> int:
    try:
        return os.write(descriptor, data[:65_536])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        raise _Ended(_why(process)) from None


def _is_whole(got: bytearray) -> bool:
    return len(got) >= worker.HEAD and len(got) >= worker.HEAD + worker.length_of(bytes(got[: worker.HEAD]))


def _why(process: subprocess.Popen[bytes]) -> str:
    """Say why the worker ended, which it has done or is doing."""
    try:
        status = process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        return "no answer"
    reasons = {
        -signal.SIGXCPU: "it needing more processor time than a template may have",
        -signal.SIGALRM: "it needing more time than a template may have",
        worker.OUT_OF_MEMORY: "it needing more memory than a template may have",
    }
    return reasons.get(status, f"the process that renders ended by status {status}")
