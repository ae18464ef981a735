"""Calls of a Git server that say "somebody pushed": who may make them, and which of them matter.

A call only ever wakes the importer, which then looks for itself; nothing of its body is believed but the name of the
branch. Yet whoever could make calls at will could make it work without end, so each must be vouched for:

| Git server | Headers |
|---|---|
| GitHub | `X-Hub-Signature-256: sha256=<hex>`: HMAC-SHA256 over the body |
| Gitea, Forgejo, Gogs | `X-Forgejo-Signature`, `X-Gitea-Signature` or `X-Gogs-Signature: <hex>`: the same |
| GitLab with a signing token, and anything else | Standard Webhooks: `webhook-id`, `webhook-timestamp` (Unix time), \
`webhook-signature: v1,<base64>`: HMAC-SHA256 over `<id>.<timestamp>.<body>` |
| GitLab with a secret token | `X-Gitlab-Token`: the secret itself |

See https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries,
https://forgejo.org/docs/latest/user/webhooks/, https://www.standardwebhooks.com/ and
https://docs.gitlab.com/user/project/integrations/webhooks/.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from drsyncer.errors import UsageError
from drsyncer.service.http import LARGEST_BODY

WINDOW = 300.0  # seconds that a signed timestamp may be off, as Standard Webhooks recommends
_REMEMBERED = 4_096
_SHORTEST = 16  # characters of a secret
_EVENTS = ("x-github-event", "x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-gitlab-event")
_PUSHES = frozenset({"", "push", "create", "push hook", "tag push hook", "system hook"})


class Kind(StrEnum):
    """What is to be made of a call."""

    WAKE = "wake"
    IGNORED = "ignored"  # it is genuine, and about something else
    UNSIGNED = "unsigned"
    WRONG = "wrong"
    STALE = "stale"
    REPLAYED = "replayed"
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    CLOSED = "closed"  # no secret is configured


_STATUS = {
    Kind.WAKE: 202,
    Kind.IGNORED: 200,
    Kind.UNSIGNED: 401,
    Kind.WRONG: 403,
    Kind.STALE: 403,
    Kind.REPLAYED: 409,
    Kind.TOO_LARGE: 413,
    Kind.MALFORMED: 400,
    Kind.CLOSED: 404,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about one call. `reason` is a sentence for the log and the answer: it holds nothing of the call.

    `mark` tells two calls apart, for `Seen`; "" for those that are not vouched for.
    """

    kind: Kind
    reason: str
    mark: str = ""

    @property
    def wakes(self) -> bool:
        """Whether the importer should look at Git now."""
        return self.kind is Kind.WAKE

    @property
    def status(self) -> int:
        """The HTTP status to answer."""
        return _STATUS[self.kind]


@dataclass(frozen=True, slots=True)
class _Proof:
    """How a call is vouched for: what was sent must be one of what a secret makes. `mark`: its own part of it."""

    sent: tuple[bytes, ...]
    expected: tuple[bytes, ...]
    mark: bytes


def verdict(
    headers: Mapping[str, str], body: bytes, *, secrets: Sequence[bytes], refs: Collection[str], now: float
) -> Verdict:
    """Judge one call. `refs` are those that matter, in full, as globs; `now` is Unix time.

    Nothing is remembered here: see `Seen` for replays.
    """
    if len(body) > LARGEST_BODY:
        return Verdict(Kind.TOO_LARGE, f"the body has more than {LARGEST_BODY:,} bytes")
    if not secrets or not all(secrets):
        return Verdict(Kind.CLOSED, "no secret is configured")
    given = {name.lower(): value.strip() for name, value in headers.items()}
    proof = _proof(given, body, secrets)
    if proof is None:
        return Verdict(Kind.UNSIGNED, "the call is not signed")
    # A sum compares every pair, so that the time tells nothing.
    if not sum(hmac.compare_digest(sent, one) for sent in proof.sent for one in proof.expected):
        return Verdict(Kind.WRONG, "the signature is not one by the configured secret")
    if "webhook-signature" in given and not _is_recent(given.get("webhook-timestamp", ""), now):
        return Verdict(Kind.STALE, f"the signed time is more than {WINDOW:g} s off: a replay, or a clock that is wrong")
    mark = hashlib.sha256(proof.mark).hexdigest()
    event = next((given[name] for name in _EVENTS if name in given), "")
    if event.lower() not in _PUSHES:
        return Verdict(Kind.IGNORED, "the event is no push", mark)
    try:
        ref = _ref(given.get("content-type", ""), body)
    except ValueError:
        return Verdict(Kind.MALFORMED, "the body is no JSON object with a text `ref`", mark)
    # A branch's or tag's creation is told by its short name, too.
    named = (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")
    if ref and not any(fnmatchcase(name, wanted) for name in named for wanted in refs):
        return Verdict(Kind.IGNORED, "the push was to another branch or tag", mark)
    return Verdict(Kind.WAKE, "a push to what is followed", mark)


class Seen:
    """The calls of the last while, so that none counts twice. Bounded; safe to use from several threads.

    Only genuine calls are remembered: a stranger cannot fill it. A call is forgotten after 10 minutes, when one with a
    signed time has become stale, or once 4,096 more have come.
    """

    def __init__(self) -> None:
        self._marks: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def judge(self, found: Verdict, now: float) -> Verdict:
        """Return `found`, or that it is a replay."""
        if not found.mark:
            return found
        with self._lock:
            while self._marks and (
                len(self._marks) > _REMEMBERED or now - next(iter(self._marks.values())) > 2 * WINDOW
            ):
                self._marks.popitem(last=False)
            if found.mark in self._marks:
                return Verdict(Kind.REPLAYED, "this very call was made before")
            self._marks[found.mark] = now
        return found


def read_secrets(file: str) -> tuple[bytes, ...]:
    """Return the secrets in `file`, one per line. Raises UsageError when there is none, or one that can be guessed."""
    try:
        lines = [line.strip() for line in Path(file).read_bytes().splitlines()]
    except OSError as error:
        raise UsageError(f"server.webhook.secretFile: {file} cannot be read: {error.strerror}") from None
    found = tuple(line for line in lines if line)
    if not found or min(map(len, found)) < _SHORTEST:
        raise UsageError(
            f"server.webhook.secretFile: {file}: expected a secret of at least {_SHORTEST} characters on each line",
            hint="Make one with `openssl rand -hex 32`, and give the same to the Git server.",
        )
    return found


def _proof(given: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> _Proof | None:
    """Return how a call is vouched for, by the strongest way that it names: a bad signature is not made up for."""
    if "webhook-signature" in given:
        signed = b".".join((given.get("webhook-id", "").encode(), given.get("webhook-timestamp", "").encode(), body))
        sent = [word.removeprefix("v1,") for word in given["webhook-signature"].split() if word.startswith("v1,")]
        keys = [key for secret in secrets for key in _standard_keys(secret)]
        made = tuple(base64.b64encode(_hmac(key, signed)) for key in keys)
        return _Proof(tuple(map(str.encode, sent)), made, signed)
    hexadecimal = tuple(_hmac(secret, body).hex().encode() for secret in secrets)
    for name in ("x-hub-signature-256", "x-forgejo-signature", "x-gitea-signature", "x-gogs-signature"):
        if name in given:
            prefix = "sha256=" if name == "x-hub-signature-256" else ""
            sent_text = given[name].lower()
            sent = [sent_text.removeprefix(prefix)] if sent_text.startswith(prefix) else []
            return _Proof(tuple(map(str.encode, sent)), hexadecimal, body)
    if "x-gitlab-token" in given:
        # The body is not signed: the id that GitLab gives to a delivery tells two equal pushes apart.
        which = given.get("idempotency-key", "") or given.get("x-gitlab-event-uuid", "")
        return _Proof((given["x-gitlab-token"].encode(),), tuple(secrets), which.encode() + b"\0" + body)
    return None


def _standard_keys(secret: bytes) -> list[bytes]:
    """Return the keys that a secret may stand for: Standard Webhooks writes them as `whsec_` and base64, not all do."""
    if not secret.startswith(b"whsec_"):
        return [secret]
    try:
        key = base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
    except binascii.Error:
        return [secret]
    return [key, secret] if len(key) >= _SHORTEST else [secret]  # everybody can sign with an empty key


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _is_recent(timestamp: str, now: float) -> bool:
    # No more digits than a time has: int() of a million would take a while.
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    return abs(now - int(timestamp)) <= WINDOW


def _ref(content_type: str, body: bytes) -> str:
    """Return the ref that a body names, "" for none. Raises ValueError for what is no body of a webhook."""
    text = body
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        text = parse_qs(body.decode()).get("payload", [""])[0].encode()
    if not text.strip():
        return ""
    try:
        found: Any = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict) or not isinstance(found.get("ref", ""), str):
        raise ValueError("no object with a ref")
    return str(found.get("ref", ""))
