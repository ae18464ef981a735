"""Which claims are backed up, and the check that decides."""

from __future__ import annotations

from typing import Any

import pytest

from drsyncer.config.volumes import VolumeSelect
from volumes.claims import claims_in
from volumes.selecting import Asked, Choice, Chosen, Selecting, odd_wish


def claim(name: str = "data", *, namespace: str = "shop", **parts: Any) -> dict[str, Any]:
    """Return a bound claim; `annotations`, `labels`, `phase` and `mode` are what is special of it."""
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    meta |= {
        key: parts[key] for key in ("annotations", "labels", "deletionTimestamp", "ownerReferences") if key in parts
    }
    return {
        "metadata": meta,
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "pv", "volumeMode": parts.get("mode", "Filesystem")},
        "status": {"phase": parts.get("phase", "Bound")},
    }


def _choose(found: dict[str, Any], asked: Asked | None = None, **select: Any) -> Chosen | None:
    return Selecting(VolumeSelect.model_validate(select), asked).choose(found, {"tier": "gold"})


def _verdict(found: dict[str, Any], asked: Asked | None = None, **select: Any) -> tuple[Choice, str]:
    chosen = _choose(found, asked, **select)
    assert chosen is not None
    assert chosen.reason
    return chosen.choice, chosen.check


BACKUP = "dr-syncer.io/backup"


def test_a_bound_claim_is_backed_up_without_any_configuration() -> None:
    assert _verdict(claim()) == (Choice.SELECTED, "select")


@pytest.mark.parametrize(
    ("found", "check"),
    [
        (claim(annotations={BACKUP: "false"}), "annotation"),
        (claim(annotations={"dr-syncer.io/ignore": "true"}), "ignore"),
        (claim(labels={"dr-syncer.io/ignore": "true"}), "ignore"),
        (claim(labels={"app.kubernetes.io/part-of": "dr-syncer"}), "own"),
        (claim(deletionTimestamp="2026-03-01T02:00:00Z"), "terminating"),
        (claim(phase="Pending"), "not-bound"),
        (
            claim("web-scratch", ownerReferences=[{"kind": "Pod", "name": "web", "controller": True}]),
            "scratch",
        ),
    ],
)
def test_what_nobody_wants_is_left_out(found: dict[str, Any], check: str) -> None:
    assert _verdict(found) == (Choice.LEFT_OUT, check)


def test_a_block_volume_is_refused_and_told_the_way_out() -> None:
    chosen = _choose(claim(mode="Block"))

    assert chosen is not None
    assert chosen.choice is Choice.REFUSED
    assert f'{BACKUP}: "false"' in chosen.reason


def test_a_block_volume_that_nobody_wants_is_no_trouble() -> None:
    assert _verdict(claim(mode="Block", annotations={BACKUP: "false"})) == (Choice.LEFT_OUT, "annotation")


def test_a_claim_whose_volume_is_gone_is_refused() -> None:
    assert _verdict(claim(phase="Lost")) == (Choice.REFUSED, "lost")


def test_the_configuration_includes_and_excludes() -> None:
    shop, gold = [{"namespaces": ["shop"]}], [{"namespaceLabels": "tier=gold"}]

    assert _verdict(claim(), include=shop) == (Choice.SELECTED, "select")
    assert _verdict(claim(), include=gold) == (Choice.SELECTED, "select")
    assert _verdict(claim(namespace="other"), include=shop) == (Choice.LEFT_OUT, "include")
    assert _verdict(claim(), exclude=shop) == (Choice.LEFT_OUT, "exclude[0]")


def test_the_annotation_asks_for_more_than_is_included_and_not_for_what_is_excluded() -> None:
    wanted = claim(annotations={BACKUP: "true"})

    assert _verdict(wanted, include=[{"namespaces": ["other"]}]) == (Choice.SELECTED, "select")
    assert _verdict(wanted, exclude=[{"namespaces": ["shop"]}]) == (Choice.LEFT_OUT, "exclude[0]")


def test_only_what_is_annotated_when_that_is_configured() -> None:
    assert _verdict(claim(), annotatedOnly=True) == (Choice.LEFT_OUT, "annotatedOnly")
    assert _verdict(claim(annotations={BACKUP: "true"}), annotatedOnly=True) == (Choice.SELECTED, "select")


def test_a_claim_asked_for_by_name_is_taken_whatever_excludes_it() -> None:
    asked = Asked(claims=frozenset({("shop", "data")}))

    assert _verdict(claim(annotations={BACKUP: "false"}), asked, exclude=[{"names": ["data"]}])[0] is Choice.SELECTED
    assert _verdict(claim(labels={"dr-syncer.io/ignore": "true"}), asked) == (Choice.LEFT_OUT, "ignore")
    assert _choose(claim("other"), asked) is None


def test_a_namespace_asked_for_leaves_the_rest_unmentioned() -> None:
    asked = Asked(namespaces=frozenset({"shop"}))

    assert _verdict(claim(), asked) == (Choice.SELECTED, "select")
    assert _choose(claim(namespace="other"), asked) is None


def test_a_claim_asked_for_that_is_not_there_is_told() -> None:
    selecting = Selecting(VolumeSelect(), Asked(claims=frozenset({("shop", "data"), ("shop", "gone")})))

    assert selecting.missing([("shop", "data")]) == [("shop", "gone")]


def test_a_rule_that_decides_nothing_is_told_when_everything_was_looked_at() -> None:
    select = VolumeSelect.model_validate({"exclude": [{"names": ["typo"]}]})
    everything, part = Selecting(select), Selecting(select, Asked(namespaces=frozenset({"shop"})))
    for selecting in (everything, part):
        selecting.choose(claim(), {})

    assert ["exclude[0]" in rule for rule in everything.unused()] == [True]
    assert part.unused() == []


def test_an_annotation_that_says_neither_yes_nor_no_is_told_and_counts_for_nothing() -> None:
    odd = claim(annotations={BACKUP: "False"})

    assert _verdict(odd) == (Choice.SELECTED, "select")
    assert "'False'" in odd_wish(odd)[0]
    assert odd_wish(claim()) == []


def test_ephemeral_volumes_are_claims_of_their_pod() -> None:
    volumes = [{"name": "scratch", "ephemeral": {}}, {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]

    assert claims_in({"metadata": {"name": "web"}, "spec": {"volumes": volumes}}) == ["web-scratch", "data"]


def test_a_namespace_that_was_named_and_holds_no_claim_is_told_apart_from_one_where_none_is_selected() -> None:
    selecting = Selecting(VolumeSelect(), Asked(namespaces=frozenset({"shop", "shpo"})))
    assert selecting.without_any([("shop", "data")]) == ["shpo"]
    assert Selecting(VolumeSelect()).without_any([]) == []
