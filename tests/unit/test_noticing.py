"""What both sides tell as Kubernetes Events: one for each matter, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from drsyncer.manifest import ObjectRef, ResourceType
from drsyncer.service.reasons import REASONS, Reason
from exporter import noticing as exporting
from exporter.following import GUARD, WORK
from exporter.publishing import BEAT, REMOTE
from exporter.timed import RUN
from exporter.troubles import SOURCE
from importer import noticing as importing
from importer.apply import Result
from importer.digests import Entry
from importer.live import Live
from importer.observing import Failure, Why
from importer.outcome import Outcome
from importer.plan import Action, Step
from importer.wishes import Wish

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
DATA = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}


@dataclass
class Told:
    """Everything that was told: (reason, message, subject)."""

    events: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, reason: Reason, message: str, subject: str = "") -> None:
        self.events.append((reason.name, message, subject))

    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]


# The exporter


def test_an_exporter_tells_each_trouble_and_its_end() -> None:
    told = Told()
    observer = exporting.Noticed(told)
    for key in (SOURCE, REMOTE, GUARD, RUN, BEAT, *WORK):
        observer.trouble(key, f"{key}: it failed")
        observer.trouble(key, None)
    names = told.names()
    assert names[:6] == [
        *("ClusterUnavailable", "ClusterAvailable", "RepositoryUnavailable", "RepositoryAvailable"),
        *("DeletionsHeld", "DeletionsReleased"),
    ]
    assert names[6:] == ["ExportFailing", "ExportWorks"] * (len(WORK) + 2)
    ends = {reason.name: reason.ends for reason in REASONS}
    assert all(ends[after] == before for before, after in zip(names[::2], names[1::2], strict=True))


def test_types_that_are_incomplete_are_one_matter_that_is_over_with_the_last_of_them() -> None:
    told = Told()
    observer = exporting.Noticed(told)
    for number in range(5):
        observer.trouble(f"kind{number}.example.com", f"kind{number}.example.com: forbidden")
    for number in range(5):
        observer.trouble(f"kind{number}.example.com", None)
    assert told.names() == ["TypesIncomplete"] * 5 + ["TypesComplete"]
    said = "kind0.example.com, kind1.example.com, kind2.example.com and 2 more incomplete: kind0.example.com: forbidden"
    assert told.events[4][1] == said


def test_types_that_fail_in_turns_are_no_news_each_time() -> None:
    told = Told()
    observer = exporting.Noticed(told)
    for _ in range(3):
        for key in ("a.example.com", "b.example.com"):
            observer.trouble(key, f"{key}: forbidden")
    assert len({message for _, message, _ in told.events}) == 2


# The importer


def result(name: str, *, action: Action = Action.BLOCKED, error: str = "", **fields: Any) -> Result:
    ref = ObjectRef("configmaps", "shop", name)
    wish = Wish(f"{name}.yaml", ref, CONFIGMAPS, "source", "wanted", msgspec.json.encode(DATA))
    step = Step(ref, Action.UPDATE, "to be updated", f"{name}.yaml", wish, fields.pop("live", None))
    return Result(step, action, "to be updated", error=error, **fields)


def held_by(name: str, manager: str) -> Live:
    theirs = Entry(manager=manager, operation="Update", fields_v1=msgspec.Raw(b'{"f:data":{"f:a":{}}}'))
    ours = Entry(manager="dr-syncer", operation="Apply", fields_v1=msgspec.Raw(b"{}"))
    ref = ObjectRef("configmaps", "shop", name)
    entries = [ours, theirs] if manager else [ours]
    return Live(ref, CONFIGMAPS, "uid", "7", "ours", False, True, "now", entries)


def outcome(*results: Result, **fields: Any) -> Outcome:
    return Outcome("dr", "prod", "c", None, None, False, True, results, **fields)


def told_of(found: Outcome, why: Why = Why.COMMIT) -> list[tuple[str, str, str]]:
    told = Told()
    importing.Noticed(told).import_ended(why, found, None)
    return told.events


def test_an_importer_tells_each_trouble_and_its_end() -> None:
    told = Told()
    observer = importing.Noticed(told)
    ends = {reason.name: reason.ends for reason in REASONS}
    for kind in Failure:
        told.events.clear()
        observer.failure(kind, "it failed")
        observer.recovered(kind)
        if kind is Failure.BLOCKED:  # told with the outcome
            assert told.names() == ["ObjectsUnblocked"]
            continue
        before, after = told.names()
        assert ends[after] == before


def test_blocked_objects_are_told_by_cause_with_the_first_of_them() -> None:
    refused = [
        result(f"n{number}", error=f'apply shop/configmaps/n{number}: configmaps "n{number}" is forbidden: quota')
        for number in range(5)
    ]
    events = told_of(
        outcome(*refused, result("other", error="a webhook is down"), unknown={"widgets.example.com": "503"})
    )
    assert [message for _, message, _ in events] == [
        "5 objects: shop/configmaps/n0, shop/configmaps/n1, shop/configmaps/n2 and 2 more: "
        'configmaps "…" is forbidden: quota',
        "1 object: all widgets.example.com: 503",
        "1 object: shop/configmaps/other: a webhook is down",
    ]
    assert len({subject for _, _, subject in events}) == 3


def test_many_causes_share_one_event() -> None:
    events = told_of(outcome(*(result(f"n{number}", error=f"cause {number}") for number in range(9))))
    assert len(events) == 6
    assert events[-1][1].startswith("4 objects: ")
    assert "for 4 other causes" in events[-1][1]


def test_drift_is_told_by_whose_hand_it_was() -> None:
    results = (
        result("a", action=Action.UPDATE, live=held_by("a", "kubectl-edit")),
        result("b", action=Action.UPDATE, live=held_by("b", "kubectl-edit")),
        result("c", action=Action.UPDATE, live=held_by("c", "helm")),
        result("d", action=Action.CREATE),
        result("e", action=Action.UPDATE, live=held_by("e", "")),
        result("f", action=Action.UNCHANGED),
    )
    drifted = tuple(found.step.ref for found in results[:-1])
    assert [(name, message) for name, message, _ in told_of(outcome(*results, drifted=drifted))] == [
        ("DriftCorrected", "2 objects: shop/configmaps/a, shop/configmaps/b changed by kubectl-edit; put back"),
        ("DriftCorrected", "1 object: shop/configmaps/c changed by helm; put back"),
        ("DriftCorrected", "1 object: shop/configmaps/d deleted by other hands; put back"),
        ("DriftCorrected", "1 object: shop/configmaps/e changed by other hands; put back"),
    ]


def test_drift_that_stays_is_found_and_not_corrected() -> None:
    left = result("a", action=Action.SKIP, live=held_by("a", "anna"))
    assert told_of(outcome(left, drifted=(left.step.ref,)))[0][:2] == (
        "DriftFound",
        "1 object: shop/configmaps/a changed by anna; left as it is",
    )


def test_an_import_that_lost_dr_in_the_middle_tells_nothing_of_its_objects() -> None:
    assert told_of(outcome(result("a", error="no answer", unreachable=True))) == []
