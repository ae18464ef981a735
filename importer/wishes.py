"""What a recovery point asks for, as values: the objects that DR shall have, and the files that give none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.sops.scope import Scope
from importer.records import Record
from transforms.select import Passage


@dataclass(frozen=True, slots=True)
class Wish:
    """One object as DR shall have it. `data` is its JSON without the inventory's label; `digest` stands for it.

    `confidential` says which of its values nobody may see: those of Secrets, and what was encrypted in Git.
    `needs` are Services that must have ready endpoints first; without them the object waits
    (`waiting_is_normal`: webhooks in standby) or is blocked. `instead_of` is Git's version when DR serves another;
    `used` are the entries of the configuration that had a say.
    """

    path: str
    ref: ObjectRef
    type: ResourceType
    source: str
    digest: str
    data: bytes = field(repr=False)
    applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    waiting_is_normal: bool = True
    instead_of: str = ""
    used: frozenset[str] = frozenset()
    confidential: tuple[Scope, ...] = ()


@dataclass(frozen=True, slots=True)
class Carried:
    """An object that is as the last import made it, as far as Git and the rules go."""

    path: str
    ref: ObjectRef
    types: tuple[ResourceType, ...]
    record: Record


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that gives no object to apply. `ref` is what it would be in DR: nothing is pruned under that name."""

    path: str
    ref: ObjectRef
    reason: str


@dataclass(slots=True)
class Wishes:
    """What a recovery point asks for. `left_out` counts by check; `out` remembers those files for the records.

    `deciding` are the checks that decided, `matched` the general rules that were about something;
    `unread` says that a file could not be looked at, so that neither is complete.
    """

    wishes: list[Wish] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    out: dict[str, Record] = field(default_factory=dict)
    deciding: set[str] = field(default_factory=set)
    matched: set[str] = field(default_factory=set)
    unread: bool = False
    walks: dict[str, list[Passage]] | None = None  # by path, where somebody wants to know (--explain)
