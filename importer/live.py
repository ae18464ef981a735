"""What is in the DR cluster, as far as a plan needs to know: one metadata-only LIST per type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import ClusterError, ClusterUnreachable, Forbidden, NotFound, Unauthorized
from drsyncer.manifest import ObjectRef, ResourceType
from importer.digests import Entry, Meta, meta_of, ownership

NAMESPACES = "namespaces"


@dataclass(frozen=True, slots=True)
class Live:
    """One object in DR. `member_of` is the ApplySet that it belongs to, "" for none.

    `entries` are its managedFields when its ownership digest is not the remembered one, else None.
    """

    ref: ObjectRef
    type: ResourceType
    uid: str
    resource_version: str
    member_of: str
    deleting: bool
    prunable: bool
    entry: str
    entries: list[Entry] | None


@dataclass(frozen=True, slots=True)
class View:
    """What the LISTs gave. `unknown` maps types that could not be listed to the reason."""

    objects: Mapping[ObjectRef, Live] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    def is_ending(self, namespace: str) -> bool:
        """Return whether `namespace` is being deleted, and with it all that it still holds."""
        found = self.objects.get(ObjectRef(NAMESPACES, "", namespace))
        return found is not None and found.deleting


def look(
    cluster: Cluster,
    types: Sequence[tuple[ResourceType, ...]],
    *,
    wanted: Mapping[ObjectRef, str],
    applyset: str,
    guest: str,
    namespaces: Collection[str],
    everywhere: bool,
    workers: int,
    page_size: int,
) -> View:
    """Return the objects that are `wanted` (each with its remembered ownership digest) or members of `applyset`.

    `guest` is the field manager under which we write to Namespaces that are not ours.
    `types` gives per type its versions, the best first. Namespaced types are listed in the whole
    cluster, or, when `everywhere` is false or that is forbidden, in each of `namespaces`. Raises
    ClusterUnreachable and Unauthorized.
    """

    keep = _Keeping(wanted, applyset, guest).live

    def list_type(versions: tuple[ResourceType, ...]) -> list[Live] | ClusterError:
        failure: ClusterError | None = None
        for type_ in versions:
            try:
                return _list(cluster, type_, keep, namespaces=namespaces, everywhere=everywhere, page_size=page_size)
            except (ClusterUnreachable, Unauthorized):
                raise
            except ClusterError as error:
                failure = failure or error
        assert failure is not None  # a type has at least one version
        return failure

    objects: dict[ObjectRef, Live] = {}
    unknown: dict[str, str] = {}
    with cluster.workers(workers, name="look") as pool:
        for versions, result in zip(types, pool.map(list_type, types), strict=True):
            if isinstance(result, ClusterError):
                unknown[versions[0].key] = str(result)
            else:
                objects.update((live.ref, live) for live in result)
    return View(objects, unknown)


@dataclass(frozen=True, slots=True)
class _Keeping:
    """Which objects of a LIST matter, and what of them; see `look`."""

    wanted: Mapping[ObjectRef, str]
    applyset: str
    guest: str

    def live(self, item: Meta, type_: ResourceType) -> Live | None:
        ref = ObjectRef(type_.key, item.namespace, item.name)
        entry = ownership(item.managed_fields)
        # Controllers copy labels (a Service's to its Endpoints): only what we applied, now or before another hand
        # replaced it, is a member.
        member = (item.labels or {}).get(own.APPLYSET_MEMBER, "") if entry or self.wanted.get(ref) else ""
        if ref not in self.wanted and member != self.applyset:
            return None
        if ref.type == NAMESPACES and member != self.applyset:
            entry = ownership(item.managed_fields, manager=self.guest)
        return Live(
            ref=ref,
            type=type_,
            uid=item.uid,
            resource_version=item.resource_version,
            member_of=member,
            deleting=item.deletion_timestamp is not None,
            prunable=(item.annotations or {}).get(own.PRUNE) != "false",
            entry=entry,
            entries=None if entry and self.wanted.get(ref) == entry else item.managed_fields or [],
        )


def _list(
    cluster: Cluster,
    type_: ResourceType,
    keep: Callable[[Meta, ResourceType], Live | None],
    *,
    namespaces: Collection[str],
    everywhere: bool,
    page_size: int,
) -> list[Live]:
    def gather(namespace: str) -> list[Live]:
        found: list[Live] = []
        for page in cluster.pages(type_, namespace=namespace, limit=page_size, metadata_only=True):
            if page.first:
                found.clear()
            found += [live for raw in page.items if (live := keep(meta_of(raw), type_))]
        return found

    if everywhere or not type_.namespaced:
        try:
            return gather("")
        except Forbidden:
            if not namespaces or (not type_.namespaced and type_.key != NAMESPACES):
                raise
    if type_.key == NAMESPACES:
        return [live for namespace in sorted(namespaces) if (live := _one(cluster, type_, namespace, keep))]
    return [live for namespace in sorted(namespaces) for live in gather(namespace)]


def _one(
    cluster: Cluster, type_: ResourceType, name: str, keep: Callable[[Meta, ResourceType], Live | None]
) -> Live | None:
    """Return one Namespace, for credentials that may read it and not list them all."""
    try:
        found = cluster.read(type_, namespace="", name=name)
    except NotFound:
        return None
    return keep(meta_of(msgspec.json.encode(found)), type_)
