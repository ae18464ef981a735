"""Label selectors, in the syntax and with the meaning that Kubernetes gives them.

Source of the rules: the API reference of `labelSelector` and `kubectl get -l`. A selector is a list
of requirements joined by commas, all of which must hold; the empty selector matches everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Operator(StrEnum):
    """What a requirement asks of the label's value."""

    EQUALS = "="
    DIFFERS = "!="
    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "!"
    ABOVE = ">"
    BELOW = "<"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `values` is sorted and without duplicates; empty for exists and absent."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Given an object's labels return whether this requirement holds.

        `!=` and `notin` hold where the label is missing, as in Kubernetes; `>` and `<` need a whole number.
        """
        value = labels.get(self.key)
        match self.operator:
            case Operator.EQUALS | Operator.IN:
                return value is not None and value in self.values
            case Operator.DIFFERS | Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None
            case Operator.ABOVE | Operator.BELOW:
                if value is None or not _NUMBER.fullmatch(value):
                    return False
                ours, asked = int(value), int(self.values[0])
                return ours > asked if self.operator is Operator.ABOVE else ours < asked

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.ABSENT:
                return f"!{self.key}"
            case Operator.IN | Operator.NOT_IN:
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed label selector; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Given an object's labels return whether every requirement holds."""
        return all(requirement.holds(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        """A selector that asks for nothing is false."""
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


def parse(text: str) -> Selector:
    """Given `tier in (a,b),!canary,app=web` return its Selector; blank text gives the one that matches everything.

    Raise ValueError with one sentence that names the selector, the place and what was expected there.
    """
    return _Parser(text).selector()


_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset(["==", "!=", "=", "!", "(", ")", ",", "<", ">"])
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


class _Parser:
    """A cursor over the tokens of one selector."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def selector(self) -> Selector:
        if not self._tokens:
            return Selector()
        requirements = [self._requirement()]
        while self._peek():
            self._expect(",", after=str(requirements[-1]))
            requirements.append(self._requirement())
        return Selector(tuple(requirements))

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._key(), Operator.ABSENT)
        key = self._key()
        match self._peek():
            case "" | ",":
                return Requirement(key, Operator.EXISTS)
            case "=" | "==" | "!=" as symbol:
                self._take()
                operator = Operator.DIFFERS if symbol == "!=" else Operator.EQUALS
                return Requirement(key, operator, (self._value(),))
            case ">" | "<" as symbol:
                self._take()
                return Requirement(key, Operator(symbol), (self._number(symbol),))
            case "in" | "notin" as word:
                self._take()
                return Requirement(key, Operator(word), self._values(after=word))
            case _:
                raise self._fault(f"expected =, ==, !=, in, notin, > or < after {key!r}")

    def _key(self) -> str:
        if not self._peek() or self._peek() in _SYMBOLS:
            raise self._fault("expected the name of a label")
        key = self._peek()
        prefix, slash, name = key.rpartition("/")
        if not _NAME.fullmatch(name) or (slash and not _PREFIX.fullmatch(prefix)):
            raise self._fault(f"{key!r} is not the name of a label (such as app or example.com/tier)")
        return self._take()

    def _value(self) -> str:
        value = "" if self._peek() in _SYMBOLS else self._peek()
        if not _VALUE.fullmatch(value):
            raise self._fault(f"{value!r} is not a label value (at most 63 letters, digits, '-', '_' or '.')")
        if value:
            self._take()
        return value

    def _values(self, *, after: str) -> tuple[str, ...]:
        self._expect("(", after=after)
        values = {self._value()}
        while self._peek() == ",":
            self._take()
            values.add(self._value())
        self._expect(")", after=after + " (")
        return tuple(sorted(values))

    def _number(self, symbol: str) -> str:
        if not _NUMBER.fullmatch(self._peek()):
            raise self._fault(f"expected a whole number after {symbol!r}")
        return self._take()

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._tokens[self._next][1]
        self._next += 1
        return token

    def _expect(self, symbol: str, *, after: str) -> None:
        if self._peek() != symbol:
            raise self._fault(f"expected {symbol!r} after {after!r}")
        self._take()

    def _fault(self, message: str) -> ValueError:
        place = "at its end"
        if self._next < len(self._tokens):
            place = f"at character {self._tokens[self._next][0] + 1}"
        return ValueError(f"label selector {self._text!r}: {message}, {place}")


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    for found in _TOKEN.finditer(text):
        yield found.start(1), found.group(1)
