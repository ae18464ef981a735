"""What the built-in transforms are told, and what they answer.

Plain, immutable values: the importer builds them from its configuration once per run. What can be
judged without an object (a pattern with two stars, a label of our own) is refused here, so that a
wrong setting stops the run and never blocks object after object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from drsyncer import match, own
from drsyncer.errors import DrSyncerError, UsageError
from drsyncer.manifest import Manifest, ObjectRef
from transforms.entries import (
    Entry,
    EnvEntry,
    LiteralEntry,
    LiteralMode,
    LoadBalancerEntry,
    ReplicaEntry,
    ResourceEntry,
    SchedulingEntry,
)

if TYPE_CHECKING:
    from transforms.rules import Chosen

NAMESPACE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 label, what the API server accepts
STAR = "*"


class TransformFailed(DrSyncerError):
    """One object cannot be transformed; the caller blocks it and leaves it out whole.

    `rule` is the transform's name, `path` an RFC 6901 pointer into the object, `found` and `expected`
    say what is there and what should be. `found` never quotes data that could be secret.
    """

    def __init__(self, *, rule: str, path: str, found: str, expected: str) -> None:
        super().__init__(f"{rule}: {path or '/'}: found {found}, expected {expected}")
        self.rule = rule
        self.path = path
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Changes:
    """Labels or annotations to remove and then to add; a key in both ends up with the added value.

    Raises UsageError for keys of DR-Syncer or of ApplySet: they carry the standby's memory and the
    inventory, and a transform that rewrites those would make the importer forget what is its own.
    """

    add: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in (*self.add, *self.remove):
            if key.startswith((own.PREFIX, own.APPLYSET_PREFIX)):
                raise UsageError(
                    f"{key}: a transform may not add or remove it: the importer keeps its records there",
                    hint=f"Write {own.PREFIX} keys on the source object; {own.APPLYSET_PREFIX} is the importer's.",
                )

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


@dataclass(frozen=True, slots=True)
class Standby:
    """How workloads wait. `daemon_sets`: `keep` lets them run in DR, `park` selects nodes that do not exist."""

    daemon_sets: Literal["keep", "park"] = "keep"


CLUSTER_DOMAIN = "cluster.local"  # kubeadm's and nearly everybody's


@dataclass(frozen=True, slots=True)
class Literals:
    """Names of Services in texts. `domains`: a cluster domain of the source and the one in its place in DR.

    `mode` is for all objects that no entry is about.
    """

    mode: LiteralMode = "report"
    domains: Mapping[str, str] = field(default_factory=lambda: {CLUSTER_DOMAIN: CLUSTER_DOMAIN})
    entries: tuple[LiteralEntry, ...] = ()

    @property
    def moves_domains(self) -> bool:
        """Whether a cluster domain is another one in DR."""
        return any(source != target for source, target in self.domains.items())


@dataclass(frozen=True, slots=True)
class NamespacePattern:
    """`prefix*suffix` and what it becomes; `target_suffix` is None when the target takes no capture."""

    prefix: str
    suffix: str
    target_prefix: str
    target_suffix: str | None

    def apply(self, name: str) -> str | None:
        """Return the target of `name`, None when the pattern does not match."""
        if len(name) < len(self.prefix) + len(self.suffix):
            return None
        if not (name.startswith(self.prefix) and name.endswith(self.suffix)):
            return None
        if self.target_suffix is None:
            return self.target_prefix
        return f"{self.target_prefix}{name[len(self.prefix) : len(name) - len(self.suffix)]}{self.target_suffix}"


@dataclass(frozen=True, slots=True)
class NamespaceMap:
    """Source namespaces and their names in DR.

    An exact name beats every pattern; among patterns the longest literal prefix wins, then the longest
    suffix, then the alphabet: so the order of the configuration never matters. Never chained: `{a: b, b: c}`
    takes `a` to `b`.
    """

    exact: Mapping[str, str]
    patterns: tuple[NamespacePattern, ...]

    def __bool__(self) -> bool:
        return bool(self.exact or self.patterns)

    def target(self, name: str) -> str:
        """Return the name in DR; `name` itself when nothing maps it or it is no namespace name at all.

        `${pvc.namespace}` in a StorageClass is the reason for the second half. The result is not checked
        for length: the caller knows the path to complain about.
        """
        if name in self.exact:
            return self.exact[name]
        if self.patterns and NAMESPACE_NAME.fullmatch(name):
            for pattern in self.patterns:
                found = pattern.apply(name)
                if found is not None:
                    return found
        return name

    def reference(self, name: str, known: frozenset[str]) -> str:
        """Return what a namespace that something refers to is called in DR.

        Of `known` (what the recovery point holds; empty: not known) and those that the map names. Others do not move:
        with `{"*": "dr-*"}`, kube-system stays where it is in every cluster.
        """
        return self.target(name) if not known or name in known or name in self.exact else name


def namespace_map(entries: Mapping[str, str]) -> NamespaceMap:
    """Compile `{"shop": "shop-dr", "team-*": "dr-team-*"}`. Raises UsageError for what can never map."""
    exact: dict[str, str] = {}
    patterns: list[NamespacePattern] = []
    for source, target in entries.items():
        if source.count(STAR) > 1 or target.count(STAR) > source.count(STAR):
            raise UsageError(
                f"namespaces: {source}: {target}: expected at most one * in the name and one in its target",
                hint="The target's * stands for what the name's * caught, so it needs one there.",
            )
        probe = target.replace(STAR, "x")
        if not NAMESPACE_NAME.fullmatch(probe) or not NAMESPACE_NAME.fullmatch(source.replace(STAR, "x")):
            raise UsageError(f"namespaces: {source}: {target}: expected names of lower case letters, digits and -")
        if STAR not in source:
            exact[source] = target
            continue
        prefix, _, suffix = source.partition(STAR)
        target_prefix, star, target_suffix = target.partition(STAR)
        patterns.append(NamespacePattern(prefix, suffix, target_prefix, target_suffix if star else None))
    patterns.sort(key=lambda pattern: (-len(pattern.prefix), -len(pattern.suffix), pattern.prefix, pattern.suffix))
    return NamespaceMap(exact, tuple(patterns))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the built-in transforms need to know. `standby` None means: this import brings things to life.

    `namespaces`: names or patterns with one star. `storage_classes`, `access_modes`: exact names.
    `images`: registry, repository folder or repository. `hosts`: exact, or `*.a` to `*.b`.
    Raises UsageError for entries that make no sense.
    """

    namespaces: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Changes = Changes()
    namespace_annotations: Changes = Changes()
    storage_classes: Mapping[str, str] = field(default_factory=dict)
    access_modes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    labels: Changes = Changes()
    annotations: Changes = Changes()
    standby: Standby | None = None
    replicas: tuple[ReplicaEntry, ...] = ()
    scheduling: tuple[SchedulingEntry, ...] = ()
    resources: tuple[ResourceEntry, ...] = ()
    env: tuple[EnvEntry, ...] = ()
    load_balancers: tuple[LoadBalancerEntry, ...] = ()
    literals: Literals = Literals()
    namespace_map: NamespaceMap = field(init=False, repr=False, compare=False)
    image_prefixes: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "namespace_map", namespace_map(self.namespaces))
        object.__setattr__(self, "image_prefixes", image_prefixes(self.images))
        _check_hosts(self.hosts)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries that have a match, in the order of the transforms."""
        groups = (self.replicas, self.scheduling, self.resources, self.env, self.load_balancers, self.literals.entries)
        return tuple(entry for group in groups for entry in group)

    @property
    def renames_services(self) -> bool:
        """Whether a Service's DNS name can be another one in DR."""
        return bool(self.namespace_map) or self.literals.moves_domains


def full_image(image: str) -> str:
    """Return the reference with registry and folder filled in: `nginx:1` is `docker.io/library/nginx:1`.

    The rule is Docker's (distribution/reference): the first part is a registry when it holds a dot or a
    colon or is `localhost`; everything else lives on docker.io, single names in `library`.
    """
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        if first not in ("docker.io", "index.docker.io"):
            return image
        return f"docker.io/{rest}" if "/" in rest else f"docker.io/library/{rest}"
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def image_prefixes(entries: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Compile the image map: full prefixes without trailing slash and their targets, longest first.

    Raises UsageError for empty ends and for two keys that mean the same.
    """
    found: dict[str, str] = {}
    for source, target in entries.items():
        if not source.strip("/") or not target.strip("/"):
            raise UsageError(f"images: {source!r}: {target!r}: expected a registry or repository on both sides")
        for prefix in _meant(source):
            if prefix in found:
                raise UsageError(f"images: {source}: another entry stands for {prefix} too")
            found[prefix] = target.rstrip("/")
    return tuple(sorted(found.items(), key=lambda entry: (-len(entry[0]), entry[0])))


def _meant(key: str) -> tuple[str, ...]:
    """Return the full prefixes that a key of the image map stands for.

    A trailing slash says "folder": `team/` is `docker.io/team`, while `team` is the image
    `docker.io/library/team`. `docker.io/team` may be either and stands for both.
    """
    folder = key.endswith("/")
    name = key.rstrip("/")
    if name.startswith("index.docker.io/") or name == "index.docker.io":
        name = name.removeprefix("index.")
    registry, slash, rest = name.partition("/")
    if not slash:
        if "." in name or ":" in name or name == "localhost":
            return (name,)
        return (f"docker.io/{name}",) if folder else (f"docker.io/library/{name}",)
    if registry != "docker.io" or "/" in rest:
        return (full_image(name),)
    return (name,) if folder or rest == "library" else (name, f"docker.io/library/{rest}")


def _check_hosts(entries: Mapping[str, str]) -> None:
    for source, target in entries.items():
        stars = [host.startswith("*.") for host in (source, target)]
        starred = any(STAR in host.removeprefix("*.") for host in (source, target))
        if stars[0] != stars[1] or starred or source != source.lower():
            raise UsageError(
                f"hosts: {source}: {target}: expected two hosts or two *.suffixes, in lower case",
                hint="Several hosts that become one would answer for each other.",
            )


@dataclass(frozen=True, slots=True)
class Subject:
    """One object's place in a run: who it is in Git and what is known about it from elsewhere.

    `scale_path` is the CRD's specReplicasPath (`.spec.replicas`), None without a scale subresource.
    `autoscaled` says that a HorizontalPodAutoscaler targets it. `known_namespaces` and `known_services`
    (namespace, name) are the source's. `as_in_git` is what entries with a match look at.
    `chosen` are the general rules that are about it; `hidden` tells by the keys what of it nobody may see, None where
    nothing was encrypted in Git.
    """

    ref: ObjectRef
    settings: Settings
    scale_path: str | None = None
    autoscaled: bool = False
    known_namespaces: frozenset[str] = frozenset()
    known_services: frozenset[tuple[str, str]] = frozenset()
    as_in_git: match.Subject | None = None
    chosen: Chosen | None = None
    hidden: Callable[[str], bool] | None = None

    def namespace_in_dr(self, name: str) -> str:
        """Return what a namespace that the object refers to is called in DR."""
        own = self.ref.name if self.ref.type == "namespaces" else self.ref.namespace
        names = self.settings.namespace_map
        return names.target(name) if name == own else names.reference(name, self.known_namespaces)

    def seen(self, manifest: Manifest) -> match.Subject:
        """Return the object as matches look at it; `manifest` stands in when this subject has none."""
        return self.as_in_git or match.Subject(self.ref, None, manifest)


@dataclass(frozen=True, slots=True)
class Result:
    """One transform's answer. `manifest` is the input itself when nothing changed, and shares what did not.

    `applied` are `/path what`, `notes` sentences for the report, `held` the reason to wait, "" if none.
    `used` are the labels of the entries that had a say.
    """

    manifest: Manifest
    applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: str = ""
    used: tuple[str, ...] = ()
