"""The values that every cluster draws anew (UIDs, times, addresses, random suffixes), the same in every capture."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.api import Object

_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ADDRESS = re.compile(r"\b127\.\d+\.\d+\.\d+\b")
_SUFFIX = re.compile(r"\b(kube-api-access|drawn)-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_TEMPLATE_HASH = re.compile(r"\bweb-[bcdfghjklmnpqrstvwxz0-9]{8,10}\b")  # of a template that holds the time
_DRAWN_PORT = re.compile(r'("(?:nodePort|healthCheckNodePort)": )(3[0-2]\d{3})\b')
_VERSION = re.compile(r'("resourceVersion": )"\d+"')
_LETTERS = "bcdfghjklm"

DECLARED_PORTS = ("30080", "30081")
CERTIFICATE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"  # stands for what the authority of the run issued


def steady(found: Mapping[str, Object], *, authority: str) -> dict[str, Object]:
    """Return the captured objects, by case, with every drawn value replaced by the n-th of its kind.

    `authority` is the certificate of this run's authority in base64.
    """
    text = json.dumps({case: found[case] for case in sorted(found)}).replace(authority, CERTIFICATE)
    text = _UID.sub(_numbered(lambda n: f"00000000-0000-4000-8000-{n:012d}"), text)
    text = _ADDRESS.sub(_numbered(lambda n: f"10.96.0.{n}"), text)
    text = _TIME.sub("2026-01-01T00:00:00Z", text)
    text = _TEMPLATE_HASH.sub("web-7b8c9d5f6", text)
    text = _VERSION.sub(r'\1"1000"', text)
    suffix = _numbered(lambda n: f"7x8q{_LETTERS[n % len(_LETTERS)]}")
    text = _SUFFIX.sub(lambda match: f"{match[1]}-{suffix(match)}", text)
    port = _numbered(lambda n: str(30100 + n), group=2)
    text = _DRAWN_PORT.sub(lambda match: match[0] if match[2] in DECLARED_PORTS else match[1] + port(match), text)
    result: dict[str, Any] = json.loads(text)
    return {case: _without_credentials(_in_order(manifest)) for case, manifest in result.items()}


def _numbered(name: Callable[[int], str], *, group: int = 0) -> Callable[[re.Match[str]], str]:
    """Return a replacement that gives the n-th different text the n-th name."""
    names: dict[str, str] = {}
    return lambda match: names.setdefault(match[group], name(len(names) + 1))


def _in_order(manifest: Object) -> Object:
    """Return an object whose managers do not stand in the order in which they happened to write."""
    manifest["metadata"]["managedFields"].sort(
        key=lambda entry: (entry["manager"], entry["operation"], entry.get("subresource", ""))
    )
    return manifest


def _without_credentials(manifest: Object) -> Object:
    """Return a token Secret with words in the place of what would be valid in a cluster."""
    if manifest["kind"] == "Secret" and "data" in manifest:
        return {**manifest, "data": dict.fromkeys(manifest["data"], "c3RlYWR5")}
    return manifest
