"""What an HTTP answer of an API server means: pure judgement, no I/O.

The status codes and the Status object are those of the Kubernetes API conventions
(https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from drsyncer.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerFailed,
    Throttled,
    Unauthorized,
)

# 429 and the gateway errors are about the moment, not about the request.
PASSING = frozenset({408, 429, 502, 503, 504})
# A 500 may pass (etcd changing its leader) and may be for ever (a conversion webhook that is gone): few tries.
TRIES_ON_500 = 3
# "Unavailable" that often, from a server that calls itself ready: something behind it is gone.
TRIES_ON_UNAVAILABLE = 5
_UNAVAILABLE = frozenset({502, 503, 504})

_WEBHOOK = re.compile(r'failed calling webhook "([^"]+)"')
_CONVERSION = re.compile(r"conversion webhook for .* failed")
# The API server answers 500 to an object that its schema does not know in full; it will never take it.
_UNFIT = re.compile(r"failed to create typed patch object|field not declared in schema")
# Two writers at the same instant, such as two Pods that count against one quota: the next try sees the other's work.
_RACE = re.compile(r"the object has been modified|please apply your changes to the latest version")
_CONFLICT_MANAGER = re.compile(r'conflict with "([^"]+)"')


def parse_status(body: bytes) -> dict[str, Any]:
    """Return the Status object in `body`, or an empty mapping when it is something else (a proxy's HTML).

    Its `message` is text and its `details` a mapping, whatever an aggregated API server made of them.
    """
    try:
        status = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return {}
    message, details = status.get("message"), status.get("details")
    return status | {
        "message": message if isinstance(message, str) else "",
        "details": details if isinstance(details, dict) else {},
    }


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """Return the seconds that the server asks to wait, from the header or the Status, or None."""
    header = headers.get("Retry-After", "")
    if header.isdecimal():
        return float(header)
    seconds = parse_status(body).get("details", {}).get("retryAfterSeconds")
    return float(seconds) if isinstance(seconds, int) and seconds > 0 else None


def may_pass(code: int, body: bytes, *, attempt: int) -> bool:
    """Return whether trying again can help after try number `attempt` ended in `code`."""
    if code in PASSING:
        return True
    if code == 409:
        return bool(_RACE.search(parse_status(body).get("message", "")))
    if code != 500 or attempt >= TRIES_ON_500:
        return False
    message = parse_status(body).get("message", "")
    return not (_CONVERSION.search(message) or _UNFIT.search(message))


def may_be_lasting(code: int, *, attempt: int) -> bool:
    """Return whether to ask, after try number `attempt`, if the server itself is well: then `code` will not pass."""
    return code in _UNAVAILABLE and attempt >= TRIES_ON_UNAVAILABLE


def to_error(code: int, body: bytes, *, what: str) -> ClusterError:
    """Return the error for an answer that is no success; `what` says what was tried."""
    status = parse_status(body)
    message = f"{what}: {_reason(code, status, body)}"
    match code:
        case 400 | 413 | 415 | 422:
            return Invalid(message, status=code)
        case 401:
            return Unauthorized(
                message, status=code, hint="Log in again or renew the token of this kubeconfig context."
            )
        case 403:
            return Forbidden(message, status=code)
        case 404:
            return NotFound(message, status=code)
        case 409:
            return Conflict(message, owners=_owners(status))
        case 410:
            return Gone(message, status=code)
        case 429:
            return Throttled(message, status=code)
    if _UNFIT.search(status.get("message", "")):
        return Invalid(message, status=code)
    webhook = _WEBHOOK.search(status.get("message", ""))
    return ServerFailed(message, status=code, webhook=webhook.group(1) if webhook else "")


def _reason(code: int, status: dict[str, Any], body: bytes) -> str:
    text = status.get("message")
    if not text:
        text = f"HTTP {code} {body[:200].decode('utf-8', 'replace').strip()}".strip()
    return str(text)


def _owners(status: dict[str, Any]) -> dict[str, str]:
    """Given the Status of an apply conflict, return field path → manager that owns the field."""
    owners = {}
    causes = status.get("details", {}).get("causes")
    for cause in causes if isinstance(causes, list) else []:
        if isinstance(cause, dict) and cause.get("reason") == "FieldManagerConflict":
            manager = _CONFLICT_MANAGER.search(str(cause.get("message", "")))
            owners[str(cause.get("field", ""))] = manager.group(1) if manager else "another manager"
    return owners
