"""The inventory: an ApplySet parent as KEP-3659 describes it."""

from __future__ import annotations

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ResourceType
from importer.inventory import ACTIVE, STANDBY, Inventory, from_manifest, kind_of

CONFIGMAPS = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
DEPLOYMENTS = ResourceType("apps", "v1", "deployments", "Deployment", namespaced=True)
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
KINDS = st.sampled_from(["ConfigMap", "Deployment.apps", "Widget.example.com"])
INVENTORIES = st.builds(
    lambda importer, namespace, types, namespaces, state, revision, run, other: Inventory(
        importer=importer,
        namespace=namespace,
        types=types,
        namespaces=namespaces | {namespace},
        state=state,
        source="prod",
        source_uid="6f1c0d6e",
        revision=revision,
        followed="branch main",
        head=revision,
        run=run,
        other=other,
    ),
    NAMES,
    NAMES,
    st.frozensets(KINDS),
    st.frozensets(NAMES),
    st.sampled_from([STANDBY, ACTIVE]),
    st.sampled_from(["", "3f2c1a9"]),
    st.sampled_from(["", "0123456789abcdef"]),
    st.dictionaries(st.sampled_from(["drill", "failover"]), NAMES),
)


@given(INVENTORIES)
def test_what_was_written_is_read_again(inventory: Inventory) -> None:
    manifest = inventory.to_manifest()
    assert from_manifest(manifest, importer=inventory.importer, namespace=inventory.namespace) == inventory


def test_the_id_follows_the_formula_of_the_kep() -> None:
    inventory = Inventory("prod", "dr-syncer")
    hashed = hashlib.sha256(b"dr-syncer-prod.dr-syncer.ConfigMap.").digest()
    assert inventory.id == f"applyset-{base64.urlsafe_b64encode(hashed).rstrip(b'=').decode()}-v1"
    assert len(inventory.id) <= 63  # it is a label's value
    assert inventory.id[0].isalnum()
    assert inventory.id[-1].isalnum()


@given(NAMES, NAMES)
def test_each_importer_has_an_id_and_a_guests_name_of_its_own(first: str, second: str) -> None:
    one, other = Inventory(first, "dr-syncer"), Inventory(second, "dr-syncer")
    assert (one.id == other.id) == (one.guest == other.guest) == (first == second)


def test_a_field_manager_is_never_longer_than_the_server_allows() -> None:
    assert Inventory("prod", "dr-syncer").guest == "dr-syncer-prod"
    assert len(Inventory("x" * 253, "dr-syncer").guest) == 128


def test_the_parent_says_what_its_members_are_and_where() -> None:
    inventory = Inventory("prod", "dr-syncer", namespaces=frozenset({"dr-syncer"}))
    grown = inventory.with_members([DEPLOYMENTS, CONFIGMAPS], ["shop", "", "lab"])
    manifest = grown.to_manifest()
    meta = manifest["metadata"]
    assert (meta["name"], meta["namespace"]) == ("dr-syncer-prod", "dr-syncer")
    assert meta["labels"]["applyset.kubernetes.io/id"] == inventory.id
    assert meta["labels"]["app.kubernetes.io/part-of"] == "dr-syncer"  # so that no export takes it along
    assert meta["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap,Deployment.apps"
    # The parent's own namespace goes without saying.
    assert meta["annotations"]["applyset.kubernetes.io/additional-namespaces"] == "lab,shop"
    assert meta["annotations"]["applyset.kubernetes.io/tooling"].startswith("dr-syncer/v")
    assert manifest["data"]["state"] == STANDBY


def test_members_are_added_and_none_is_forgotten() -> None:
    inventory = Inventory("prod", "dr-syncer").with_members([CONFIGMAPS], ["shop"])
    grown = inventory.with_members([DEPLOYMENTS], [])
    assert grown.types == {"ConfigMap", "Deployment.apps"}
    assert grown.namespaces >= inventory.namespaces
    assert inventory.with_members([CONFIGMAPS], ["shop"]) == inventory


def test_a_parent_without_anything_is_an_empty_inventory() -> None:
    assert from_manifest({}, importer="prod", namespace="ns") == Inventory("prod", "ns", namespaces=frozenset({"ns"}))


def test_kinds_are_written_as_the_kep_does() -> None:
    assert (kind_of(CONFIGMAPS), kind_of(DEPLOYMENTS)) == ("ConfigMap", "Deployment.apps")
