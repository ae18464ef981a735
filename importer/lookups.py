"""What else an object is judged by, beside its own file: its CRD, its autoscaler, the labels of its namespace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from drsyncer.cluster import Discovery
from drsyncer.errors import DrSyncerError, InvalidManifest
from drsyncer.manifest import ObjectRef, labels
from drsyncer.recovery import layout
from drsyncer.recovery.layout import Place
from importer.files import Files
from importer.known_names import NAMESPACES
from importer.types import Definition, definition
from transforms.stages import DEFINITIONS, is_custom

HPAS = "horizontalpodautoscalers.autoscaling"
SCALED = ("deployments.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers")

Autoscaled = frozenset[tuple[str, str, str]]  # (namespace, kind, name)


class Lookups:
    """Reads the CRDs, autoscalers and Namespaces of a recovery point, each once.

    `read_definition` asks DR for the CRD of a type, where the commit has none; that matters in `standby` only.
    `asks_for_labels` says whether any rule wants the labels of namespaces.
    """

    def __init__(
        self,
        *,
        files: Files,
        places: Mapping[str, Place],
        discovery: Discovery,
        read_definition: Callable[[str], Definition | None],
        standby: bool,
        asks_for_labels: bool,
    ) -> None:
        self._files = files
        self._discovery = discovery
        self._read_definition = read_definition
        self._standby = standby
        self._asks_for_labels = asks_for_labels
        self._hpas: dict[str, list[str]] = {}
        for path, place in places.items():
            if place.type == HPAS:
                self._hpas.setdefault(place.namespace, []).append(path)
        self.definitions: dict[str, Definition] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._asked_in_dr: set[str] = set()
        self._unknown: set[str] = set()  # files that others are judged by, and that could not be read

    def standing_for(self, place: Place) -> list[str] | None:
        """Return what stands for all that the object at `place` looks up: other contents, other strings.

        None when something of that cannot be read.
        """
        in_dr = ""
        paths = [layout.path_of(ObjectRef(NAMESPACES, "", place.namespace))] if place.namespace else []
        if is_custom(place.type):
            paths.append(layout.path_of(ObjectRef(DEFINITIONS, "", place.type)))
            if paths[-1] not in self._files and (crd := self.definition_in_dr(place.type)):
                in_dr = repr(sorted(crd.scale_paths.items()))
        if place.type in SCALED:
            paths += sorted(self._hpas.get(place.namespace, ()))
        if not self._unknown.isdisjoint(paths):
            return None
        return [in_dr, *(self._files.blob_id(path) for path in paths)]

    def learn_definitions(self, types: Collection[str]) -> None:
        """Read the CRDs of the custom ones among `types`: their scale path, conversion and versions."""
        keys = {key for key in types if is_custom(key)} - self.definitions.keys()
        files = {layout.path_of(ObjectRef(DEFINITIONS, "", key)): key for key in keys}
        # Also with --namespace: a CRD that is not imported now still tells what its objects need.
        for path, data in self._files.contents(
            path for path in files if path in self._files and path not in self._unknown
        ):
            try:
                self.definitions[files[path]] = definition(self._files.open(path, data).manifest)
            except (DrSyncerError, AttributeError, KeyError, TypeError):
                self._unknown.add(path)
                continue  # the CRD's own turn reports it; its objects then have no type

    def definition_in_dr(self, key: str) -> Definition | None:
        """Return what DR's own CRD of a scalable type says, for a recovery point that brings none."""
        served = self._discovery.get(key)
        if served is None or "scale" not in served.subresources or not self._standby:
            return None
        if key not in self._asked_in_dr:
            self._asked_in_dr.add(key)
            found = self._read_definition(key)
            if found is not None:
                self.definitions[key] = found
        return self.definitions.get(key)

    def autoscaled(self, places: Iterable[Place]) -> Autoscaled:
        """Return every workload that an autoscaler targets, in the namespaces of those workloads among `places`."""
        wanted = {place.namespace for place in places if place.type in SCALED}
        found = set()
        for path, data in self._files.contents(path for name in wanted for path in self._hpas.get(name, ())):
            place = layout.place_of(path)
            assert place is not None
            try:
                target = self._files.open(path, data).manifest["spec"]["scaleTargetRef"]
                found.add((place.namespace, target["kind"], target["name"]))
            except (DrSyncerError, KeyError, TypeError):
                self._unknown.add(path)
                continue  # the autoscaler's own turn reports it
        return frozenset(found)

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a Namespace of the recovery point, for rules that ask for them; else none.

        Raises InvalidManifest when its file cannot be read: nothing may be judged by labels that nobody knows.
        """
        if not namespace or not self._asks_for_labels:
            return {}
        if namespace not in self._labels:
            path = layout.path_of(ObjectRef(NAMESPACES, "", namespace))
            there = path in self._files
            found = [
                labels(self._files.open(path, data).manifest)
                for _, data in self._files.contents([path] if there else ())
            ]
            if there and not found:
                raise InvalidManifest(path, 0, "cannot be read, and rules ask for the labels of this namespace")
            self._labels[namespace] = found[0] if found else {}
        return self._labels[namespace]
