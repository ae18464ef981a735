"""A copy of a confidential object in one of its annotations is as confidential as the object."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from drsyncer import match
from drsyncer.config.secrets import Secrets
from drsyncer.manifest import Manifest, ResourceType
from drsyncer.paths import parse
from drsyncer.sops.copies import is_copy
from drsyncer.sops.scope import covering, keys_named
from exporter.confidential import OF_SECRETS, confidential_of
from exporter.filing import Filed, Filing
from importer.masking import masked
from transforms.clean import Cleaner, UserRule
from transforms.select import Selection
from transforms.steps import visible

HIDDEN = covering([OF_SECRETS])
SECRET = ResourceType("", "v1", "secrets", "Secret", namespaced=True)
CODED = base64.b64encode(b"hunter2").decode()
APPLIED = json.dumps({"kind": "Secret", "data": {"pw": CODED}})
COPIES = {
    "kubectl.kubernetes.io/last-applied-configuration": APPLIED,
    "banzaicloud.com/last-applied": "UEsDBBQACAAIAAAA",
    "objectset.rio.cattle.io/applied": "H4sIAAAAAAAA",
    "kapp.k14s.io/original": APPLIED,
    "example.com/of-a-tool-nobody-knows": f" [{APPLIED}]",
    "example.com/without-end": '{"a":' * 20_000,
    "example.com/deep": '{"a":' * 60 + "1" + "}" * 60,
}
KEPT = {"example.com/note": "data: none", "example.com/json": '{"a": [1, {"b": null}]}', "example.com/odd": "{data"}


def secret(annotations: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "shop", "annotations": annotations},
        "data": {"pw": CODED},
    }


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_known_by_its_name_or_by_what_it_holds(name: str) -> None:
    assert is_copy(name, COPIES[name], HIDDEN)


@pytest.mark.parametrize("name", KEPT)
def test_any_other_annotation_is_none(name: str) -> None:
    assert not is_copy(name, KEPT[name], HIDDEN)
    assert not is_copy(name, 5, HIDDEN)


def test_what_is_a_copy_depends_on_what_is_encrypted() -> None:
    assert is_copy("x", '{"spec": {"pw": 1}}', covering([keys_named("pw")]))
    assert not is_copy("x", '{"data": {"pw": 1}}', covering([keys_named("spec")]))


@pytest.mark.parametrize("mode", ["encrypt", "plaintext"])
def test_what_is_encrypted_is_not_kept_readable_beside_it_whatever_the_user_keeps(mode: str) -> None:
    everything = UserRule(match.match(), (parse("/metadata/annotations/*"),))
    recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
    secrets = Secrets.model_validate({"mode": mode, "recipients": recipients})
    filing = Filing(
        selection=Selection(),
        cleaner=Cleaner(keep=[everything]),
        confidential=confidential_of(secrets),
        namespace_labels={},
    )

    filed = filing.file(secret(COPIES | KEPT), SECRET)

    assert isinstance(filed, Filed)
    # In plain text nothing is hidden, and what the user keeps is kept.
    assert filed.manifest["metadata"]["annotations"] == (KEPT if mode == "encrypt" else COPIES | KEPT)


def test_neither_templates_nor_reports_show_a_copy() -> None:
    manifest = secret(COPIES | KEPT)

    before, after = masked(manifest, {}, [OF_SECRETS])

    assert visible(manifest, HIDDEN)["metadata"]["annotations"] == KEPT
    assert before["metadata"]["annotations"] == dict.fromkeys(COPIES, "***") | KEPT
    assert after == {}


def test_an_object_that_only_had_copies_has_no_annotations() -> None:
    shown: dict[str, Any] = visible(secret(COPIES), HIDDEN)["metadata"]
    assert shown == {"name": "db", "namespace": "shop"}
