"""Labels and annotations added and removed on the way in."""

from __future__ import annotations

import pytest

from drsyncer.manifest import ObjectRef
from transforms.labels import change_labels
from transforms.settings import Changes, Settings, Subject, TransformFailed


def run(manifest, *, type_key="deployments.apps", **settings):
    return change_labels(manifest, Subject(ObjectRef(type_key, "shop", "x"), Settings(**settings)))


def test_labels_change_on_the_object_and_nowhere_else():
    manifest = {
        "metadata": {"name": "x", "labels": {"app": "web", "old": "1"}},
        "spec": {"selector": {"matchLabels": {"old": "1"}}, "template": {"metadata": {"labels": {"old": "1"}}}},
    }

    result = run(manifest, labels=Changes({"site": "dr", "app": "shop"}, ("old",)))

    assert result.manifest["metadata"]["labels"] == {"app": "shop", "site": "dr"}
    assert result.manifest["spec"] is manifest["spec"]
    assert result.applied == (
        "/metadata/labels/app changed",
        "/metadata/labels/old removed",
        "/metadata/labels/site added",
    )


def test_the_last_annotation_takes_the_mapping_with_it():
    result = run({"metadata": {"name": "x", "annotations": {"a": "1"}}}, annotations=Changes(remove=("a",)))

    assert result.manifest == {"metadata": {"name": "x"}}


def test_a_key_in_both_lists_ends_up_added():
    result = run({"metadata": {"labels": {"a": "1"}}}, labels=Changes({"a": "2"}, ("a",)))

    assert result.manifest["metadata"]["labels"] == {"a": "2"}


def test_an_object_that_has_them_already_is_returned_itself():
    manifest = {"metadata": {"labels": {"site": "dr"}}}

    assert run(manifest, labels=Changes({"site": "dr"}, ("old",))).manifest is manifest


def test_namespaces_get_their_own_on_top():
    settings = {
        "labels": Changes({"site": "dr", "level": "all"}),
        "namespace_labels": Changes({"level": "namespace"}),
        "namespace_annotations": Changes({"note": "x"}),
    }
    manifest = {"metadata": {"name": "shop"}}

    found = run(manifest, type_key="namespaces", **settings).manifest["metadata"]
    other = run(manifest, type_key="configmaps", **settings).manifest["metadata"]

    assert found == {"name": "shop", "labels": {"site": "dr", "level": "namespace"}, "annotations": {"note": "x"}}
    assert other == {"name": "shop", "labels": {"site": "dr", "level": "all"}}


@pytest.mark.parametrize("manifest", [{}, {"metadata": "x"}, {"metadata": {"labels": ["a"]}}])
def test_malformed_metadata_blocks_the_object(manifest):
    with pytest.raises(TransformFailed, match="expected a mapping"):
        run(manifest, labels=Changes({"a": "b"}))
