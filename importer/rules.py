"""The importer's rules out of its configuration, and the digest that stands for all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import starmap

from drsyncer import __version__
from drsyncer.config.matches import asks_for_namespace_labels, to_match
from drsyncer.config.rules import AnnotationChanges, LabelChanges, Transforms
from drsyncer.config.schema import Importer
from drsyncer.manifest import ResourceType
from drsyncer.recovery.identity import Identity
from importer import entries
from importer.digests import digest
from importer.inventory import ACTIVE, Inventory
from importer.rulebook import Written, in_order
from transforms.rules import RuleBook
from transforms.select import Selection
from transforms.select_checks import IMPORT
from transforms.settings import Changes, Settings, Standby
from transforms.steps import Render, Scope


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides how an object of the recovery repository arrives in DR.

    `digest` changes with anything that could make an object arrive differently, the commit excepted: only objects
    that a rule which uses it may match depend on that (`depends_on_commit`).
    """

    selection: Selection
    settings: Settings
    digest: str
    asks_for_namespace_labels: bool = False
    book: RuleBook = field(default_factory=RuleBook)
    scope: Scope = field(default_factory=Scope)

    def depends_on_commit(self, type_: ResourceType, *, namespace: str, name: str) -> bool:
        """Return whether an object of this type, namespace and name may arrive differently with another commit."""
        return any(
            rule.uses_commit and rule.match.may_match(type_, namespace=namespace, name=name) for rule in self.book.rules
        )

    @property
    def standby(self) -> bool:
        """Whether what is imported waits."""
        return self.settings.standby is not None

    def unused(self, seen: Collection[str], *, all_seen: bool) -> list[str]:
        """Given the rules that had a say in a run return the configuration's others, each with what it is about.

        `all_seen` is false when only the verdicts on what is out are known: see `Selection.unused`.
        """
        idle = [entry for entry in self.settings.entries if entry.label not in seen] if all_seen else []
        return [
            *(f"select.{rule}" for rule in self.selection.unused(seen, all_seen=all_seen)),
            *(f"transforms.{entry.label} ({entry.match})" for entry in idle),
        ]


def rules_of(
    config: Importer, inventory: Inventory, *, repository: Sequence[Written] = (), scope: Scope | None = None
) -> Rules:
    """Return the rules of one run. A cluster that is active (after a failover) is never put back to standby.

    `repository` are the rules in Git, `scope` is what templates see. Raises ConfigurationError for rules of one name.
    """
    transforms = config.transforms
    book = RuleBook(in_order(repository, transforms))
    scope = scope or Scope()
    standby = Standby(config.standby.daemon_sets) if config.standby.enabled and inventory.state != ACTIVE else None
    settings = settings_of(config.transforms, standby=standby)
    selection = Selection(
        include=[to_match(spec) for spec in config.select.include],
        exclude=[to_match(spec) for spec in config.select.exclude],
        disable=config.select.disable,
        checks=IMPORT,
    )
    return Rules(
        selection=selection,
        settings=settings,
        digest=digest(
            __version__,
            inventory.id,
            config.transforms.model_dump_json(),
            config.select.model_dump_json(),
            repr(standby),
            *(rule.model_dump_json() for _, rule in repository),
            *(f"{key}={value}" for key, value in sorted(scope.cluster.items()) if book.rules),
        ),
        asks_for_namespace_labels=asks_for_namespace_labels(config.select)
        or any(entry.match.namespace_labels for entry in settings.entries)
        or any(rule.match.namespace_labels for rule in book.rules),
        book=book,
        scope=scope,
    )


def scope_of(config: Importer, source: Identity, commit: str, render: Render) -> Scope:
    """Return what the templates of one run see beside their object."""
    return Scope(
        cluster={"name": config.cluster, "source": source.cluster},
        values=config.transforms.values,
        commit=commit,
        render=render,
    )


def settings_of(transforms: Transforms, *, standby: Standby | None) -> Settings:
    """Return what the transforms are told. Raises UsageError for what makes no sense together."""
    return Settings(
        namespaces=transforms.namespaces,
        namespace_labels=_changes(transforms.namespace_labels),
        namespace_annotations=_changes(transforms.namespace_annotations),
        storage_classes=transforms.storage_classes,
        access_modes=dict(transforms.access_modes.items()),
        images=transforms.images,
        hosts=transforms.hosts,
        labels=_changes(transforms.labels),
        annotations=_changes(transforms.annotations),
        standby=standby,
        replicas=tuple(starmap(entries.replica_entry, enumerate(transforms.replicas))),
        scheduling=tuple(starmap(entries.scheduling_entry, enumerate(transforms.scheduling))),
        resources=tuple(starmap(entries.resource_entry, enumerate(transforms.resources))),
        env=tuple(starmap(entries.env_entry, enumerate(transforms.env))),
        load_balancers=tuple(starmap(entries.load_balancer_entry, enumerate(transforms.load_balancers))),
        literals=entries.literals(transforms.literals),
    )


def _changes(changes: LabelChanges | AnnotationChanges) -> Changes:
    return Changes(add=changes.add, remove=changes.remove)
