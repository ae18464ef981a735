"""The general rules of a run: those of the recovery repository, then those of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from drsyncer import paths
from drsyncer.config import rule_file
from drsyncer.config.matches import to_match
from drsyncer.config.rules import Transforms
from drsyncer.config.transform_rules import ConditionSpec, PatchOperation, RuleSpec, StepSpec
from drsyncer.errors import ConfigurationError, Fault
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.wording import some
from transforms import conditions
from transforms.conditions import Condition
from transforms.edits import Operation
from transforms.rules import Rule
from transforms.steps import Merge, Patch, Remove, Set, Step, Template

FOLDER = "transforms"
SUFFIX = ".yaml"
CONFIGURATION = "configuration"
_MOST_FILES = 500
_HINT = (
    "Nothing was changed: without these rules objects would arrive wrong. Correct the files and commit, import an "
    "earlier recovery point with --revision, or set importer.transforms.fromRepository to false."
)

Written = tuple[str, RuleSpec]  # where it is written, and the rule


def in_repository(clone: Clone, files: Mapping[str, TreeFile]) -> list[Written]:
    """Return the rules of `transforms/*.yaml`, by file name and then as they stand there.

    Raises ConfigurationError with the faults of all files: an import that went on without a rule would write what the
    rule was there to prevent.
    """
    names = names_of(files)
    faults = [Fault(name, 0, "", "is no regular file") for name in names if not files[name].regular]
    faults += [
        Fault(name, 0, "", f"has {files[name].size:,} bytes; the most is {rule_file.MOST_BYTES:,}")
        for name in names
        if files[name].regular and files[name].size > rule_file.MOST_BYTES
    ]
    faults += [
        Fault(name, 0, "", "is not read; call it .yaml, or move it away")
        for name in sorted(files)
        if _is_here(name) and name.endswith(".yml")
    ]
    if len(names) > _MOST_FILES:
        faults.append(Fault(FOLDER, 0, "", f"holds {len(names):,} files; the most is {_MOST_FILES}"))
    if faults:
        raise ConfigurationError(faults, hint=_HINT)
    contents = clone.read([files[name].blob_id for name in names], max_size=rule_file.MOST_BYTES)
    return parsed((name, data or b"") for name, (_, data) in zip(names, contents, strict=True))


def ignored(files: Iterable[str], transforms: Transforms) -> list[str]:
    """Return a warning when the recovery repository holds rules and the configuration forbids them."""
    names = [] if transforms.from_repository else names_of(files)
    why = "importer.transforms.fromRepository is false"
    return [f"rules of the recovery repository are not applied ({why}): {some(names)}"] if names else []


def names_of(files: Iterable[str]) -> list[str]:
    """Return which of `files` hold rules: those directly in `transforms/`, in the order in which they apply."""
    return sorted(name for name in files if _is_here(name) and name.endswith(SUFFIX))


def _is_here(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == FOLDER and not file.startswith(".")


def parsed(contents: Iterable[tuple[str, bytes]]) -> list[Written]:
    """Return the rules in files given by name and content. Raises ConfigurationError with all faults of all files."""
    found: list[Written] = []
    faults: list[Fault] = []
    for name, data in contents:
        try:
            found += [(name, rule) for rule in rule_file.parse(data, file=name)]
        except ConfigurationError as error:
            faults += error.faults
    if faults:
        raise ConfigurationError(faults, hint=_HINT)
    return found


def in_order(repository: Sequence[Written], transforms: Transforms) -> list[Rule]:
    """Return all rules as they apply. Raises ConfigurationError when two are called the same."""
    written = [*repository, *((CONFIGURATION, rule) for rule in transforms.rules)]
    first: dict[str, str] = {}
    faults = []
    for origin, rule in written:
        if rule.name in first:
            message = f"the rule {rule.name} is also in {first[rule.name]}; reports could not tell them apart"
            faults.append(Fault(origin, 0, "rules", message))
        first.setdefault(rule.name, origin)
    if faults:
        raise ConfigurationError(faults, hint="Give one of them another name.")
    return [to_rule(rule, origin=origin) for origin, rule in written]


def to_rule(spec: RuleSpec, *, origin: str) -> Rule:
    """Return the rule that a checked entry describes."""
    return Rule(
        name=spec.name,
        match=to_match(spec.match),
        when=tuple(_condition(one) for one in spec.when),
        steps=tuple(_step(one) for one in spec.steps),
        origin=origin,
    )


def _condition(spec: ConditionSpec) -> Condition:
    path = paths.parse(spec.path)
    if spec.exists is not None:
        return conditions.exists(path, spec.exists)
    if spec.matches is not None:
        return conditions.matches(path, spec.matches)
    return conditions.equals(path, spec.equals)


def _step(spec: StepSpec) -> Step:
    if spec.set_ is not None:
        return Set(paths.parse(spec.set_.path), spec.set_.value)
    if spec.remove is not None:
        return Remove(paths.parse(spec.remove.path))
    if spec.merge is not None:
        return Merge(spec.merge)
    if spec.json_patch is not None:
        return Patch(tuple(_operations(spec.json_patch)))
    assert spec.template is not None
    from drsyncer.templates.language import check  # as when it was loaded: only for those who have templates

    text = spec.template.value
    return Template(paths.parse(spec.template.path), text, check(text), spec.template.type)


def _operations(specs: Iterable[PatchOperation]) -> Iterator[Operation]:
    for spec in specs:
        origin = paths.parse(spec.origin) if spec.origin else None
        yield Operation(spec.op, paths.parse(spec.path), spec.value, origin)
