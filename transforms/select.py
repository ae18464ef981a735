"""Which objects are in, which are out, and why: a funnel of named checks.

The checks of an object, in order; the first that says no is the explanation:

1. `ignore`: the owner of the object says so on the object itself;
2. `exclude[n]`: the n-th exclude rule of the configuration;
3. the built-in exclusions (`transforms.select_checks`), each of which can be switched off by name;
4. `include[n]`: an object that no include rule matches is out (`include`).

The configuration's own excludes come before the built-in ones, so that a rule somebody wrote is credited with what
it leaves out, and only a rule that truly matched nothing is reported.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from drsyncer.manifest import ResourceType
from drsyncer.match import Match, Subject, guessed_type
from transforms.select_checks import BUILT_IN, Check


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one object or type. `check` decided; `reason` is a sentence part for people."""

    included: bool
    check: str
    reason: str


class Passage(NamedTuple):
    """One check that an object went through, for --explain."""

    check: str
    passed: bool
    reason: str


class _Gate(NamedTuple):
    """One check as it stands for one type. `stops` is None where the type alone decides."""

    check: str
    reason: str
    stops: Callable[[Subject], bool] | None


class _Funnel(NamedTuple):
    """All that is asked of objects of one type."""

    gates: tuple[_Gate, ...]
    includes: tuple[tuple[str, Match], ...]  # those that can match; the ones that name the type come first


_UNKNOWN = "~unknown~"  # no type is called so, and no pattern but one for the whole group fits it
_INCLUDED = "no check leaves it out"
_NOT_INCLUDED = "no include rule of the configuration matches it"


class Selection:
    """The checks of one configuration, arranged per type when a type is first seen.

    `include` and `exclude` are the configuration's rules; no include rule at all means everything. `disable` switches
    `checks` off by name and raises ValueError for a name that is none. Threads may share an instance.
    """

    def __init__(
        self,
        *,
        include: Sequence[Match] = (),
        exclude: Sequence[Match] = (),
        disable: Collection[str] = (),
        checks: Sequence[Check] = BUILT_IN,
    ) -> None:
        for objection in (why_not_switchable(name, checks) for name in disable):
            if objection:
                raise ValueError(objection)
        self._checks = [check for check in checks if check.name not in disable]
        self._exclude = [(f"exclude[{index}]", rule) for index, rule in enumerate(exclude)]
        self._include = [(f"include[{index}]", rule) for index, rule in enumerate(include)]
        self._funnels: dict[ResourceType, _Funnel] = {}

    def type_verdict(self, type_: ResourceType) -> Verdict | None:
        """Return why a whole type is out, so that it need not be listed; None when its objects must be looked at."""
        funnel = self._funnel(type_)
        for gate in funnel.gates:
            if gate.stops is None:
                return Verdict(False, gate.check, gate.reason)
        if self._include and not funnel.includes:
            return Verdict(False, "include", _NOT_INCLUDED)
        return None

    def may_want(self, group: str) -> bool:
        """Return whether objects of `group` could be in, although nobody can say which types it has."""
        unknown = ResourceType(group, "", _UNKNOWN, _UNKNOWN, namespaced=True, verbs=frozenset({"list"}))
        if any(gate.stops is None for gate in self._funnel(unknown).gates):
            return False
        return not self._include or any(rule.may_be_about(group) for _, rule in self._include)

    def verdict(self, subject: Subject) -> Verdict:
        """Return whether an object is in, and the check that decided."""
        funnel = self._funnel_of(subject)
        for gate in funnel.gates:
            if gate.stops is None or gate.stops(subject):
                return Verdict(False, gate.check, gate.reason)
        return self._by_include(funnel, subject)

    def walk(self, subject: Subject) -> list[Passage]:
        """Return each check that an object went through, in order, the last one being the one that decided."""
        funnel = self._funnel_of(subject)
        passages = []
        for gate in funnel.gates:
            stopped = gate.stops is None or gate.stops(subject)
            passages.append(Passage(gate.check, not stopped, gate.reason if stopped else f"not so: {gate.reason}"))
            if stopped:
                return passages
        verdict = self._by_include(funnel, subject)
        return [*passages, Passage(verdict.check, verdict.included, verdict.reason)]

    def unused(self, seen: Collection[str], *, all_seen: bool = True) -> list[str]:
        """Given the `check` of every verdict of a run (of types, too) return the configuration's rules not among them.

        Such a rule matched nothing, or nothing that a rule before it had not decided. `all_seen` is false when only
        the verdicts on what is out are known: then nothing can be said of the include rules.
        """
        rules = (*self._include, *self._exclude) if all_seen else self._exclude
        return [f"{name} ({rule})" for name, rule in rules if name not in seen]

    def _by_include(self, funnel: _Funnel, subject: Subject) -> Verdict:
        if not self._include:
            return Verdict(True, "include", _INCLUDED)
        for name, rule in funnel.includes:
            if rule.object_matches(subject):
                return Verdict(True, name, f"the configuration includes {rule}")
        return Verdict(False, "include", _NOT_INCLUDED)

    def _funnel_of(self, subject: Subject) -> _Funnel:
        return self._funnel(subject.type or guessed_type(subject.ref, subject.manifest))

    def _funnel(self, type_: ResourceType) -> _Funnel:
        funnel = self._funnels.get(type_)
        if funnel is None:
            includes = [(name, rule) for name, rule in self._include if rule.type_matches(type_)]
            includes.sort(key=lambda named: not named[1].names_type(type_))
            funnel = self._funnels[type_] = _Funnel(tuple(self._gates(type_)), tuple(includes))
        return funnel

    def _gates(self, type_: ResourceType) -> Iterator[_Gate]:
        for check in self._checks:
            if check.always:
                yield from self._gate(check, type_)
        for name, rule in self._exclude:
            if rule.type_matches(type_):
                stops = None if rule.by_type_only else rule.object_matches
                yield _Gate(name, f"the configuration excludes {rule}", stops)
        for check in self._checks:
            if not check.always:
                yield from self._gate(check, type_)

    def _gate(self, check: Check, type_: ResourceType) -> Iterator[_Gate]:
        matches = [rule for rule in check.matches if rule.type_matches(type_)]
        if not matches or (check.when_type and not check.when_type(type_)):
            return
        named = [rule for _, rule in self._include if rule.names_type(type_)] if check.unless_named else []
        if check.when is None and not named and any(rule.by_type_only for rule in matches):
            yield _Gate(check.name, check.reason, None)
            return
        stops = _stops(matches, check.when)
        yield _Gate(check.name, check.reason, _unless_named(named, stops) if named else stops)


def _unless_named(named: Sequence[Match], stops: Callable[[Subject], bool]) -> Callable[[Subject], bool]:
    return lambda subject: not any(rule.object_matches(subject) for rule in named) and stops(subject)


def _stops(matches: Sequence[Match], when: Callable[[Subject], bool] | None) -> Callable[[Subject], bool]:
    """Return the test of a check for a type that all of `matches` are about."""
    whole_type = any(rule.by_type_only for rule in matches)

    def stops(subject: Subject) -> bool:
        return (whole_type or any(rule.object_matches(subject) for rule in matches)) and (when is None or when(subject))

    return stops


def why_not_switchable(name: str, checks: Sequence[Check] = BUILT_IN) -> str:
    """Return why `name` cannot be switched off among `checks`, in one sentence; "" when it can."""
    known = {check.name: check for check in checks}
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(sorted(known))}"
        return f"there is no built-in exclusion {name!r}; {hint}"
    if known[name].always:
        return f"the built-in exclusion {name!r} cannot be switched off: {known[name].why}"
    return ""
