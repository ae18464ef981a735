"""The importer's rules out of its configuration, and the digest that stands for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from drsyncer import __version__
from drsyncer.config.matches import asks_for_namespace_labels, to_match
from drsyncer.config.rules import AnnotationChanges, LabelChanges
from drsyncer.config.schema import Importer
from importer.digests import digest
from importer.inventory import ACTIVE, Inventory
from transforms.select import Selection
from transforms.select_checks import IMPORT
from transforms.settings import Changes, Settings, Standby


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides how an object of the recovery repository arrives in DR.

    `digest` changes with anything that could make an object arrive differently.
    """

    selection: Selection
    settings: Settings
    digest: str
    asks_for_namespace_labels: bool = False

    @property
    def standby(self) -> bool:
        """Whether what is imported waits."""
        return self.settings.standby is not None


def rules_of(config: Importer, inventory: Inventory) -> Rules:
    """Return the rules of one run. A cluster that is active (after a failover) is never put back to standby."""
    transforms = config.transforms
    standby = Standby(config.standby.daemon_sets) if config.standby.enabled and inventory.state != ACTIVE else None
    settings = Settings(
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
    )
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
            __version__, inventory.id, transforms.model_dump_json(), config.select.model_dump_json(), repr(standby)
        ),
        asks_for_namespace_labels=asks_for_namespace_labels(config.select),
    )


def _changes(changes: LabelChanges | AnnotationChanges) -> Changes:
    return Changes(add=changes.add, remove=changes.remove)
