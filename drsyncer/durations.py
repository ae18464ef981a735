"""Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `1h30m`. Inside the program they are seconds.

What may well be days, such as the age of a backup, may be written so: `7d`, `1d12h` (`parse_long`, `text_long`).
"""

from __future__ import annotations

import re

_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?!s))?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+)ms)?",
    re.ASCII,
)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DAYS = re.compile(r"(\d+(?:\.\d+)?)d", re.ASCII)
_DAY = 86_400.0
PATTERN = r"^(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s)?(\d+ms)?$"  # for JSON Schema: the same, without lookahead
PATTERN_LONG = r"^(\d+(\.\d+)?d)?" + PATTERN.removeprefix("^")


def parse(text: str) -> float:
    """Given `1h30m` return 5400.0 seconds.

    Units are h, m, s and ms, each at most once and the larger first; a number without a unit is refused, since
    nobody can tell whether it was meant as seconds or milliseconds. Raises ValueError with one sentence.
    """
    found = _DURATION.fullmatch(text)
    parts = {unit: number for unit, number in found.groupdict().items() if number} if found else {}
    if not parts:
        raise ValueError("expected a duration such as 500ms, 30s, 5m or 1h30m")
    return round(sum(float(number) * _SECONDS[unit] for unit, number in parts.items()), 3)


def parse_long(text: str) -> float:
    """Given `1d12h` return 129600.0 seconds: as `parse`, with days before all else. A day has 24 hours."""
    days = _DAYS.match(text)
    rest = text[days.end() :] if days else text
    try:
        return round((float(days[1]) * _DAY if days else 0.0) + (parse(rest) if rest or not days else 0.0), 3)
    except ValueError:
        raise ValueError("expected a duration such as 30m, 12h, 7d or 1d12h") from None


def text_long(seconds: float) -> str:
    """Given seconds, not negative, return the shortest exact text, in days where it has some: `1d12h`."""
    days, rest = divmod(round(seconds * 1000), 86_400_000)
    if days <= 0:
        return text(seconds)
    return f"{days}d" + (text(rest / 1000) if rest else "")


def text(seconds: float) -> str:
    """Given seconds, not negative, return the shortest exact text to the millisecond: 90.5 gives `1m30s500ms`."""
    rest = round(seconds * 1000)
    if rest < 0:
        raise ValueError("a duration is not negative")
    parts = []
    for unit, milliseconds in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, milliseconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
