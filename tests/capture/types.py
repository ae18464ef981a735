"""docs/reference/types.md: every built-in type of the API server, with what is cleaned and why.

What is removed is measured, on objects in which every field is set: those that the Go module k8s.io/api ships as test
data, and captured ones for the two types that are defined elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drsyncer import paths
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, metadata
from drsyncer.match import Subject
from tests.capture import pairs
from tests.cluster.api import Kind
from tests.cluster.control_plane import ControlPlane
from tests.cluster.tools import kubernetes_version
from tests.cluster.tools.go import module_folder
from transforms.clean import Cleaner
from transforms.clean_rules import BUILT_IN, Rule
from transforms.select import Selection
from transforms.select_checks import BUILT_IN as CHECKS
from transforms.select_checks import INFRASTRUCTURE, Check
from transforms.stages import STAGE_NAMES, stage_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "types.md"
EVERY_TYPE = ("--runtime-config=api/all=true", "--feature-gates=AllAlpha=true,AllBeta=true")
_ELSEWHERE = {
    "apiservices.apiregistration.k8s.io": "api-service",
    "customresourcedefinitions.apiextensions.k8s.io": "definition",
}
_IRREGULAR = {"Endpoints": "endpoints"}


@dataclass(frozen=True, slots=True)
class Full:
    """An object of the test data, in which every field is set."""

    file: str
    type: ResourceType
    manifest: Manifest

    @property
    def subject(self) -> Subject:
        """The object as rules look at it."""
        meta = metadata(self.manifest)
        ref = ObjectRef(self.type.key, str(meta.get("namespace", "")), str(meta.get("name", "")))
        return Subject(ref, self.type, self.manifest)


def served(cluster: ControlPlane) -> dict[str, list[Kind]]:
    """Return the types of an API server: `plural.group` → versions, the preferred first."""
    found: dict[str, list[Kind]] = {}
    for kind in cluster.api.kinds().values():
        found.setdefault(kind.type, []).append(kind)
    return found


def full_objects(known: Mapping[str, list[Kind]]) -> list[Full]:
    """Return every object that k8s.io/api ships: one per kind and version, also of versions that nobody serves now."""
    folder = module_folder("k8s.io/api") / "testdata" / "HEAD"
    plurals = {(kind.group, kind.kind): kind.plural for versions in known.values() for kind in versions}
    return [_full(file, plurals) for file in sorted(folder.glob("*.json"))]


def _full(file: Path, plurals: Mapping[tuple[str, str], str]) -> Full:
    manifest = json.loads(file.read_text())
    group, version, kind = file.stem.rsplit(".", 2)
    group = "" if group == "core" else group
    plural = plurals.get((group, kind)) or _IRREGULAR.get(kind) or _plural(kind.lower())
    return Full(file.name, ResourceType(group, version, plural, kind, namespaced=True), manifest)


def _plural(word: str) -> str:
    if word.endswith(("s", "x")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def removed(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Yield the topmost places of `before` that `after` lacks; `*` stands for every element of a list.

    Raises ValueError for a place that differs and is there: cleaning removes, and changes nothing.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            place = f"{at}/{paths.pointer_token(key)}"
            if key not in after:
                yield place
            else:
                yield from removed(value, after[key], place)
        if after.keys() - before.keys():
            raise ValueError(f"{at} was added to")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from removed(one, other, f"{at}/*")
    elif isinstance(before, list) and isinstance(after, list):
        yield f"{at}/*"
    elif before != after:
        raise ValueError(f"{at} was changed")


def page(cluster: ControlPlane) -> str:
    """Return docs/reference/types.md for an API server that serves all that it can."""
    known = served(cluster)
    objects = {(full.type.key, full.type.version): full for full in full_objects(known)}
    objects |= {
        (key, "v1"): Full(case, _type(known[key][0]), pairs.load(case, "raw")) for key, case in _ELSEWHERE.items()
    }
    rows = []
    for key, versions in sorted(known.items()):
        full = next((objects[key, kind.version] for kind in versions if (key, kind.version) in objects), None)
        rows.append((f"`{key}`", _travels(versions[0]), _removed(full), _sometimes(full)))
    headers = ("Type", "Travels", "Removed", "Removed only when")
    lines = [headers, ["---"] * len(headers), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    general = "\n".join(_general(rule) for rule in BUILT_IN if _is_general(rule))
    return _PAGE.format(version=kubernetes_version(), count=len(rows), general=general, table=table)


def _type(kind: Kind) -> ResourceType:
    return ResourceType(kind.group, kind.version, kind.plural, kind.kind, kind.namespaced, kind.verbs)


def _is_general(rule: Rule) -> bool:
    return not rule.match.types


def _general(rule: Rule) -> str:
    places = ", ".join(f"`{path}`" for path in rule.remove)
    condition = f"; only when {rule.when.says}" if rule.when else ""
    return f"- `{rule.name}`: {places}{condition}."


def _removed(full: Full | None) -> str:
    """What goes from an object of this type in which every field is set, beyond what goes from every object."""
    if full is None:
        return ""
    found = []
    for rule in BUILT_IN:
        if not _is_general(rule) and rule.match.type_matches(full.type):
            gone = dict.fromkeys(removed(full.manifest, Cleaner([rule]).clean(full.subject).manifest))
            # A label of a certain name is in no test data.
            named = [] if gone or rule.when else [path.text for path in rule.remove]
            found += [f"`{place}` (`{rule.name}`)" for place in (*gone, *named)]
    return "<br>".join(found)


def _sometimes(full: Full | None) -> str:
    """What goes only from some objects of this type, by rules that looked at the full one and let it be."""
    if full is None:
        return ""
    found = []
    for rule in BUILT_IN:
        if _is_general(rule) or rule.when is None or not rule.match.type_matches(full.type):
            continue
        if Cleaner([rule]).clean(full.subject).removed:
            found.append(f"(`{rule.name}`) {rule.when.says}")
        else:
            places = ", ".join(f"`{path}`" for path in rule.remove)
            found.append(f"{places} (`{rule.name}`): {rule.when.says}")
    return "<br>".join(found)


def _travels(kind: Kind) -> str:
    type_ = _type(kind)
    verdict = Selection().type_verdict(type_)
    if verdict is not None:
        return f"no: `{verdict.check}`"
    some = [check.name for check in CHECKS if _is_about(check, type_)]
    unless = f", unless {', '.join(f'`{name}`' for name in some)}" if some else ""
    if any(rule.type_matches(type_) for rule in INFRASTRUCTURE.matches):
        return f"export only: `infrastructure`{unless}"
    stage = stage_of(type_.key)
    return f"yes, stage {stage} ({STAGE_NAMES[stage]}){unless}"


def _is_about(check: Check, type_: ResourceType) -> bool:
    """Whether a check names this type and leaves out some of its objects."""
    return any(rule.types and rule.type_matches(type_) for rule in check.matches)


def rule_names(text: str) -> set[str]:
    """Return the rules that the page's table names."""
    return set(re.findall(r"\(`([a-z-]+)`\)", text))


_PAGE = """\
<!-- Written by `make capture`; edit the tables in transforms/ instead. -->

# Built-in types

Every type that Kubernetes {version} serves, alpha and beta ones included ({count}), and what becomes of its objects.
What is removed was measured on objects in which every field is set; in brackets is the rule, which
[cleaning.md](cleaning.md) explains. Checks are explained in [selection.md](selection.md), stages in
[import.md](../import.md). Custom resources travel in stage 10 and lose what every object loses.

## From every object

{general}

## By type

{table}
"""
