"""Where each object lies in the recovery repository."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drsyncer.errors import GitError, InvalidManifest
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout

# What API servers accept at most: anything that can be one segment of a path.
names = st.text(min_size=1, max_size=253).filter(
    lambda name: name not in (".", "..") and not set(name) & {"/", "%"} and len(name.encode()) <= 253
)
common_names = st.from_regex(r"[a-z0-9]([-a-z0-9.:A-Z]{0,250}[a-z0-9])?", fullmatch=True)
types = st.sampled_from(["configmaps", "deployments.apps", "clusterroles.rbac.authorization.k8s.io"])
namespaces = st.sampled_from(["", "shop", "pay"])
references = st.builds(ObjectRef, types, namespaces, names | common_names)


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (ObjectRef("deployments.apps", "shop", "web"), "namespaces/shop/deployments.apps/web.yaml"),
        (ObjectRef("configmaps", "shop", "app"), "namespaces/shop/configmaps/app.yaml"),
        (ObjectRef("namespaces", "", "shop"), "cluster/namespaces/shop.yaml"),
        (
            ObjectRef("clusterroles.rbac.authorization.k8s.io", "", "metrics-server:system:Auth"),
            "cluster/clusterroles.rbac.authorization.k8s.io/metrics-server%3Asystem%3AAuth.yaml",
        ),
        (ObjectRef("roles.rbac.authorization.k8s.io", "shop", "a b~é\n"), None),
    ],
)
def test_every_object_has_its_place(ref, path):
    assert layout.path_of(ref) == (path or "namespaces/shop/roles.rbac.authorization.k8s.io/a b%7E%C3%A9%0A.yaml")


@given(references)
@example(ObjectRef("configmaps", "shop", "x" * 253))
@example(ObjectRef("configmaps", "shop", "é" * 126))
@example(ObjectRef("configmaps", "shop", "~" + "0" * 64))
def test_a_path_leads_back_to_its_object(ref):
    path = layout.path_of(ref)
    place = layout.place_of(path)

    assert place is not None
    assert layout.owned(path)
    assert (place.type, place.namespace) == (ref.type, ref.namespace)
    assert place.ref in (ref, None)
    assert place.ref is not None or len(path.rpartition("/")[2]) > 250
    layout.check(path, ref)


@given(references)
def test_paths_are_safe_on_every_file_system(ref):
    path = layout.path_of(ref)

    assert all(0 < len(part.encode()) <= 255 and part not in (".", "..") for part in path.split("/"))
    assert path.isascii()
    assert path.isprintable()
    assert not set(path) & set('<>:"|?*\\')


@given(references, references)
@example(ObjectRef("configmaps", "", "x" * 252 + "a"), ObjectRef("configmaps", "", "x" * 252 + "b"))
def test_two_objects_never_share_a_path(one, other):
    assert (layout.path_of(one) == layout.path_of(other)) == (one == other)


def test_no_real_name_can_pose_as_a_shortened_one():
    long = "x" * 253
    stem = layout.path_of(ObjectRef("configmaps", "", long)).rpartition("/")[2].removesuffix(".yaml")
    assert stem.endswith(hashlib.sha256(long.encode()).hexdigest())
    assert len(stem) == 250

    posing = layout.path_of(ObjectRef("configmaps", "", stem))

    assert posing != layout.path_of(ObjectRef("configmaps", "", long))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "100%"])
def test_what_no_api_server_calls_an_object_is_refused(name):
    with pytest.raises(GitError, match="no legal Kubernetes name"):
        layout.path_of(ObjectRef("configmaps", "shop", name))


@pytest.mark.parametrize("type_", ["", "..", "Config", "a/b", "x" * 256])
def test_a_hostile_type_is_refused(type_):
    with pytest.raises(GitError):
        layout.path_of(ObjectRef(type_, "shop", "a"))


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "dr-syncer.yaml",
        "transforms/hosts.yaml",
        "volumes/data.yaml",
        "volumes/shop/persistentvolumeclaims/data.yaml",
        "volumes/shop/data.yml",
        "volumes/../data.yaml",
        "volumes/shop/%61.yaml",
        "cluster/namespaces/shop.yml",
        "cluster/namespaces/.yaml",
        "cluster/namespaces/...yaml/x",
        "cluster/../namespaces/a.yaml",
        "cluster/namespaces/../a.yaml",
        "namespaces/../configmaps/a.yaml",
        "namespaces//configmaps/a.yaml",
        "namespaces/shop//a.yaml",
        "/cluster/namespaces/a.yaml",
        "cluster/namespaces/a\0.yaml",
        "cluster/namespaces/a\\b.yaml",
        "cluster/namespaces/a\nb.yaml",
        "cluster/namespaces/%61.yaml",
        "cluster/namespaces/%2F.yaml",
        "cluster/namespaces/%2e%2e.yaml",
        "cluster/namespaces/%FF.yaml",
        "cluster/namespaces/\udcff.yaml",
        "cluster/namespaces/a~b.yaml",
        "cluster/namespaces/" + "a" * 251 + ".yaml",
        "cluster/Namespaces/a.yaml",
        "namespaces/shop/a.yaml",
        "",
    ],
)
def test_other_peoples_files_and_hostile_paths_are_no_objects(path):
    assert layout.place_of(path) is None
    assert not layout.owned(path)


@given(
    st.text() | st.text(alphabet="clusternamp/.~%0A:\\é", max_size=300).map(lambda text: f"cluster/pods/{text}.yaml")
)
def test_a_path_is_an_objects_only_if_it_is_the_one_that_would_be_written(path):
    place = layout.place_of(path)
    if place is not None and place.ref is not None:
        assert layout.path_of(place.ref) == path


@given(names | common_names)
@example("x" * 253)
def test_the_record_of_a_volume_lies_beside_its_claim(name):
    claim = layout.path_of(ObjectRef(layout.CLAIMS, "shop", name))
    path = layout.record_path("shop", name)

    assert path == layout.record_beside(claim)
    assert layout.claim_beside(path) == claim
    assert layout.record_place(path) == layout.place_of(claim)
    assert layout.owned(path)
    assert layout.place_of(path) is None


@given(references | st.builds(ObjectRef, st.just(layout.CLAIMS), st.sampled_from(["shop", "pay"]), names))
def test_only_a_claim_has_a_record(ref):
    path = layout.path_of(ref)

    assert bool(layout.record_beside(path)) == (ref.type == layout.CLAIMS)
    assert layout.record_place(path) is None
    assert layout.claim_beside(path) == ""


def test_the_place_of_a_record_is_readable():
    assert layout.record_path("shop", "data") == "volumes/shop/data.yaml"


def test_an_object_in_another_ones_place_is_an_error():
    with pytest.raises(InvalidManifest, match=r"whose place is namespaces/shop/configmaps/b\.yaml"):
        layout.check("namespaces/shop/configmaps/a.yaml", ObjectRef("configmaps", "shop", "b"))
