"""What counts as drift: only what other hands did to an object that Git left as it was."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer.manifest import ObjectRef, ResourceType
from importer.apply import Result
from importer.drift import is_drift, left
from importer.live import Live, View
from importer.outcome import Outcome
from importer.plan import Action, Step
from importer.records import Record
from importer.wishes import Wish

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
APP = ObjectRef("configmaps", "shop", "app")
PATH = "namespaces/shop/configmaps/app.yaml"
WISH = Wish(PATH, APP, CONFIGMAPS, "source", "wanted", b"{}")
THERE = Live(APP, CONFIGMAPS, "uid", "7", "ours", False, True, "entry now", None)


def step(action: Action, wish: Wish | None = WISH) -> Step:
    return Step(APP, action, "was changed by kubectl-edit", PATH, wish)


def record(ref: ObjectRef | None = APP, *, desired: str = "wanted", entry: str = "entry then") -> Record:
    return Record("source", ref, desired, entry)


@pytest.mark.parametrize(
    ("action", "remembered", "there", "drift"),
    [
        (Action.UPDATE, record(), True, True),
        (Action.RECREATE, record(), True, True),
        (Action.CREATE, record(), False, True),  # somebody deleted it
        (Action.UPDATE, record(entry="entry now"), True, False),  # asked for because no record is trusted
        (Action.UPDATE, record(desired="wanted before"), True, False),  # Git changed it too
        (Action.UPDATE, record(entry=""), True, False),  # what DR was left with is not known
        (Action.UPDATE, record(ObjectRef("configmaps", "shop", "old")), True, False),
        (Action.UPDATE, None, True, False),
        (Action.CREATE, None, False, False),
        (Action.UNCHANGED, record(), True, False),
        (Action.BLOCKED, record(), True, False),
        (Action.HELD, record(), False, False),
    ],
)
def test_drift_is_what_only_puts_back(action: Action, remembered: Record | None, there: bool, drift: bool) -> None:
    records = {PATH: remembered} if remembered else {}
    view = View(objects={APP: THERE} if there else {})
    assert is_drift(step(action), records, view) is drift


def test_what_left_git_is_no_drift() -> None:
    assert not is_drift(step(Action.PRUNE, wish=None), {PATH: record()}, View(objects={APP: THERE}))


def test_what_is_left_says_why() -> None:
    found = left(step(Action.UPDATE))
    assert found.action is Action.SKIP
    assert found.reason.startswith("was changed by kubectl-edit; left as it is")


@pytest.mark.parametrize(
    ("planned", "result", "unknown", "may_pass"),
    [
        (Action.UPDATE, {"action": Action.BLOCKED}, {}, True),
        (Action.UPDATE, {"action": Action.BLOCKED, "lasting": True}, {}, False),
        (Action.BLOCKED, {"action": Action.BLOCKED}, {}, False),  # the plan said so already: an invalid manifest
        (Action.UPDATE, {"action": Action.UPDATE}, {}, False),
        (Action.UPDATE, {"action": Action.UPDATE}, {"widgets.example.com": "503"}, True),
    ],
)
def test_only_what_was_tried_and_may_pass_is_worth_another_try(
    planned: Action, result: dict[str, Any], unknown: dict[str, str], may_pass: bool
) -> None:
    results = (Result(step(planned), reason="", **result),)
    assert Outcome("dr", "prod", "c", None, None, False, True, results, unknown=unknown).may_pass is may_pass
