"""From the files of a recovery point to the objects that DR shall have.

A file whose content and rules are those of the last import is not even read: its record says what
became of it. Everything else is read, checked against its path, selected and transformed.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from drsyncer.cluster import Discovery
from drsyncer.errors import DrSyncerError, InvalidManifest
from drsyncer.json import decode
from drsyncer.manifest import Manifest, ObjectRef, ResourceType, labels, split_api_version
from drsyncer.match import Subject
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.recovery.layout import Place
from drsyncer.sops.scope import Scope, covering
from drsyncer.wording import some
from drsyncer.yaml import LIMITS
from drsyncer.yaml.lines import line_of
from importer.digests import digest, of_manifest
from importer.known_names import NAMESPACES as NAMESPACES
from importer.known_names import KnownNames
from importer.masking import done_to, said_of
from importer.opening import SECRETS, Opened, Opener, check_kind, identity, marked
from importer.records import Record
from importer.rules import Rules
from importer.types import Definition, Resolved, definition, resolve
from transforms import namespaces, standby
from transforms import settings as transforming
from transforms.pipeline import transformed
from transforms.rules import Chosen, Rule
from transforms.select import Passage
from transforms.settings import TransformFailed
from transforms.stages import DEFINITIONS, is_custom

HPAS = "horizontalpodautoscalers.autoscaling"
_SCALED = ("deployments.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers")
MAX_FILE = LIMITS.max_bytes
_OBJECTS = (f"{layout.CLUSTER}/", f"{layout.NAMESPACES}/")


@dataclass(frozen=True, slots=True)
class Wish:
    """One object as DR shall have it. `data` is its JSON without the inventory's label; `digest` stands for it.

    `confidential` says which of its values nobody may see: those of Secrets, and what was encrypted in Git.
    `needs` are Services that must have ready endpoints first; without them the object waits
    (`waiting_is_normal`: webhooks in standby) or is blocked. `instead_of` is Git's version when DR serves another;
    `used` are the entries of the configuration that had a say.
    """

    path: str
    ref: ObjectRef
    type: ResourceType
    source: str
    digest: str
    data: bytes = field(repr=False)
    applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    waiting_is_normal: bool = True
    instead_of: str = ""
    used: frozenset[str] = frozenset()
    confidential: tuple[Scope, ...] = ()


@dataclass(frozen=True, slots=True)
class Carried:
    """An object that is as the last import made it, as far as Git and the rules go."""

    path: str
    ref: ObjectRef
    types: tuple[ResourceType, ...]
    record: Record


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that gives no object to apply. `ref` is what it would be in DR: nothing is pruned under that name."""

    path: str
    ref: ObjectRef
    reason: str


@dataclass(slots=True)
class Wishes:
    """What a recovery point asks for. `left_out` counts by check; `out` remembers those files for the records.

    `deciding` are the checks that decided, `matched` the general rules that were about something;
    `unread` says that a file could not be looked at, so that neither is complete.
    """

    wishes: list[Wish] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    out: dict[str, Record] = field(default_factory=dict)
    deciding: set[str] = field(default_factory=set)
    matched: set[str] = field(default_factory=set)
    unread: bool = False
    walks: dict[str, list[Passage]] | None = None  # by path, where somebody wants to know (--explain)


class Case(NamedTuple):
    """One file, read and checked: the object as Git has it, how rules look at it, and the type to write it in."""

    ref: ObjectRef
    manifest: Manifest
    subject: Subject
    resolved: Resolved
    version: str  # in Git
    confidential: tuple[Scope, ...]  # which of its values nobody may see


class RecoveryPoint:
    """One commit, read for one DR cluster: `files` are all that it holds.

    `read_definition` asks DR for the CRD of a type, where the commit has none.

    `only` limits it to some namespaces (as Git names them); then cluster-scoped objects but those
    Namespaces themselves stay out.
    """

    def __init__(
        self,
        *,
        clone: Clone,
        files: Mapping[str, TreeFile],
        rules: Rules,
        discovery: Discovery,
        opener: Opener,
        read_definition: Callable[[str], Definition | None],
        only: Collection[str] = (),
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._clone = clone
        self._rules = rules
        self._discovery = discovery
        self._opener = opener
        self._read_definition = read_definition
        self._advance = advance
        self._files = files
        self._places: dict[str, Place] = {}
        everything: list[Place] = []
        for path in self._files:
            place = layout.place_of(path)
            if place is not None:
                everything.append(place)
                if _in_scope(place, only):
                    self._places[path] = place
        self._hpas: dict[str, list[str]] = {}
        for path, place in self._places.items():
            if place.type == HPAS:
                self._hpas.setdefault(place.namespace, []).append(path)
        # Of all, whatever this run is limited to: else an object would come out of two runs differently.
        self._known = KnownNames.of(everything)
        self._names = self._known.digest if rules.settings.renames_services else ""
        self._definitions: dict[str, Definition] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._asked_in_dr: set[str] = set()
        self._unknown: set[str] = set()  # files that others are judged by, and that could not be read

    def strays(self) -> list[str]:
        """Return a warning for files that lie where objects do and have no object's path: nobody reads them."""
        found = sorted(
            path
            for path in self._files
            if ({".", ".."} & set(path.split("/")) or path.startswith(_OBJECTS)) and layout.place_of(path) is None
        )
        if not found:
            return []
        return [f"not read, since no object's file is called so: {some([f'{path!r:.200}' for path in found])}"]

    def holds(self, path: str) -> bool:
        """Return whether the recovery point holds this object's file, within its limits."""
        return path in self._places

    def target(self, path: str) -> ObjectRef:
        """Return what the object of `path` is called in DR, as well as its path can tell."""
        place = self._places[path]
        ref = place.ref or ObjectRef(place.type, place.namespace, place.stem)
        return namespaces.target_ref(ref, self._rules.settings.namespace_map)

    def namespace_in_dr(self, name: str) -> str:
        """Return what the source's namespace `name` is called in DR."""
        return self._rules.settings.namespace_map.target(name)

    def sort(self, records: Mapping[str, Record]) -> tuple[list[Carried], Wishes, list[str]]:
        """Return what is carried over, what stays left out, and the paths that must be read."""
        carried: list[Carried] = []
        wishes = Wishes()
        unread: list[str] = []
        for path in sorted(self._places):
            record = records.get(path)
            types = self._discovery.served.get(self._places[path].type, ())
            if record is None or record.source != self._source(path):
                unread.append(path)
            elif record.ref is None:
                wishes.out[path] = record
                wishes.left_out[record.desired] += 1
                wishes.deciding.add(record.desired)
            elif types:
                carried.append(Carried(path, record.ref, types, record))
            else:
                unread.append(path)
        return carried, wishes, unread

    def _source(self, path: str) -> str:
        """Return the digest of everything that an object is made from: its file, the rules, what it looks up.

        "" when something of that cannot be read: the next import looks again, since it may have the key then.
        """
        place = self._places[path]
        in_dr = ""
        looked_up = [layout.path_of(ObjectRef(NAMESPACES, "", place.namespace))] if place.namespace else []
        if is_custom(place.type):
            looked_up.append(layout.path_of(ObjectRef(DEFINITIONS, "", place.type)))
            if looked_up[-1] not in self._files and (crd := self._definition_in_dr(place.type)):
                in_dr = repr(sorted(crd.scale_paths.items()))
        if place.type in _SCALED:
            looked_up += sorted(self._hpas.get(place.namespace, ()))
        if not self._unknown.isdisjoint(looked_up):
            return ""
        found = [self._files[other].blob_id if other in self._files else "" for other in looked_up]
        return digest(
            self._rules.digest, self._names, self._files[path].blob_id, in_dr, *found, *self._commit_for(path)
        )

    def _commit_for(self, path: str) -> tuple[str, ...]:
        """Return the commit if what the file gives may depend on it: no other file is read anew for a new commit."""
        place = self._places[path]
        ref = place.ref
        if not any(rule.uses_commit for rule in self._rules.book.rules):
            return ()
        type_ = self._discovery.get(place.type) or self._coming(place.type, path)
        if ref is None or type_ is None:
            return (self._rules.scope.commit,)
        namespace = ref.name if ref.type == NAMESPACES else ref.namespace
        depends = self._rules.depends_on_commit(type_, namespace=namespace, name=ref.name)
        return (self._rules.scope.commit,) if depends else ()

    def _coming(self, key: str, path: str) -> ResourceType | None:
        """Return a type that DR does not serve yet, as it will be by the recovery point's CRD."""
        self._learn_definitions([path])
        found = self._definitions.get(key)
        return found.types[0] if found and found.types else None

    def read(self, paths: Iterable[str], into: Wishes) -> None:
        """Read `paths` and add what they ask for to `into`."""
        wanted = list(paths)
        self._learn_definitions(wanted)
        places = [self._places[path] for path in wanted]
        scaled = self._autoscaled({place.namespace for place in places if place.type in _SCALED})
        for path, data in self._contents(wanted, into):
            try:
                self._add(path, data, scaled, into)
            except InvalidManifest as error:
                into.unread = True
                line = error.line or line_of(data, error.about)
                located = InvalidManifest(error.file, line, error.reason, hint=error.hint)
                into.problems.append(Problem(path, self.target(path), _with_hint(located)))
            except DrSyncerError as error:
                into.unread = into.unread or not isinstance(error, TransformFailed)
                into.problems.append(Problem(path, self.target(path), _with_hint(error)))
            self._advance(1)

    def _contents(self, paths: Iterable[str], into: Wishes) -> Iterable[tuple[str, bytes]]:
        """Yield the content of regular files of bearable size; the others become problems."""
        by_blob: dict[str, list[str]] = {}
        for path in paths:
            reason = _unreadable(self._files[path])
            if reason and path not in self._places:
                continue
            if reason:
                into.unread = True
                into.problems.append(Problem(path, self.target(path), f"{path}: {reason}"))
            else:
                by_blob.setdefault(self._files[path].blob_id, []).append(path)
        for blob_id, data in self._clone.read(by_blob, max_size=MAX_FILE):
            assert data is not None  # the sizes were looked at above
            for path in by_blob[blob_id]:
                yield path, data

    def _open(self, path: str, data: bytes) -> Opened:
        place = layout.place_of(path)
        return self._opener.open(path, data, type_key=place.type if place else "")

    def _learn_definitions(self, paths: Iterable[str]) -> None:
        """Read the CRDs of the custom resources among `paths`: their scale path, conversion and versions."""
        types = {self._places[path].type for path in paths}
        keys = {key for key in types if is_custom(key)} - self._definitions.keys()
        files = {layout.path_of(ObjectRef(DEFINITIONS, "", key)): key for key in keys}
        # Also with --namespace: a CRD that is not imported now still tells what its objects need.
        there = [path for path in files if path in self._files and path not in self._unknown]
        for path, data in self._contents(there, Wishes()):
            try:
                self._definitions[files[path]] = definition(self._open(path, data).manifest)
            except (DrSyncerError, AttributeError, KeyError, TypeError):
                self._unknown.add(path)
                continue  # the CRD's own turn reports it; its objects then have no type

    def _definition_in_dr(self, key: str) -> Definition | None:
        """Return what DR's own CRD of a scalable type says, for a recovery point that brings none."""
        served = self._discovery.get(key)
        if served is None or "scale" not in served.subresources or not self._rules.standby:
            return None
        if key not in self._asked_in_dr:
            self._asked_in_dr.add(key)
            found = self._read_definition(key)
            if found is not None:
                self._definitions[key] = found
        return self._definitions.get(key)

    def _autoscaled(self, wanted: Collection[str]) -> frozenset[tuple[str, str, str]]:
        """Return (namespace, kind, name) of every workload in the `wanted` namespaces that an autoscaler targets."""
        paths = [path for namespace in wanted for path in self._hpas.get(namespace, ())]
        found = set()
        for path, data in self._contents(paths, Wishes()):
            try:
                target = self._open(path, data).manifest["spec"]["scaleTargetRef"]
                found.add((self._places[path].namespace, target["kind"], target["name"]))
            except (DrSyncerError, KeyError, TypeError):
                self._unknown.add(path)
                continue  # the autoscaler's own turn reports it
        return frozenset(found)

    def _add(self, path: str, data: bytes, autoscaled: Collection[tuple[str, str, str]], into: Wishes) -> None:
        case = self._case(path, data)
        if into.walks is not None:
            into.walks[path] = self._rules.selection.walk(case.subject)
        verdict = self._rules.selection.verdict(case.subject)
        into.deciding.add(verdict.check)
        if not verdict.included:
            into.out[path] = Record(self._source(path), None, desired=verdict.check)
            into.left_out[verdict.check] += 1
            return
        chosen = self._rules.book.matching(case.subject)
        into.matched.update(rule.name for rule in chosen)
        if case.resolved.type is None:
            into.problems.append(Problem(path, self.target(path), case.resolved.reason))
            return
        check_kind(case.manifest, case.resolved.type, path)
        try:
            wish = self._wish(path, case, case.resolved.type, chosen, autoscaled)
        except TransformFailed as error:
            reason = said_of(case.manifest, case.confidential, _with_hint(error))
            into.problems.append(Problem(path, self.target(path), reason))
            return
        into.wishes.append(self._kept_secret(wish, case) if case.confidential else wish)
        into.deciding |= wish.used

    def _kept_secret(self, wish: Wish, case: Case) -> Wish:
        """Return the wish for a confidential object: marked, and with nothing beside its data that tells a value."""
        scopes, manifest = case.confidential, decode(wish.data)
        if wish.ref.type != SECRETS:
            manifest = marked(manifest, scopes[-1])
        data, _ = of_manifest(manifest)
        return replace(
            wish,
            data=data,
            digest=self._opener.digest(data) or wish.source,
            applied=done_to((case.manifest, manifest), scopes, wish.applied),
            notes=tuple(said_of(case.manifest, scopes, said_of(manifest, scopes, text)) for text in wish.notes),
            confidential=scopes,
        )

    def explain(self, path: str) -> tuple[Case, transforming.Subject]:
        """Return one object as Git has it, and what its transforms are told. Raises DrSyncerError as its turn would."""
        if reason := _unreadable(self._files[path]):
            raise InvalidManifest(path, 0, reason)
        self._learn_definitions([path])
        ((_, data),) = self._contents([path], Wishes())
        case = self._case(path, data)
        if case.resolved.type is None:
            raise InvalidManifest(path, 0, case.resolved.reason)
        check_kind(case.manifest, case.resolved.type, path)
        place = self._places[path]
        autoscaled = self._autoscaled({place.namespace} if place.type in _SCALED else ())
        return case, self._place(case, case.resolved.type, self._rules.book.matching(case.subject), autoscaled)

    def _case(self, path: str, data: bytes) -> Case:
        place = self._places[path]
        opened = self._open(path, data)
        ref = identity(opened.manifest, place, path)
        _, version = split_api_version(str(opened.manifest.get("apiVersion", "")))
        resolved = resolve(place.type, version, self._discovery, self._definitions)
        subject = self._subject(opened.manifest, ref, resolved.type)
        return Case(ref, opened.manifest, subject, resolved, version, opened.confidential)

    def _place(
        self,
        case: Case,
        type_: ResourceType,
        chosen: tuple[Rule, ...],
        autoscaled: Collection[tuple[str, str, str]],
    ) -> transforming.Subject:
        """Return what the transforms are told about an object."""
        ref = case.ref
        crd = self._definitions.get(ref.type) or self._definition_in_dr(ref.type)
        if crd is None and self._rules.standby and is_custom(ref.type) and "scale" in type_.subresources:
            path = layout.path_of(ref)
            raise InvalidManifest(path, 0, f"cannot be parked: the CustomResourceDefinition {ref.type} cannot be read")
        return transforming.Subject(
            ref=ref,
            settings=self._rules.settings,
            scale_path=crd.scale_paths.get(case.version) if crd else None,
            autoscaled=(ref.namespace, type_.kind, ref.name) in autoscaled,
            known_namespaces=self._known.namespaces,
            known_services=self._known.services,
            as_in_git=case.subject,
            chosen=Chosen(chosen, self._rules.scope) if chosen else None,
            hidden=covering(case.confidential) if case.confidential else None,
        )

    def _wish(
        self,
        path: str,
        case: Case,
        type_: ResourceType,
        chosen: tuple[Rule, ...],
        autoscaled: Collection[tuple[str, str, str]],
    ) -> Wish:
        manifest = case.manifest | {"apiVersion": type_.api_version} if case.resolved.instead_of else case.manifest
        done = transformed(manifest, self._place(case, type_, chosen, autoscaled))
        needs, normal = self._needs(done.manifest, done.ref, self._definitions.get(case.ref.type), case.version)
        encoded, short = of_manifest(done.manifest)
        return Wish(
            path=path,
            ref=done.ref,
            type=type_,
            source=self._source(path),
            digest=short,
            data=encoded,
            applied=done.applied,
            notes=done.notes,
            held=done.held,
            needs=needs,
            waiting_is_normal=normal,
            instead_of=case.resolved.instead_of,
            used=done.used,
        )

    def _needs(
        self, manifest: Manifest, ref: ObjectRef, crd: Definition | None, version: str
    ) -> tuple[tuple[tuple[str, str], ...], bool]:
        """Return the Services without which this object does harm or cannot be written, in standby."""
        if not self._rules.standby:
            return (), True
        if crd is not None and crd.conversion and version != crd.storage:
            namespace, name = crd.conversion
            return ((self._rules.settings.namespace_map.reference(namespace, self._known.namespaces), name),), False
        return standby.backends(manifest, ref), True

    def _subject(self, manifest: Manifest, ref: ObjectRef, type_: ResourceType | None) -> Subject:
        if ref.type == NAMESPACES:
            inside = ObjectRef(ref.type, ref.name, ref.name)
            return Subject(ref=inside, type=type_, manifest=manifest, namespace_labels=labels(manifest))
        return Subject(ref=ref, type=type_, manifest=manifest, namespace_labels=self._labels_of(ref.namespace))

    def _labels_of(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a Namespace of the recovery point, for rules that ask for them."""
        if not namespace or not self._rules.asks_for_namespace_labels:
            return {}
        if namespace not in self._labels:
            path = layout.path_of(ObjectRef(NAMESPACES, "", namespace))
            found = [
                labels(self._open(path, data).manifest)
                for _, data in self._contents({path} & self._files.keys(), Wishes())
            ]
            if path in self._files and not found:
                raise InvalidManifest(path, 0, "cannot be read, and rules ask for the labels of this namespace")
            self._labels[namespace] = found[0] if found else {}
        return self._labels[namespace]


def _in_scope(place: Place, only: Collection[str]) -> bool:
    if not only:
        return True
    return place.namespace in only if place.namespace else place.type == NAMESPACES and place.stem in only


def _unreadable(file: TreeFile) -> str:
    """Return why a tree entry is not read, or "". The repository is not trusted with the machine."""
    if not stat.S_ISREG(int(file.mode, 8)):
        kind = "a symbolic link" if file.mode == "120000" else "no regular file"
        return f"is {kind}; expected a file with one object"
    if file.size > MAX_FILE:
        return f"has {file.size:,} bytes; the most that one object may have is {MAX_FILE:,}"
    return ""


def _with_hint(error: DrSyncerError) -> str:
    return f"{error}. {error.hint}" if error.hint else str(error)
