"""All transforms, in their order, over one object.

The order is part of the contract:
 1. namespaces: who the object is, and everything that refers to others by namespace;
 2. storage classes, access modes, images, hosts, load balancer addresses: values, independent of each other;
 3. the general rules of the user: they see what the built-in ones made, and what they write is final;
 4. standby: it remembers replica counts and suspension as the rules left them, and parks. A rule so sees the count
    that the source has, also in standby, and one that sets it changes what is remembered, not what runs;
 5. labels and annotations, last: what they add is seen by no other transform.
Nothing before standby but rules may change a count, and nothing at all its memory (see `drsyncer.untouchable`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drsyncer.manifest import Manifest, ObjectRef
from transforms import hosts, images, labels, namespaces, rules, services, standby, storage
from transforms.settings import Result, Settings, Subject


@dataclass(frozen=True, slots=True)
class Transform:
    """One step. `name` is its key in the configuration, as reports show it."""

    name: str
    apply: Callable[[Manifest, Subject], Result]


PIPELINE: tuple[Transform, ...] = (
    Transform(namespaces.NAME, namespaces.map_namespaces),
    Transform(storage.CLASSES_NAME, storage.map_storage_classes),
    Transform(storage.MODES_NAME, storage.map_access_modes),
    Transform(images.NAME, images.map_images),
    Transform(hosts.NAME, hosts.map_hosts),
    Transform(services.NAME, services.drop_load_balancer_ip),
    Transform(rules.NAME, rules.apply_rules),
    Transform(standby.NAME, standby.standby),
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
    chosen: rules.Chosen | None = None,
) -> Transformed:
    """Return the object as DR is to have it, by all transforms in order.

    `ref` and `manifest` are as in Git; `scale_path` is the CRD's specReplicasPath, None without one;
    `known_namespaces` are all of the recovery point; `autoscaled` says that an autoscaler targets the object;
    `chosen` are the general rules that are about it.
    Pure: the input is not changed. Raises TransformFailed when one step cannot do its work: the object
    is then blocked whole, never half-changed.
    """
    return transformed(manifest, Subject(ref, settings, scale_path, autoscaled, known_namespaces, chosen))


def transformed(manifest: Manifest, subject: Subject) -> Transformed:
    """Return the object as DR is to have it; see `transform`."""
    applied: list[str] = []
    notes: list[str] = []
    held = ""
    for step in PIPELINE:
        result = step.apply(manifest, subject)
        manifest = result.manifest
        applied.extend(f"{step.name}: {what}" for what in result.applied)
        notes.extend(result.notes)
        held = held or result.held
    target = namespaces.target_ref(subject.ref, subject.settings.namespace_map)
    return Transformed(manifest, target, tuple(applied), tuple(notes), held)


def traced(manifest: Manifest, subject: Subject) -> Iterator[tuple[str, Manifest]]:
    """Yield the name of every step that changes the object, and the object after it: each step of a rule by itself.

    Raises TransformFailed at the step that cannot do its work.
    """
    for step in PIPELINE:
        if step.name == rules.NAME and subject.chosen is not None:
            for change in rules.walk(manifest, subject.chosen, subject):
                if change.after is not change.before:
                    yield change.label, change.after
                manifest = change.after
            continue
        after = step.apply(manifest, subject).manifest
        if after is not manifest:
            yield step.name, after
        manifest = after
