"""`dr-syncer transforms list`."""

from __future__ import annotations

import json

import pytest

from cli.main import run
from transforms.pipeline import PIPELINE


def test_the_list_has_all_transforms_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["transforms", "list", "-o", "json"]) == 0

    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed["transforms"]] == [step.name for step in PIPELINE]
    assert listed["transforms"][0]["configuredBy"] == ["importer.transforms.replicas"]
    assert {"checks", "rules"} < listed.keys()


def test_the_list_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["transforms", "list"]) == 0

    out = capsys.readouterr().out
    assert "Changed by an import, in this order" in out
    assert out.index("replicas") < out.rindex("loadBalancers")
