"""All built-in transforms together."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.config import section
from drsyncer.config.rules import Transforms
from drsyncer.manifest import ObjectRef
from transforms.pipeline import PIPELINE, transform
from transforms.pods import Ledger, drop, lookup, pointer, put
from transforms.settings import Changes, Settings, Standby, TransformFailed

ALL = Settings(
    namespaces={"shop": "shop-dr"},
    namespace_labels=Changes({"site": "dr"}),
    storage_classes={"standard": "standard-dr"},
    access_modes={"ReadWriteOncePod": "ReadWriteOnce"},
    images={"reg.io/": "dr.io/"},
    hosts={"*.prod.example.com": "*.dr.example.com"},
    labels=Changes({"site": "dr"}, ("old",)),
    annotations=Changes({"note": "x"}),
    standby=Standby("park"),
)

TYPES = [
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "cronjobs.batch",
    "jobs.batch",
    "pods",
    "persistentvolumeclaims",
    "ingresses.networking.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "configmaps",
    "widgets.example.com",
]


def deployment(**metadata):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", **metadata},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {"name": "web", "image": "reg.io/web:1", "env": [{"name": "DB", "value": "db.shop.svc"}]}
                    ]
                },
            },
        },
    }


WEB = ObjectRef("deployments.apps", "shop", "web")


def test_one_object_through_all_of_them():
    before = deployment(labels={"old": "1"})
    untouched = copy.deepcopy(before)

    done = transform(before, WEB, settings=ALL)

    expected = deployment(labels={"site": "dr"}, annotations={"dr-syncer.io/replicas": "3", "note": "x"})
    expected["metadata"]["namespace"] = "shop-dr"
    expected["spec"]["replicas"] = 0
    expected["spec"]["template"]["spec"]["containers"][0]["image"] = "dr.io/web:1"
    assert done.manifest == expected
    assert done.ref == ObjectRef("deployments.apps", "shop-dr", "web")
    assert done.held == ""
    assert done.applied == (
        "namespaces: /metadata/namespace shop -> shop-dr",
        "images: /spec/template/spec/containers/0/image reg.io/web:1 -> dr.io/web:1",
        "standby: /spec/replicas 3 -> 0",
        "standby: /metadata/annotations/dr-syncer.io~1replicas remembers 3",
        "labels: /metadata/labels/old removed",
        "labels: /metadata/labels/site added",
        "labels: /metadata/annotations/note added",
    )
    assert done.notes == (
        "/spec/template/spec/containers/0/env/0/value names db.shop.svc, not rewritten: shop is shop-dr in DR",
    )
    assert before == untouched


def test_without_settings_the_object_is_returned_itself():
    manifest = deployment()

    done = transform(manifest, WEB, settings=Settings())

    assert done.manifest is manifest
    assert (done.ref, done.applied, done.notes, done.held) == (WEB, (), (), "")


def test_standby_reads_the_override_before_labels_are_removed():
    settings = Settings(standby=Standby(), labels=Changes(remove=("app",)))

    done = transform(deployment(labels={"dr-syncer.io/scale-override": "2", "app": "x"}), WEB, settings=settings)

    assert done.manifest["spec"]["replicas"] == 2
    assert done.manifest["metadata"]["labels"] == {"dr-syncer.io/scale-override": "2"}


def test_the_order_is_fixed():
    assert [step.name for step in PIPELINE] == [
        "replicas",
        "namespaces",
        "literals",
        "storageClasses",
        "accessModes",
        "images",
        "hosts",
        "scheduling",
        "resources",
        "env",
        "loadBalancers",
        "rules",
        "standby",
        "labels",
    ]


def test_every_key_of_the_configuration_belongs_to_a_transform() -> None:
    known = {f"transforms.{key.name}" for key in section.keys(Transforms)}

    assert {key for step in PIPELINE for key in step.keys} == known | {"standby"}


def test_a_transform_that_is_not_configured_is_not_called() -> None:
    idle = {step.name for step in PIPELINE if not step.wanted(Settings())}

    assert idle == {step.name for step in PIPELINE} - {"rules", "standby", "loadBalancers"}


FIELDS = """
    metadata spec template containers initContainers volumes image replicas suspend jobTemplate
    accessModes env storageClassName volumeClaimTemplates rules tls hosts host subjects webhooks
    clientConfig service namespace namespaceSelector labels annotations nodeSelector name kind
    affinity parameters data
"""
KEYS = st.sampled_from(FIELDS.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["", "shop", "reg.io/a", "a.prod.example.com"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


@given(
    manifest=st.dictionaries(KEYS, VALUES, max_size=4),
    type_key=st.sampled_from(TYPES),
    standby=st.booleans(),
    scale=st.sampled_from([None, ".spec.replicas", ".spec.template.replicas"]),
)
def test_whatever_comes_in_is_transformed_or_blocked_and_never_changed(manifest, type_key, standby, scale):
    settings = ALL if standby else Settings(namespaces=ALL.namespaces, images=ALL.images, hosts=ALL.hosts)
    found = manifest.get("metadata")
    namespace = found.get("namespace") if isinstance(found, dict) else ""
    ref = ObjectRef(type_key, namespace if isinstance(namespace, str) else "", "x")
    before = copy.deepcopy(manifest)
    try:
        done = transform(manifest, ref, settings=settings, scale_path=scale)
    except TransformFailed:
        done = None
    if done:
        assert done.ref.namespace == ("shop-dr" if ref.namespace == "shop" else ref.namespace)
    assert manifest == before


@given(st.dictionaries(KEYS, VALUES, max_size=3), st.lists(KEYS, min_size=1, max_size=3).map(tuple))
def test_what_is_put_is_found_and_dropped_again(manifest, path):
    ledger = Ledger("test")
    try:
        written = put(manifest, path, 7, ledger=ledger)
    except TransformFailed:
        return
    assert lookup(written, path, ledger=ledger) == 7
    assert lookup(drop(written, path, ledger=ledger), path, ledger=ledger) is None


@pytest.mark.parametrize(("path", "text"), [(("a", "b/c", "d~e"), "/a/b~1c/d~0e"), ((), "")])
def test_paths_are_shown_as_json_pointers(path, text):
    assert pointer(path) == text
