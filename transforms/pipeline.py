"""The built-in transforms, in their order, over one object.

The order is part of the contract:
 1. standby: it reads counts and overrides as the source has them, and remembers them before anything changes them;
 2. namespaces: who the object is, and everything that refers to others by namespace;
 3. storage classes, access modes, images, hosts, load balancer addresses: values, independent of each other;
 4. labels and annotations, last: what they add is seen by no other transform.
A general rule takes its place before the labels, with `standby` listed a second time behind it: parking twice
changes nothing, and a rule that sets a replica count then changes what is remembered, not what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drsyncer.manifest import Manifest, ObjectRef
from transforms import hosts, images, labels, namespaces, services, standby, storage
from transforms.settings import Result, Settings, Subject


@dataclass(frozen=True, slots=True)
class Transform:
    """One step. `name` is its key in the configuration, as reports show it."""

    name: str
    apply: Callable[[Manifest, Subject], Result]


PIPELINE: tuple[Transform, ...] = (
    Transform(standby.NAME, standby.standby),
    Transform(namespaces.NAME, namespaces.map_namespaces),
    Transform(storage.CLASSES_NAME, storage.map_storage_classes),
    Transform(storage.MODES_NAME, storage.map_access_modes),
    Transform(images.NAME, images.map_images),
    Transform(hosts.NAME, hosts.map_hosts),
    Transform(services.NAME, services.drop_load_balancer_ip),
    Transform(labels.NAME, labels.change_labels),
)


@dataclass(frozen=True, slots=True)
class Transformed:
    """One object as DR is to have it.

    `manifest` shares unchanged parts with the input (it is the input when nothing changed): read, never write.
    `ref` is its place in DR. `applied` are lines `transform: /path what`, `notes` sentences for the report,
    `held` the reason why it must wait for activation, "" when it need not.
    """

    manifest: Manifest
    ref: ObjectRef
    applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: str = ""


def transform(
    manifest: Manifest,
    ref: ObjectRef,
    *,
    settings: Settings,
    scale_path: str | None = None,
    known_namespaces: frozenset[str] = frozenset(),
    autoscaled: bool = False,
) -> Transformed:
    """Return the object as DR is to have it, by all transforms in order.

    `ref` and `manifest` are as in Git; `scale_path` is the CRD's specReplicasPath, None without one;
    `known_namespaces` are all of the recovery point; `autoscaled` says that an autoscaler targets the object.
    Pure: the input is not changed. Raises TransformFailed when one step cannot do its work: the object
    is then blocked whole, never half-changed.
    """
    subject = Subject(ref, settings, scale_path, autoscaled, known_namespaces)
    applied: list[str] = []
    notes: list[str] = []
    held = ""
    for step in PIPELINE:
        result = step.apply(manifest, subject)
        manifest = result.manifest
        applied.extend(f"{step.name}: {what}" for what in result.applied)
        notes.extend(result.notes)
        held = held or result.held
    return Transformed(manifest, namespaces.target_ref(ref, settings.namespace_map), tuple(applied), tuple(notes), held)
