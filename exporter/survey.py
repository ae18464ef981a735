"""What is known of the source cluster: its types, in which versions to read them, and what decides about objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.schema import Exporter
from drsyncer.errors import ClusterError
from drsyncer.manifest import Manifest, ResourceType, labels, metadata, split_api_version
from drsyncer.progress import Progress, Task
from drsyncer.recovery import layout
from drsyncer.recovery.message import Change, Verb
from exporter.confidential import confidential_of
from exporter.filing import NAMESPACES, Filing
from exporter.gathering import Gathering
from exporter.reading import PageRead, TypeRead, read
from exporter.rules import asks_for_labels, cleaner_of, is_confined, named_namespaces, selection_of
from exporter.versions import CRDS, candidates, established, storage_version
from transforms.select import Selection

# Read before everything else: what they say decides how the rest is read and selected.
FIRST = (CRDS, NAMESPACES)
_NOT_SERVED = "it is defined and established, and the API server does not serve it (yet)"


class Survey:
    """The reading half of an export. `paths` are the files that Git has: groups in it matter even when they fail.

    `wanted` maps each type that is to be read to its versions, the best first; `failing` maps what nothing is known
    about to the reason.
    """

    def __init__(self, config: Exporter, cluster: Cluster, *, paths: Iterable[str], progress: Progress) -> None:
        self.cluster = cluster
        self._config = config
        self._progress = progress
        self.selection: Selection = selection_of(config.select)
        self._confined = is_confined(config.select)
        self.labels_matter = asks_for_labels(config)
        self.namespace_labels: dict[str, Mapping[str, str]] = {}
        self._stored: dict[str, str] = {}
        self._defined: dict[str, ResourceType] = {}
        self.filing = Filing(
            selection=self.selection,
            cleaner=cleaner_of(config.clean),
            confidential=confidential_of(config.secrets),
            namespace_labels=self.namespace_labels,
            # What a confined selection can let in lies in namespaces that it names, and those were read.
            labels_matter=self.labels_matter and not self._confined,
        )
        places = (layout.place_of(path) for path in paths)
        self._known_groups = {place.type.partition(".")[2] for place in places if place is not None}
        self.wanted: dict[str, tuple[ResourceType, ...]] = {}
        self._discovery = Discovery()
        self.failing: dict[str, str] = {}

    def read(self, gathering: Gathering) -> list[TypeRead]:
        """Read every selected type into `gathering`; return what is known of each."""
        self._ask()
        self.wanted = {}
        reads: list[TypeRead] = []
        with self._progress.task("Reading the cluster", total=None) as task:
            for first in (True, False):
                wanted = self._wanted(first=first)
                self.wanted |= wanted
                reads += self._learn_and_gather(list(wanted.values()), gathering, task)
                self._note_unserved()
        return reads

    def read_types(self, keys: Iterable[str], gathering: Gathering) -> list[TypeRead]:
        """Read only the types `keys`, which are wanted, into `gathering`; return what is known of each."""
        with self._progress.task("Reading what changed", total=None) as task:
            return self._learn_and_gather([self.wanted[key] for key in keys], gathering, task)

    def rediscover(self) -> None:
        """Ask again which types there are: `wanted` and `failing` are as they are now."""
        self._ask()
        self.wanted = self._wanted(first=True) | self._wanted(first=False)
        self._note_unserved()

    def gone(self, keys: Iterable[str]) -> list[str]:
        """Return those of `keys` that are certainly not served any more."""
        groups = {name.rpartition("/")[0] for name in self.failing if "/" in name}
        known = [key for key in keys if key not in self.failing and key.partition(".")[2] not in groups]
        return [key for key in known if key not in self.wanted]

    def learn(self, type_: ResourceType, manifest: Manifest) -> None:
        """Note a namespace's labels, or what a CRD says about its type."""
        name = metadata(manifest)["name"]
        if type_.key == NAMESPACES:
            self.namespace_labels[name] = labels(manifest)
        elif type_.key == CRDS:
            self._stored.pop(name, None)  # a CRD is named for its type
            if stored := storage_version(manifest):
                self._stored[stored[0]] = stored[1]
            defined = established(manifest)
            if defined is None:
                self._defined.pop(name, None)
            else:
                self._defined[name] = defined

    def forget(self, type_: ResourceType, name: str) -> None:
        """Note that a namespace or a CRD is gone."""
        if type_.key == NAMESPACES:
            self.namespace_labels.pop(name, None)
        elif type_.key == CRDS:
            self._stored.pop(name, None)
            self._defined.pop(name, None)

    def said(self, type_: ResourceType, name: str) -> object:
        """Return what `learn` knows of a namespace or CRD, to compare."""
        if type_.key == NAMESPACES:
            return self.namespace_labels.get(name)
        return self._stored.get(name), self._defined.get(name)

    def selected(self, type_: ResourceType) -> bool:
        """Return whether objects of a type may be exported at all."""
        if self._confined and not type_.namespaced and type_.key != NAMESPACES:
            return False
        verdict = self.selection.type_verdict(type_)
        if verdict is not None:
            self.filing.deciding.add(verdict.check)
        return verdict is None

    def deleted(self, gathering: Gathering, *, only: Iterable[str] | None = None) -> dict[str, Change]:
        """Return path → change of every object that certainly left the cluster or the selection.

        `only`: of types that were not read, look at these alone.
        """
        left = None if only is None else frozenset(only)

        def to_be_read(key: str) -> bool:
            if left is not None and key not in left:
                return True
            return key in self.wanted and self.selected(self.wanted[key][0])

        gone = gathering.gone(
            served=to_be_read,
            unknown=lambda key: key in self.failing or bool(self._discovery.failing_group(key.partition(".")[2])),
        )
        return {path: Change(Verb.DELETED, ref) for path, ref in gone}

    def warnings(self) -> list[str]:
        """Return which of the user's rules did nothing."""
        found = [f"exporter.secrets.{entry} matched nothing" for entry in self.filing.unused_encryption()]
        found += [f"exporter.select.{rule} decided nothing" for rule in self.selection.unused(self.filing.deciding)]
        found += [f"exporter.clean.{rule} found nothing" for rule in self.filing.unused_paths()]
        return found

    def _ask(self) -> None:
        self._discovery = self.cluster.discover()
        self.failing = {
            group_version: reason
            for group_version, reason in self._discovery.failing.items()
            if self._may_be_wanted(group_version)
        }

    def _note_unserved(self) -> None:
        """A type whose CRD is established and that discovery does not show is not gone: nothing is known about it."""
        for type_ in self._defined.values():
            if type_.key not in self._discovery.served and self.selected(type_):
                self.failing[type_.key] = _NOT_SERVED

    def _wanted(self, *, first: bool) -> dict[str, tuple[ResourceType, ...]]:
        found = (
            candidates(type_.key, self._discovery, self._stored)
            for type_ in self._discovery.preferred()
            if (type_.key in FIRST) == first and self._is_wanted(type_)
        )
        return {versions[0].key: versions for versions in found}

    def _may_be_wanted(self, group_version: str) -> bool:
        """Return whether types of a group that cannot be discovered might be selected: then their absence matters."""
        group, _ = split_api_version(group_version)
        return self.selection.may_want(group) or group in self._known_groups

    def _is_wanted(self, type_: ResourceType) -> bool:
        if not candidates(type_.key, self._discovery, self._stored):
            return False
        if f"{type_.group}/{type_.version}" in self._discovery.failing:
            return False  # reported already; asking its dead API server would only cost a minute
        return type_.key in FIRST or self.selected(type_)

    def _learn_and_gather(
        self, wanted: Sequence[tuple[ResourceType, ...]], gathering: Gathering, task: Task
    ) -> list[TypeRead]:
        reads: list[TypeRead] = []
        defined = dict(self._defined)
        for news in read(
            self.cluster,
            wanted,
            workers=self._config.workers,
            page_size=self._config.page_size,
            namespaces=named_namespaces(self._config.select),
            confined=self._confined,
        ):
            if isinstance(news, PageRead):
                self._learn_page(news)
                if self.selected(news.type_):
                    task.advance(gathering.add_page(news), detail=news.type_.key)
                continue
            reads.append(news)
            if news.type_.key == CRDS and not news.saw_everything:
                self._defined = defined | self._defined  # what was defined may still be
            if news.type_.key == NAMESPACES and self.labels_matter and not news.saw_everything:
                raise ClusterError(
                    f"rules ask for the labels of namespaces, which cannot be read: {news.why_incomplete}",
                    hint="Without them, objects would be left out, let in or left readable wrongly. "
                    "Grant `list` on namespaces.",
                )
            if self.selected(news.type_):
                gathering.add_read(news)
        return reads

    def _learn_page(self, page: PageRead) -> None:
        if page.type_.key not in FIRST:
            return
        if page.fresh and page.type_.key == NAMESPACES:
            self.namespace_labels.clear()
        elif page.fresh:
            self._stored.clear()
            self._defined.clear()
        for raw in page.items:
            self.learn(page.type_, msgspec.json.decode(raw))
