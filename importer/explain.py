"""How one object of the recovery repository becomes what DR is to have, step by step. No cluster is asked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drsyncer.cluster import Discovery
from drsyncer.config.schema import Importer
from drsyncer.errors import UsageError
from drsyncer.manifest import Manifest, ObjectRef
from drsyncer.match import words_of
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.recovery.vouching import source_of
from drsyncer.sops.scope import Scope
from drsyncer.templates.renderer import Renderer
from importer import following, rulebook
from importer.diff import unified
from importer.files import MAX_FILE
from importer.inventory import Inventory
from importer.masking import masked, said_of
from importer.opening import Opener, opener_of
from importer.point import RecoveryPoint
from importer.rules import Rules, rules_of, scope_of
from transforms.kinds import plural_of, type_of
from transforms.namespaces import target_ref
from transforms.pipeline import traced
from transforms.rules import Rule
from transforms.select import Verdict
from transforms.settings import TransformFailed
from transforms.stages import DEFINITIONS, is_custom


@dataclass(frozen=True, slots=True)
class Change:
    """One step that changed the object: its name, and the change as a unified diff; a Secret's values are masked."""

    step: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one object into DR. `blocked` is why it cannot go in; `verdict` whether it is selected at all."""

    ref: ObjectRef
    target: ObjectRef
    commit: str
    verdict: Verdict
    rules: tuple[Rule, ...]
    changes: tuple[Change, ...]
    blocked: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "object": str(self.ref),
            "target": str(self.target),
            "revision": self.commit,
            "included": self.verdict.included,
            "leftOutBy": None if self.verdict.included else self.verdict.check,
            "rules": [{"name": rule.name, "origin": rule.origin} for rule in self.rules],
            "changes": [{"step": change.step, "diff": list(change.lines)} for change in self.changes],
            "blocked": self.blocked or None,
        }


def explain(*, config: Importer, clone: Clone, revision_: str, text: str) -> Explanation:
    """Return how the object that `text` names (`shop/deployments.apps/web`) is transformed.

    As in standby or not by the configuration: what state the DR cluster is in is not asked. Raises UsageError when the
    recovery point holds no such object, ConfigurationError for faulty rules in it.
    """
    # Also here: rules and objects that nobody signed are not shown as what an import would do.
    commit = following.choose(clone, config.revision, revision_).point.id
    files = clone.files(commit)
    source = source_of(clone, commit, files)
    path = find(files, text)
    place = layout.place_of(path)
    assert place is not None
    with Renderer() as renderer:
        rules = rules_of(
            config,
            Inventory(config.name or source.cluster, config.state_namespace),
            repository=rulebook.in_repository(clone, files) if config.transforms.from_repository else (),
            scope=scope_of(config, source, commit, renderer.render),
        )
        opener = opener_of(config.secrets)
        discovery = _discovery(clone, files, path, place.type, opener)
        point = RecoveryPoint(
            clone=clone,
            files=files,
            rules=rules,
            discovery=discovery,
            read_definition=lambda _: None,
            opener=opener,
        )
        return _explained(point, rules, path, commit)


def _explained(point: RecoveryPoint, rules: Rules, path: str, commit: str) -> Explanation:
    case, place = point.explain(path)
    before = case.manifest
    changes = []
    blocked = ""
    try:
        for step, after in traced(before, place):
            if lines := _diff(before, after, case.confidential):
                changes.append(Change(step, lines))
            before = after
    except TransformFailed as error:
        blocked = said_of(case.manifest, case.confidential, str(error))
    return Explanation(
        ref=case.ref,
        target=target_ref(case.ref, rules.settings.namespace_map),
        commit=commit,
        verdict=rules.selection.verdict(case.subject),
        rules=place.chosen.rules if place.chosen else (),
        changes=tuple(changes),
        blocked=blocked,
    )


def _diff(before: Manifest, after: Manifest, scopes: Sequence[Scope]) -> tuple[str, ...]:
    # The two heading lines would say the same each time.
    return tuple(unified(*masked(before, after, scopes), names=("before", "after")))[2:]


def find(files: Mapping[str, TreeFile], text: str) -> str:
    """Return the path of the object that a person means by `text`. Raises UsageError."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(
            f"{text!r} names no object",
            hint="Expected TYPE/NAME or NAMESPACE/TYPE/NAME, such as shop/deployments.apps/web.",
        )
    namespace, word, name = parts if len(parts) == 3 else ("", *parts)
    there = {}
    for path in files:
        place = layout.place_of(path)
        if place is not None and (ref := place.ref) is not None:
            there[str(ref)] = path
    if found := there.get(text):
        return found
    near_by = [ObjectRef(place.type, place.namespace, name) for path in files if (place := layout.place_of(path))]
    types = {ref.type for ref in near_by if ref.namespace == namespace}
    meant = sorted(
        str(ref)
        for type_ in types
        if {word.casefold(), plural_of(word)} & words_of(type_of({}, type_key=type_))
        and str(ref := ObjectRef(type_, namespace, name)) in there
    )
    if len(meant) > 1:
        raise UsageError(f"{text!r} may be any of {', '.join(meant)}", hint="Write the one that you mean in full.")
    if meant:
        return there[meant[0]]
    near = difflib.get_close_matches(text, there, n=1)
    raise UsageError(
        f"the recovery point holds no {text}" + (f"; did you mean {near[0]}?" if near else ""),
        hint="Write it as Git has it, not as it is mapped to.",
    )


def _discovery(clone: Clone, files: Mapping[str, TreeFile], path: str, type_key: str, opener: Opener) -> Discovery:
    """Return what is known of the object's type without a cluster: from its definition in Git, else from itself."""
    if is_custom(type_key) and layout.path_of(ObjectRef(DEFINITIONS, "", type_key)) in files:
        return Discovery()
    for _, data in clone.read([files[path].blob_id], max_size=MAX_FILE):
        if data is not None and files[path].regular:
            manifest = opener.open(path, data, type_key=type_key).manifest
            return Discovery({type_key: (type_of(manifest, type_key=type_key),)})
    raise UsageError(f"{path} is no file that an import reads")
