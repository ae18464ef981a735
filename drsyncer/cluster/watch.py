"""Watching one type: what happens to its objects after a resourceVersion.

Two nested generators: `_once` is one request, `Watch.events` goes on with the next one where the last one stopped. What
only a new LIST can mend (410: the resourceVersion is too old) is raised to the caller, who owns the state.
See https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes and KEP-956 (bookmarks).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from drsyncer.cluster import answers, urls
from drsyncer.errors import ClusterError, ClusterUnreachable, Gone, ServerFailed, Throttled
from drsyncer.manifest import ResourceType
from drsyncer.retry import Schedule
from drsyncer.service.circuit import Circuit

if TYPE_CHECKING:
    from drsyncer.cluster.client import Cluster
    from drsyncer.cluster.stream import Stream

# The server ends a watch after this many seconds, spread so that hundreds of them do not come back at once.
_SECONDS = (300, 600)
# A watch that ends sooner, and without a word, did not work: asking again at once would be a storm.
_WORKED = 1.0  # seconds
_NOBODY_THERE = (502, 503, 504)  # what stands before an API server says for it


class Kind(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `object` is the object as raw JSON, as it is now or was when it was deleted."""

    kind: Kind
    object: msgspec.Raw


class _Meta(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Object(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    code: int = 0  # of the Status that comes with ERROR
    message: str = ""


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_object = msgspec.json.Decoder(_Object).decode


class Watch:
    """The changes of one type, in all namespaces or one, or of one object. `events` is for one thread, `stop` for any.

    `resource_version` is that of the LIST that went before; it moves on with what was seen. Without one, what is there
    now comes first, as ADDED. `failures` counts the requests in a row that did not work, `connected` says whether one
    is open now, `waits` whether none is tried because the server is dead: then one of all those who share a `circuit`
    probes.
    """

    def __init__(
        self,
        cluster: Cluster,
        type_: ResourceType,
        *,
        resource_version: str,
        namespace: str = "",
        name: str = "",
        schedule: Schedule | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        self.type = type_
        self.namespace = namespace
        self.name = name
        self.resource_version = resource_version
        self.connected = False
        self.failures = 0
        self.waits = False
        self._cluster = cluster
        self._schedule = schedule or Schedule()
        self._circuit = circuit or Circuit()
        self._bell = threading.Event()
        self._stopped = threading.Event()
        self._stream: Stream | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End `events`, at once and for good."""
        self._stopped.set()
        self._bell.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def events(self) -> Iterator[Event]:
        """Yield change after change until `stop`. A lost connection and a busy server are waited out, for ever.

        Raises Gone when changes may have been missed: list again. Raises Forbidden, NotFound and Unauthorized as
        they come: the type, or the right to see it, went away.
        """
        while not self._stopped.is_set():
            wait: float | None = None
            self._wait_for_the_server()
            if self._stopped.is_set():
                return
            try:
                yield from self._once()
            except Throttled as error:
                wait = error.retry_after
                self.failures += 1
            except (ClusterUnreachable, ServerFailed):
                self.failures += 1
            finally:
                self.connected = False
            if self.failures:
                self._stopped.wait(self._schedule.delay(self.failures, retry_after=wait))

    def _wait_for_the_server(self) -> None:
        self.waits = self._circuit.is_open
        self._circuit.wait(self._bell, goes_on=lambda: not self._stopped.is_set(), probe=lambda: self._cluster.is_up())
        self.waits = False

    def _once(self) -> Iterator[Event]:
        what = f"watch {self.type.key}" + (f" in {self.namespace}" if self.namespace else "")
        seconds = random.randint(*_SECONDS)  # noqa: S311 - spread, not secrecy
        stream = self._open(
            urls.path_of(self.type, namespace=self.namespace),
            what=what,
            query={
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": self.resource_version,
                "timeoutSeconds": str(seconds),
                "fieldSelector": f"metadata.name={self.name}" if self.name else "",
            },
            silence=seconds + 30.0,
        )
        with self._lock:
            self._stream = stream
            if self._stopped.is_set():
                stream.close()
        self.connected = True
        begun, worked = time.monotonic(), False
        try:
            for line in stream.lines():
                event = self._event(line, what)
                self.failures, worked = 0, True
                if event is not None:
                    yield event
        finally:
            stream.close()
            with self._lock:
                self._stream = None
        self.failures = 0 if worked or time.monotonic() - begun >= _WORKED else self.failures + 1

    def _open(self, path: str, *, what: str, query: Mapping[str, str], silence: float) -> Stream:
        """Send the request, and tell the circuit whether anybody was there to take it."""
        try:
            stream = self._cluster.stream(path, what=what, query=query, silence=silence)
        except ClusterError as error:
            dead = isinstance(error, ClusterUnreachable) or error.status in _NOBODY_THERE
            self._circuit.failed() if dead else self._circuit.worked()
            raise
        self._circuit.worked()
        return stream

    def _event(self, line: bytes, what: str) -> Event | None:
        """Return what one line tells, None for a bookmark, and remember how far it brings us."""
        try:
            told = _decode_line(line)
            found = _decode_object(told.object)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ServerFailed(f"{what}: the answer is no watch event: {error}") from error
        if told.type == "ERROR":
            # The Status comes inside an answer of 200; a 410 here is the usual way of "too old".
            raise answers.to_error(found.code or 500, bytes(told.object), what=what)
        if found.metadata.resource_version:
            self.resource_version = found.metadata.resource_version
        return None if told.type == "BOOKMARK" else Event(Kind(told.type), told.object)


__all__ = ["Event", "Gone", "Kind", "Watch"]
