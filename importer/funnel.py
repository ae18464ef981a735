"""What an import does with one object of the recovery repository, and why: the whole way, from its file to the plan."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.schema import Importer
from drsyncer.errors import GitError, UsageError
from drsyncer.manifest import ObjectRef
from drsyncer.progress import Progress
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone
from importer.basis import Request
from importer.plan import Step
from importer.preparation import Prepared, prepare
from importer.wishes import Wish, Wishes
from transforms.select import Passage


@dataclass(frozen=True, slots=True)
class LastChange:
    """The commit that last touched the object's file."""

    commit: str
    time: datetime
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one object. `path` is "" when the recovery point does not hold it; `ref` is its name in Git.

    `wish` is what DR shall have, None when a check (the last of `passages`) leaves the object out or `problem` says
    why it cannot be had. `step` is its place in the plan, None when an import does nothing about it.
    """

    ref: ObjectRef
    revision: str
    path: str
    last_change: LastChange | None
    passages: tuple[Passage, ...]
    wish: Wish | None
    problem: str
    step: Step | None

    @property
    def target(self) -> ObjectRef:
        """What the object is called in DR."""
        return self.wish.ref if self.wish else self.step.ref if self.step else self.ref

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        last = self.last_change
        return {
            "object": str(self.ref),
            "revision": self.revision,
            "path": self.path or None,
            "lastChange": {
                "commit": last.commit,
                "time": last.time.isoformat(),
                "author": last.author,
                "subject": last.subject,
            }
            if last
            else None,
            "checks": [{"check": p.check, "passed": p.passed, "reason": p.reason} for p in self.passages],
            "included": self.wish is not None,
            "problem": self.problem or None,
            "objectInDr": str(self.target),
            "writtenAs": self.wish.type.api_version if self.wish else None,
            "transforms": list(self.wish.applied) if self.wish else [],
            "notes": list(self.wish.notes) if self.wish else [],
            "held": (self.wish.held or None) if self.wish else None,
            "action": str(self.step.action) if self.step else None,
            "reason": self.step.reason if self.step else None,
        }


def explain(
    *, config: Importer, clone: Clone, cluster: Cluster, revision: str, text: str, progress: Progress
) -> Explanation:
    """Walk the object that `text` names (`[NAMESPACE/]TYPE/NAME`, as Git or as DR names it) through an import.

    Nothing is changed. Raises UsageError when neither the recovery point nor the plan knows such an object, and what
    `prepare` raises.
    """
    prepared = prepare(
        config=config,
        clone=clone,
        cluster=cluster,
        request=Request(revision=revision, plan_only=True),
        progress=progress,
    )
    asked = parse(text, prepared.discovery)
    path, step = _found(asked, prepared)
    if not path:
        if step is None:
            raise _unknown(clone, asked, prepared)
        return Explanation(asked, prepared.commit, "", _last_change(clone, prepared, asked), (), None, "", step)
    seen = Wishes(walks={})
    prepared.point.read([path], seen)
    place = layout.place_of(path)
    ref = (place.ref if place else None) or asked
    return Explanation(
        ref=ref,
        revision=prepared.commit,
        path=path,
        last_change=_last_change(clone, prepared, ref),
        passages=tuple((seen.walks or {}).get(path, ())),
        wish=next(iter(seen.wishes), None),
        problem=next((problem.reason for problem in seen.problems), ""),
        step=step,
    )


def parse(text: str, discovery: Discovery) -> ObjectRef:
    """Given `[NAMESPACE/]TYPE/NAME` return the object. TYPE may be any name that DR has for it. Raises UsageError."""
    parts = text.split("/")
    hint = "Expected TYPE/NAME or NAMESPACE/TYPE/NAME, such as shop/deployments.apps/web."
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"{text!r} names no object", hint=hint)
    namespace, word, name = parts if len(parts) == 3 else ("", *parts)
    types = discovery.find(word)
    if len(types) > 1:
        choices = ", ".join(type_.key for type_ in types)
        raise UsageError(f"{word!r} may be any of {choices}", hint="Write the one that you mean in full.")
    # What DR does not serve can lie in Git all the same: then it must be written in full.
    ref = ObjectRef(types[0].key if types else word, namespace, name)
    try:
        layout.path_of(ref)
    except GitError:
        raise UsageError(f"{text!r:.300} names no object", hint=hint) from None
    return ref


def _found(asked: ObjectRef, prepared: Prepared) -> tuple[str, Step | None]:
    """Return the object's path ("" when Git does not hold it) and its place in the plan."""
    path = layout.path_of(asked)
    by_path = {step.path: step for step in prepared.steps if step.path}
    by_ref = {step.ref: step for step in prepared.steps}
    if prepared.point.holds(path):
        # One that is left out now and was imported before is pruned.
        return path, by_path.get(path) or by_ref.get(prepared.point.target(path))
    # The name that it has in DR, after a namespace map, will do as well.
    mapped = by_ref.get(asked)
    return (mapped.path, mapped) if mapped else ("", None)


def _last_change(clone: Clone, prepared: Prepared, ref: ObjectRef) -> LastChange | None:
    for commit in clone.history(prepared.commit, paths=(layout.path_of(ref),), limit=1):
        return LastChange(commit.id, commit.time, commit.author, commit.subject)
    return None


def _unknown(clone: Clone, asked: ObjectRef, prepared: Prepared) -> UsageError:
    last = _last_change(clone, prepared, asked)
    if last is not None:
        return UsageError(
            f"the recovery point {prepared.commit[:12]} does not hold {asked} any more: "
            f"commit {last.commit[:12]} of {last.time:%Y-%m-%d %H:%M} UTC deleted it",
            hint=f"`dr-syncer log --object {asked}` shows its history; --revision names an older recovery point.",
        )
    names = {str(step.ref): None for step in prepared.steps}
    near = difflib.get_close_matches(str(asked), names, n=1, cutoff=0.8)
    return UsageError(
        f"the recovery point {prepared.commit[:12]} does not hold {asked}"
        + (f"; did you mean {near[0]}?" if near else ""),
        hint="On the source side, `dr-syncer export --explain` says why an object is not exported.",
    )
