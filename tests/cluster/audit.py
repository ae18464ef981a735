"""What a cluster was asked, read from the API server's own audit log."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HARNESS_USER = "harness"
WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Creating one of these asks a question; nothing is stored.
REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
ANSWER_TIMEOUT_SECONDS = 5.0
POLICY = f"""\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager", "system:anonymous"]
  - level: None
    userGroups: ["system:serviceaccounts:kube-system"]
  - level: None
    users: ["{HARNESS_USER}"]
    verbs: ["get", "list", "watch"]
  - level: Metadata
"""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One request. `status` is 0 while it has no answer (a request in flight, a watch that is still open)."""

    id: str
    user: str
    verb: str
    uri: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user_agent: str
    status: int

    @property
    def type(self) -> str:
        """`plural.group`, as the rest of the project names types; "" for a path that is no resource."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def query(self) -> dict[str, list[str]]:
        """The parsed query string."""
        return parse_qs(urlsplit(self.uri).query, keep_blank_values=True)

    @property
    def dry_run(self) -> bool:
        """Whether the server was asked to store nothing."""
        return "dryRun" in self.query

    @property
    def field_manager(self) -> str:
        """The field manager that the request named, "" for none."""
        return self.query.get("fieldManager", [""])[0]

    @property
    def is_write(self) -> bool:
        """Whether the request asks to store something: refused ones count, dry runs and reviews do not."""
        return self.verb in WRITE_VERBS and not self.dry_run and bool(self.resource) and not self._is_question

    @property
    def _is_question(self) -> bool:
        return self.group in REVIEW_GROUPS or (self.resource, self.subresource) == ("serviceaccounts", "token")


class AuditLog:
    """The audit log of one API server; reads on from where it stopped.

    Requests of the control plane itself and reads of the harness are not in it. Every request is logged before the
    server works on it, so a request whose answer a test has seen is always there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self._events: dict[str, AuditEvent] = {}
        self._mark = 0
        self._lock = threading.Lock()

    def mark(self) -> int:
        """Remember this moment, return it, and make it the default for `since`."""
        self._mark = len(self._read())
        return self._mark

    def requests(self, *, user: str | None = None, since: int | None = None) -> list[AuditEvent]:
        """The requests since `since` (default: the last mark), in order of arrival.

        `user` None means everybody but the harness itself. Waits up to 5 s for the answers of requests in flight.
        """
        start = self._mark if since is None else since
        deadline = time.monotonic() + ANSWER_TIMEOUT_SECONDS
        while True:
            events = self._read()[start:]
            if all(event.status for event in events) or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return [event for event in events if (event.user == user if user else event.user != HARNESS_USER)]

    def writes(self, *, user: str | None = None, since: int | None = None) -> list[AuditEvent]:
        """Those of `requests` that ask to store something, whether or not it was granted."""
        return [event for event in self.requests(user=user, since=since) if event.is_write]

    def _read(self) -> list[AuditEvent]:
        with self._lock:
            if not self._file.exists():
                return []
            with self._file.open("rb") as stream:
                stream.seek(self._offset)
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    event = _parse(json.loads(line))
                    self._events[event.id] = event
            return list(self._events.values())


def _parse(entry: dict[str, Any]) -> AuditEvent:
    target = entry.get("objectRef") or {}
    return AuditEvent(
        id=entry["auditID"],
        user=(entry.get("impersonatedUser") or entry["user"]).get("username", ""),  # none: not logged in
        verb=entry["verb"],
        uri=entry["requestURI"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        user_agent=entry.get("userAgent", ""),
        status=(entry.get("responseStatus") or {}).get("code", 0),
    )
