"""The general rules of users: which objects, under what conditions, and the steps that change them.

A rule's match and conditions look at the object as Git has it, so that neither the namespace map nor another rule
decides whether it applies. Its steps work on what the transforms before it and the rules before it made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from drsyncer import untouchable
from drsyncer.manifest import Manifest, ResourceType
from drsyncer.match import Match, Subject, guessed_type
from transforms import standby
from transforms.conditions import Condition
from transforms.edits import Unreachable, excess
from transforms.settings import Result, TransformFailed
from transforms.settings import Subject as Place
from transforms.steps import IN_SECRETS, SECRETS, Remove, Scope, Step, Template

NAME = "rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `origin` says where it is written: a file of the recovery repository, or the configuration."""

    name: str
    match: Match
    steps: tuple[Step, ...]
    when: tuple[Condition, ...] = ()
    origin: str = "configuration"

    @property
    def uses_commit(self) -> bool:
        """Whether what it makes depends on the commit that is imported."""
        return any(isinstance(step, Template) and "commit" in step.names for step in self.steps)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rules that are about one object, in order, and what their templates may look at."""

    rules: tuple[Rule, ...]
    scope: Scope = field(default_factory=Scope)


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a rule, done: the object before and after."""

    rule: Rule
    number: int  # of the step, from 1
    step: Step
    before: Manifest
    after: Manifest

    @property
    def label(self) -> str:
        """The step for people: `smaller-heap, step 1 (set)`."""
        return _label(self.rule, self.number, self.step)


class RuleBook:
    """All rules of one run, arranged per type when a type is first seen."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._by_type: dict[ResourceType, tuple[Rule, ...]] = {}

    def matching(self, subject: Subject) -> tuple[Rule, ...]:
        """Return the rules that are about an object, given as Git has it."""
        type_ = subject.type or guessed_type(subject.ref, subject.manifest)
        about = self._by_type.get(type_)
        if about is None:
            about = tuple(rule for rule in self.rules if rule.match.type_matches(type_))
            self._by_type[type_] = about
        return tuple(
            rule
            for rule in about
            if rule.match.object_matches(subject) and all(one.holds(subject.manifest) for one in rule.when)
        )

    def unused(self, seen: Collection[str]) -> list[str]:
        """Given the names of the rules that matched something return those that did not."""
        return [f"rule {rule.name} ({rule.match})" for rule in self.rules if rule.name not in seen]

    def idle(self, seen: Collection[str], applied: Collection[str]) -> list[str]:
        """Given the names of the rules that matched and the `applied` lines of all objects return idle removals.

        Such a step found in no object what it is there to take out: its path is misspelt, or its time is over.
        """
        return [
            f"rule {rule.name} removes {step.at}, which no object that it is about has"
            for rule in self.rules
            if rule.name in seen
            for step in rule.steps
            if isinstance(step, Remove) and f"{NAME}: {_line(step, rule)}" not in applied
        ]


def apply_rules(manifest: Manifest, subject: Place) -> Result:
    """Apply the rules that were chosen for the object. Raises TransformFailed for a step that cannot be done whole."""
    if subject.chosen is None:
        return Result(manifest)
    applied = []
    for change in walk(manifest, subject.chosen, subject):
        if change.after is not change.before:
            applied.append(_line(change.step, change.rule))
        manifest = change.after
    return Result(manifest, tuple(applied))


def _line(step: Step, rule: Rule) -> str:
    return f"{step.at} {_DONE[step.word]} by {rule.name}"


_DONE = {"set": "set", "remove": "removed", "merge": "merged", "jsonPatch": "patched", "template": "rendered"}


def walk(manifest: Manifest, chosen: Chosen, subject: Place) -> Iterator[Change]:
    """Yield every step of the chosen rules as it is done, also those that change nothing. Raises TransformFailed."""
    manifest = standby.recalled(manifest, type_key=subject.ref.type, scale_path=subject.scale_path)
    hidden = subject.hidden or (IN_SECRETS if subject.ref.type == SECRETS else None)
    for rule in chosen.rules:
        for number, step in enumerate(rule.steps, start=1):
            label = _label(rule, number, step)
            try:
                after = step.apply(manifest, hidden, chosen.scope)
            except Unreachable as error:
                raise TransformFailed(rule=label, path=error.at, found=error.found, expected=error.expected) from None
            if after is not manifest:
                _check(manifest, after, label)
            yield Change(rule, number, step, manifest, after)
            manifest = after


def _label(rule: Rule, number: int, step: Step) -> str:
    return f"rule {rule.name}, step {number} ({step.word})"


def _check(before: Manifest, after: Manifest, label: str) -> None:
    found = untouchable.change(before, after)
    if found is not None:
        raise TransformFailed(rule=label, path=found[0], found=found[1], expected=found[2])
    if much := excess(after):
        raise TransformFailed(rule=label, path="", found=f"an object of {much}", expected="one that can be read back")
