"""Which volumes a restore leaves alone: by the configuration's rules, and by what claims say of themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drsyncer import own
from drsyncer.config.volumes import RestoreSelect, VolumeSelect
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from drsyncer.restored import Progress
from drsyncer.yaml.emit import emit
from tests.unit.test_restore_plan import DATA, NO_MAP, claim, marker, record, standing, step
from tests.unit.volume_history import History
from tests.unit.volume_records import claim as claim_ref
from tests.unit.volume_records import whole
from transforms.select import Verdict
from volumes.restore_look import Classes, claim_of
from volumes.restore_plan import Aim, Key, User, Wanted, plan
from volumes.restore_selecting import INCLUDED, Selecting, excluded, odd_wish
from volumes.restore_wanted import wanted
from volumes.restore_why import Action, Why

OUT = Verdict(False, "exclude[0]", "the configuration excludes it")
NOT_IN = Verdict(False, "include", "no include rule of the configuration matches it")


def selecting(**rules: Any) -> Selecting:
    return Selecting(RestoreSelect.model_validate(rules))


def verdict(found: Selecting, name: str = "data", *, space: dict[str, str] | None = None, **labels: str) -> Verdict:
    manifest = {"metadata": {"name": name, "namespace": "shop", "labels": labels}}
    return found.verdict(ObjectRef(layout.CLAIMS, "shop", name), manifest, space or {})


def test_rules_speak_of_claims_as_all_other_rules_do() -> None:
    by_label = selecting(exclude=[{"labels": "tier=cache"}])
    assert verdict(by_label).included
    assert not verdict(by_label, tier="cache").included
    by_namespace = selecting(include=[{"namespaceLabels": "environment=production"}])
    assert by_namespace.asks_for_namespaces
    assert verdict(by_namespace, space={"environment": "production"}).included
    assert not verdict(by_namespace).included
    by_type = selecting(exclude=[{"types": ["pvc"], "names": ["tmp-*"]}])
    assert not verdict(by_type, "tmp-1").included


def test_a_rule_that_decided_nothing_is_told() -> None:
    found = selecting(exclude=[{"names": ["cache"]}, {"names": ["cahce"]}])
    verdict(found, "cache")
    (told,) = found.unused()
    assert told.startswith("volumes.restore.select: exclude[1]")


def test_a_rule_that_would_exclude_everything_is_refused() -> None:
    with pytest.raises(ValidationError, match="exclude every volume"):
        RestoreSelect.model_validate({"exclude": [{}]})


@pytest.mark.parametrize(
    ("found", "named", "ignored", "wish", "said"),
    [
        (INCLUDED, False, False, "", ""),
        (INCLUDED, False, False, "false", 'restore is "false"'),
        (INCLUDED, True, False, "false", ""),
        (INCLUDED, True, True, "true", "ignore says so"),
        (OUT, False, False, "", "exclude[0]"),
        (OUT, False, False, "true", "exclude[0]"),
        (OUT, True, False, "", ""),
        (NOT_IN, False, False, "", "no include rule"),
        (NOT_IN, False, False, "true", ""),
        (INCLUDED, False, False, "no", ""),
    ],
)
def test_who_goes_before_whom(found: Verdict, named: bool, ignored: bool, wish: str, said: str) -> None:
    text = excluded(found, named=named, ignored=ignored, wish=wish)
    assert (said in text) if said else text == ""


def test_a_wish_that_says_neither_yes_nor_no_is_told() -> None:
    assert [odd_wish("shop/data", wish) for wish in ("", "true", "false")] == [[], [], []]
    assert "counts for nothing" in odd_wish("shop/data", "no")[0]


def test_what_is_excluded_is_not_looked_at_any_further() -> None:
    for there in (None, claim(), claim(marker=marker()), claim(block=True), claim(deleting=True)):
        found = step(there, wanted=Wanted(DATA, record(), verdict=OUT))
        assert (found.action, found.why) == (Action.EXCLUDED, Why.EXCLUDED)
    assert step(claim(wish="false"), wanted=Wanted(DATA, None)).why is Why.EXCLUDED
    assert step(claim(wish="false"), wanted=Wanted(DATA, record(), named=True)).action is Action.RESTORE


def test_what_is_excluded_is_never_taken_for_restored() -> None:
    found = step(claim(marker=marker(), wish="false"))
    assert found.action is Action.EXCLUDED
    half = step(claim(marker=marker(state=Progress.IN_PROGRESS), wish="false"))
    assert "was not whole" in half.text


def test_a_pod_on_an_excluded_volume_is_noted_all_the_same() -> None:
    found = step(claim(marker=marker(), wish="false"), users={DATA: [User("web-0", "Running")]})
    assert (found.why, found.taken, found.idle) == (Why.EXCLUDED, True, False)


def test_what_is_excluded_stands_in_no_other_volumes_way() -> None:
    one, other = Wanted(Key("a", "data"), record()), Wanted(Key("b", "data"), record(), verdict=OUT)
    there = standing(claim(Key("other", "data")))
    aim = Aim(namespace="other", confirmed=True)
    assert [found.why for found in plan([one, other], there, NO_MAP, aim)] == [Why.CONFIRMED, Why.EXCLUDED]
    two = [one, replace(other, verdict=INCLUDED)]
    assert {found.why for found in plan(two, there, NO_MAP, aim)} == {Why.TWO_SOURCES}


def test_where_nobody_can_tell_whether_it_is_excluded_it_is_left_out_and_that_is_not_well() -> None:
    found = step(claim(), wanted=Wanted(DATA, record(), verdict=None))
    assert (found.action, found.why) == (Action.LEFT_OUT, Why.UNREADABLE)
    assert step(claim(), wanted=Wanted(DATA, record(), named=True, verdict=None)).action is Action.RESTORE


def test_a_claim_says_it_by_its_annotation_and_is_ignored_by_a_label_too() -> None:
    def found(**meta: Any) -> tuple[str, bool]:
        seen = claim_of({"metadata": {"name": "data", "namespace": "shop", **meta}}, Classes())
        return seen.wish, seen.ignored

    assert found() == ("", False)
    assert found(annotations={own.RESTORE: "false"}) == ("false", False)
    assert found(labels={own.IGNORE: "true"}) == ("", True)


def written(kind: str, name: str, *, where: str = "", **labels: str) -> str:
    meta = {"name": name, "labels": labels, **({"namespace": where} if where else {})}
    return emit({"apiVersion": "v1", "kind": kind, "metadata": meta}).decode()


def test_rules_are_asked_of_claims_and_namespaces_as_git_has_them(tmp_path: Path) -> None:
    history = History(tmp_path)
    data, cache, torn = (claim_ref(name) for name in ("data", "cache", "torn"))
    more = {
        layout.path_of(data): written("PersistentVolumeClaim", "data", where="shop"),
        layout.path_of(cache): written("PersistentVolumeClaim", "cache", where="shop", tier="cache"),
        layout.path_of(torn): "{",
        "cluster/namespaces/shop.yaml": written("Namespace", "shop", environment="production"),
    }
    history.export({data: whole(1), cache: whole(2), torn: whole(3), claim_ref("bare"): whole(4)}, claims=(), more=more)

    def verdicts(volumes: tuple[Key, ...] = (), **rules: Any) -> dict[str, bool | None]:
        point = history.choose().point
        with history.sandbox.open() as clone:
            found = wanted(clone, point, selecting(**rules), select=VolumeSelect(), volumes=volumes)
        return {one.source.name: one.verdict and one.verdict.included for one in found}

    by_label = verdicts(exclude=[{"labels": "tier=cache"}])
    assert by_label == {"data": True, "cache": False, "torn": None, "bare": True}
    by_namespace = verdicts(include=[{"namespaceLabels": "environment=production"}])
    assert by_namespace == {"data": True, "cache": True, "torn": None, "bare": True}
    assert set(verdicts().values()) == {True}
    assert verdicts(volumes=(Key("shop", "cache"),), exclude=[{"labels": "tier=cache"}]) == {"cache": False}


@pytest.mark.parametrize(
    ("select", "meta", "is_there"),
    [
        ({}, {}, True),
        ({}, {"annotations": {own.BACKUP: "false"}}, False),
        ({"exclude": [{"names": ["cache"]}]}, {}, False),
        ({"include": [{"namespaces": ["other"]}]}, {}, False),
        ({"include": [{"namespaces": ["other"]}]}, {"annotations": {own.BACKUP: "true"}}, True),
    ],
)
def test_a_claim_that_should_have_been_backed_up_and_was_not_is_one_of_all_volumes(
    select: dict[str, Any], meta: dict[str, Any], is_there: bool, tmp_path: Path
) -> None:
    history = History(tmp_path)
    cache = claim_ref("cache")
    meta = {"name": "cache", "namespace": "shop", **meta}
    file = emit({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}).decode()
    history.export({claim_ref("data"): whole(1)}, claims=(), more={layout.path_of(cache): file})
    point = history.choose().point

    for namespaces in ((), ("shop",)):
        with history.sandbox.open() as clone:
            found = wanted(clone, point, selecting(), select=VolumeSelect.model_validate(select), namespaces=namespaces)
        assert [one.source.name for one in found] == (["cache", "data"] if is_there else ["data"])

    steps = plan([Wanted(Key("shop", "cache"), None)], standing(), NO_MAP, Aim())
    assert [(one.action, one.why) for one in steps] == [(Action.LEFT_OUT, Why.NO_RECORD)]
