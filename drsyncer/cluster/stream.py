"""An answer that is read while it comes, line by line, and that another thread can end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import urllib3

from drsyncer.errors import ClusterUnreachable

_CHUNK = 64 * 1024
# The largest object that etcd takes is 1.5 MiB; as JSON with all its escapes it can be several times that.
_LONGEST_LINE = 32 * 1024 * 1024


class Stream:
    """One open answer. `lines` is for one thread, `close` for any."""

    def __init__(self, response: Any, *, what: str) -> None:
        self._response = response
        self._what = what
        self._closed = threading.Event()

    def lines(self) -> Iterator[bytes]:
        """Yield each line as soon as it is complete, until the server or `close` ends the answer.

        An unfinished last line is dropped: what it told will be told again. Raises ClusterUnreachable when the
        connection is lost in the middle, or silent for longer than its time-out.
        """
        rest = b""
        try:
            while chunk := self._response.read1(_CHUNK):
                *complete, rest = (rest + chunk).split(b"\n")
                yield from complete
                if len(rest) > _LONGEST_LINE:
                    raise ClusterUnreachable(f"{self._what}: a line of more than {_LONGEST_LINE:,} bytes")
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # ValueError, AttributeError: urllib3's answer to a connection that `close` took away under the reader.
            if self._closed.is_set():
                return
            if not isinstance(error, urllib3.exceptions.HTTPError | OSError):
                raise
            raise ClusterUnreachable(f"{self._what}: the connection was lost: {type(error).__name__}") from error
        finally:
            self._response.release_conn() if self._response.isclosed() else self._response.close()

    def close(self) -> None:
        """Hang up: the thread in `lines` finds its end at once."""
        self._closed.set()
        with contextlib.suppress(ValueError, OSError, RuntimeError):  # it ended by itself a moment ago
            self._response.shutdown()
