"""Which values of a file are encrypted: sops's rules over the keys on the way to a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ENCRYPTED_REGEX = "encrypted_regex"
UNENCRYPTED_SUFFIX = "unencrypted_suffix"
RULES = (ENCRYPTED_REGEX, "unencrypted_regex", "encrypted_suffix", UNENCRYPTED_SUFFIX)
DEFAULT_SUFFIX = "_unencrypted"  # what sops does when a file has no rule

# Shown in any case where a rule says what is readable, rather than what is encrypted.
_NAMES = frozenset({"apiVersion", "kind", "metadata", "name", "namespace"})

_LONGEST = 500  # characters of a pattern
_MOST_STEPS = 20_000_000  # of matching per file: about a second
_UNBOUNDED = re.compile(r"(?<!\\)[*+{]")
_UNSAFE = re.compile(r"\)[*+?{]|\(\?(?!:|i\))|\\[1-9]|[*+?}][*+{]")


class TooCostly(ValueError):
    """A pattern that could keep the reader busy for ever: the file comes from others."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One rule: its name in the `sops` block, and its pattern or suffix."""

    rule: str
    text: str

    def matcher(self) -> Callable[[str], bool]:
        """Return a test for one key, for one file. Raises ValueError for a pattern that is not safe to follow.

        The test raises TooCostly when the keys of the file are too many or too long for the pattern.
        """
        if self.rule.endswith("suffix"):
            return lambda key: key.endswith(self.text)
        return _Pattern(self.text).matches

    @property
    def is_for_encrypted(self) -> bool:
        """Whether what the rule names is encrypted, rather than left readable."""
        return not self.rule.startswith("unencrypted")


def keys_named(*keys: str) -> Scope:
    """Return the scope of all that stands below any of `keys`: `encrypted_regex: ^(data|stringData)$`."""
    return Scope(ENCRYPTED_REGEX, f"^({'|'.join(map(re.escape, keys))})$")


def covering(scopes: Sequence[Scope]) -> Callable[[str], bool]:
    """Return whether what stands below a key is confidential by any of `scopes`; all of it where that is unclear."""
    found: list[Callable[[str], bool]] = []
    for scope in scopes:
        if not scope.is_for_encrypted:
            return lambda key: key not in _NAMES
        try:
            found.append(scope.matcher())
        except ValueError:
            return lambda _: True

    def covers(key: str) -> bool:
        try:
            return any(matches(key) for matches in found)
        except TooCostly:
            return True

    return covers


class _Pattern:
    """A regular expression out of a file, held to a subset in which matching takes bounded time."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST or _UNSAFE.search(text):
            raise TooCostly("the pattern is one that takes too long to match; write it without nested repetition")
        self._degree = 1 + len(_UNBOUNDED.findall(text))
        self._left = _MOST_STEPS
        self._known: dict[str, bool] = {}
        try:
            self._search = re.compile(text, re.ASCII).search
        except (re.error, RecursionError, OverflowError):
            raise ValueError("the pattern is no regular expression") from None

    def matches(self, key: str) -> bool:
        found = self._known.get(key)
        if found is None:
            self._left -= min(len(key) ** self._degree, _MOST_STEPS + 1)
            if self._left < 0:
                raise TooCostly("the keys of the file are too many and too long for its pattern")
            found = self._known[key] = self._search(key) is not None
        return found
