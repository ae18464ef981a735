"""How reports name things when there may be very many of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def some(names: Sequence[object], *, most: int = MOST) -> str:
    """Return the first `most` names and how many more there are: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(str(name) for name in names[:most]) + (f" and {more} more" if more > 0 else "")


def span(seconds: float) -> str:
    """Return a span of time as people say it, to about a tenth: `2 hours 5 minutes`, `12 minutes`."""
    rest = max(0, int(seconds))
    parts = []
    for name, length in _UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count:,} {name}{'s' if count > 1 else ''}")
        elif parts:
            break  # 1 day and 3 seconds are 1 day
        if len(parts) == 2 or (name == "minute" and count >= 10):
            break
    return " ".join(parts) or "0 seconds"


def many(count: int, one: str, more: str = "") -> str:
    """Return `1 object`, `2,000 objects`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def size(count: int) -> str:
    """Return a number of bytes as people say it: `12 bytes`, `1.2 MiB`."""
    if count < 1024:
        return many(count, "byte")
    amount, units = count / 1024, iter(("KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    for larger in units:
        if amount < 1023.95:  # what would be rounded to 1024.0 is 1.0 of the next
            break
        amount, unit = amount / 1024, larger
    return f"{amount:,.1f} {unit}"


def printable(text: str) -> str:
    """Return `text` with control and direction characters written out: anyone can write names into a cluster."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
