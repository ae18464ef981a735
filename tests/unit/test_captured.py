"""What an API server and its controllers wrote goes, what people wrote stays: pairs of `python -m tests.capture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from drsyncer.yaml.emit import emit
from tests.capture import pairs
from tests.cluster.tools import kubernetes_version
from transforms.clean import Cleaned
from transforms.clean_rules import BUILT_IN

TYPES = Path(__file__).parents[2] / "docs" / "reference" / "types.md"


@pytest.mark.parametrize("case", pairs.cases())
def test_a_captured_object_is_cleaned_to_what_its_pair_says(case: str) -> None:
    cleaned = pairs.cleaned(case, pairs.load(case, "raw"))

    assert cleaned.manifest == pairs.load(case, "clean")
    assert emit(cleaned.manifest) == (pairs.FOLDER / case / "clean.yaml").read_bytes()
    assert pairs.cleaned(case, cleaned.manifest) == Cleaned(cleaned.manifest, (), frozenset())


def test_every_rule_had_something_to_do_in_the_captured_cluster() -> None:
    used = {rule for case in pairs.cases() for rule in pairs.cleaned(case, pairs.load(case, "raw")).removed}
    assert {rule.name for rule in BUILT_IN} - used == set()


def test_the_pairs_are_of_the_kubernetes_that_the_tests_run() -> None:
    assert (pairs.FOLDER / "VERSION").read_text().strip() == kubernetes_version(), "run: make capture"


def test_the_page_of_built_in_types_knows_the_rules_that_there_are() -> None:
    # Whether it is right in full is a matter of a real API server: tests/integration/test_capture.py.
    from tests.capture.types import rule_names

    by_type = {rule.name for rule in BUILT_IN if rule.match.types}
    assert rule_names(TYPES.read_text()) == by_type, "run: make capture"
