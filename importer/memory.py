"""Where the importer's inventory and records live: ConfigMaps in a namespace of the DR cluster."""

from __future__ import annotations

from collections.abc import Mapping

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import Conflict, NotFound
from drsyncer.json import decode, encode_for_apply
from drsyncer.manifest import Manifest, ResourceType, metadata
from importer import inventory, records
from importer.inventory import Inventory
from importer.records import Record

CONFIGMAP = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
RECORDS_OF = own.PREFIX + "records-of"


class Memory:
    """Loads and saves what one importer knows. Writes only what differs from what is there."""

    def __init__(self, cluster: Cluster, *, namespace: str, importer: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._importer = importer
        self._parent: Inventory | None = None
        self._shards: dict[str, tuple[str, str]] = {}  # name → (uid, text)

    def load(self) -> tuple[Inventory, dict[str, Record]]:
        """Return the inventory (empty when this importer never ran here) and the records."""
        fresh = Inventory(self._importer, self._namespace, namespaces=frozenset({self._namespace}))
        try:
            parent = self._cluster.read(CONFIGMAP, namespace=self._namespace, name=fresh.name)
        except NotFound:
            self._parent = None
        else:
            self._parent = inventory.from_manifest(parent, importer=self._importer, namespace=self._namespace)
        self._shards = {}
        for page in self._cluster.pages(
            CONFIGMAP, namespace=self._namespace, label_selector=f"{RECORDS_OF}={self._importer}"
        ):
            if page.first:
                self._shards.clear()
            for raw in page.items:
                item = decode(bytes(raw))
                text = (item.get("data") or {}).get(records.KEY, "")
                self._shards[metadata(item)["name"]] = (metadata(item)["uid"], text)
        return self._parent or fresh, records.parse(text for _, text in self._shards.values())

    def save_inventory(self, wanted: Inventory) -> None:
        """Write the parent when it differs from what is there; its namespace is made when missing."""
        if wanted == self._parent:
            return
        self._ensure_namespace()
        self._apply(wanted.to_manifest())
        self._parent = wanted

    def save_records(self, found: Mapping[str, Record]) -> None:
        """Write the shards that differ, and delete those that are no longer needed."""
        texts = records.shards(found)
        names = {f"dr-syncer-{self._importer}-records-{index}": text for index, text in enumerate(texts)}
        for name, text in names.items():
            if self._shards.get(name, ("", None))[1] != text:
                self._apply(self._shard(name, text))
        for name in self._shards.keys() - names.keys():
            try:
                self._cluster.delete(CONFIGMAP, namespace=self._namespace, name=name, uid=self._shards[name][0])
            except (NotFound, Conflict):
                continue  # another hand was faster; nothing of ours is left under that name
        self._shards = {name: (self._shards.get(name, ("", ""))[0], text) for name, text in names.items()}

    def _shard(self, name: str, text: str) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {RECORDS_OF: self._importer, own.PART_OF: own.OWN_NAME},
            },
            "data": {records.KEY: text},
        }

    def _ensure_namespace(self) -> None:
        try:
            self._cluster.read(NAMESPACE, namespace="", name=self._namespace)
        except NotFound:
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": self._namespace, "labels": {own.PART_OF: own.OWN_NAME}},
            }
            self._cluster.apply(NAMESPACE, encode_for_apply(body), namespace="", name=self._namespace, force=False)

    def _apply(self, manifest: Manifest) -> None:
        self._cluster.apply(
            CONFIGMAP,
            encode_for_apply(manifest),
            namespace=self._namespace,
            name=metadata(manifest)["name"],
            force=True,
        )


def recall(cluster: Cluster, *, namespace: str, importer: str) -> Inventory | None:
    """Return the inventory of `importer`, "" for the only one there is in `namespace`; None when that tells nothing."""
    found: list[Inventory] = []
    for page in cluster.pages(CONFIGMAP, namespace=namespace, label_selector=own.APPLYSET_ID):
        if page.first:
            found.clear()
        for raw in page.items:
            manifest = decode(bytes(raw))
            name = (manifest.get("data") or {}).get("importer", "")
            if name and importer in ("", name):
                found.append(inventory.from_manifest(manifest, importer=name, namespace=namespace))
    return found[0] if len(found) == 1 else None


def peek(cluster: Cluster, known: Inventory) -> Inventory | None:
    """Return `known` as it is now, None when it is gone: one request."""
    try:
        parent = cluster.read(CONFIGMAP, namespace=known.namespace, name=known.name)
    except NotFound:
        return None
    return inventory.from_manifest(parent, importer=known.importer, namespace=known.namespace)
