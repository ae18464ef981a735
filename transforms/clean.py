"""Taking out of an object what its cluster wrote into it, by the rules of `transforms.clean_rules` and the user's own.

All rules that can be about a type are merged into one tree of path segments when the type is first seen. An object is
then walked once, together with the tree, and copied only along the way to what goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drsyncer.manifest import Manifest, ResourceType
from drsyncer.match import Match, Subject, guessed_type
from drsyncer.paths import GONE, Key, Path, Segment, changed_parts, find, remove
from transforms.clean_conditions import Condition, Cut
from transforms.clean_rules import BUILT_IN, Rule


@dataclass(frozen=True, slots=True)
class UserRule:
    """One entry of `clean.keep` or `clean.strip` in the configuration."""

    match: Match
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What is left of an object. Its untouched parts are those of the object that was given, not copies.

    `removed` names the rules that took something, in the order of the table: `status`, `strip[0]`. `used` names the
    user's paths that were found: `strip[0].paths[1]`, `keep[0].paths[0]`; a `keep` path is found when it held a rule
    back. See `Cleaner.unused`.
    """

    manifest: Manifest
    removed: tuple[str, ...]
    used: frozenset[str]


class Cleaner:
    """The rules of one configuration, compiled per type. Threads may share an instance.

    `strip` removes beyond the built-in rules; `keep` holds back both. Of a path that is kept inside one that goes, just
    the kept part stays. Raises ValueError with one sentence for a path that `forbidden_strip` or `forbidden_keep`
    objects to.
    """

    def __init__(
        self, rules: Sequence[Rule] = BUILT_IN, *, keep: Sequence[UserRule] = (), strip: Sequence[UserRule] = ()
    ) -> None:
        for forbidden, given in ((forbidden_strip, strip), (forbidden_keep, keep)):
            for objection in (forbidden(path) for rule in given for path in rule.paths):
                if objection:
                    raise ValueError(objection)
        self._order = [rule.name for rule in rules] + [f"strip[{index}]" for index in range(len(strip))]
        self._rules = rules
        self._keep = list(_ends(keep, "keep"))
        self._strip = list(_ends(strip, "strip"))
        self._trees: dict[ResourceType, _Trees] = {}

    def clean(self, subject: Subject) -> Cleaned:
        """Return the object without what the rules remove, and the names of the rules that removed something.

        Pure: the object that was given is not changed. Idempotent: cleaning the result again removes nothing, unless a
        strip path of the user counts list elements (`/spec/list/0`).
        """
        trees = self._trees_of(subject)
        walk = _Walk(subject)
        left = walk.step(subject.manifest, "", (trees.cuts,), (trees.keeps,) if trees.keeps else ())
        removed = tuple(name for name in self._order if name in walk.removed) if walk.removed else ()
        return Cleaned(left, removed, frozenset(walk.used))

    def unused(self, seen: Collection[str]) -> list[str]:
        """Given the `used` of all objects of a run return the user's paths that were found in none of them."""
        ends = (*self._keep, *self._strip)
        return [f"{end.label} ({path}, in {end.match})" for path, end in ends if end.label not in seen]

    def _trees_of(self, subject: Subject) -> _Trees:
        type_ = subject.type or guessed_type(subject.ref, subject.manifest)
        trees = self._trees.get(type_)
        if trees is None:
            trees = self._trees[type_] = self._grow(type_)
        return trees

    def _grow(self, type_: ResourceType) -> _Trees:
        cuts = _Node()
        for rule in self._rules:
            if rule.match.type_matches(type_):
                for path in rule.remove:
                    cuts.plant(path, _End(rule.name, "", rule.match, rule.when), with_parent=rule.with_parent)
        for path, end in self._strip:
            if end.match.type_matches(type_):
                cuts.plant(path, end)
        keeps = [(path, end) for path, end in self._keep if end.match.type_matches(type_)]
        if not keeps:
            return _Trees(cuts, None)
        kept = _Node()
        for path, end in keeps:
            kept.plant(path, end)
        return _Trees(cuts, kept)


_IDENTITY = {"apiVersion": "v1", "kind": "Kind", "metadata": {"name": "name", "namespace": "namespace"}}
# What no rule of a user may hold back: an API server refuses it, or acts on it at once.
_SERVERS_OWN = {
    "metadata": dict.fromkeys(
        (
            *("uid", "resourceVersion", "generation", "selfLink", "managedFields", "creationTimestamp"),
            *("deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences"),
        )
    )
}


def forbidden_strip(path: Path) -> str:
    """Return why `clean.strip` must not hold `path`, in one sentence; "" when it may."""
    if remove(_IDENTITY, path)[1]:
        return f"path {path.text!r} would remove apiVersion, kind, name or namespace of an object"
    return ""


def forbidden_keep(path: Path) -> str:
    """Return why `clean.keep` must not hold `path`, in one sentence; "" when it may."""
    above = Path(path.segments[:2], path.text)  # what lies below is as forbidden
    for place, _ in find(_SERVERS_OWN, above):
        what = place.removeprefix("/metadata").removeprefix("/") or "all that the API server writes there"
        return f"path {path.text!r} would keep {what}: another cluster refuses that, or deletes the object for it"
    return ""


@dataclass(frozen=True, slots=True)
class _End:
    """What a path that ends at a node says there."""

    rule: str
    label: str  # of a user's path; "" for built-in rules
    match: Match
    when: Condition | None = None

    def holds(self, subject: Subject, key: str | int, value: Any) -> bool:
        if not (self.match.by_type_only or self.match.object_matches(subject)):
            return False
        return self.when is None or self.when.holds(Cut(subject.manifest, key, value))


class _Node:
    """A place in the tree of all paths that are about one type."""

    __slots__ = ("ends", "goes_when_emptied", "keys", "others")

    def __init__(self) -> None:
        self.keys: dict[str, _Node] = {}
        self.others: list[tuple[Segment, _Node]] = []
        self.ends: list[_End] = []
        self.goes_when_emptied = False

    def plant(self, path: Path, end: _End, *, with_parent: bool = False) -> None:
        node, above = self, self
        for segment in path.segments:
            node, above = node._below(segment), node
        node.ends.append(end)
        if with_parent or _is_labels_or_annotations(path.segments[:-1]):
            above.goes_when_emptied = True

    def _below(self, segment: Segment) -> _Node:
        # A key that is a number may also be an index: it is looked up in mappings and lists alike.
        if isinstance(segment, Key) and segment.index < 0:
            return self.keys.setdefault(segment.name, _Node())
        for known, node in self.others:
            if known == segment:
                return node
        self.others.append((segment, _Node()))
        return self.others[-1][1]


@dataclass(frozen=True, slots=True)
class _Trees:
    cuts: _Node
    keeps: _Node | None


class _Walk:
    """One object on its way down the trees, and what was found on the way."""

    __slots__ = ("_subject", "removed", "used")

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.removed: set[str] = set()
        self.used: set[str] = set()

    def step(self, value: Any, key: str | int, cuts: Sequence[_Node], keeps: Sequence[_Node]) -> Any:
        """Return what is left of `value`, GONE when nothing is, and the very same value when nothing went."""
        if keeps and self._kept(value, key, keeps):
            return value
        found = [end for node in cuts for end in node.ends if end.holds(self._subject, key, value)]
        if found:
            left = self._kept_parts(value, keeps) if keeps else GONE
            if left is not value:
                self.removed.update(end.rule for end in found)
            self.used.update(end.label for end in found if end.label)
            return left
        if not isinstance(value, dict | list):
            return value
        below, below_keeps = _below(value, cuts), _below(value, keeps) if keeps else {}
        changed = {}
        for part, nodes in below.items():
            new = self.step(value[part], part, nodes, below_keeps.get(part, ()))
            if new is not value[part]:
                changed[part] = new
        if not changed:
            return value
        left = changed_parts(value, changed)
        return GONE if not left and any(node.goes_when_emptied for node in cuts) else left

    def _kept(self, value: Any, key: str | int, keeps: Sequence[_Node]) -> bool:
        found = [end for node in keeps for end in node.ends if end.holds(self._subject, key, value)]
        self.used.update(end.label for end in found)
        return bool(found)

    def _kept_parts(self, value: Any, keeps: Sequence[_Node]) -> Any:
        """Return `value` with nothing but the parts that are kept; GONE when there are none."""
        below = _below(value, keeps) if isinstance(value, dict | list) else {}
        kept = {}
        for part, nodes in below.items():
            whole = self._kept(value[part], part, nodes)
            kept[part] = value[part] if whole else self._kept_parts(value[part], nodes)
        if all(part is GONE for part in kept.values()):
            return GONE
        parts = value if isinstance(value, dict) else range(len(value))
        changed = {part: new for part in parts if (new := kept.get(part, GONE)) is not value[part]}
        return changed_parts(value, changed) if changed else value


def _below(value: Any, nodes: Iterable[_Node]) -> dict[Any, list[_Node]]:
    """Return the parts of `value` that the trees reach into, each with the nodes that it is at there."""
    found: dict[Any, list[_Node]] = {}  # by key of a mapping or index of a list
    for node in nodes:
        if isinstance(value, dict):
            for name in node.keys.keys() & value.keys():
                found.setdefault(name, []).append(node.keys[name])
        for segment, child in node.others:
            for part, _ in segment.chosen(value):
                found.setdefault(part, []).append(child)
    return found


def _ends(rules: Sequence[UserRule], word: str) -> Iterator[tuple[Path, _End]]:
    for index, rule in enumerate(rules):
        for number, path in enumerate(rule.paths):
            yield path, _End(f"{word}[{index}]", f"{word}[{index}].paths[{number}]", rule.match)


def _is_labels_or_annotations(segments: Sequence[Segment]) -> bool:
    names = [segment.name for segment in segments[-2:] if isinstance(segment, Key)]
    return len(names) == 2 and names[0] == "metadata" and names[1] in ("labels", "annotations")
