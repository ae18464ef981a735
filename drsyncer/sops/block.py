"""The `sops` block of a file: read with suspicion, since the file may come from anybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from drsyncer.sops import scope, seal, values
from drsyncer.sops.scope import Scope

# Ways to keep a data key that need a service or a program; harmless beside an age key.
_OTHERS = ("kms", "gcp_kms", "azure_kv", "hc_vault", "hckms", "pgp")
_COMMENT_RULES = ("encrypted_comment_regex", "unencrypted_comment_regex")
_KNOWN = frozenset(
    {"age", "key_groups", "shamir_threshold", "lastmodified", "mac", "mac_only_encrypted", "version", seal.KEY}
    | {*_OTHERS, *_COMMENT_RULES, *scope.RULES}
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_MOST_RECIPIENTS = 100


class Malformed(ValueError):
    """A block that sops would not have written, or that needs what DR-Syncer has not. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Block:
    """What the `sops` block of one file says. `age` are (recipient, wrapped data key); `seal` is "" without one."""

    age: tuple[tuple[str, str], ...]
    scope: Scope
    last_modified: str
    mac: str
    mac_only_encrypted: bool
    seal: str

    @property
    def recipients(self) -> str:
        """For whom the file is encrypted, for a person."""
        return ", ".join(_shown(name) for name, _ in self.age)


def parse(found: Any) -> Block:
    """Return the Block that the value of the top-level key `sops` is. Raises Malformed, which repeats no value."""
    if not isinstance(found, dict):
        raise Malformed("its sops block is no mapping")
    if strange := sorted(found.keys() - _KNOWN):
        raise Malformed(f"its sops block has a key {strange[0]!r:.80} that sops does not write")
    if found.get("key_groups"):
        raise Malformed(
            "its data key is split among key groups",
            "DR-Syncer takes no part in that; give the file one age recipient.",
        )
    if rules := [rule for rule in _COMMENT_RULES if found.get(rule)]:
        raise Malformed(f"comments decide what is encrypted ({rules[0]})", "Use encrypted_regex instead.")
    last_modified = _text(found, "lastmodified")
    if not _TIME.fullmatch(last_modified):
        raise Malformed("lastmodified in its sops block is no time")
    mac = _text(found, "mac")
    if not values.looks_encrypted(mac):
        raise Malformed("the MAC in its sops block is missing or not encrypted")
    _text(found, "version")
    only = found.get("mac_only_encrypted", False)
    if not isinstance(only, bool):
        raise Malformed("mac_only_encrypted in its sops block is neither true nor false")
    return Block(_age(found), _scope(found), last_modified, mac, only, _text(found, seal.KEY, default=""))


def _text(found: dict[str, Any], key: str, *, default: str | None = None) -> str:
    value = found.get(key, default)
    if not isinstance(value, str):
        raise Malformed(f"{key} in its sops block is missing or no text")
    return value


def _scope(found: dict[str, Any]) -> Scope:
    given = [rule for rule in scope.RULES if found.get(rule)]
    if len(given) > 1:
        raise Malformed(f"its sops block has both {given[0]} and {given[1]}")
    return Scope(given[0], _text(found, given[0])) if given else Scope(scope.UNENCRYPTED_SUFFIX, scope.DEFAULT_SUFFIX)


def _age(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    entries = found.get("age") or []
    if not isinstance(entries, list) or len(entries) > _MOST_RECIPIENTS:
        raise Malformed("age in its sops block is no list, or far too long")
    keys = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != {"recipient", "enc"}:
            raise Malformed("an age key in its sops block has not exactly `recipient` and `enc`")
        keys.append((_text(entry, "recipient"), _text(entry, "enc")))
    if not keys:
        others = [name for name in _OTHERS if found.get(name)]
        raise Malformed(
            f"it is encrypted for {' and '.join(others)} only"
            if others
            else "its sops block names nobody who can read it",
            "DR-Syncer decrypts with age and SSH keys: add its public key with `sops updatekeys`.",
        )
    return tuple(keys)


def _shown(recipient: str) -> str:
    words = recipient.split(" ")
    short = recipient if len(recipient) <= 70 else f"{words[0]} …{words[-1][-16:]}"
    return short if short.isprintable() else "?"
