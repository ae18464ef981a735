"""Where the importer's inventory and records live: ConfigMaps in a namespace of the DR cluster."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import Conflict, NotFound, Refused
from drsyncer.json import decode, encode_for_apply
from drsyncer.manifest import Manifest, ResourceType, metadata
from importer import inventory, records
from importer.inventory import Inventory
from importer.records import Record

CONFIGMAP = ResourceType("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
RECORDS_OF = own.PREFIX + "records-of"
_TRIES = 5


class Memory:
    """Loads and saves what one importer knows. Writes only what differs from what is there.

    The parent ConfigMap is also how two imports of one importer notice each other: whoever changes objects writes it
    before and after, and only as long as nobody else wrote it in between. Nobody waits, so nobody who was killed
    blocks the next one.
    """

    def __init__(self, cluster: Cluster, *, namespace: str, importer: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._importer = importer
        self._fresh = Inventory(importer, namespace, namespaces=frozenset({namespace}))
        self._parent: Inventory | None = None
        self._version = ""  # of the parent, as we last saw or wrote it; "" when there is none
        self._claimed = False
        self._shards: dict[str, tuple[str, str]] = {}  # name → (uid, text)

    def load(self) -> tuple[Inventory, dict[str, Record]]:
        """Return the inventory (empty when this importer never ran here) and the records."""
        parent = self._read_parent()
        self._parent = self._inventory_of(parent) if parent else None
        self._version = metadata(parent)["resourceVersion"] if parent else ""
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
        return self._parent or self._fresh, records.parse(text for _, text in self._shards.values())

    def claim(self, wanted: Inventory, *, writes: bool) -> Inventory:
        """Write the parent, before the first object is touched, and return it; `writes`: objects will be changed.

        Raises Refused when somebody else wrote it since `load`: what was planned is out of date then.
        """
        if writes:
            wanted = replace(wanted, run=secrets.token_hex(8))
        if wanted != self._parent:
            self._ensure_namespace()
            if not (self.is_alone() and self._write_parent(wanted)):
                raise Refused(
                    f"the inventory of importer {self._importer} changed in DR while this import was planned: "
                    "another one is at work",
                    hint="Nothing was changed by this run. Run it again when the other one has finished.",
                )
        self._claimed = writes
        return wanted

    def is_alone(self) -> bool:
        """Return whether nobody else wrote the parent since we saw it or wrote it."""
        found = self._read_parent()
        return (metadata(found)["resourceVersion"] if found else "") == self._version

    def settle(self, wanted: Inventory, found: Mapping[str, Record]) -> bool:
        """Write what is to be remembered after a run; return False when this one and another changed objects at a time.

        Which of the two wrote an object last is not known then. The types and namespaces of both are kept, and all
        records are dropped, so that the next import applies every object again.
        """
        if wanted == self._parent and not self._differs(found):
            return True
        if self.is_alone():
            self._save_records(found)
            # Asked again: the other one may have begun between the two.
            if self.is_alone() and (wanted == self._parent or self._write_parent(wanted)):
                return True
        if not self._claimed:
            return True  # nothing was changed, and the other one remembers for both
        self._forget(wanted)
        return False

    def _forget(self, wanted: Inventory) -> None:
        """Drop the records. The parent is written too: that is what tells the other import to do the same."""
        for _ in range(_TRIES):
            self.load()
            there = self._parent or wanted
            merged = replace(
                there,
                types=there.types | wanted.types,
                namespaces=there.namespaces | wanted.namespaces,
                run=secrets.token_hex(8),
            )
            if self._write_parent(merged):
                self._save_records({})
                return
        raise Conflict(f"the inventory {wanted.name} is written by others all the time")

    def _read_parent(self) -> Manifest | None:
        try:
            return self._cluster.read(CONFIGMAP, namespace=self._namespace, name=self._fresh.name)
        except NotFound:
            return None

    def _write_parent(self, wanted: Inventory) -> bool:
        """Write the parent unless somebody else did since we saw it; return whether it is as `wanted` now."""
        manifest = wanted.to_manifest()
        there: Manifest | None
        try:
            if self._version:
                manifest["metadata"]["resourceVersion"] = self._version
                there = self._apply(manifest)
            else:
                body = encode_for_apply(manifest)
                self._cluster.create(CONFIGMAP, body, namespace=self._namespace, name=wanted.name)
                there = self._read_parent()
        except (Conflict, NotFound):
            there = self._read_parent()  # a request that was repeated meets what its first try did
        if there is None or self._inventory_of(there) != wanted:
            return False
        self._parent, self._version = wanted, metadata(there)["resourceVersion"]
        return True

    def _inventory_of(self, parent: Manifest) -> Inventory:
        return inventory.from_manifest(parent, importer=self._importer, namespace=self._namespace)

    def _differs(self, found: Mapping[str, Record]) -> bool:
        return sorted(records.shards(found)) != sorted(text for _, text in self._shards.values())

    def _save_records(self, found: Mapping[str, Record]) -> None:
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

    def _apply(self, manifest: Manifest) -> Manifest:
        return self._cluster.apply(
            CONFIGMAP,
            encode_for_apply(manifest),
            namespace=self._namespace,
            name=metadata(manifest)["name"],
            force=True,
        ).manifest


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
