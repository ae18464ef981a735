"""Golden cases of users, run through the same transforms that an import runs its objects through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drsyncer.config.golden import GoldenCase
from drsyncer.config.schema import Importer
from drsyncer.manifest import Manifest, ObjectRef, metadata
from drsyncer.match import Subject
from drsyncer.recovery.identity import Identity
from drsyncer.sops.scope import Scope, covering, keys_named
from importer.diff import unified
from importer.inventory import Inventory
from importer.masking import masked, said_of
from importer.opening import OF_SECRETS, SECRETS
from importer.rulebook import Written
from importer.rules import Rules, rules_of, scope_of
from transforms.edits import equal
from transforms.kinds import type_of
from transforms.pipeline import transform
from transforms.rules import Chosen
from transforms.settings import TransformFailed
from transforms.steps import Render

_SOURCE = "source"  # the source cluster's name, as long as nothing says otherwise
_NAMESPACES = "namespaces"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one case. `problem` is "" when all is as expected; `lines` is the difference, `-` the expected."""

    file: str
    line: int
    name: str
    problem: str = ""
    lines: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "file": self.file,
            "line": self.line,
            "name": self.name,
            "passed": not self.problem,
            "problem": self.problem or None,
            "diff": list(self.lines),
        }


def run(
    case: GoldenCase, *, config: Importer, repository: Sequence[Written], render: Render, file: str, line: int
) -> CaseResult:
    """Run one case by the configuration and by the rules of its folder."""
    result = CaseResult(file, line, case.name or file.rpartition("/")[2])
    rules = _rules(case, config, repository, render)
    type_ = type_of(dict(case.input), type_key=case.type)
    meta = metadata(dict(case.input))
    ref = ObjectRef(type_.key, str(meta.get("namespace") or ""), meta["name"])
    looked_at = ObjectRef(ref.type, ref.name, ref.name) if ref.type == _NAMESPACES else ref
    subject = Subject(looked_at, type_, dict(case.input), case.namespace_labels)
    chosen = rules.book.matching(subject)
    scopes = _scopes(case, ref)
    try:
        done = transform(
            dict(case.input),
            ref,
            settings=rules.settings,
            known_namespaces=frozenset({ref.namespace} - {""}),
            chosen=Chosen(chosen, rules.scope) if chosen else None,
            hidden=covering(scopes) if scopes else None,
        ).manifest
    except TransformFailed as error:
        return _judged_blocked(result, case, said_of(dict(case.input), scopes, str(error)))
    return _judged(result, case, scopes, done)


def _scopes(case: GoldenCase, ref: ObjectRef) -> list[Scope]:
    """Return what an import would take for confidential, were the input a file of the recovery repository."""
    always = [OF_SECRETS] if ref.type == SECRETS else []
    return [*always, keys_named(*case.encrypted)] if case.encrypted else always


def _rules(case: GoldenCase, config: Importer, repository: Sequence[Written], render: Render) -> Rules:
    values: Mapping[str, Any] = {**config.transforms.values, **case.values}
    told = config.model_copy(
        update={
            "standby": config.standby.model_copy(update={"enabled": case.standby}),
            "transforms": config.transforms.model_copy(update={"values": values}),
        }
    )
    scope = scope_of(told, Identity(config.name or _SOURCE, ""), case.commit, render)
    return rules_of(told, Inventory("test", config.state_namespace), repository=repository, scope=scope)


def _judged_blocked(result: CaseResult, case: GoldenCase, reason: str) -> CaseResult:
    if case.blocked is None:
        return _failed(result, f"the object is blocked: {reason}")
    return result if case.blocked in reason else _failed(result, f"blocked for another reason: {reason}")


def _judged(result: CaseResult, case: GoldenCase, scopes: Sequence[Scope], done: Manifest) -> CaseResult:
    if case.expected is None:
        return _failed(result, "the object is not blocked")
    expected = dict(case.expected)
    if equal(done, expected):
        return result
    lines = tuple(unified(*masked(expected, done, scopes), names=("expected", "found")))
    return _failed(result, "the object arrives otherwise", lines)


def _failed(result: CaseResult, problem: str, lines: tuple[str, ...] = ()) -> CaseResult:
    return CaseResult(result.file, result.line, result.name, problem, lines)
