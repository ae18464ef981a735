"""JSON bytes, in and out.

The one place that knows the JSON library. Apply bodies are JSON that is read as YAML: the API
server hands the body of a server-side apply to its YAML reader, so they have an encoder of their own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from drsyncer.manifest import Manifest

Raw = msgspec.Raw

MAX_DEPTH = 100  # nested mappings and sequences; also what the YAML reader takes

# YAML readers stop looking for the ":" of a key after 1,024 characters (YAML 1.2.2, 7.4.2), unless a "?" announces it.
LONGEST_SIMPLE_KEY = 1000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

# Characters that JSON may hold raw and YAML readers refuse, fold into a space or drop: DEL, the C1 controls with
# NEL, NBSP, LS, PS, BOM and the non-characters of the basic plane. Those of higher planes are legal in YAML
# (production c-printable), and escaping them would need surrogate pairs, which YAML does not know.
_UNSAFE_BYTES = re.compile(rb"\x7f|\xc2[\x80-\xa0]|\xe2\x80[\xa8\xa9]|\xef(?:\xbb\xbf|\xb7[\x90-\xaf]|\xbf[\xbe\xbf])")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a Kubernetes list. `items` are undecoded: pass each to `decode` when its turn comes."""

    kind: str
    api_version: str
    resource_version: str
    continue_token: str  # "" on the last page
    remaining: int | None  # objects after this page, when the API server says
    items: list[Raw]


class _ListMeta(msgspec.Struct, gc=False):
    resource_version: str | None = msgspec.field(name="resourceVersion", default=None)
    continue_token: str | None = msgspec.field(name="continue", default=None)
    remaining: int | None = msgspec.field(name="remainingItemCount", default=None)


class _List(msgspec.Struct):
    kind: str | None = None
    api_version: str | None = msgspec.field(name="apiVersion", default=None)
    metadata: _ListMeta | None = None
    items: list[Raw] | None = None


_decode_list = msgspec.json.Decoder(_List).decode


def decode(data: bytes | Raw) -> Any:
    """Return the value that `data` holds. Whole numbers stay int, others float. Raises ValueError for anything else."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None


def encode(value: Any) -> bytes:
    """Return `value` (plain data, dataclasses, dates, enums) as compact JSON."""
    return _encode(value)


def encode_for_people(value: Any) -> str:
    """Return `value` as JSON with indentation, the keys of every mapping in order."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()


def items_of(page: bytes) -> ListPage:
    """Given the answer to a LIST, return its page with the items undecoded.

    `items: null`, which some API servers send for an empty list, is an empty list.
    Raises ValueError when `page` is no such answer (cut off, or not an object).
    """
    try:
        found = _decode_list(page)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a list of objects: {error}") from None
    meta = found.metadata or _ListMeta()
    return ListPage(
        kind=found.kind or "",
        api_version=found.api_version or "",
        resource_version=meta.resource_version or "",
        continue_token=meta.continue_token or "",
        remaining=meta.remaining,
        items=found.items or [],
    )


def encode_for_apply(manifest: Manifest) -> bytes:
    """Return the body of a server-side apply: JSON that a YAML 1.1 or 1.2 reader reads as the same value.

    Text stays UTF-8, but for the characters that YAML readers refuse or fold, which are escaped. Floats are
    written with a dot and a signed exponent (`1.0e+20`). A key of more than 1,000 characters is written as
    `? key : value`, which is YAML and no longer JSON; the media type of apply allows it.

    Raises ValueError, naming the path, for what JSON cannot hold.
    """
    parts: list[bytes] = []
    try:
        _write(manifest, parts)
    except (ValueError, TypeError, RecursionError):
        refuse_unfit(manifest)
        raise
    return _UNSAFE_BYTES.sub(_escaped, b"".join(parts))


def quoted(text: str) -> str:
    """Return `text` in double quotes, as JSON and both versions of YAML read it alike.

    Raises ValueError for half of a surrogate pair, which UTF-8 cannot hold.
    """
    data = _encode(text)
    if not data.isascii() or b"\x7f" in data:
        data = _UNSAFE_BYTES.sub(_escaped, data)
    return data.decode()


def number(value: float) -> str:
    """Return an int or float so that JSON, YAML 1.1 and YAML 1.2 read the same number of the same kind.

    Raises ValueError for what is not finite, and for whole numbers beyond a float's range: no API server takes them.
    """
    if isinstance(value, int):
        if value.bit_length() > 1023:
            raise ValueError("number out of range")
        return int.__repr__(value)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    text = float.__repr__(value)
    mantissa, exponent, digits = text.partition("e")
    # YAML 1.1 takes 1e+20 for text: it wants the dot, and the sign that Python always writes.
    return f"{mantissa}.0e{digits}" if exponent and "." not in mantissa else text


def refuse_unfit(value: Any) -> None:
    """Raise ValueError for what JSON cannot hold in `value`: its JSON Pointer and why, never the thing itself."""
    try:
        found = _unfit(value, MAX_DEPTH)
    except RecursionError:
        found = ("", "nested too deeply")
    if found is not None:
        pointer, reason = found
        raise ValueError(f"{pointer or '/'}: {reason}") from None


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match.group().decode())


def _write(value: Any, parts: list[bytes]) -> None:
    if isinstance(value, str):
        parts.append(_encode(value))
    elif isinstance(value, dict):
        mark = b"{"
        for key, item in value.items():
            parts.append(mark)
            parts.append(_key(key))
            _write(item, parts)
            mark = b","
        parts.append(b"}" if value else b"{}")
    elif isinstance(value, list):
        mark = b"["
        for item in value:
            parts.append(mark)
            _write(item, parts)
            mark = b","
        parts.append(b"]" if value else b"[]")
    elif value is None:
        parts.append(b"null")
    elif isinstance(value, bool):
        parts.append(b"true" if value else b"false")
    elif isinstance(value, int | float):
        parts.append(number(value).encode())
    else:
        raise TypeError("not JSON")


def _key(key: Any) -> bytes:
    if not isinstance(key, str):
        raise TypeError("not a text key")
    data = _encode(key)
    # Escaping comes later and makes one character at most six.
    if len(data) * 6 > LONGEST_SIMPLE_KEY and len(quoted(key)) > LONGEST_SIMPLE_KEY:
        return b"? " + data + b" : "
    return data + b":"


def _unfit(value: Any, depth: int) -> tuple[str, str] | None:
    if isinstance(value, str):
        return ("", "text with half of a surrogate pair") if _SURROGATE.search(value) else None
    if isinstance(value, dict | list):
        return _unfit_inside(value, depth)
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            number(value)
        except ValueError as error:
            return "", str(error)
        return None
    return "", f"{type(value).__name__} is no JSON type"


def _unfit_inside(value: dict[Any, Any] | list[Any], depth: int) -> tuple[str, str] | None:
    if not depth:
        return "", f"nested deeper than {MAX_DEPTH} levels"
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict):
            if not isinstance(key, str):
                return "", f"a key is {type(key).__name__}, not text"
            if _SURROGATE.search(key):
                return "", "a key with half of a surrogate pair"
        if found := _unfit(item, depth - 1):
            pointer, reason = found
            step = str(key).replace("~", "~0").replace("/", "~1")
            return f"/{step}{pointer}", reason
    return None
