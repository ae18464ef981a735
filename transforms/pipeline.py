"""All transforms, in their order, over one object.

The order is part of the contract:
 1. replicas: what standby is to remember;
 2. namespaces: who the object is, and everything that refers to others by namespace; then names of Services in texts;
 3. values, independent of each other: storage classes, access modes, images, hosts, scheduling, resources,
    environment, load balancers. What a person sets is read by nothing behind it but rules;
 4. the general rules of the user: they see what the built-in ones made, and what they write is final;
 5. standby: it remembers replica counts and suspension as all before left them, and parks. A rule so sees the count
    that the source has, also in standby, and one that sets it changes what is remembered, not what runs;
 6. labels and annotations, last: what they add is seen by no other transform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drsyncer import match
from drsyncer.manifest import Manifest, ObjectRef
from transforms import (
    env,
    hosts,
    images,
    labels,
    literals,
    namespaces,
    replicas,
    resources,
    rules,
    scheduling,
    services,
    standby,
    storage,
)
from transforms.edits import Hidden
from transforms.settings import Result, Settings, Subject


@dataclass(frozen=True, slots=True)
class Transform:
    """One step. `name` is how reports call it, `keys` are what configures it below `importer`, `changes` says what it
    does, for people.

    A step whose `wanted` denies is skipped: what is not configured costs nothing.
    """

    name: str
    keys: tuple[str, ...]
    changes: str
    wanted: Callable[[Settings], object]
    apply: Callable[[Manifest, Subject], Result]


PIPELINE: tuple[Transform, ...] = (
    Transform(
        replicas.NAME,
        ("transforms.replicas",),
        "replica counts of workloads, and the limits of HorizontalPodAutoscalers; where the source is parked, what it "
        "remembers",
        lambda settings: settings.replicas,
        replicas.set_replicas,
    ),
    Transform(
        namespaces.NAME,
        ("transforms.namespaces",),
        "the namespace of every object, and each field that refers to a moved namespace: RBAC subjects, claimRefs, "
        "webhooks, APIServices, conversions, selectors by name, Gateway API references, …",
        lambda settings: settings.namespace_map,
        namespaces.map_namespaces,
    ),
    Transform(
        literals.NAME,
        ("transforms.literals",),
        "names of moved Services (`web.shop.svc`) in env, args, probes, ConfigMaps, annotations, ExternalNames, search "
        "domains: reported, or rewritten where asked",
        lambda settings: settings.renames_services,
        literals.rewrite_literals,
    ),
    Transform(
        storage.CLASSES_NAME,
        ("transforms.storageClasses",),
        "storage classes of claims, volumes, claim templates and quotas",
        lambda settings: settings.storage_classes,
        storage.map_storage_classes,
    ),
    Transform(
        storage.MODES_NAME,
        ("transforms.accessModes",),
        "access modes of claims, volumes and claim templates",
        lambda settings: settings.access_modes,
        storage.map_access_modes,
    ),
    Transform(
        images.NAME,
        ("transforms.images",),
        "image references of containers, init and ephemeral containers and image volumes, in every type that holds a "
        "pod template",
        lambda settings: settings.image_prefixes,
        images.map_images,
    ),
    Transform(
        hosts.NAME,
        ("transforms.hosts",),
        "host names of Ingresses, Gateways and their routes, certificates, and annotations that announce hosts",
        lambda settings: settings.hosts,
        hosts.map_hosts,
    ),
    Transform(
        scheduling.NAME,
        ("transforms.scheduling",),
        "node selectors, affinity, tolerations, topology spread, runtime, priority and scheduler classes of pods; "
        "node affinity of volumes, topologies of storage classes",
        lambda settings: settings.scheduling,
        scheduling.set_scheduling,
    ),
    Transform(
        resources.NAME,
        ("transforms.resources",),
        "requests and limits of containers",
        lambda settings: settings.resources,
        resources.scale_resources,
    ),
    Transform(
        env.NAME,
        ("transforms.env",),
        "environment variables of containers",
        lambda settings: settings.env,
        env.set_env,
    ),
    Transform(
        services.NAME,
        ("transforms.loadBalancers",),
        "how Services are reached from outside; `loadBalancerIP` goes unless an entry keeps it",
        lambda _: True,
        services.change_services,
    ),
    Transform(
        rules.NAME,
        ("transforms.rules", "transforms.values", "transforms.fromRepository"),
        "whatever a general rule says, of the configuration or of `transforms/*.yaml` in the recovery repository",
        lambda _: True,  # which rules there are for an object stands beside the settings
        rules.apply_rules,
    ),
    Transform(
        standby.NAME,
        ("standby",),
        "workloads to 0 replicas, CronJobs and Jobs suspended, DaemonSets parked where told; with standby off, what a "
        "parked source remembers is put back",
        lambda _: True,
        standby.standby,
    ),
    Transform(
        labels.NAME,
        (
            "transforms.labels",
            "transforms.annotations",
            "transforms.namespaceLabels",
            "transforms.namespaceAnnotations",
        ),
        "labels and annotations of every object, or of Namespaces",
        lambda settings: (
            settings.labels or settings.annotations or settings.namespace_labels or settings.namespace_annotations
        ),
        labels.change_labels,
    ),
)


@dataclass(frozen=True, slots=True)
class Transformed:
    """One object as DR is to have it.

    `manifest` shares unchanged parts with the input (it is the input when nothing changed): read, never write.
    `ref` is its place in DR. `applied` are lines `transform: /path what`, `notes` sentences for the report,
    `held` the reason why it must wait for activation, "" when it need not. `used` are the labels of the entries
    that had a say, such as `replicas[0]`.
    """

    manifest: Manifest
    ref: ObjectRef
    applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: str = ""
    used: frozenset[str] = frozenset()


def transform(
    manifest: Manifest,
    ref: ObjectRef,
    *,
    settings: Settings,
    as_in_git: match.Subject | None = None,
    scale_path: str | None = None,
    known_namespaces: frozenset[str] = frozenset(),
    known_services: frozenset[tuple[str, str]] = frozenset(),
    autoscaled: bool = False,
    chosen: rules.Chosen | None = None,
    hidden: Hidden | None = None,
) -> Transformed:
    """Return the object as DR is to have it, by all transforms in order.

    `ref` and `manifest` are as in Git; `scale_path` is the CRD's specReplicasPath, None without one;
    `known_namespaces` and `known_services` (namespace, name) are all of the recovery point; `as_in_git` is the object
    as matches look at it, with its type and its namespace's labels; `autoscaled` says that an autoscaler targets it;
    `chosen` are the general rules that are about it; `hidden` tells what of it nobody may see.
    Pure: the input is not changed. Raises TransformFailed when one step cannot do its work: the object
    is then blocked whole, never half-changed.
    """
    seen = as_in_git or match.Subject(ref, None, manifest)
    return transformed(
        manifest, Subject(ref, settings, scale_path, autoscaled, known_namespaces, known_services, seen, chosen, hidden)
    )


def transformed(manifest: Manifest, subject: Subject) -> Transformed:
    """Return the object as DR is to have it; see `transform`."""
    applied: list[str] = []
    notes: list[str] = []
    used: list[str] = []
    held = ""
    for step in PIPELINE:
        if not step.wanted(subject.settings):
            continue
        result = step.apply(manifest, subject)
        manifest = result.manifest
        applied.extend(f"{step.name}: {what}" for what in result.applied)
        notes.extend(result.notes)
        used.extend(result.used)
        held = held or result.held
    target = namespaces.target_ref(subject.ref, subject.settings.namespace_map)
    return Transformed(manifest, target, tuple(applied), tuple(notes), held, frozenset(used))


def traced(manifest: Manifest, subject: Subject) -> Iterator[tuple[str, Manifest]]:
    """Yield the name of every step that changes the object, and the object after it: each step of a rule by itself.

    Raises TransformFailed at the step that cannot do its work.
    """
    for step in PIPELINE:
        if not step.wanted(subject.settings):
            continue
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
