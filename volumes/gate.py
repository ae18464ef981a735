"""Keeping restic from a volume until it has been looked at, without making restic start later.

Opening a repository takes restic a second: a key is derived, and a backend far away asked. What must be done before it
reads the volume can be done meanwhile. So restic is given a named pipe as a list of exclusions, an empty one. It reads
that once the repository is open and before it looks at the first file, and the pipe is silent until the gate is opened.
Were it ever to read the list earlier than that, it would wait earlier, and still not read the volume too soon.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

_GLANCE: Final = 0.003  # seconds between two looks at whether restic is at the gate
_AGAIN: Final = 0.5  # … once it went through: a restic that read its list twice must not wait for ever


class Gate:
    """A gate of one backup, closed until `prepare` has returned. Use it in a `with` block around restic.

    `prepare` runs in a thread of its own. When it raises, the gate stays closed, and `error` is what it raised.
    """

    def __init__(self, pipe: Path, prepare: Callable[[], None]) -> None:
        self.pipe = pipe
        self.error: BaseException | None = None
        self._prepare = prepare
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gate")

    def __enter__(self) -> Self:
        os.mkfifo(self.pipe, 0o600)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.pipe.unlink(missing_ok=True)

    def let_through(self) -> bool:
        """Let restic go on if it waits at the gate, also when nothing is prepared: it was told to stop. Return that."""
        try:
            # It succeeds only where somebody has the pipe open to read, or waits for that.
            os.close(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ENOENT):
                raise
            return False
        return True

    def _run(self) -> None:
        try:
            self._prepare()
        except BaseException as error:  # noqa: BLE001 - raised again by who runs restic
            self.error = error
            return
        pause = _GLANCE
        while not self._over.wait(pause):
            if self.let_through():
                pause = _AGAIN
