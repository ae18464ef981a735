"""The newest tag in a range of versions: the precedence of semver.org, ranges as npm and its kin write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semver import Version

_NUMBER = r"(?:0|[1-9]\d{0,8})"
_EXPECTED = 'expected a range of versions such as ">=1.0 <2", "^1.4", "1.x" or "*"'
# As people tag: with or without a `v`, the last number left out. A number alone is a date, or moves on by itself.
_TAG = re.compile(
    rf"v?(?P<numbers>{_NUMBER}(?:\.{_NUMBER}){{1,2}})(?P<more>(?:-[\dA-Za-z.-]+)?(?:\+[\dA-Za-z.-]+)?)", re.A
)
_COMPARISON = re.compile(
    rf"(?P<operator>[<>]=?|=|\^|~|)v?(?P<numbers>{_NUMBER}(?:\.{_NUMBER}){{0,2}})?(?P<any>(?:\.?[xX*]){{0,3}})"
    r"(?:-(?P<pre>[\dA-Za-z.-]+))?",
    re.A,
)
_NEAREST = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What a range says about a repository's tags."""

    tags: tuple[str, ...]  # those of the newest version in the range: several may be written for the same version
    nearest: tuple[str, ...] = ()  # when there is none: the newest versions that there are


@dataclass(frozen=True, slots=True)
class _Bound:
    operator: str  # <, <=, >, >=
    version: Version

    def admits(self, version: Version) -> bool:
        order = version.compare(self.version)
        return (
            (order < 0 and "<" in self.operator)
            or (order > 0 and ">" in self.operator)
            or (order == 0 and "=" in self.operator)
        )


def check_range(text: str) -> None:
    """Raise ValueError with what is expected when `text` is neither empty nor a range of versions."""
    if text:
        _alternatives(text)


def newest(text: str, tags: Iterable[str]) -> Found:
    """Given a range return the tags of the newest version in it; pre-releases only where the range names one."""
    alternatives = _alternatives(text)
    versions = {tag: version for tag in tags if (version := _version(tag)) is not None}
    inside = [version for version in versions.values() if any(_admitted(version, bounds) for bounds in alternatives)]
    if inside:
        best = max(inside)
        # Build metadata does not make a version another one.
        return Found(tuple(sorted(tag for tag, version in versions.items() if version.compare(best) == 0)))
    by_age = sorted(sorted(versions), key=versions.__getitem__, reverse=True)
    return Found((), tuple(by_age[:_NEAREST]))


def _admitted(version: Version, bounds: tuple[_Bound, ...]) -> bool:
    """Return whether all `bounds` admit it. A pre-release must be asked for: by one of the same version."""
    if version.prerelease and not any(
        bound.version.prerelease and bound.version.to_tuple()[:3] == version.to_tuple()[:3] for bound in bounds
    ):
        return False
    return all(bound.admits(version) for bound in bounds)


def _alternatives(text: str) -> list[tuple[_Bound, ...]]:
    return [tuple(bound for word in _words(part) for bound in _bounds(word)) for part in text.split("||")]


def _words(text: str) -> list[str]:
    spaced = re.sub(r"(\S+)\s+-\s+(\S+)", r">=\1 <=\2", text.replace(",", " "))
    words = re.sub(r"([<>=^~])\s+", r"\1", spaced).split()
    if not words:
        raise ValueError(_EXPECTED)
    return words


def _bounds(word: str) -> list[_Bound]:
    found = _COMPARISON.fullmatch(word)
    numbers = [int(number) for number in found["numbers"].split(".")] if found and found["numbers"] else []
    wild = len(re.findall(r"[xX*]", found["any"])) if found else 0
    if found is None or len(numbers) + wild > 3 or not (numbers or wild):
        raise ValueError(_EXPECTED)
    if (numbers and found["any"][:1] not in ("", ".")) or (found["pre"] and len(numbers) < 3):
        raise ValueError(_EXPECTED)
    if not numbers:
        if found["operator"] not in ("", "=", ">=") or found["any"].startswith("."):
            raise ValueError(_EXPECTED)
        return []
    low = _made(numbers, found["pre"])
    whole = len(numbers) == 3
    match found["operator"]:
        case ">" | "<=" if not whole:
            return [_Bound(">=" if found["operator"] == ">" else "<", _after(numbers))]
        case "<" | ">" | "<=" | ">=" as operator:
            return [_Bound(operator, low)]
        case "^":
            kept = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1) + 1
            return [_Bound(">=", low), _Bound("<", _after(numbers[:kept]))]
        case "~":
            return [_Bound(">=", low), _Bound("<", _after(numbers[:2]))]
    return [_Bound(">=", low), _Bound("<=", low) if whole else _Bound("<", _after(numbers))]


def _after(numbers: list[int]) -> Version:
    """Return the first version that does not begin with `numbers`."""
    return _made([*numbers[:-1], numbers[-1] + 1], None)


def _made(numbers: list[int], prerelease: str | None) -> Version:
    from semver import Version

    try:
        text = ".".join(map(str, [*numbers, 0, 0][:3]))
        return Version.parse(f"{text}-{prerelease}" if prerelease else text)
    except ValueError:
        raise ValueError(_EXPECTED) from None


def _version(tag: str) -> Version | None:
    from semver import Version

    found = _TAG.fullmatch(tag)
    if not found:
        return None
    try:
        return Version.parse(".".join([*found["numbers"].split("."), "0"][:3]) + found["more"])
    except ValueError:
        return None
