"""From the files of a recovery point to the objects that DR shall have.

A file whose content and rules are those of the last import is not even read: its record says what
became of it. Everything else is read, checked against its path, selected and transformed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
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
from drsyncer.yaml.lines import line_of
from importer.digests import digest, of_manifest
from importer.files import Files
from importer.known_names import NAMESPACES, KnownNames
from importer.lookups import Autoscaled, Lookups
from importer.masking import done_to, said_of
from importer.opening import SECRETS, Opener, check_kind, identity, marked
from importer.records import Record
from importer.rules import Rules
from importer.types import Definition, Resolved, resolve
from importer.wishes import Carried, Problem, Wish, Wishes
from transforms import namespaces, standby
from transforms import settings as transforming
from transforms.claims import without_notes
from transforms.pipeline import transformed
from transforms.rules import Chosen, Rule
from transforms.settings import TransformFailed
from transforms.stages import is_custom

_OBJECTS = (f"{layout.CLUSTER}/", f"{layout.NAMESPACES}/")


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
        self._rules = rules
        self._discovery = discovery
        self._opener = opener
        self._advance = advance
        self._files = Files(clone=clone, files=files, opener=opener)
        self._places: dict[str, Place] = {}
        everything: list[Place] = []
        for path in files:
            place = layout.place_of(path)
            if place is not None:
                everything.append(place)
                if _in_scope(place, only):
                    self._places[path] = place
        # Of all, whatever this run is limited to: else an object would come out of two runs differently.
        self._known = KnownNames.of(everything)
        self._names = self._known.digest if rules.settings.renames_services else ""
        self._lookups = Lookups(
            files=self._files,
            places=self._places,
            discovery=discovery,
            read_definition=read_definition,
            standby=rules.standby,
            asks_for_labels=rules.asks_for_namespace_labels,
        )

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
        looked_up = self._lookups.standing_for(self._places[path])
        if looked_up is None:
            return ""
        return digest(self._rules.digest, self._names, self._files.blob_id(path), *looked_up, *self._commit_for(path))

    def _commit_for(self, path: str) -> tuple[str, ...]:
        """Return the commit if what the file gives may depend on it: no other file is read anew for a new commit."""
        place = self._places[path]
        ref = place.ref
        if not any(rule.uses_commit for rule in self._rules.book.rules):
            return ()
        type_ = self._discovery.get(place.type) or self._coming(place.type)
        if ref is None or type_ is None:
            return (self._rules.scope.commit,)
        namespace = ref.name if ref.type == NAMESPACES else ref.namespace
        depends = self._rules.depends_on_commit(type_, namespace=namespace, name=ref.name)
        return (self._rules.scope.commit,) if depends else ()

    def _coming(self, key: str) -> ResourceType | None:
        """Return a type that DR does not serve yet, as it will be by the recovery point's CRD."""
        self._lookups.learn_definitions({key})
        found = self._lookups.definitions.get(key)
        return found.types[0] if found and found.types else None

    def read(self, paths: Iterable[str], into: Wishes) -> None:
        """Read `paths` and add what they ask for to `into`."""
        wanted = list(paths)
        places = [self._places[path] for path in wanted]
        self._lookups.learn_definitions({place.type for place in places})
        scaled = self._lookups.autoscaled(places)

        def refused(path: str, reason: str) -> None:
            into.unread = True
            into.problems.append(Problem(path, self.target(path), f"{path}: {reason}"))

        for path, data in self._files.contents(wanted, refused):
            try:
                self._add(path, data, scaled, into)
            except InvalidManifest as error:
                into.unread = True
                line = error.line or line_of(data, error.about)
                located = InvalidManifest(error.file, line, error.reason, hint=error.hint)
                into.problems.append(Problem(path, self.target(path), located.with_hint))
            except DrSyncerError as error:
                into.unread = into.unread or not isinstance(error, TransformFailed)
                into.problems.append(Problem(path, self.target(path), error.with_hint))
            self._advance(1)

    def _add(self, path: str, data: bytes, autoscaled: Autoscaled, into: Wishes) -> None:
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
            reason = said_of(case.manifest, case.confidential, error.with_hint)
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
        if reason := self._files.unreadable(path):
            raise InvalidManifest(path, 0, reason)
        place = self._places[path]
        self._lookups.learn_definitions({place.type})
        ((_, data),) = self._files.contents([path])
        case = self._case(path, data)
        if case.resolved.type is None:
            raise InvalidManifest(path, 0, case.resolved.reason)
        check_kind(case.manifest, case.resolved.type, path)
        autoscaled = self._lookups.autoscaled([place])
        return case, self._place(case, case.resolved.type, self._rules.book.matching(case.subject), autoscaled)

    def _case(self, path: str, data: bytes) -> Case:
        place = self._places[path]
        opened = self._files.open(path, data)
        manifest = without_notes(opened.manifest)
        ref = identity(manifest, place, path)
        _, version = split_api_version(str(manifest.get("apiVersion", "")))
        resolved = resolve(place.type, version, self._discovery, self._lookups.definitions)
        subject = self._subject(manifest, ref, resolved.type)
        return Case(ref, manifest, subject, resolved, version, opened.confidential)

    def _place(
        self,
        case: Case,
        type_: ResourceType,
        chosen: tuple[Rule, ...],
        autoscaled: Autoscaled,
    ) -> transforming.Subject:
        """Return what the transforms are told about an object."""
        ref = case.ref
        crd = self._lookups.definitions.get(ref.type) or self._lookups.definition_in_dr(ref.type)
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
        autoscaled: Autoscaled,
    ) -> Wish:
        manifest = case.manifest | {"apiVersion": type_.api_version} if case.resolved.instead_of else case.manifest
        done = transformed(manifest, self._place(case, type_, chosen, autoscaled))
        needs, normal = self._needs(done.manifest, done.ref, self._lookups.definitions.get(case.ref.type), case.version)
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
        return Subject(ref=ref, type=type_, manifest=manifest, namespace_labels=self._lookups.labels_of(ref.namespace))


def _in_scope(place: Place, only: Collection[str]) -> bool:
    if not only:
        return True
    return place.namespace in only if place.namespace else place.type == NAMESPACES and place.stem in only
