"""How reports name things when there may be very many of them."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 3


def some(names: Sequence[object], *, most: int = MOST) -> str:
    """Return the first `most` names and how many more there are: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(str(name) for name in names[:most]) + (f" and {more} more" if more > 0 else "")
