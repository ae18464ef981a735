"""One export: the source cluster, selected and cleaned, as one commit of the recovery repository."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from drsyncer import __version__
from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.matches import asks_for_namespace_labels
from drsyncer.config.schema import Exporter
from drsyncer.errors import ClusterError, GitError, InvalidManifest, Refused
from drsyncer.guard import Guard
from drsyncer.manifest import ResourceType, labels, metadata, split_api_version
from drsyncer.progress import Progress
from drsyncer.recovery import identity, layout, message
from drsyncer.recovery.git import Clone, Remote, TreeFile
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.message import Change, Message, Verb
from drsyncer.wording import some
from drsyncer.yaml import LIMITS
from exporter.filing import NAMESPACES, Filing
from exporter.gathering import Gathering
from exporter.outcome import Outcome
from exporter.reading import PageRead, read
from exporter.rules import cleaner_of, is_confined, named_namespaces, selection_of
from exporter.versions import CRDS, candidates, storage_version, unserved
from transforms.select import Selection

# Read before everything else: what they say decides how the rest is read and selected.
_FIRST = (CRDS, NAMESPACES)
_MAX_READ = LIMITS.max_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One run. `confirmed` lets the deletion guard pass; `adopt` takes over another cluster's path."""

    dry_run: bool = False
    confirmed: bool = False
    adopt: bool = False


def export(*, config: Exporter, remote: Remote, cluster: Cluster, request: Request, progress: Progress) -> Outcome:
    """Read the cluster once and commit what changed; return what was done.

    Raises Refused when the path belongs to another cluster or too much would be deleted, GitError
    when there is no recovery repository to compare with, ClusterError when the cluster cannot be read.
    A commit that cannot be pushed is kept for the next run and told by `Outcome.push_error`.
    """
    begun = time.monotonic()
    found = Identity(cluster=config.cluster, uid=cluster.uid())
    with ExitStack() as stack:
        clone = stack.enter_context(Clone.open(remote))
        clone.check_signing()
        offline = _fetch(clone)
        base = clone.base()
        known = clone.files(base) if base else {}
        _check_identity(clone, known, found, adopt=request.adopt)

        stage = None if request.dry_run else stack.enter_context(clone.stage())
        run = _Run(config, cluster, clone, known, stage.add if stage else clone.blob_id, progress)
        run.read()
        deleted = run.deleted()
        changes = tuple(sorted([*run.gathering.changes(), *deleted.values()], key=lambda change: change.ref))
        refusal = None if request.confirmed else _guard(config, known, deleted)
        if refusal is not None and not request.dry_run:
            raise refusal

        text = message.build(run.message(found, changes, first=identity.FILE not in known))
        commit = ""
        if stage is not None:
            put, own = run.gathering.files(), identity.emit(found)
            fresh = {path: blob for path, blob in put.items() if not _is_there(known.get(path), blob)}
            if identity.FILE not in known or known[identity.FILE].blob_id != clone.blob_id(own):
                fresh[identity.FILE] = stage.add(own)
            commit = (
                stage.commit(parent=base, put=fresh, delete=list(deleted), message=text, when=datetime.now(UTC)) or ""
            )
        incomplete = run.gathering.incomplete() | run.failing
        head = commit or base or ""
        push_error = offline
        warnings = [*run.warnings(), *([f"without --yes this is refused: {refusal}"] if refusal else [])]
        if stage is not None and offline is None:
            beat = Heartbeat(datetime.now(UTC), head, not incomplete, found.uid)
            push_error, head = _push(clone, head, beat, warnings)
            commit = head if commit else ""
            clone.gc_if_due()
        return Outcome(
            cluster=config.cluster,
            dry_run=request.dry_run,
            commit=commit,
            parent=base or "",
            head=head,
            changes=changes,
            unchanged=len(run.gathering.files()) - sum(change.verb is not Verb.DELETED for change in changes),
            excluded=dict(run.gathering.excluded()),
            incomplete=incomplete,
            warnings=(*clone.notices, *warnings),
            secrets_omitted=run.gathering.secrets_omitted(),
            seconds=time.monotonic() - begun,
            message=text,
            push_error=push_error,
        )


def _fetch(clone: Clone) -> GitError | None:
    """Bring the clone up to date; return the error when only what an earlier run left can be used.

    The state of the source is worth keeping even while the remote is away: it is committed here
    and pushed later. Without anything to compare with, that cannot be done.
    """
    try:
        clone.fetch()
    except GitError as error:
        if clone.base() is None:
            raise
        return error
    return None


def _push(clone: Clone, head: str, heartbeat: Heartbeat, warnings: list[str]) -> tuple[GitError | None, str]:
    """Push what is there; return the error, if any, and the commit that now is the newest recovery point."""
    try:
        result = clone.push(heartbeat=heartbeat)
    except GitError as error:
        return error, head
    if result.heartbeat_refused:
        warnings.append(
            f"the remote refuses the heartbeat's ref, so nobody can tell a dead exporter: {result.heartbeat_refused}"
        )
    return None, result.head or head


def _is_there(file: TreeFile | None, blob_id: str) -> bool:
    return file is not None and file.regular and file.blob_id == blob_id


def _check_identity(clone: Clone, known: Mapping[str, TreeFile], found: Identity, *, adopt: bool) -> None:
    file = known.get(identity.FILE)
    if file is None:
        return
    if not file.regular:
        raise InvalidManifest(
            identity.FILE, 0, "is no regular file", hint="Somebody replaced it: see `git log` for it."
        )
    ((_, data),) = clone.read([file.blob_id], max_size=_MAX_READ)
    identity.check_same(identity.read(data or b""), found, adopt=adopt)


def _guard(config: Exporter, known: Mapping[str, TreeFile], deleted: Mapping[str, Change]) -> Refused | None:
    """Return why so many deletions need a confirmation, or None."""
    existing = sum(layout.place_of(path) is not None for path in known)
    guard = Guard(config.guard.max_deletions, config.guard.max_deletion_percent)
    objection = guard.objection(deletions=len(deleted), existing=existing)
    if not objection:
        return None
    return Refused(
        f"deletion guard: {objection}",
        hint=f"Nothing was committed. Gone or no longer selected: {some([change.ref for change in deleted.values()])}. "
        "If that is right, run again with --yes; see also exporter.guard.",
    )


class _Run:
    """The reading half of one export."""

    def __init__(
        self,
        config: Exporter,
        cluster: Cluster,
        clone: Clone,
        known: Mapping[str, TreeFile],
        store: Callable[[bytes], str],
        progress: Progress,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._progress = progress
        self._selection: Selection = selection_of(config.select)
        self._confined = is_confined(config.select)
        self._labels_matter = asks_for_namespace_labels(config.select)
        self._namespace_labels: dict[str, Mapping[str, str]] = {}
        self._stored: dict[str, str] = {}
        self._filing = Filing(
            selection=self._selection,
            cleaner=cleaner_of(config.clean),
            plaintext_secrets=config.secrets.mode == "plaintext",
            namespace_labels=self._namespace_labels,
            # What a confined selection can let in lies in namespaces that it names, and those were read.
            labels_matter=self._labels_matter and not self._confined,
        )
        self.gathering = Gathering(
            filing=self._filing,
            known=known,
            blob_id=clone.blob_id,
            store=store,
            load=lambda ids: dict(clone.read(ids, max_size=_MAX_READ)),
        )
        places = (layout.place_of(path) for path in known)
        self._known_groups = {place.type.partition(".")[2] for place in places if place is not None}
        self._wanted: dict[str, tuple[ResourceType, ...]] = {}
        self._discovery = Discovery()
        self.failing: dict[str, str] = {}

    def read(self) -> None:
        """Read every selected type into `gathering`."""
        self._discovery = self._cluster.discover()
        self.failing = {
            group_version: reason
            for group_version, reason in self._discovery.failing.items()
            if self._may_be_wanted(group_version)
        }
        with self._progress.task("Reading the cluster", total=None) as task:
            for first in (True, False):
                wanted = [
                    candidates(type_.key, self._discovery, self._stored)
                    for type_ in self._discovery.preferred()
                    if (type_.key in _FIRST) == first and self._is_wanted(type_)
                ]
                self._wanted |= {versions[0].key: versions for versions in wanted}
                self._learn_and_gather(wanted, task.advance)

    def _may_be_wanted(self, group_version: str) -> bool:
        """Return whether types of a group that cannot be discovered might be selected: then their absence matters."""
        group, _ = split_api_version(group_version)
        return self._selection.may_want(group) or group in self._known_groups

    def _is_wanted(self, type_: ResourceType) -> bool:
        if not candidates(type_.key, self._discovery, self._stored):
            return False
        if f"{type_.group}/{type_.version}" in self._discovery.failing:
            return False  # reported already; asking its dead API server would only cost a minute
        return type_.key in _FIRST or self._selected(type_)

    def _selected(self, type_: ResourceType) -> bool:
        if self._confined and not type_.namespaced and type_.key != NAMESPACES:
            return False
        verdict = self._selection.type_verdict(type_)
        if verdict is not None:
            self._filing.deciding.add(verdict.check)
        return verdict is None

    def _learn_and_gather(self, wanted: list[tuple[ResourceType, ...]], advance: Callable[..., None]) -> None:
        for news in read(
            self._cluster,
            wanted,
            workers=self._config.workers,
            page_size=self._config.page_size,
            namespaces=named_namespaces(self._config.select),
            confined=self._confined,
        ):
            if isinstance(news, PageRead):
                self._learn(news)
                if self._selected(news.type_):
                    advance(self.gathering.add_page(news), detail=news.type_.key)
            elif news.type_.key == NAMESPACES and self._labels_matter and not news.saw_everything:
                raise ClusterError(
                    f"rules ask for the labels of namespaces, which cannot be read: {news.why_incomplete}",
                    hint="Without them, objects would be left out or let in wrongly. Grant `list` on namespaces.",
                )
            elif self._selected(news.type_):
                self.gathering.add_read(news)

    def _learn(self, page: PageRead) -> None:
        """Note namespaces' labels and CRDs' stored versions as they pass by."""
        if page.type_.key not in _FIRST:
            return
        for raw in page.items:
            manifest = msgspec.json.decode(raw)
            if page.type_.key == NAMESPACES:
                self._namespace_labels[metadata(manifest)["name"]] = labels(manifest)
                continue
            if stored := storage_version(manifest):
                self._stored[stored[0]] = stored[1]
            missing = unserved(manifest, self._discovery)
            if missing is not None and self._selected(missing):
                self.failing[missing.key] = "it is defined and established, and the API server does not serve it (yet)"

    def deleted(self) -> dict[str, Change]:
        """Return path → change of every object that certainly left the cluster or the selection."""
        gone = self.gathering.gone(
            served=lambda key: key in self._wanted and self._selected(self._wanted[key][0]),
            unknown=lambda key: key in self.failing or bool(self._discovery.failing_group(key.partition(".")[2])),
        )
        return {path: Change(Verb.DELETED, ref) for path, ref in gone}

    def message(self, found: Identity, changes: tuple[Change, ...], *, first: bool) -> Message:
        """Return what the commit message is made of."""
        span = self.gathering.span()
        now = datetime.now(UTC)
        return Message(
            cluster=found.cluster,
            cluster_uid=found.uid,
            changes=changes,
            exported_at=now,
            read_from=span[0] if span else now,
            read_to=span[1] if span else now,
            resource_versions=message.digest_of(self.gathering.resource_versions()),
            incomplete=tuple(self.gathering.incomplete() | self.failing),
            version=__version__,
            first=first,
        )

    def warnings(self) -> list[str]:
        """Return what a person should know although nothing failed."""
        found = []
        omitted = self.gathering.secrets_omitted()
        if omitted:
            found.append(
                f"{omitted} Secrets were left out (exporter.secrets.mode: omit): "
                "the DR cluster must get them another way, or applications will not start"
            )
        found += [f"exporter.select.{rule} decided nothing" for rule in self._selection.unused(self._filing.deciding)]
        found += [f"exporter.clean.{rule} found nothing" for rule in self._filing.unused_paths()]
        return found
